"""Reads the record back out of a letter, in each of its forms, as its reader does."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

from alignd.languages.texts import Texts

_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Entered:
    """What the admin enters."""

    type: str
    name: str
    """Empty where the field stays empty."""
    value: str
    ttl: str

    def published(self, zone: str) -> tuple[str, str, str]:
        """What a DNS host publishes that appends the zone, and reads master files."""
        name = {"": zone, "@": zone}.get(self.name)
        if name is None:
            name = self.name if f".{self.name}".endswith(f".{zone}") else f"{self.name}.{zone}"
        strings = _STRING.findall(self.value)
        value = re.sub(r"\\(.)", r"\1", "".join(strings)) if strings else self.value
        return self.type, name, value.removesuffix(".") if self.type == "CNAME" else value


def in_text(text: str, texts: Texts) -> Entered:
    """The fields of the first form of a plain text."""
    fields: dict[str, str] = {}
    label = ""
    for line in text.replace("\r\n", "\n").split("\n"):
        if found := re.match(r"(\w+)(?: \([^)]*\))?:(?: \(|$)", line):
            label = found[1]
            fields.setdefault(label, "")
        elif label and line.startswith("    "):
            fields[label] = fields[label] or line.removeprefix("    ")
        elif not line.strip():
            label = ""
        if fields.get("TTL"):
            break
    return _entered(fields, texts)


def in_html(page: str, texts: Texts) -> Entered:
    """The fields of the table of a page."""
    reader = _Table()
    reader.feed(page)
    reader.close()
    return _entered({label.partition(" (")[0]: value for label, value in reader.rows}, texts)


def in_message(message: bytes, texts: Texts) -> Iterator[Entered]:
    """The fields of each part of a draft."""
    parsed = message_from_bytes(message, policy=default)
    assert isinstance(parsed, EmailMessage)
    readers = {"text/plain": in_text, "text/html": in_html}
    for part in parsed.iter_parts():
        yield readers[part.get_content_type()](part.get_content(), texts)


def in_mailto(link: str, texts: Texts) -> Entered:
    """The fields in the body that a mail program makes of a link."""
    (body,) = parse_qs(urlsplit(link).query)["body"]
    return in_text(body, texts)


def _entered(fields: dict[str, str], texts: Texts) -> Entered:
    names = (texts.text("Type"), texts.text("Name"), texts.text("Value"), "TTL")
    return Entered(*(fields[name] for name in names))


class _Table(HTMLParser):
    """The rows of a table: the text of each th, and that of the code in its td."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[str, str]] = []
        self._label, self._value, self._inside = "", "", ""

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self._label = self._value = ""
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr":
            self.rows.append((self._label, self._value))
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "th":
            self._label += data
        elif self._inside == "code":
            self._value += data
