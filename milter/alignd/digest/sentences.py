"""What a digest says of one domain, in whole sentences."""

from __future__ import annotations

from collections.abc import Callable

from alignd.digest.summary import Change, RewrittenDomain
from alignd.judgement.reasons import Reason
from alignd.languages.texts import Texts, msgid
from alignd.ledger.apply import OUTBOUND
from alignd.ledger.event import EventKind
from alignd.ledger.queries.relays import RelayRow
from alignd.mail.printable import printable

_A_RECORD = msgid("A record in its DNS can change that.")
_WHAT_HELPS = {
    Reason.RELAY_NOT_AUTHORISED.value: _A_RECORD,
    Reason.RELAY_PARTLY_AUTHORISED.value: _A_RECORD,
    Reason.UNALIGNED.value: _A_RECORD,
    Reason.RECIPIENT_DOMAIN.value: _A_RECORD,
    Reason.FREEMAIL.value: msgid("It belongs to a mailbox provider, and no record helps."),
    Reason.ALWAYS.value: msgid("The configuration rewrites it always (rules.always)."),
    Reason.DNS_UNKNOWN.value: msgid("Its DNS does not answer."),
}
_NO_POLICY = {"", "absent"}


def say_kind(kind: EventKind, number: int, texts: Texts) -> str:
    """Say what changed of so many domains, before they are listed; one of `TOLD`."""
    return _KINDS[kind](texts, number)


def _rejected(texts: Texts, number: int) -> str:
    return texts.plural(
        "Receivers refused mail of {n} domain, against what was expected:",
        "Receivers refused mail of {n} domains, against what was expected:",
        number,
    )


def _began(texts: Texts, number: int) -> str:
    return texts.plural(
        "Mail of {n} domain began to be rewritten:",
        "Mail of {n} domains began to be rewritten:",
        number,
    )


def _partly(texts: Texts, number: int) -> str:
    return texts.plural(
        "{n} domain authorises only some addresses of the relay now:",
        "{n} domains authorise only some addresses of the relay now:",
        number,
    )


def _stopped(texts: Texts, number: int) -> str:
    return texts.plural(
        "Mail of {n} domain is no longer rewritten, and its agents keep their names:",
        "Mail of {n} domains is no longer rewritten, and their agents keep their names:",
        number,
    )


def _policy(texts: Texts, number: int) -> str:
    return texts.plural(
        "{n} domain has another DMARC policy:", "{n} domains have another DMARC policy:", number
    )


def _another_tenant(texts: Texts, number: int) -> str:
    return texts.plural(
        "Mail of {n} domain began to come from another tenant too:",
        "Mail of {n} domains began to come from another tenant too:",
        number,
    )


def _unknown(texts: Texts, number: int) -> str:
    return texts.plural(
        "The DNS of {n} domain did not answer for hours:",
        "The DNS of {n} domains did not answer for hours:",
        number,
    )


def _flapping(texts: Texts, number: int) -> str:
    return texts.plural(
        "What the DNS of {n} domain says changed again and again:",
        "What the DNS of {n} domains says changed again and again:",
        number,
    )


_KINDS: dict[EventKind, Callable[[Texts, int], str]] = {
    EventKind.REJECTED: _rejected,
    EventKind.BEGAN: _began,
    EventKind.PARTLY: _partly,
    EventKind.STOPPED: _stopped,
    EventKind.POLICY: _policy,
    EventKind.ANOTHER_TENANT: _another_tenant,
    EventKind.UNKNOWN: _unknown,
    EventKind.FLAPPING: _flapping,
}


def say_change(kind: EventKind, change: Change, texts: Texts) -> str:
    """Say what changed of a domain, where the kind alone does not."""
    domain = printable(change.domain)
    if kind is EventKind.ANOTHER_TENANT:
        if change.tenant:
            sentence = msgid("{domain}: the tenant {tenant}")
            return texts.text(sentence, domain=domain, tenant=printable(change.tenant))
        return texts.text("{domain}: a helpdesk without a tenant", domain=domain)
    if kind is EventKind.REJECTED and change.receiver:
        receiver = printable(change.receiver)
        return texts.text("{domain}: refused by {receiver}", domain=domain, receiver=receiver)
    if kind is EventKind.POLICY:
        return _say_policy(domain, change, texts)
    return domain


def _say_policy(domain: str, change: Change, texts: Texts) -> str:
    was, now = printable(change.policy_before), printable(change.policy)
    if was in _NO_POLICY:
        return texts.text("{domain}: {now}, and no policy before", domain=domain, now=now)
    if now in _NO_POLICY:
        return texts.text("{domain}: no policy, and {was} before", domain=domain, was=was)
    return texts.text("{domain}: {now}, and {was} before", domain=domain, now=now, was=was)


def say_rewritten(found: RewrittenDomain, texts: Texts) -> str:
    """Say how much mail of a domain was rewritten."""
    return texts.plural(
        "{domain}: {n} message of {messages} was rewritten.",
        "{domain}: {n} messages of {messages} were rewritten.",
        found.rewritten,
        domain=printable(found.domain),
        messages=texts.number(found.messages),
    )


def say_what_helps(reason: str, texts: Texts) -> str:
    """Say whether a record would help a domain whose mail is rewritten for *reason* now."""
    if not reason:
        return texts.text("It is not rewritten any more.")
    if reason in _WHAT_HELPS:
        return texts.text(_WHAT_HELPS[reason])
    return texts.text("The reason is {reason}: see `alignd reasons`.", reason=printable(reason))


def say_silent(relay: RelayRow, texts: Texts) -> str:
    """Say that a relay is silent."""
    sentence = (
        msgid("{relay}, for outgoing mail, has written nothing since {date}.")
        if relay.leg == OUTBOUND
        else msgid("{relay}, for what comes back, has written nothing since {date}.")
    )
    return texts.text(sentence, relay=printable(relay.relay), date=texts.date(relay.last_seen))
