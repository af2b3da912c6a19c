"""Plans the edits of a rewrite: nothing else changes, and every new value is proven first."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from alignd.config.settings import Notifications, Settings
from alignd.judgement.author import Author, text_of
from alignd.judgement.own_sender import OwnSender
from alignd.judgement.reasons import Reason
from alignd.judgement.reply_to import MAX_REPLY_TOS, mailboxes_of, names_somebody
from alignd.judgement.return_reasons import ReturnReason
from alignd.mail import display_name, encoded_words
from alignd.mail.line_length import MAX_LINE
from alignd.mail.mailbox import Mailbox, format_mailbox, parse_mailboxes
from alignd.mail.message import (
    AddField,
    ChangeField,
    DeleteField,
    Edits,
    HeaderEdit,
    Message,
)
from alignd.mail.printable import printable

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

_DOOMED = ("Sender", *DEAD_SIGNATURES, ORIGINAL_FIELD, TRACE_FIELD)
_MAX_ORIGINAL = 900  # octets of the original From that are kept
_QUEUE_ID = re.compile(r"[!-~]{1,100}")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class UnsafeEditError(RuntimeError):
    """An edit would break the message: a bug, found before anything was changed."""


@dataclass(frozen=True, slots=True)
class ReplacementFields:
    """The values that name the author in a rewritten message, proven to read back as meant."""

    new_from: str
    reply_to: str | None
    """Who gets the answers; empty when From says it; None when the Reply-To that is there stays,
    or nobody is known."""
    original_from: str
    """For X-Original-From; empty when there is none to keep."""


def plan_rewrite(
    message: Message,
    author: Author,
    settings: Settings,
    sender: OwnSender,
    envelope_sender: str,
    *,
    is_freemail: bool,
) -> Edits:
    """Plan the edits that send *message* from *sender*, but for the trace field.

    *envelope_sender* is the one that it leaves with. *is_freemail* says whether the author is at a
    mailbox provider. Deletions come first, from the highest index down, since deleting renumbers
    at once.

    Raises:
        UnsafeEditError: a field would not read back as meant.
    """
    # SpamAssassin distrusts a freemail Reply-To of mail from elsewhere (FREEMAIL_FORGED_REPLYTO).
    from_suffices = is_freemail and sender.is_return_address
    replacements = _write_replacements(
        message, author, settings, sender, from_suffices=from_suffices
    )
    counts = Counter(field.name.lower() for field in message.header)
    reply_to = replacements.reply_to
    header: list[HeaderEdit] = [
        edit for name in _DOOMED for edit in deletions(name, counts[name.lower()])
    ]
    header += deletions("From", counts["from"], kept=1)
    # Gmail refuses a message with two of them (RFC 5322, section 3.6).
    if reply_to is not None or 1 < counts["reply-to"] <= MAX_REPLY_TOS:
        header += deletions("Reply-To", counts["reply-to"])
    new_from = replacements.new_from
    header.append(
        ChangeField("From", 1, new_from) if counts["from"] else AddField("From", new_from)
    )
    if reply_to:
        header.append(AddField("Reply-To", reply_to))
    if replacements.original_from:
        header.append(AddField(ORIGINAL_FIELD, replacements.original_from))
    moves = envelope_sender != message.envelope_sender
    return Edits(tuple(header), envelope_sender if moves else None)


def plan_bare_rewrite(message: Message, settings: Settings) -> Edits:
    """Plan a rewrite in which nothing is of the message but what has to go, so that none fails.

    From is our address alone, and nobody is named in Reply-To.
    """
    counts = Counter(field.name.lower() for field in message.header)
    header: list[HeaderEdit] = [
        edit for name in ("From", *_DOOMED) for edit in deletions(name, counts[name.lower()])
    ]
    header.append(AddField("From", settings.notifications.address.address))
    moves = bool(message.envelope_sender)
    return Edits(tuple(header), settings.notifications.bounces.address if moves else None)


def trace_field(reason: Reason | ReturnReason, queue_id: str) -> AddField:
    """The field that says which message of our log this is, and why it was changed.

    A queue id that would break the message, which only a strange MTA can give, is left out.
    """
    trace = f"action={reason.action.value}; reason={reason.value}"
    if _QUEUE_ID.fullmatch(queue_id):
        trace += f"; id={queue_id}"
    return AddField(TRACE_FIELD, trace)


def _write_replacements(
    message: Message,
    author: Author,
    settings: Settings,
    sender: OwnSender,
    *,
    from_suffices: bool,
) -> ReplacementFields:
    notifications = settings.notifications
    fields = message.fields("From") if notifications.original_from else ()
    replacements = ReplacementFields(
        _new_from(author, notifications, sender.address),
        _reply_to(message, author, settings, from_suffices=from_suffices),
        _as_ascii(text_of(fields[0], message)) if fields else "",
    )
    _prove("From", replacements.new_from)
    _prove("Reply-To", replacements.reply_to or "")
    _prove(ORIGINAL_FIELD, replacements.original_from)
    return replacements


def deletions(name: str, count: int, *, kept: int = 0) -> list[DeleteField]:
    """Remove the fields called *name*, but for the *kept* topmost."""
    return [DeleteField(name, index) for index in range(count, kept, -1)]


def _new_from(author: Author, notifications: Notifications, address: Mailbox) -> str:
    template, mailbox = notifications.display_name, author.mailbox
    name = display_name.author_name(mailbox.display_name if mailbox else author.phrase, template)
    if mailbox is not None:
        name = name or display_name.local_name(mailbox.local_part)
    return _mailbox(display_name.compose(template, name), address, "From")


def _reply_to(
    message: Message, author: Author, settings: Settings, *, from_suffices: bool
) -> str | None:
    """Who gets the answers; the author need not be named where From suffices to reach him."""
    fields, agent = message.fields("Reply-To"), author.mailbox
    answered: tuple[Mailbox, ...] = ()
    if settings.rules.reply_to != "agent" or agent is None:
        # One that names nobody is none to a client.
        if len(fields) == 1 and names_somebody(fields[0].value):
            return None
        if len(fields) > MAX_REPLY_TOS and any(b"@" in field.value for field in fields):
            return None
        answered = mailboxes_of(fields)
    if not answered and agent is not None:
        if from_suffices:
            return ""
        answered = (agent,)
    values = [_answered(mailbox, settings.notifications) for mailbox in answered]
    return ",\n ".join(values) or None


def _answered(mailbox: Mailbox, notifications: Notifications) -> str:
    name = display_name.author_name(mailbox.display_name, notifications.display_name)
    return _mailbox(name, mailbox, "Reply-To")


def _mailbox(name: str, mailbox: Mailbox, field_name: str) -> str:
    """The value of a field with one mailbox, proven to read back as just that."""
    value = format_mailbox(name, mailbox.address, field_name)
    read_back = [
        (encoded_words.decode(found.display_name), found.address)
        for found in parse_mailboxes(value.replace("\n", ""), careless=True)
    ]
    if read_back != [(name, mailbox.address)]:
        raise UnsafeEditError(f"{field_name} would not read back as intended")
    return value


def _as_ascii(text: str) -> str:
    """*text* for a message that need not be one of SMTPUTF8."""
    shown = printable(text.replace("\t", " ")).strip()
    cut = shown.encode()[:_MAX_ORIGINAL].decode(errors="ignore")
    return encoded_words.encode_unstructured(cut, ORIGINAL_FIELD)


def _prove(name: str, value: str) -> None:
    if value.isascii() and value.isprintable() and len(name) + len(value) + 2 <= MAX_LINE:
        return  # plain text on one line, as nearly all of it
    for number, line in enumerate(value.split("\n")):
        if _UNPRINTABLE.search(line) or len(f"{name}: {line}".encode()) > MAX_LINE:
            raise UnsafeEditError(f"{name} would have a bad line")
        if number and not line.startswith(" "):
            raise UnsafeEditError(f"{name} would have a bad fold")
