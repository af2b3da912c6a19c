"""What the owner of an author domain can publish so that mail keeps its author.

Each alternative is computed from what DNS has now, laid over it, and judged by the same rules
as a message: what is advised here has been seen to pass, from every relay address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from alignd.advice.dkim import delegation
from alignd.advice.publication import Impossible, Publication
from alignd.advice.spf import Candidate, Published, read_published, with_addresses, with_include
from alignd.advice.spf_cost import MAX_LOOKUPS, count_lookups
from alignd.judgement.prediction import Prediction
from alignd.judgement.reasons import Reason, Rule
from alignd.judgement.review import Judgement, Reviewer
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import HeaderField, Message
from alignd.mailauth.dmarc import Policy
from alignd.mailauth.dns import Lookup, LookupFailed
from alignd.mailauth.spf import evaluate_spf, expand_macros
from alignd.mailauth.spf_record import SpfRecord
from alignd.mailauth.ternary import Ternary

MAX_VALUE = 60_000
"""Octets of a record that is advised; no DNS message has room for many more."""
_UNCOUNTED = "DNS did not say what the SPF record costs: {}"


@dataclass(frozen=True, slots=True)
class Cost:
    """What an SPF record asks of DNS."""

    lookups: int
    """Terms that ask DNS, in the whole record: what mail costs that none of them matches."""
    void_lookups: int
    """Questions without an answer that mail of this relay meets, from the worst address."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to authorise the relay."""

    publication: Publication
    notes: tuple[str, ...]
    judged: tuple[Judgement, Judgement]
    """Mail once it is published, with the envelope senders of `Advice`."""
    before: Cost | None = None
    """None where SPF has no part in it."""
    after: Cost | None = None

    @property
    def checked(self) -> bool:
        """Whether mail of both envelope senders was judged to pass."""
        return all(map(_authenticates, self.judged))


@dataclass(frozen=True, slots=True)
class Advice:
    """What is thought of the mail of one author, and what its domain can publish."""

    author: Mailbox
    bounces: Mailbox
    """An envelope sender in the notifications domain."""
    judgement: Judgement
    """Of a message whose envelope sender is the author's own address."""
    judgement_of_bounces: Judgement
    """Of one whose envelope sender is *bounces*."""
    alternatives: tuple[Alternative, ...] = ()
    """Best first."""
    refused: tuple[str, ...] = ()
    """Why other ways are closed."""

    @property
    def prediction(self) -> Prediction:
        """What receivers say of the author's mail as things are."""
        return _prediction(self.judgement)

    @property
    def authenticates(self) -> bool:
        """Whether the author's own domain vouches for the mail as things are."""
        return _authenticates(self.judgement)

    @property
    def cannot(self) -> str | None:
        """Why there is nothing to publish; None where there is, or where nothing is missing."""
        return None if self.alternatives or self.authenticates else "; ".join(self.refused)

    @property
    def is_unknown(self) -> bool:
        """Whether DNS could not say what would be the answer."""
        return self.judgement.reason is Reason.DNS_UNKNOWN


def advise(reviewer: Reviewer, author: Mailbox, lookup: Lookup) -> Advice:
    """Say what is thought of mail from *author*, and what its domain can publish."""
    adviser = _Adviser(reviewer, author, lookup)
    sender = reviewer.configuration.notifications.bounces
    own, bounces = adviser.judge()
    if _authenticates(own):
        return Advice(author, sender, own, bounces)
    if author.domain in reviewer.freemail:
        reason = f"{author.domain} is a mailbox provider's: it will never authorise this relay"
        return Advice(author, sender, own, bounces, refused=(reason,))
    attempts = (*adviser.by_spf(own), adviser.by_dkim())
    return Advice(
        author,
        sender,
        own,
        bounces,
        tuple(each for each in attempts if isinstance(each, Alternative)),
        tuple(each.reason for each in attempts if isinstance(each, Impossible)),
    )


@dataclass(frozen=True, slots=True)
class _Adviser:
    reviewer: Reviewer
    author: Mailbox
    lookup: Lookup

    def judge(self) -> tuple[Judgement, Judgement]:
        """Judge two messages such as a helpdesk sends, which differ in their envelope sender.

        Applications take the author's own address, or one address for all bounces. The client is
        one that the signer signs for: one that logged in.
        """
        header = (HeaderField("From", self.author.address.encode()),)
        bounces = self.reviewer.configuration.notifications.bounces
        own, other = (
            self.reviewer.judge(
                Message(sender.address, (), header, login="(helpdesk)"),
                self.lookup,
                is_helpdesk=True,
            )
            for sender in (self.author, bounces)
        )
        return own, other

    def by_spf(self, own: Judgement) -> Iterator[Alternative | Impossible]:
        """The SPF records that authorise the relay."""
        domain = self.author.domain
        published = read_published(domain, self.lookup)
        if isinstance(published, LookupFailed):
            yield Impossible(f"DNS did not say what SPF record {domain} has: {published.reason}")
        elif published.alias_of:
            # RFC 1034, section 3.6.2.
            yield Impossible(
                f"{domain} is an alias (CNAME) of {published.alias_of}: no record can stand "
                "beside it"
            )
        elif published.obstacle:
            yield Impossible(published.obstacle)
        else:
            yield from self._by_record(own, published)

    def _by_record(
        self, own: Judgement, published: Published
    ) -> Iterator[Alternative | Impossible]:
        include = self.reviewer.configuration.relay.spf_include
        before = self._cost(published.record, own) if published.record else Cost(0, 0)
        if isinstance(before, LookupFailed):
            yield Impossible(_UNCOUNTED.format(before.reason))
            return
        if include is None:
            yield Impossible("relay.spf_include is not set: there is no record to include")
        else:
            yield from self._first(with_include(published, include), published, before)
        addresses = with_addresses(published, _prediction(own))
        yield from self._first(addresses, published, before)

    def by_dkim(self) -> Alternative | Impossible:
        """The record that delegates a DKIM selector."""
        delegate = self.reviewer.configuration.dkim.delegate
        if delegate is None:
            return Impossible("dkim.delegate is not set: there is no DKIM key to delegate to")
        found = delegation(delegate, self.author, self.reviewer.signer, self.lookup)
        if isinstance(found, Impossible):
            return found
        name = found.publication.name
        if found.is_published and not found.is_configured:
            return Impossible(f"{name} is published; what is missing is here: {found.entry}")
        lookup = found.publication.over(self.lookup)
        signed = replace(self, reviewer=replace(self.reviewer, signer=found), lookup=lookup)
        notes = () if found.is_configured else (found.entry,)
        alternative = Alternative(found.publication, notes, signed.judge())
        if alternative.checked:
            return alternative
        own, _ = alternative.judged
        used = [dkim for dkim in _prediction(own).dkim if dkim.selector == delegate.selector]
        return Impossible(
            _unknown_policy(own) or f"the key of {name} is no use: {used[-1].explanation}"
        )

    def _first(
        self, candidates: Iterable[Candidate], published: Published, before: Cost
    ) -> Iterator[Alternative | Impossible]:
        """The first of *candidates* that passes, or why the last does not."""
        tried: Alternative | Impossible | None = None
        for candidate in candidates:
            tried = self._try(candidate, published, before)
            if isinstance(tried, Alternative):
                break
        if tried:
            yield tried

    def _try(
        self, candidate: Candidate, published: Published, before: Cost
    ) -> Alternative | Impossible:
        publication = candidate.publication(published)
        if len(publication.value) > MAX_VALUE:
            return Impossible(f"the SPF record has no room: {len(publication.value)} bytes")
        tried = replace(self, lookup=publication.over(self.lookup))
        judged = tried.judge()
        after = tried._cost(candidate.record, judged[0])
        if isinstance(after, LookupFailed):
            return Impossible(_UNCOUNTED.format(after.reason))
        if after.lookups > MAX_LOOKUPS:
            return Impossible(
                f"SPF has no room: receivers allow {MAX_LOOKUPS} DNS lookups (RFC 7208, section "
                f"4.6.4); the record makes {before.lookups}, and would make {after.lookups}"
            )
        notes = (*published.notes, *candidate.notes)
        alternative = Alternative(publication, notes, judged, before, after)
        return alternative if alternative.checked else Impossible(self._why_not(*judged))

    def _cost(self, record: SpfRecord, judgement: Judgement) -> Cost | LookupFailed:
        relay, sender = self.reviewer.configuration.relay, self.author.address
        most = 0
        for address in relay.addresses:
            expand_at = partial(
                expand_macros,
                address=address,
                envelope_sender=sender,
                helo=relay.hostname,
                lookup=self.lookup,
            )
            count = count_lookups(record, self.author.domain, expand_at, self.lookup)
            if isinstance(count, LookupFailed):
                return count
            most = max(most, count)
        return Cost(most, max(spf.void_lookups for spf in _prediction(judgement).spf))

    def _why_not(self, own: Judgement, bounces: Judgement) -> str:
        if unknown := _unknown_policy(own):
            return unknown
        relay, prediction = self.reviewer.configuration.relay, _prediction(own)
        failing = next((spf for spf in prediction.spf if not spf.counts), None)
        if failing is None:
            sender = self.reviewer.configuration.notifications.bounces.address
            rule = "exempt" if bounces.reason.rule is Rule.EXEMPT else "align_envelope"
            return (
                f"SPF does not help where the envelope sender is elsewhere, at "
                f"{sender}, and stays there (rules.{rule})"
            )
        if relay.spf_include:
            postmaster = f"postmaster@{relay.spf_include}"
            ours = evaluate_spf(failing.address, postmaster, relay.hostname, self.lookup)
            if not ours.counts:
                return (
                    f"the operator's own record at {relay.spf_include} does not authorise "
                    f"{ours.address} ({ours.result.value}: {ours.explanation})"
                )
        return f"SPF from {failing.address} would be {failing.result.value}: {failing.explanation}"


def _prediction(judgement: Judgement) -> Prediction:
    predictions = judgement.circumstances.predictions
    if predictions is None:  # an address that no From can carry
        raise ValueError(f"not an author: {judgement.circumstances.author.detail}")
    return predictions.as_sent


def _authenticates(judgement: Judgement) -> bool:
    aligned = _prediction(judgement).aligned is Ternary.YES
    # Where From stays by a rule, an envelope sender that moves makes nothing pass DMARC.
    return aligned or judgement.reason is Reason.ENVELOPE_ALIGNED


def _unknown_policy(judgement: Judgement) -> str:
    prediction = _prediction(judgement)
    views = (prediction.rfc7489, prediction.rfc9989)
    if any(view.discovery.policy is Policy.UNKNOWN for view in views):
        return f"DNS did not say what DMARC policy {prediction.author_domain} has"
    return ""
