"""One message from words to edits: the story that the milter and `alignd explain` both tell."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

from alignd.author import Author, read_author
from alignd.authresults import read_upstream
from alignd.decision import Action, Decision, Predictions, Reason, decide, out_of_scope
from alignd.dkim import Dkim, Signer, check_planned, verify
from alignd.domain import Domain, DomainError
from alignd.lookup import Lookup
from alignd.mailbox import Mailbox
from alignd.message import Edits, Message
from alignd.prediction import predict
from alignd.rewrite import TOUCHED_FIELDS, UnsafeEditError, plan_rewrite
from alignd.rfc7489 import PublicSuffixes
from alignd.settings import Configuration, Settings
from alignd.ternary import Ternary


@dataclass(frozen=True, slots=True)
class Review:
    """What is thought of one message, and what would change."""

    message: Message
    settings: Settings
    author: Author
    predictions: Predictions | None
    """None when the message is skipped, or its author unreadable."""
    decision: Decision
    edits: Edits

    @property
    def envelope_sender(self) -> str:
        """The envelope sender that the message leaves with; empty when null."""
        moved = self.edits.envelope_sender
        return self.message.envelope_sender if moved is None else moved


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Reviews messages under one configuration."""

    configuration: Configuration
    suffixes: PublicSuffixes
    signer: Signer
    freemail: Container[Domain]
    now: Callable[[], float]
    """The Unix time."""

    @property
    def needs_whole_message(self) -> bool:
        """Whether a review asks for the body, and for every header field."""
        return self.configuration.dkim.verify

    @property
    def fields_of_interest(self) -> frozenset[str]:
        """The names, in lower case, of the header fields that every review looks at."""
        patterns = [self.configuration.helpdesk.headers]
        patterns += [tenant.match for tenant in self.configuration.tenant]
        named = (name.lower() for pattern in patterns for name in pattern.names)
        return TOUCHED_FIELDS.union(named, {"authentication-results"})

    def review(self, message: Message, lookup: Lookup) -> Review:
        """Judge *message* if it is in scope; *lookup* answers for this message alone."""
        skipped = out_of_scope(message, self.configuration.helpdesk)
        if not skipped:
            return self.judge(message, lookup)
        settings = self.configuration.settings_for(message)
        return Review(message, settings, read_author(message), None, skipped, Edits())

    def judge(self, message: Message, lookup: Lookup) -> Review:
        """Judge *message* as one of a helpdesk, whoever its client is."""
        settings = self.configuration.settings_for(message)
        author = read_author(message)
        predictions = self._predict(message, author, settings, lookup)
        recipients = message.recipients
        decision = decide(author, predictions, recipients, settings, self.freemail)
        edits = self._plan(message, author, decision, settings, lookup)
        return Review(message, settings, author, predictions, decision, edits)

    def rewrite_unjudged(self, message: Message) -> Review:
        """Rewrite *message* without judging it, where judging it has failed: it will arrive."""
        settings = self.configuration.settings_for(message)
        author = read_author(message)
        decision = Decision(Action.REWRITE, Reason.INTERNAL_ERROR)
        skipped = out_of_scope(message, self.configuration.helpdesk)
        if skipped:
            return Review(message, settings, author, None, skipped, Edits())
        try:
            edits = _rewrite(message, author, decision, settings)
        except UnsafeEditError:
            # Perhaps it is the author that cannot be written down.
            edits = _rewrite(message, Author(None), decision, settings)
        return Review(message, settings, author, None, decision, edits)

    def _predict(
        self, message: Message, author: Author, settings: Settings, lookup: Lookup
    ) -> Predictions | None:
        if author.domain is None or author.mailbox is None:
            return None
        relay, sender, address = settings.relay, message.envelope_sender, author.mailbox.address
        dkim = self._signatures(message, author.mailbox, lookup)
        as_sent = predict(author.domain, sender, relay, lookup, self.suffixes, dkim)
        # A null envelope sender stays null: bounces of bounces would come of it.
        movable = bool(sender) and sender != address and address.isascii()
        if as_sent.aligned is Ternary.YES or not movable or not settings.rules.align_envelope:
            return Predictions(as_sent, None)
        moved = predict(author.domain, address, relay, lookup, self.suffixes, dkim)
        return Predictions(as_sent, moved)

    def _signatures(self, message: Message, author: Mailbox, lookup: Lookup) -> tuple[Dkim, ...]:
        settings = self.configuration.dkim
        verified = verify(message, lookup, self.now()) if settings.verify else ()
        upstream = read_upstream(message, settings.trusted_authserv_ids)
        planned = self.signer.signatures_for(author)
        return (*verified, *upstream, *(check_planned(each, lookup) for each in planned))

    def _plan(
        self,
        message: Message,
        author: Author,
        decision: Decision,
        settings: Settings,
        lookup: Lookup,
    ) -> Edits:
        if decision.action is Action.ENVELOPE and author.mailbox is not None:
            return Edits(envelope_sender=author.mailbox.address)
        if decision.action is not Action.REWRITE:
            return Edits()
        keep = self._sender_suits(message, settings, lookup)
        return _rewrite(message, author, decision, settings, keep_envelope_sender=keep)

    def _sender_suits(self, message: Message, settings: Settings, lookup: Lookup) -> bool:
        """Whether the envelope sender aligns with the notifications domain and passes SPF."""
        sender, ours = message.envelope_sender, settings.notifications.domain
        try:
            domain = Domain.parse(sender.rpartition("@")[2])
        except DomainError:
            return False
        if self.suffixes.registered_domain(domain) != self.suffixes.registered_domain(ours):
            return False
        prediction = predict(ours, sender, settings.relay, lookup, self.suffixes)
        return prediction.aligned is Ternary.YES


def _rewrite(
    message: Message,
    author: Author,
    decision: Decision,
    settings: Settings,
    *,
    keep_envelope_sender: bool = False,
) -> Edits:
    return plan_rewrite(
        message,
        author,
        decision.reason,
        settings.notifications,
        reply_to_agent=settings.rules.reply_to == "agent",
        keep_envelope_sender=keep_envelope_sender,
    )
