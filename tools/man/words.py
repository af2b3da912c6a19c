"""Writes alignd-reasons(7): every word of the log, from the table of the program."""

from alignd.judgement.reasons import Reason, Word
from alignd.judgement.words import WORDS
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
        words = [word for word in WORDS if word.key == key]
        lines += [f".Ss Behind {key}="]
        lines += tagged((f"Cm {word.value}", _told(word)) for word in words)
    lines += [".Sh SEE ALSO", ".Xr alignd.conf 5 ,", ".Xr alignd 8"]
    return "\n".join(lines) + "\n"


def _told(word: Word) -> list[str]:
    text = word.text
    lines = prose(f"{text.meaning}.")
    options = ", ".join(text.options)
    if isinstance(word, Reason) and word.rule:
        lines += [".Pp", *prose(f"Rule: {word.rule.value}{options and f' ({options})'}")]
    elif options:
        lines += [".Pp", *prose(f"Options: {options}")]
    return [*lines, ".Pp", *prose(f"Fix: {text.fix}")]
