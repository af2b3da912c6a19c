"""Makes badges: a word with a shape and a colour, such as the state of a domain."""

from __future__ import annotations

from dataclasses import dataclass

from alignd.judgement.reasons import Action
from alignd.languages.texts import Texts, msgid
from alignd.web.listing import UNKNOWN

STATES = {
    Action.REWRITE.value: msgid("rewritten"),
    UNKNOWN: msgid("not known"),
    Action.ENVELOPE.value: msgid("envelope moved"),
    Action.PASS.value: msgid("passes"),
    Action.SKIP.value: msgid("left alone"),
    Action.REFUSE.value: msgid("refused"),
    Action.FORWARD.value: msgid("forwarded"),
    Action.DEFER.value: msgid("deferred"),
}
"""What happens to mail, in a word or two; what needs somebody comes first."""
_LATER = msgid("something else")
_STYLES = {
    **{state: f"state-{state}" for state in STATES},
    # The style sheet has none of their own for these.
    Action.FORWARD.value: "state-pass",
    Action.DEFER.value: "state-unknown",
}


@dataclass(frozen=True, slots=True)
class Badge:
    """A word with the style that gives it a shape and a colour."""

    word: str
    style: str
    """A class of the style sheet."""


def state_badge(state: str, texts: Texts) -> Badge:
    """The badge of a state: the value of an `Action`, or UNKNOWN; a later alignd has others."""
    return Badge(state_word(state, texts), _STYLES.get(state, "state-unknown"))


def state_word(state: str, texts: Texts) -> str:
    """The word for a state."""
    return texts.text(STATES.get(state, _LATER))
