"""What changes in a message that is rewritten: only what stands here, and all of it proven."""

from __future__ import annotations

import re

from alignd import displayname
from alignd.author import Author
from alignd.decision import Reason
from alignd.mailbox import Mailbox, format_mailbox, parse_mailboxes
from alignd.message import AddField, ChangeField, DeleteField, Edits, HeaderEdit, Message
from alignd.settings import Notifications

TRACE_FIELD = "Alignd"
ORIGINAL_FIELD = "X-Original-From"

# All of them cover From, so that none verifies afterwards; a broken one scores worse than none.
DEAD_SIGNATURES = (
    "DKIM-Signature",
    "ARC-Seal",
    "ARC-Message-Signature",
    "ARC-Authentication-Results",
)

TOUCHED_FIELDS = frozenset(
    name.lower()
    for name in ("From", "Reply-To", "Sender", *DEAD_SIGNATURES, ORIGINAL_FIELD, TRACE_FIELD)
)
"""The fields that a rewrite looks at, in lower case."""

_MAX_LINE = 998  # octets, RFC 5322, section 2.1.1
_MAX_ORIGINAL = 900  # octets of the original From that are kept
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class UnsafeEditError(RuntimeError):
    """An edit would break the message: a bug of ours, found before anything was changed."""


def plan_rewrite(
    message: Message,
    author: Author,
    reason: Reason,
    notifications: Notifications,
    *,
    reply_to_agent: bool,
    keep_envelope_sender: bool,
) -> Edits:
    """Plan the edits that send *message* from the notifications domain.

    Deletions come first, from the highest index down, since deleting renumbers at once.

    Raises:
        UnsafeEditError: the result would not be what it must be.
    """
    # One that names nobody is none to a client.
    has_reply_to = any(b"@" in field.value for field in message.fields("Reply-To"))
    replace_reply_to = author.mailbox is not None and (reply_to_agent or not has_reply_to)
    doomed = ("Sender", *DEAD_SIGNATURES, ORIGINAL_FIELD, TRACE_FIELD)
    header: list[HeaderEdit] = [edit for name in doomed for edit in _deletions(message, name)]
    header += _deletions(message, "From", keep_first=True)
    header += _deletions(message, "Reply-To") if replace_reply_to else []
    header.append(_new_from(message, author, notifications))
    if author.mailbox is not None and replace_reply_to:
        header.append(AddField("Reply-To", _agent(author.mailbox, notifications)))
    original = _as_text(message.fields("From")[0].unfolded) if message.fields("From") else ""
    if notifications.original_from and original:
        header.append(AddField(ORIGINAL_FIELD, original))
    header.append(AddField(TRACE_FIELD, _trace(reason, message.queue_id)))
    moved = message.envelope_sender and not keep_envelope_sender
    edits = Edits(tuple(header), notifications.bounces.address if moved else None)
    _prove(edits)
    return edits


def _deletions(message: Message, name: str, *, keep_first: bool = False) -> list[DeleteField]:
    count, kept = len(message.fields(name)), 1 if keep_first else 0
    return [DeleteField(name, index) for index in range(count, kept, -1)]


def _new_from(message: Message, author: Author, notifications: Notifications) -> HeaderEdit:
    name, template = "", notifications.display_name
    if author.mailbox is not None:
        name = displayname.author_name(author.mailbox.display_name, template)
        name = name or displayname.local_name(author.mailbox.local_part)
    value = _mailbox(displayname.compose(template, name), notifications.address, "From")
    return ChangeField("From", 1, value) if message.fields("From") else AddField("From", value)


def _agent(mailbox: Mailbox, notifications: Notifications) -> str:
    name = displayname.author_name(mailbox.display_name, notifications.display_name)
    return _mailbox(name, mailbox, "Reply-To")


def _mailbox(name: str, mailbox: Mailbox, field_name: str) -> str:
    """The value of a field with one mailbox, proven to read back as just that."""
    value = format_mailbox(name, mailbox.address, field_name)
    read_back = [
        (displayname.decode(found.display_name), found.address)
        for found in parse_mailboxes(value.replace("\n", ""))
    ]
    if read_back != [(name, mailbox.address)]:
        raise UnsafeEditError(f"{field_name} would not read back as intended")
    return value


def _as_text(value: bytes) -> str:
    decoded = value.decode(errors="replace").replace("\t", " ")
    text = "".join(each if each.isprintable() else "?" for each in decoded).strip()
    return text.encode()[:_MAX_ORIGINAL].decode(errors="ignore")


def _trace(reason: Reason, queue_id: str) -> str:
    trace = f"action=rewrite; reason={reason.value}"
    return f"{trace}; id={queue_id}" if queue_id else trace


def _prove(edits: Edits) -> None:
    written = [edit for edit in edits.header if not isinstance(edit, DeleteField)]
    for edit in written:
        for number, line in enumerate(edit.value.split("\n")):
            if _UNPRINTABLE.search(line) or len(f"{edit.name}: {line}".encode()) > _MAX_LINE:
                raise UnsafeEditError(f"{edit.name} would have a bad line")
            if number and not line.startswith(" "):
                raise UnsafeEditError(f"{edit.name} would have a bad fold")
