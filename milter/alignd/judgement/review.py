"""One message from words to edits: the story that the milter and `alignd explain` both tell."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass
from functools import cached_property

from alignd.config.settings import Configuration, Settings
from alignd.judgement.author import Author, read_author
from alignd.judgement.decision import Decision, Predictions, decide, out_of_scope
from alignd.judgement.prediction import predict
from alignd.judgement.reasons import Action, Reason
from alignd.judgement.rewrite import (
    TOUCHED_FIELDS,
    Letterhead,
    UnsafeEditError,
    compose_letterhead,
    plan_rewrite,
    trace_field,
)
from alignd.mail.domain import Domain, DomainError
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import Edits, Message
from alignd.mailauth.authentication_results import UPSTREAM_FIELDS, read_upstream
from alignd.mailauth.dkim import CheckedSignature, Signer, check_planned, verify
from alignd.mailauth.dkim_key import key_name
from alignd.mailauth.dmarc import record_name
from alignd.mailauth.dns import Lookup, RecordType
from alignd.mailauth.rfc7489 import PublicSuffixes
from alignd.mailauth.rfc9989 import walk_names
from alignd.mailauth.spf import identity
from alignd.mailauth.ternary import Ternary


@dataclass(frozen=True)
class Judgement:
    """What is thought of a message: all that its author, envelope and client say about it."""

    settings: Settings
    author: Author
    predictions: Predictions | None
    """None when the message is skipped, or its author unreadable."""
    decision: Decision
    letterhead: Letterhead | None = None
    """None unless the message is rewritten."""
    keep_envelope_sender: bool = False

    @cached_property
    def summary(self) -> dict[str, str]:
        """The judgement in the words of the log, with domains and no addresses."""
        words = {"action": self.decision.action.value}
        if self.author.domain is not None:
            words["domain"] = self.author.domain.name
        if self.predictions is not None:
            prediction = self.predictions.as_sent
            words["policy"] = prediction.policy.value
            words["spf"] = ",".join(spf.result.value for spf in prediction.spf)
            words["dkim"] = ",".join(dkim.result.value for dkim in prediction.dkim) or "none"
        words["reason"] = self.decision.reason.value
        if self.settings.rules.dry_run:
            words["dry_run"] = "yes"
        return words


def log_fields(judgement: Judgement, message: Message) -> dict[str, str]:
    """The fields of the log line of a message at level debug: with its addresses."""
    author = judgement.author.mailbox
    return {
        **judgement.summary,
        "sender": message.envelope_sender,
        "author": author.address if author else "",
        "recipients": ",".join(message.recipients),
    }


@dataclass(frozen=True, slots=True)
class Review:
    """What is thought of one message, and what would change."""

    message: Message
    judgement: Judgement
    edits: Edits

    @property
    def settings(self) -> Settings:
        """The view of the configuration that holds for the message."""
        return self.judgement.settings

    @property
    def author(self) -> Author:
        """Who wrote the message."""
        return self.judgement.author

    @property
    def predictions(self) -> Predictions | None:
        """What receivers will say; None when the message is skipped, or its author unreadable."""
        return self.judgement.predictions

    @property
    def decision(self) -> Decision:
        """What to do with the message, and why."""
        return self.judgement.decision

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
    def judged_fields(self) -> frozenset[str]:
        """The names, in lower case, of the header fields that a judgement depends on.

        All of them do when the whole message is needed.
        """
        patterns = [self.configuration.helpdesk.headers]
        patterns += [tenant.match for tenant in self.configuration.tenant]
        named = {name.lower() for pattern in patterns for name in pattern.names}
        upstream = self.configuration.dkim.trusted_authserv_ids
        return frozenset(named | {"from"} | (UPSTREAM_FIELDS if upstream else set()))

    @property
    def fields_of_interest(self) -> frozenset[str]:
        """The names, in lower case, of the header fields that every review looks at."""
        return TOUCHED_FIELDS | self.judged_fields

    def first_questions(self, message: Message) -> frozenset[tuple[str, RecordType]]:
        """What judging *message* asks of DNS before any answer has a say in it.

        Nothing but From, the envelope sender, the client and the login need be known by then.
        """
        author = read_author(message)
        skipped = out_of_scope(message, self.configuration.helpdesk)
        stranger = skipped is not None and skipped.reason is Reason.CLIENT_NOT_IN_SCOPE
        if author.domain is None or author.mailbox is None or stranger:
            return frozenset()
        names = {record_name(each) for each in walk_names(author.domain)}
        names |= {
            key_name(each.domain, each.selector)
            for each in self.signer.signatures_for(author.mailbox)
        }
        sender, settings = message.envelope_sender, self.configuration.settings_for(message)
        _, spf_domain = identity(sender, settings.relay.hostname)
        moves = bool(sender) and settings.rules.align_envelope
        senders = (spf_domain, author.domain if moves else None)
        names |= {domain.name for domain in senders if domain is not None}
        return frozenset((name, RecordType.TXT) for name in names)

    def review(self, message: Message, lookup: Lookup) -> Review:
        """Judge *message* if it is in scope; *lookup* answers for this message alone."""
        return carry_out(message, self.judge(message, lookup))

    def review_helpdesk(self, message: Message, lookup: Lookup) -> Review:
        """Review *message* as one of a helpdesk, whoever its client is."""
        return carry_out(message, self._judge_helpdesk(message, lookup))

    def judge(self, message: Message, lookup: Lookup) -> Judgement:
        """Say what to do with *message*, and why."""
        skipped = out_of_scope(message, self.configuration.helpdesk)
        if not skipped:
            return self._judge_helpdesk(message, lookup)
        settings = self.configuration.settings_for(message)
        return Judgement(settings, read_author(message), None, skipped)

    def _judge_helpdesk(self, message: Message, lookup: Lookup) -> Judgement:
        settings = self.configuration.settings_for(message)
        author = read_author(message)
        predictions = self._predict(message, author, settings, lookup)
        recipients = message.recipients
        decision = decide(author, predictions, recipients, settings, self.freemail)
        if decision.action is not Action.REWRITE:
            return Judgement(settings, author, predictions, decision)
        return Judgement(
            settings,
            author,
            predictions,
            decision,
            compose_letterhead(message, author, settings.notifications),
            self._sender_suits(message, settings, lookup),
        )

    def rewrite_unjudged(self, message: Message) -> Judgement:
        """Have *message* rewritten, where judging it has failed: it will arrive."""
        settings = self.configuration.settings_for(message)
        author = read_author(message)
        skipped = out_of_scope(message, self.configuration.helpdesk)
        if skipped:
            return Judgement(settings, author, None, skipped)
        decision = Decision(Action.REWRITE, Reason.INTERNAL_ERROR)
        notifications = settings.notifications
        try:
            letterhead = compose_letterhead(message, author, notifications)
        except UnsafeEditError:
            # Perhaps it is the author that cannot be written down.
            author = Author(None)
            letterhead = compose_letterhead(message, author, notifications)
        return Judgement(settings, author, None, decision, letterhead)

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

    def _signatures(
        self, message: Message, author: Mailbox, lookup: Lookup
    ) -> tuple[CheckedSignature, ...]:
        settings = self.configuration.dkim
        verified = verify(message, lookup, self.now()) if settings.verify else ()
        upstream = read_upstream(message, settings.trusted_authserv_ids)
        planned = self.signer.signatures_for(author)
        return (*verified, *upstream, *(check_planned(each, lookup) for each in planned))

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


def carry_out(message: Message, judgement: Judgement) -> Review:
    """Plan what *judgement* asks for, on this very message.

    Raises:
        UnsafeEditError: the result would not be what it must be.
    """
    return Review(message, judgement, sign(plan_edits(message, judgement), judgement))


def plan_edits(message: Message, judgement: Judgement) -> Edits:
    """What *judgement* changes in a message with these header fields, but for the trace field."""
    settings, author = judgement.settings, judgement.author
    if judgement.letterhead is not None:
        return plan_rewrite(
            message,
            judgement.letterhead,
            settings.notifications,
            reply_to_agent=settings.rules.reply_to == "agent",
            keep_envelope_sender=judgement.keep_envelope_sender,
        )
    if judgement.decision.action is Action.ENVELOPE and author.mailbox is not None:
        return Edits(envelope_sender=author.mailbox.address)
    return Edits()


def sign(planned: Edits, judgement: Judgement, queue_id: str = "") -> Edits:
    """What was *planned*, with the trace field where the message is rewritten.

    Raises:
        UnsafeEditError: the result would not be what it must be.
    """
    if judgement.letterhead is None:
        return planned
    trace = trace_field(judgement.decision.reason, queue_id)
    return Edits((*planned.header, trace), planned.envelope_sender)
