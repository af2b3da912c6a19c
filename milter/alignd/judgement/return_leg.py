"""Judges what comes back to return addresses: the road that every message of this leg takes.

Strangers write it. So it is judged as its receiver would before anything of it goes on, and the
rules of what leaves (`alignd.judgement.decision`) have no say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from alignd.config.domain_lists import SuffixList
from alignd.config.settings import Configuration
from alignd.judgement.arrival import Arrival, check_signatures, judge_arrival
from alignd.judgement.author import Author, read_author
from alignd.judgement.forwarding import ADDED_FIELDS, Forwarding, settings_by_domain
from alignd.judgement.prediction import spf_passes
from alignd.judgement.reasons import Action
from alignd.judgement.return_reasons import ReturnReason
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import NO_EDITS, Edits, Message, Reply
from alignd.mailauth.dns import Lookup
from alignd.mailauth.rfc7489 import PublicSuffixes
from alignd.mailauth.spf import SpfEvaluator
from alignd.mailauth.ternary import Ternary
from alignd.return_path.address import Invalid, Kind
from alignd.return_path.directory import Directory, Found, KeyTrouble, Nobody

_MAX_WORDS = 8  # results of signatures in a line of the log
_POSTMASTER = "mailer-daemon"
_OF_NOTICES = "double-bounce"  # double_bounce_sender of postconf(5)
_REPORT = re.compile(rb"[ \t]*multipart/report\b", re.IGNORECASE)  # RFC 6522
_NOISE = re.compile(rb"[\s\"\\\0]+")
_PARENTHESIS = re.compile(rb"([()])")


@dataclass(frozen=True, slots=True)
class ReturnJudgement:
    """What is thought of a message that came back, and what changes in it."""

    reason: ReturnReason
    planned: Edits
    """All of them, the trace field included."""
    reply: Reply | None
    """None for a message that is taken."""
    summary: dict[str, str]
    """The judgement in the words of the log, with domains and no addresses."""
    author: Mailbox | None = None
    """Whom From names, if anybody was read from it."""


_TOLD = {
    ReturnReason.NO_SUCH_ADDRESS: ("550", "5.1.1", "No such address"),
    ReturnReason.KEYS_MISSING: ("451", "4.3.0", "The address cannot be checked now"),
    ReturnReason.BOUNCE_ONLY: ("550", "5.7.1", "The address takes nothing but bounces"),
    ReturnReason.LOOP: ("554", "5.4.6", "The message has been here before"),
    ReturnReason.FROM_UNREADABLE: ("550", "5.7.1", "From is not one field with one mailbox"),
    ReturnReason.OWN_DOMAIN: ("550", "5.7.1", "From is in our domain, and not from us"),
    ReturnReason.DNS_UNKNOWN: ("451", "4.4.3", "DNS does not answer for the domain in From"),
    ReturnReason.DMARC_FAILS: ("550", "5.7.1", "DMARC fails, and its policy is not to take it"),
    ReturnReason.TOO_MANY_FIELDS: ("554", "5.6.0", "Too many header fields would have to change"),
    ReturnReason.INTERNAL_ERROR: ("451", "4.3.0", "The message cannot be checked now"),
}
_REPLIES = {
    reason: Reply(code, status, f"{text} ({reason.value})")
    for reason, (code, status, text) in _TOLD.items()
}
"""For each reason that refuses or defers."""
_IN_ORDER = tuple(ReturnReason)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What can be read of a message without DNS."""

    author: Author
    recipients: tuple[Found, ...]
    """Those who are return addresses."""
    refusals: tuple[ReturnReason, ...]
    """Of recipients that look like return addresses."""
    now: float

    @property
    def is_addressed(self) -> bool:
        return bool(self.recipients or self.refusals)


@dataclass(frozen=True, slots=True)
class ReturnReviewer:
    """Judges what comes back, under one configuration."""

    configuration: Configuration
    directory: Directory
    forwarding: Forwarding
    suffixes: PublicSuffixes
    now: Callable[[], float]
    """The Unix time."""
    processor_time: Callable[[], float]
    """That of the thread, which bounds what SPF may cost a judgement."""

    def refusal_of_recipient(
        self, envelope_sender: str, recipient: str
    ) -> tuple[ReturnReason, Reply] | None:
        """Why *recipient* is not taken, and what to say; None when it is."""
        found = self.directory.find(recipient, self.now())
        reason = _refusal(found, envelope_sender)
        return None if reason is None else (reason, _REPLIES[reason])

    def judge(self, message: Message, lookup: Lookup, queue_id: str = "") -> ReturnJudgement:
        """Decide what to do with *message*, and plan it; *lookup* answers for it alone.

        Raises:
            UnsafeEditError: the message would not be what it must be.
        """
        reading = self._read(message)
        domain = reading.author.domain
        reason = self._decide_without_dns(message, reading)
        if reason is not None or domain is None:
            reason = reason or ReturnReason.FROM_UNREADABLE
            return self._judgement(message, reading, reason, queue_id)
        signatures = check_signatures(message, lookup, reading.now, ADDED_FIELDS)
        if domain in self.forwarding.own_domains:
            is_ours = signatures.made_by(domain)
            if is_ours is not Ternary.YES:
                unknown = is_ours is Ternary.UNKNOWN
                reason = ReturnReason.DNS_UNKNOWN if unknown else ReturnReason.OWN_DOMAIN
                return self._judgement(message, reading, reason, queue_id)
        if not reading.is_addressed:
            return self._judgement(message, reading, ReturnReason.NOT_ADDRESSED, queue_id)
        evaluator = SpfEvaluator(lookup, self.processor_time)
        arrival = judge_arrival(message, domain, signatures, lookup, self.suffixes, evaluator)
        return self._judgement(message, reading, decide(arrival), queue_id, arrival)

    def unjudged(self) -> ReturnJudgement:
        """Have the sender of a message try again, where judging it has failed."""
        reason = ReturnReason.INTERNAL_ERROR
        return ReturnJudgement(reason, NO_EDITS, _REPLIES[reason], _summary(reason, None, None))

    def _read(self, message: Message) -> _Reading:
        now = self.now()
        found = [self.directory.find(each, now) for each in dict.fromkeys(message.recipients)]
        refusals = (_refusal(each, message.envelope_sender) for each in found)
        return _Reading(
            read_author(message),
            tuple(each for each in found if isinstance(each, Found)),
            tuple(each for each in refusals if each is not None),
            now,
        )

    def _decide_without_dns(self, message: Message, reading: _Reading) -> ReturnReason | None:
        is_notice = self._is_own_notice(message, reading.author)
        if not reading.is_addressed:
            if is_notice:
                is_refusal = _local_part(message.envelope_sender) and _is_report(message)
                return ReturnReason.BOUNCE_REFUSED if is_refusal else ReturnReason.NOT_ADDRESSED
            return self._decide_unaddressed(message, reading.author)
        if reading.refusals:
            return min(reading.refusals, key=_IN_ORDER.index)
        if self.forwarding.has_been_here(message, reading.recipients, reading.now):
            return ReturnReason.LOOP
        if is_notice:
            return ReturnReason.OWN_BOUNCE
        return None if reading.author.domain else ReturnReason.FROM_UNREADABLE

    def _decide_unaddressed(self, message: Message, author: Author) -> ReturnReason | None:
        """A signer behind alignd signs whatever is from our domain, as the signer reads it."""
        ours = self.forwarding.own_domains
        if author.domain in ours:
            return None
        if author.unreadable and _names_any(message, ours):
            return ReturnReason.OWN_DOMAIN
        return ReturnReason.NOT_ADDRESSED

    def _is_own_notice(self, message: Message, author: Author) -> bool:
        """Whether a Postfix of this machine wrote *message*, a bounce or a postmaster notice.

        Its own name need not be that of the relay: it is enough if the same people own both.
        """
        mailbox, client = author.mailbox, message.client
        if client is not None and not client.is_loopback:
            return False
        if _local_part(message.envelope_sender) not in {"", _OF_NOTICES} or message.login:
            return False
        if author.domain is None or mailbox is None or mailbox.local_part.lower() != _POSTMASTER:
            return False
        names = {each.relay.hostname for each in self.configuration.all_settings}
        ours = self.forwarding.own_domains
        owned = {self.suffixes.registered_domain(each) for each in names | ours}
        return author.domain in ours or self.suffixes.registered_domain(author.domain) in owned

    def _judgement(
        self,
        message: Message,
        reading: _Reading,
        reason: ReturnReason,
        queue_id: str,
        arrival: Arrival | None = None,
    ) -> ReturnJudgement:
        planned = NO_EDITS
        if reason.action in {Action.FORWARD, Action.REWRITE}:
            spf = arrival.found.spf if arrival else ()
            planned = self.forwarding.plan(
                message,
                reading.author,
                reading.recipients,
                reason,
                reading.now,
                queue_id,
                is_sender_authentic=spf_passes(spf) is Ternary.YES,
            )
        if len(planned.header) > self.configuration.milter.max_edits:
            reason, planned = ReturnReason.TOO_MANY_FIELDS, NO_EDITS
        summary = _summary(reason, reading.author.domain, arrival)
        author = reading.author.mailbox
        return ReturnJudgement(reason, planned, _REPLIES.get(reason), summary, author)


def decide(arrival: Arrival) -> ReturnReason:
    """What becomes of a message, by what is certain of it.

    What DNS did not answer matters only where the message may have failed: all else goes on, and
    From stays where nothing is proven that would let it move.
    """
    if arrival.has_failed is Ternary.YES:
        return ReturnReason.DMARC_FAILS
    if arrival.has_failed is Ternary.UNKNOWN:
        return ReturnReason.DNS_UNKNOWN
    if arrival.passes_onward is Ternary.YES:
        return ReturnReason.DKIM_ALIGNED
    if arrival.passes_by_spf is Ternary.YES:
        return ReturnReason.SPF_ALIGNED
    if arrival.is_authentic is Ternary.YES:
        return ReturnReason.DKIM_BREAKS
    return ReturnReason.NO_POLICY


def make_return_reviewer(
    configuration: Configuration,
    directory: Directory,
    suffixes: PublicSuffixes | None,
    now: Callable[[], float],
    processor_time: Callable[[], float] = lambda: 0.0,
) -> ReturnReviewer:
    """Assemble the reviewer of what comes back to the addresses of *directory*.

    *suffixes* saves the 50 ms of reading the list again, and *processor_time* is that of the
    thread that judges; a clock that stands sets no limit.
    """
    ours = frozenset[Domain]().union(*(each.own_domains for each in configuration.all_settings))
    forwarding = Forwarding(directory, settings_by_domain(configuration), ours)
    return ReturnReviewer(
        configuration, directory, forwarding, suffixes or SuffixList(), now, processor_time
    )


def _refusal(
    found: Found | Invalid | Nobody | KeyTrouble, envelope_sender: str
) -> ReturnReason | None:
    match found:
        case Found(address):
            is_misused = address.kind is Kind.BOUNCE and bool(envelope_sender)
            return ReturnReason.BOUNCE_ONLY if is_misused else None
        case Invalid.FORM | Nobody.ELSEWHERE:
            return None
        case Invalid.UNKNOWN_KEY | KeyTrouble():
            return ReturnReason.KEYS_MISSING
        case _:
            return ReturnReason.NO_SUCH_ADDRESS


def _local_part(address: str) -> str:
    return address.rpartition("@")[0].lower()


def _is_report(message: Message) -> bool:
    return any(_REPORT.match(each.value) for each in message.fields("Content-Type"))


def _names_any(message: Message, domains: Iterable[Domain]) -> bool:
    """Whether From may be in one of *domains*, however somebody reads it."""
    for field in message.fields("From"):
        texts = [_NOISE.sub(b"", text).lower() for text in (field.value, _outside(field.value))]
        if any(domain.name.encode() in text for domain in domains for text in texts):
            return True
    return False


def _outside(value: bytes) -> bytes:
    """*value* without its comments, which may be nested."""
    depth, kept = 0, []
    for part in _PARENTHESIS.split(value):
        if part == b"(":
            depth += 1
        elif part == b")":
            depth = max(depth - 1, 0)
        elif not depth:
            kept.append(part)
    return b"".join(kept)


def _summary(
    reason: ReturnReason, domain: Domain | None, arrival: Arrival | None
) -> dict[str, str]:
    words = {"action": reason.action.value}
    if domain is not None:
        words["domain"] = domain.name
    if arrival is not None:
        found = arrival.found
        words["policy"] = found.policy.value
        words["spf"] = ",".join(each.result.value for each in found.spf) or "none"
        dkim = [each.result.value for each in found.dkim[:_MAX_WORDS]]
        words["dkim"] = ",".join(dkim) or "none"
    return words | {"reason": reason.value}
