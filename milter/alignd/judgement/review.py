"""One message from words to edits: the road that the milter and the commands all take."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from functools import cached_property, partial

from alignd.config.domain_lists import FreemailDomains, SuffixList
from alignd.config.settings import Configuration, Settings
from alignd.judgement.author import Author, read_author
from alignd.judgement.decision import (
    Circumstances,
    Predictions,
    Surroundings,
    decide,
    is_client_in_scope,
    observe,
)
from alignd.judgement.prediction import predict
from alignd.judgement.reasons import Action, Reason
from alignd.judgement.rewrite import UnsafeEditError, plan_rewrite, trace_field
from alignd.mail.domain import Domain, DomainError
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import NO_EDITS, Edits, Message
from alignd.mailauth.authentication_results import read_upstream
from alignd.mailauth.dkim import (
    CheckedSignature,
    Signer,
    broken_before,
    broken_on_the_way,
    check_planned,
    hidden_by_a_malformed_field,
    verify_signatures,
)
from alignd.mailauth.dkim_key import key_name
from alignd.mailauth.dkim_signature import hides_all_signatures
from alignd.mailauth.dmarc import record_name
from alignd.mailauth.dns import Lookup, RecordType
from alignd.mailauth.rfc7489 import PublicSuffixes
from alignd.mailauth.rfc9989 import walk_names
from alignd.mailauth.spf import SpfEvaluator, spf_identity
from alignd.mailauth.ternary import Ternary

MAX_WORDS = 8
"""Results of signatures in a line of the log: who sends the message decides how many there are."""


@dataclass(frozen=True)
class Judgement:
    """What is thought of a message, and what changes in it."""

    settings: Settings
    """The view of the configuration that holds for the message."""
    circumstances: Circumstances
    reason: Reason
    planned: Edits = NO_EDITS
    """All edits but for the trace field, which has the queue id."""

    @cached_property
    def summary(self) -> dict[str, str]:
        """The judgement in the words of the log, with domains and no addresses."""
        words = {"action": self.reason.action.value}
        author, predictions = self.circumstances.author, self.circumstances.predictions
        if author.domain is not None:
            words["domain"] = author.domain.name
        if predictions is not None:
            prediction = predictions.as_sent
            words["policy"] = prediction.policy.value
            words["spf"] = ",".join(spf.result.value for spf in prediction.spf)
            dkim = [each.result.value for each in prediction.dkim[:MAX_WORDS]]
            words["dkim"] = ",".join(dkim) or "none"
        words["reason"] = self.reason.value
        if self.settings.rules.dry_run:
            words["dry_run"] = "yes"
        return words


def add_trace_field(judgement: Judgement, queue_id: str = "") -> Edits:
    """All edits that a judgement asks for, the trace field last where the message is rewritten.

    Raises:
        UnsafeEditError: the queue id, which is the MTA's, would break the message.
    """
    planned = judgement.planned
    if judgement.reason.action is not Action.REWRITE:
        return planned
    trace = trace_field(judgement.reason, queue_id)
    return Edits((*planned.header, trace), planned.envelope_sender)


def address_fields(judgement: Judgement, message: Message) -> dict[str, str]:
    """The fields that level debug adds to the log line of a message: its addresses."""
    author = judgement.circumstances.author.mailbox
    return {
        "sender": message.envelope_sender,
        "author": author.address if author else "",
        "recipients": ",".join(message.recipients),
    }


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Judges messages under one configuration."""

    configuration: Configuration
    suffixes: PublicSuffixes
    signer: Signer
    freemail: Container[Domain]
    now: Callable[[], float]
    """The Unix time."""
    processor_time: Callable[[], float]
    """That of the thread, which bounds what SPF may cost a judgement."""

    def first_questions(
        self, message: Message, author: Author
    ) -> frozenset[tuple[str, RecordType]]:
        """What judging *message* asks of DNS before any answer has a say in it.

        Nothing but From, the envelope sender, the client and the login need be known by then.
        """
        is_stranger = not is_client_in_scope(message, self.configuration.helpdesk)
        if author.domain is None or author.mailbox is None or is_stranger:
            return frozenset()
        names = {record_name(each) for each in walk_names(author.domain)}
        names |= {
            key_name(each.domain, each.selector)
            for each in self.signer.signatures_for(author.mailbox, message)
            if not each.obstacle
        }
        sender, settings = message.envelope_sender, self.configuration.settings_for(message)
        _, spf_domain = spf_identity(sender, settings.relay.hostname)
        moves = bool(sender) and settings.rules.align_envelope
        senders = (spf_domain, author.domain if moves else None)
        names |= {domain.name for domain in senders if domain is not None}
        return frozenset((name, RecordType.TXT) for name in names)

    def judge(
        self,
        message: Message,
        lookup: Lookup,
        author: Author | None = None,
        *,
        is_helpdesk: bool = False,
    ) -> Judgement:
        """Decide what to do with *message*, and plan it; *lookup* answers for it alone.

        *author* is the message's, where it was read already. With *is_helpdesk* the message is in
        scope whoever its client is.

        Raises:
            UnsafeEditError: the rewritten message would not be what it must be.
        """
        settings = self.configuration.settings_for(message)
        evaluator = SpfEvaluator(lookup, self.processor_time)
        circumstances = observe(
            message,
            author or read_author(message),
            Surroundings(
                None if is_helpdesk else self.configuration.helpdesk, self.freemail, self.now()
            ),
            partial(self._predict, message, settings, lookup, evaluator),
        )
        reason = decide(circumstances, settings)
        suits = partial(self._sender_suits, message, settings, lookup, evaluator)
        planned = self._plan(message, circumstances.author, settings, reason.action, suits)
        return Judgement(settings, circumstances, reason, planned)

    def rewrite_unjudged(self, message: Message) -> Judgement:
        """Have *message* rewritten, where judging it has failed: it will arrive."""
        settings, author = self.configuration.settings_for(message), read_author(message)
        # As little as possible is asked: what has failed may fail again.
        bare = Surroundings(self.configuration.helpdesk, (), now=0.0)
        seen = observe(message, author, bare, predict=lambda _: None)
        if not seen.is_in_scope:
            return Judgement(settings, seen, decide(seen, settings))
        try:
            planned = plan_rewrite(message, author, settings, keep_envelope_sender=False)
        except UnsafeEditError:
            # Perhaps it is the author that cannot be written down.
            seen = replace(seen, author=Author(None))
            planned = plan_rewrite(message, seen.author, settings, keep_envelope_sender=False)
        return Judgement(settings, seen, Reason.INTERNAL_ERROR, planned)

    def _plan(
        self,
        message: Message,
        author: Author,
        settings: Settings,
        action: Action,
        sender_suits: Callable[[], bool],
    ) -> Edits:
        if action is Action.REWRITE:
            return plan_rewrite(message, author, settings, keep_envelope_sender=sender_suits())
        if action is Action.ENVELOPE and author.mailbox is not None:
            return Edits(envelope_sender=author.mailbox.address)
        return NO_EDITS

    def _predict(
        self,
        message: Message,
        settings: Settings,
        lookup: Lookup,
        evaluator: SpfEvaluator,
        author: Mailbox,
    ) -> Predictions:
        relay, sender = settings.relay, message.envelope_sender
        dkim = self._signatures(message, author, lookup)
        predict_for = partial(
            predict,
            author.domain,
            relay=relay,
            lookup=lookup,
            suffixes=self.suffixes,
            dkim=dkim,
            evaluator=evaluator,
        )
        as_sent = predict_for(sender)
        # A null envelope sender stays null: bounces of bounces would come of it.
        movable = bool(sender) and sender != author.address and author.fits_envelope
        if as_sent.aligned is Ternary.YES or not movable or not settings.rules.align_envelope:
            return Predictions(as_sent, None)
        return Predictions(as_sent, predict_for(author.address))

    def _signatures(
        self, message: Message, author: Mailbox, lookup: Lookup
    ) -> tuple[CheckedSignature, ...]:
        settings = self.configuration.dkim
        verified = verify_signatures(message, lookup, self.now()) if settings.verify else ()
        upstream = read_upstream(message, settings.trusted_authserv_ids, lookup, self.now())
        planned = (
            check_planned(each, lookup) for each in self.signer.signatures_for(author, message)
        )
        if message.has_broken_line:
            upstream = tuple(map(broken_before, upstream))
        others = (*upstream, *planned)
        if message.has_long_line:
            others = tuple(map(broken_on_the_way, others))
        if others and hides_all_signatures(message):
            others = tuple(map(hidden_by_a_malformed_field, others))
        return (*verified, *others)

    def _sender_suits(
        self, message: Message, settings: Settings, lookup: Lookup, evaluator: SpfEvaluator
    ) -> bool:
        """Whether the envelope sender aligns with the notifications domain and passes SPF."""
        sender, ours = message.envelope_sender, settings.notifications.domain
        try:
            domain = Domain.parse(sender.rpartition("@")[2])
        except DomainError:
            return False
        if self.suffixes.registered_domain(domain) != self.suffixes.registered_domain(ours):
            return False
        prediction = predict(
            ours, sender, settings.relay, lookup, self.suffixes, evaluator=evaluator
        )
        return prediction.aligned is Ternary.YES


def make_reviewer(
    configuration: Configuration,
    signer: Signer,
    now: Callable[[], float],
    suffixes: PublicSuffixes | None = None,
    processor_time: Callable[[], float] = lambda: 0.0,
) -> Reviewer:
    """Assemble the reviewer of a configuration, with the lists of domains that ship.

    *suffixes* saves the 50 ms of reading the list again. *processor_time* is that of the thread
    that judges; a clock that stands sets no limit.
    """
    suffixes = suffixes or SuffixList()
    return Reviewer(configuration, suffixes, signer, FreemailDomains(), now, processor_time)
