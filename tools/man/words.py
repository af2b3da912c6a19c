"""Writes alignd-reasons(7): every word of the log, from the table of the program."""

from alignd.judgement.reasons import ENTRIES, Entry, key_of
from tools.man.mdoc import page, prose, tagged

_KEYS = ("action", "reason", "limit", "error")
_DESCRIPTION = """\
The log of alignd has a line for each message, with `action=` and `reason=`, and where it applies
`limit=` and `error=`. The field `Alignd` of a rewritten message and `alignd explain` use the same
words. `alignd reasons` prints this table."""


def reasons_page(*, date: str, release: str) -> str:
    """The manual page of the words of the log."""
    lines = page("alignd-reasons", 7, "words of the log of alignd", date=date, release=release)
    lines += [".Sh DESCRIPTION", *prose(_DESCRIPTION), ".Sh WORDS"]
    for key in _KEYS:
        words = {word: entry for word, entry in ENTRIES.items() if key_of(word) == key}
        lines += [f".Ss Behind {key}="]
        lines += tagged((f"Cm {word.value}", _told(entry)) for word, entry in words.items())
    lines += [".Sh SEE ALSO", ".Xr alignd.conf 5 ,", ".Xr alignd 8"]
    return "\n".join(lines) + "\n"


def _told(entry: Entry) -> list[str]:
    lines = prose(f"{entry.meaning}.")
    if entry.rule:
        options = f" ({', '.join(entry.options)})" if entry.options else ""
        lines += [".Pp", *prose(f"{entry.rule.value}{options}")]
    return [*lines, ".Pp", *prose(f"Fix: {entry.fix}")]
