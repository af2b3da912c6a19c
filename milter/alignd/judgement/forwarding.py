"""Plans what changes in a message that goes on to an author, and tells who has had it before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from alignd.config.settings import Configuration, Rules, Settings
from alignd.judgement.author import Author
from alignd.judgement.own_sender import shared_sender
from alignd.judgement.reasons import Action
from alignd.judgement.return_reasons import ReturnReason
from alignd.judgement.rewrite import TRACE_FIELD, deletions, plan_rewrite, trace_field
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox, MailboxError
from alignd.mail.message import AddField, Edits, HeaderEdit, Message
from alignd.return_path.address import Kind
from alignd.return_path.directory import Directory, Found

MARK_FIELD = "Alignd-Return"
"""Says whom a message was forwarded to. It holds a mark, of which no address can be made."""
ADDED_FIELDS = frozenset({MARK_FIELD.lower(), TRACE_FIELD.lower()})
"""What every message gets that goes on, in lower case."""
MAX_MARKS = 100
"""Marks that a message may have, good or not. Postfix takes 50 Received fields for a loop."""


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What all messages that go on under one configuration have in common."""

    directory: Directory
    settings: Mapping[Domain, Settings]
    """Those of each domain of return addresses; no rule has a say in them."""
    own_domains: frozenset[Domain]
    """All domains that rewritten mail is from."""

    def has_been_here(self, message: Message, recipients: tuple[Found, ...], now: float) -> bool:
        """Whether one of *recipients* has had *message* before.

        Marks that are not good are left alone: they may be another relay's.
        """
        marks = message.fields(MARK_FIELD)
        if len(marks) > MAX_MARKS:
            return True
        texts = [field.unfolded.strip().decode("ascii", "replace") for field in marks]
        had = {
            (domain, self.directory.marked_author(text, domain, now))
            for domain in {each.domain for each in recipients}
            for text in texts
        }
        return any((each.domain, each.address.author) in had for each in recipients)

    def plan(
        self,
        message: Message,
        author: Author,
        recipients: tuple[Found, ...],
        reason: ReturnReason,
        now: float,
        queue_id: str,
        *,
        is_sender_authentic: bool,
    ) -> Edits:
        """Plan the edits that send *message* on to *recipients*, the trace field last.

        Raises:
            UnsafeEditError: a field would not read back as meant.
        """
        settings = self.settings[recipients[0].domain]
        sender = self._sender(message, settings, now, is_authentic=is_sender_authentic)
        if reason.action is Action.REWRITE:
            ours = shared_sender(settings)
            planned = plan_rewrite(message, author, settings, ours, sender, is_freemail=False)
        else:
            moves = sender != message.envelope_sender
            planned = Edits(_without_traces(message), sender if moves else None)
        added = (*self._marks(recipients, now), trace_field(reason, queue_id))
        return replace(planned, header=(*planned.header, *added))

    def _marks(self, recipients: tuple[Found, ...], now: float) -> tuple[AddField, ...]:
        """A mark for each author who is answered: one who gets a bounce cannot send it round."""
        found = {}
        for each in recipients:
            author, settings = each.address.author, self.settings[each.domain]
            mark = self.directory.make(author, Kind.MARK, settings, now)
            if each.address.kind is Kind.AUTHOR and isinstance(mark, Mailbox):
                found[mark.local_part] = AddField(MARK_FIELD, mark.local_part)
        return tuple(found.values())

    def _sender(
        self, message: Message, settings: Settings, now: float, *, is_authentic: bool
    ) -> str:
        """Who gets the bounces of *message*; empty where they go nowhere.

        An address is made for those alone whose sender is known to be no forgery: it is a way
        for everybody to write to him through this relay.
        """
        if not message.envelope_sender:
            return ""
        shared = settings.notifications.bounces.address
        sender = _mailbox(message.envelope_sender)
        if settings.return_path.envelope == "shared" or sender is None or not is_authentic:
            return shared
        if sender.domain in self.own_domains:
            return shared
        made = self.directory.make(sender, Kind.BOUNCE, settings, now)
        return made.address if isinstance(made, Mailbox) else shared


def _without_traces(message: Message) -> tuple[HeaderEdit, ...]:
    names = Counter(field.name.lower() for field in message.header)
    return tuple(deletions(TRACE_FIELD, names[TRACE_FIELD.lower()]))


def _mailbox(address: str) -> Mailbox | None:
    try:
        return Mailbox.from_address(address)
    except MailboxError:
        return None


def settings_by_domain(configuration: Configuration) -> dict[Domain, Settings]:
    """The settings of each domain of return addresses, without the rules of what leaves."""
    found: dict[Domain, Settings] = {}
    for settings in configuration.all_settings:
        if settings.return_path.keys:
            without = settings.model_copy(update={"rules": Rules()})
            found.setdefault(settings.return_domain, without)
    return found
