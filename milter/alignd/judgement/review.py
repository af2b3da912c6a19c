"""One message from words to edits: the road that the milter and the commands all take."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from alignd.config.domain_lists import FreemailDomains, SuffixList
from alignd.config.settings import Configuration, Settings
from alignd.judgement.author import Author, read_author
from alignd.judgement.decision import (
    Circumstances,
    Predictions,
    Rewrite,
    Surroundings,
    decide,
    is_client_in_scope,
    may_be_amended,
    observe,
    settle,
)
from alignd.judgement.own_mail import OwnMail
from alignd.judgement.own_sender import AddressResult, OwnSender, own_sender, shared_sender
from alignd.judgement.prediction import Prediction, predict
from alignd.judgement.reasons import Action, Reason
from alignd.judgement.rewrite import plan_bare_rewrite, plan_rewrite, trace_field
from alignd.mail.domain import Domain, DomainError
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import NO_EDITS, Edits, Message
from alignd.mailauth.authentication_results import read_upstream
from alignd.mailauth.dkim import (
    CheckedSignature,
    PlannedSignature,
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
from alignd.return_path.directory import NO_DIRECTORY, Directory

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
    address: AddressResult | None = None
    """What is in From of a rewritten message, and why; None where return addresses are off."""
    tenant: str = ""
    """The label of the tenant whose settings these are; empty for the general ones."""

    @property
    def is_refused(self) -> bool:
        """Whether the message is not taken at all."""
        return self.reason.action is Action.REFUSE and not self.settings.rules.dry_run

    @property
    def is_only_for_show(self) -> bool:
        """Whether rules.dry_run keeps it from changing or refusing the message."""
        acts = bool(self.planned) or self.reason.action is Action.REFUSE
        return acts and self.settings.rules.dry_run

    @cached_property
    def summary(self) -> dict[str, str]:
        """The judgement in the words of the log, with domains and no addresses."""
        words = {"action": self.reason.action.value}
        author, predictions = self.circumstances.author, self.circumstances.predictions
        if author.domain is not None:
            words["domain"] = author.domain.name
        if self.tenant:
            words["tenant"] = self.tenant
        if predictions is not None:
            prediction = predictions.as_sent
            words["policy"] = prediction.policy.value
            words["spf"] = ",".join(spf.result.value for spf in prediction.spf)
            dkim = [each.result.value for each in prediction.dkim[:MAX_WORDS]]
            words["dkim"] = ",".join(dkim) or "none"
        words["reason"] = self.reason.value
        if self.address is not None:
            words["address"] = "return" if self.address is AddressResult.RETURN else "shared"
        if self.settings.rules.dry_run:
            words["dry_run"] = "yes"
        return words


def add_trace_field(judgement: Judgement, queue_id: str = "") -> Edits:
    """All edits that a judgement asks for, the trace field last where the message is rewritten."""
    planned = judgement.planned
    if judgement.reason.action is not Action.REWRITE:
        return planned
    trace = trace_field(judgement.reason, queue_id)
    return Edits((*planned.header, trace), planned.envelope_sender)


def address_fields(author: Mailbox | None, message: Message) -> dict[str, str]:
    """The fields that level debug adds to the log line of a message: its addresses."""
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
    own_mail: OwnMail = field(compare=False)
    directory: Directory = NO_DIRECTORY
    """The return addresses."""

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
        if not sender:
            ours = self._own_sender(author, message, settings).address
            names |= self._first_names_of_rewrite(ours, message)
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
        settings, tenant = self.configuration.choice_for(message)
        evaluator = SpfEvaluator(lookup, self.processor_time)
        seen = observe(
            message,
            author or read_author(message),
            Surroundings(
                None if is_helpdesk else self.configuration.helpdesk,
                self.freemail,
                self.now(),
                self.configuration.return_domains,
            ),
            partial(self._predict, message, settings, lookup, evaluator),
        )
        reason = decide(seen, settings)
        if may_be_amended(reason, seen, settings):
            rewrite = self._predict_rewrite(message, seen.author, settings, lookup, evaluator)
            good_until = min(seen.good_until, rewrite.sender.good_until)
            seen = replace(seen, rewrite=rewrite, good_until=good_until)
            reason = settle(reason, seen)
        planned = self._planned(message, seen, settings, reason)
        return self._within_limit(replace(planned, tenant=tenant))

    def rewrite_unjudged(self, message: Message) -> Judgement:
        """Have *message* rewritten, where judging it has failed: it will arrive."""
        settings, tenant = self.configuration.choice_for(message)
        # As little as possible is asked: what has failed may fail again.
        bare = Surroundings(self.configuration.helpdesk, (), now=0.0)
        seen = observe(message, Author(None), bare, predict=lambda _: None)
        if not seen.is_in_scope:
            return Judgement(settings, seen, decide(seen, settings), tenant=tenant)
        try:
            author = read_author(message)
            sender = self._own_sender(author, message, settings)
            bounces = sender.bounces.address if message.envelope_sender else ""
            planned = self._plan_rewrite(message, author, settings, sender, bounces)
            seen = replace(seen, author=author, good_until=sender.good_until)
        except Exception:  # perhaps it is the author that cannot be read or written down
            sender = shared_sender(settings)
            planned = plan_bare_rewrite(message, settings)
        return self._within_limit(
            Judgement(settings, seen, Reason.INTERNAL_ERROR, planned, sender.result, tenant)
        )

    def _within_limit(self, judgement: Judgement) -> Judgement:
        """*judgement*, or the refusal of a message that Postfix could not queue with its edits."""
        if len(judgement.planned.header) <= self.configuration.milter.max_edits:
            return judgement
        return replace(judgement, reason=Reason.TOO_MANY_FIELDS, planned=NO_EDITS, address=None)

    def _own_sender(self, author: Author, message: Message, settings: Settings) -> OwnSender:
        sender = message.envelope_sender
        return own_sender(author.mailbox, sender, settings, self.directory, self.now())

    def _planned(
        self, message: Message, seen: Circumstances, settings: Settings, reason: Reason
    ) -> Judgement:
        rewrite = seen.rewrite
        if reason.action is Action.REWRITE and rewrite is not None:
            planned = self._plan_rewrite(
                message, seen.author, settings, rewrite.sender, rewrite.envelope_sender
            )
            return Judgement(settings, seen, reason, planned, rewrite.sender.result)
        if reason.action is Action.ENVELOPE:
            return Judgement(settings, seen, reason, Edits(envelope_sender=_better_sender(seen)))
        return Judgement(settings, seen, reason)

    def _plan_rewrite(
        self,
        message: Message,
        author: Author,
        settings: Settings,
        sender: OwnSender,
        envelope_sender: str,
    ) -> Edits:
        is_freemail = author.mailbox is not None and author.mailbox.domain in self.freemail
        return plan_rewrite(
            message, author, settings, sender, envelope_sender, is_freemail=is_freemail
        )

    def _predict_rewrite(
        self,
        message: Message,
        author: Author,
        settings: Settings,
        lookup: Lookup,
        evaluator: SpfEvaluator,
    ) -> Rewrite:
        ours, sender = self._own_sender(author, message, settings), message.envelope_sender
        if sender and not ours.bounces_reach_author:
            as_ours = self._as_ours(sender, ours.address.domain, settings, lookup, evaluator)
            if as_ours is not None:
                return Rewrite(ours, sender, as_ours)
        # A null envelope sender stays null: bounces of bounces would come of it.
        sender = ours.bounces.address if sender else ""
        signatures = self._signatures_of_ours(ours.address, message)
        prediction = self.own_mail.predict(
            ours.address.domain, settings.relay, sender, signatures, lookup
        )
        return Rewrite(ours, sender, prediction)

    def _signatures_of_ours(self, ours: Mailbox, message: Message) -> tuple[PlannedSignature, ...]:
        if message.has_long_line:
            return ()  # none of them survives
        return self.signer.signatures_for(ours, message)

    def _first_names_of_rewrite(self, ours: Mailbox, message: Message) -> set[str]:
        names = {record_name(each) for each in walk_names(ours.domain)}
        planned = self._signatures_of_ours(ours, message)
        return names | {
            key_name(each.domain, each.selector) for each in planned if not each.obstacle
        }

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
        movable = bool(sender) and sender != author.address and author.suits_envelope
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

    def _as_ours(
        self,
        sender: str,
        ours: Domain,
        settings: Settings,
        lookup: Lookup,
        evaluator: SpfEvaluator,
    ) -> Prediction | None:
        """Predict for a rewrite that keeps *sender*; None unless it aligns and passes SPF."""
        try:
            domain = Domain.parse(sender.rpartition("@")[2])
        except DomainError:
            return None
        if self.suffixes.registered_domain(domain) != self.suffixes.registered_domain(ours):
            return None
        prediction = predict(
            ours, sender, settings.relay, lookup, self.suffixes, evaluator=evaluator
        )
        return prediction if prediction.aligned is Ternary.YES else None


def _better_sender(seen: Circumstances) -> str | None:
    """Where a failing envelope sender moves: to the author where that aligns, else to ours."""
    moved = seen.predictions.with_author_as_sender if seen.predictions else None
    if seen.author.mailbox is not None and moved is not None and moved.aligned is Ternary.YES:
        return seen.author.mailbox.address
    return seen.rewrite.sender.bounces.address if seen.rewrite else None


def make_reviewer(
    configuration: Configuration,
    signer: Signer,
    now: Callable[[], float],
    suffixes: PublicSuffixes | None = None,
    processor_time: Callable[[], float] = lambda: 0.0,
    directory: Directory = NO_DIRECTORY,
) -> Reviewer:
    """Assemble the reviewer of a configuration, with the lists of domains that ship.

    *suffixes* saves the 50 ms of reading the list again. *processor_time* is that of the thread
    that judges; a clock that stands sets no limit.
    """
    suffixes = suffixes or SuffixList()
    return Reviewer(
        configuration,
        suffixes,
        signer,
        FreemailDomains(),
        now,
        processor_time,
        OwnMail(suffixes),
        directory,
    )
