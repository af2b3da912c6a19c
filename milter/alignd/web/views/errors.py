"""What is said where there is no page to show."""

from __future__ import annotations

from dataclasses import dataclass

from alignd.languages.texts import Texts, msgid
from alignd.ledger.window.protocol import Obstacle


@dataclass(frozen=True, slots=True)
class Sentences:
    """What is wrong."""

    word: str
    """For programs."""
    title: str
    sentence: str


_OTHER = (
    "bad-request",
    msgid("This request cannot be answered"),
    msgid("It is not what a page of this site sends. Go back and try again."),
)
_BY_STATUS = {
    403: (
        "form",
        msgid("This form is too old"),
        msgid("Go back, load the page anew, and press the button again."),
    ),
    404: (
        "not-found",
        msgid("There is no such page"),
        msgid("Nothing is at this address. A link may have been cut off, or have ended."),
    ),
    405: (
        "method",
        msgid("This cannot be done here"),
        msgid("This address can be looked at, or written to, and not the other way round."),
    ),
    413: (
        "too-large",
        msgid("This is too long"),
        msgid("No form of this site is as long as what was sent."),
    ),
    500: (
        "bug",
        msgid("Something went wrong here"),
        msgid("It is a mistake of this program, and was noted in its log. Mail goes on."),
    ),
    503: (
        "unavailable",
        msgid("This cannot be shown now"),
        msgid("Try again in a minute. Mail goes on meanwhile."),
    ),
}
_BY_OBSTACLE = {
    Obstacle.VERSION: msgid(
        "The ledger is kept by another version of alignd than this page. Restart both after an "
        "upgrade."
    ),
    Obstacle.SCHEMA: msgid(
        "The ledger was written by another version of alignd than this page. Upgrade the older "
        "one."
    ),
    Obstacle.BUSY: msgid("Too many ask for the ledger at once. Try again in a few seconds."),
    Obstacle.TOO_LARGE: msgid("The ledger has more domains than can be listed."),
    Obstacle.SLOW: msgid("The ledger did not answer in time. Try again in a few seconds."),
    Obstacle.DATABASE: msgid("The database of the ledger cannot be read at the moment."),
    Obstacle.UNREACHABLE: msgid(
        "The service that keeps the ledger does not answer, or does not let this page ask."
    ),
    Obstacle.BROKEN: msgid("The ledger stopped in the middle of its answer. Try again."),
}


def sentences_of(status: int, texts: Texts) -> Sentences:
    """What is said with this *status* of HTTP."""
    word, title, sentence = _BY_STATUS.get(status, _OTHER)
    return Sentences(word, texts.text(title), texts.text(sentence))


def why_unreadable(obstacle: Obstacle, texts: Texts) -> str:
    """Why the ledger cannot be shown, for people."""
    known = _BY_OBSTACLE.get(obstacle)
    if known is None:
        return texts.text("The ledger could not be asked: it is a mistake of this program.")
    return texts.text(known)
