"""What goes wrong in practice when people enter a record, by record and DNS host."""

from __future__ import annotations

from collections.abc import Iterator

from alignd.languages.texts import Texts
from alignd.letter.dns_host import Habit
from alignd.letter.entry import Entry
from alignd.letter.layout.blocks import Block, Listed, Paragraph, Verbatim

_END = 20  # characters at the end of a value, enough to see that it is whole


def traps(entry: Entry, texts: Texts) -> Iterator[Block]:
    """The traps of this record at this host."""
    particular = _of_text(entry, texts) if entry.is_text else _of_alias(entry, texts)
    yield Listed((*_of_names(entry, texts), *particular))
    if entry.is_long and not entry.has(Habit.WANTS_QUOTES):
        yield Paragraph(
            texts.text(
                "The value has {n} characters, and DNS keeps it in strings of at most 255. Most "
                "forms divide it by themselves. If yours refuses it, enter these strings, one "
                "behind the other, in one record:",
                n=texts.number(len(entry.publication.value)),
            )
        )
        yield Verbatim(entry.publication.quoted_strings)


def _of_names(entry: Entry, texts: Texts) -> Iterator[str]:
    yield texts.text(
        "If the list shows the name as {doubled} after you save it, the form has appended the "
        "domain once more: leave it out of the name.",
        doubled=entry.doubled_name,
    )


def _of_text(entry: Entry, texts: Texts) -> Iterator[str]:
    if entry.is_spf:
        yield texts.text(
            "Only one record of a name may begin with “v=spf1”. Where there are two, mail servers "
            "count neither, and mail from your other senders suffers as well."
        )
    host = entry.hosting.host
    if host is not None and entry.has(Habit.WANTS_QUOTES):
        yield texts.text(
            "{host} wants the value in quotation marks, exactly as it stands above.",
            host=host.name,
        )
    elif host is not None:
        yield texts.text("Enter the value without quotation marks around it.")
    else:
        yield texts.text(
            "Enter the value without quotation marks around it, unless the form asks for them."
        )
    if entry.is_long:
        yield texts.text(
            "Some forms cut long values. Look at the record after you save it: its value ends in "
            "“{end}”.",
            end=entry.publication.value[-_END:],
        )


def _of_alias(entry: Entry, texts: Texts) -> Iterator[str]:
    host, name = entry.hosting.host, entry.publication.name
    if host is not None and entry.has(Habit.PROXIES):
        yield texts.text(
            "At {host}, switch the proxy off for this record (the orange cloud; “DNS only”): "
            "behind the proxy, nobody sees the record.",
            host=host.name,
        )
    elif host is None:
        yield texts.text("If the form offers to proxy the record, switch that off.")
    if host is not None and entry.has(Habit.WANTS_FINAL_DOT):
        yield texts.text(
            "The value ends in a dot, as above. Without it, {host} appends your domain to it.",
            host=host.name,
        )
    elif host is None:
        yield texts.text(
            "If the list shows your domain behind the value after you save it, put a dot at the "
            "end of the value."
        )
    yield texts.text(
        "No other record can stand beside a CNAME record: delete those that the name {name} has.",
        name=name,
    )
