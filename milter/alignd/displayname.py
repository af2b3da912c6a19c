"""The name that Julia sees: decoded, cleaned, and put into the operator's phrase."""

from __future__ import annotations

import re
import unicodedata
from email.errors import HeaderParseError
from email.header import decode_header

MAX_LENGTH = 64
"""Characters of the author's name that are kept; clients show about half of that."""

_ENCODED_WORD = r"=\?[^?\s]+\?[bBqQ]\?[^?\r\n]*\?="
_ENCODED_RUN = re.compile(rf"{_ENCODED_WORD}(?:\s+{_ENCODED_WORD})*")
_AT_SIGN = re.compile("[@\uff20\ufe6b]")  # and the two that look like it
_DOTTED = re.compile(r"[\w-]+(?:\.[\w-]+)+")
_BLANKS = re.compile(r"[ \t]+")

# Invisible, but letters or marks to Unicode: the grapheme joiner, Hangul fillers, Braille blank.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u3164\uffa0\u2800\ufffd")


def decode(text: str) -> str:
    """Decode the encoded words of *text* (RFC 2047) the way mail clients do.

    Clients also decode inside quoted strings, and join a character that a careless sender cut in
    two. What cannot be decoded stays as it stands, or loses the characters that are broken.
    """
    return _ENCODED_RUN.sub(lambda match: _decode_run(match.group()), text)


def clean(text: str) -> str:
    """Decoded *text* without anything that could mislead a person or a program.

    Control, bidirectional and zero-width characters go; an address becomes its local part, a
    domain loses its dots: filters punish an address or a second domain in a display name.
    """
    visible = "".join(_visible(character) for character in unicodedata.normalize("NFC", text))
    words = [_without_address(word) for word in _BLANKS.split(visible)]
    return _shortened(" ".join(word for word in words if word))


def without_template(template: str, name: str) -> str:
    """*name* without what *template* puts around it, so that it never reads "via X via X".

    The application, or an earlier pass, may have said it already.
    """
    before, _, after = (re.escape(part.strip()) for part in template.partition("{name}"))
    if after:
        name = re.sub(rf"(?:\s*{after})+$", "", name, flags=re.IGNORECASE)
    if before:
        name = re.sub(rf"^(?:{before}\s*)+", "", name, flags=re.IGNORECASE)
    return name


def compose(template: str, name: str, local_part: str) -> str:
    """The display name of a rewritten From: *template* with `{name}` filled in.

    *name* is cleaned already; when it is empty the local part stands for it, and when that is
    empty too, what is left of the template.
    """
    name = name or _shortened("".join(map(_visible, local_part)).strip())
    return template.replace("{name}", name).strip()


def _decode_run(run: str) -> str:
    try:
        return "".join(_decode_bytes(part, charset) for part, charset in decode_header(run))
    except HeaderParseError:
        return run


def _decode_bytes(part: bytes | str, charset: str | None) -> str:
    if isinstance(part, str):
        return part
    try:
        # RFC 2231, section 5: a language may follow the charset.
        return part.decode((charset or "utf-8").partition("*")[0], errors="replace")
    except (LookupError, UnicodeError):
        return part.decode("utf-8", errors="replace")


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in {"Cc", "Zl", "Zp"}:
        return " "
    return "" if category[0] == "C" or character in _INVISIBLE else character


def _without_address(word: str) -> str:
    at_sign = _AT_SIGN.search(word)
    if at_sign:
        return word[: at_sign.start()].strip("<>()[],;:\"'")
    return _DOTTED.sub(_without_domain, word)


def _without_domain(match: re.Match[str]) -> str:
    text = match.group()
    last = text.rpartition(".")[2]
    # "mycompany.com" and "MYCOMPANY.COM" are domains, "J.R.Smith" and "v1.20" are not.
    if len(last) < 2 or not last.isalpha() or last.istitle():  # noqa: PLR2004
        return text
    return text.replace(".", " ")


def _shortened(text: str) -> str:
    if len(text) <= MAX_LENGTH:
        return text
    end = MAX_LENGTH
    while end and unicodedata.combining(text[end]):
        end -= 1
    return text[:end].rstrip()
