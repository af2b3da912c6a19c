"""Shows the From of a message before and after, as the code of the mail path would write it."""

from __future__ import annotations

from dataclasses import dataclass

from alignd.advice.alternatives import Advice
from alignd.judgement.author import read_author
from alignd.judgement.reasons import Action
from alignd.judgement.rewrite import UnsafeEditError, plan_rewrite
from alignd.mail import encoded_words
from alignd.mail.mailbox import format_mailbox
from alignd.mail.message import AddField, ChangeField, Edits, HeaderField, Message

EXAMPLE_NAME = "Marky Mark"
"""An agent, whatever the language: a name."""


@dataclass(frozen=True, slots=True)
class Example:
    """What the agent's program writes, and what the recipient sees."""

    before: str
    after: str
    reply_to: str = ""
    """Where answers go, if From does not say it."""

    @property
    def is_changed(self) -> bool:
        return self.after != self.before


def example_of(advice: Advice) -> Example | None:
    """The example of the author of *advice*; None where his name cannot be written."""
    own = advice.author
    message = Message(
        own.address,
        (),
        (HeaderField("From", format_mailbox(EXAMPLE_NAME, own.address, "From").encode()),),
    )
    before = _readable(message.fields("From")[0].value.decode())
    judgement = advice.judgement
    is_changed = judgement.reason.action is Action.REWRITE and not judgement.settings.rules.dry_run
    rewrite = judgement.circumstances.rewrite
    if not is_changed or rewrite is None:
        return Example(before, before)
    try:
        edits = plan_rewrite(
            message,
            read_author(message),
            judgement.settings,
            rewrite.sender,
            rewrite.envelope_sender,
            is_freemail=judgement.circumstances.is_freemail,
        )
    except UnsafeEditError:
        return None
    return Example(before, _value(edits, "From") or before, _value(edits, "Reply-To"))


def _value(edits: Edits, name: str) -> str:
    for edit in edits.header:
        if isinstance(edit, ChangeField | AddField) and edit.name == name:
            return _readable(edit.value)
    return ""


def _readable(value: str) -> str:
    return encoded_words.decode(value.replace("\n", ""))
