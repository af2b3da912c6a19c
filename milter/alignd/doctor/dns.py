"""Whether DNS carries the relay: the notifications domain passes, and the HELO name is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

from alignd.config.settings import Configuration, Notifications, Relay, Settings
from alignd.doctor.findings import (
    CannotSay,
    FindingId,
    Remark,
    Topic,
    TopicReport,
    error,
    topic_report,
    warning,
)
from alignd.judgement.prediction import Prediction, judge_spf, predict, spf_passes
from alignd.mail.domain import Domain
from alignd.mailauth.dkim import CheckedSignature, Signer, check_planned
from alignd.mailauth.dkim_key import DkimResult, key_name
from alignd.mailauth.dmarc import Policy, record_name
from alignd.mailauth.dns import Lookup, LookupFailed, MailExchange, RecordType
from alignd.mailauth.rfc7489 import PublicSuffixes
from alignd.mailauth.spf import Spf, SpfResult
from alignd.mailauth.spf_record import mechanism_for
from alignd.mailauth.ternary import Ternary

_OUTAGE = (
    "every rewritten message fails DMARC, and receivers block it without a word: "
    "a total outage that nobody sees"
)


def examine_notifications(
    configuration: Configuration,
    signer: Signer,
    new_lookup: Callable[[], Lookup],
    suffixes: PublicSuffixes,
) -> TopicReport:
    """Examine the notifications domain of every view that messages may get, the tenants' too."""
    views = configuration.all_settings
    remarks = (r for v in views for r in _notifications(v, signer, new_lookup(), suffixes))
    return topic_report(Topic.NOTIFICATIONS, remarks)


def examine_helo(configuration: Configuration, new_lookup: Callable[[], Lookup]) -> TopicReport:
    """Examine the HELO name and the relay addresses of every view."""
    remarks = (r for v in configuration.all_settings for r in _helo(v.relay, new_lookup()))
    return topic_report(Topic.HELO, remarks)


def _notifications(
    view: Settings, signer: Signer, lookup: Lookup, suffixes: PublicSuffixes
) -> Iterator[Remark]:
    ours = view.notifications
    signatures = signer.signatures_for(ours.address)
    dkim = tuple(check_planned(planned, lookup) for planned in signatures)
    prediction = predict(ours.domain, ours.bounces.address, view.relay, lookup, suffixes, dkim)
    yield from _passing(prediction, ours, view.relay)
    if prediction.policy is Policy.ABSENT:
        yield warning(
            FindingId.NOTIFICATIONS_WITHOUT_DMARC,
            f"{ours.domain} has no DMARC record",
            "large receivers ask for one, and trust mail without it less",
            f'{record_name(ours.domain)}. TXT "v=DMARC1; p=none"',
        )
    for domain in dict.fromkeys((ours.domain, ours.bounces.domain)):
        yield from _routable(domain, lookup)


def _passing(prediction: Prediction, ours: Notifications, relay: Relay) -> Iterator[Remark]:
    spf = spf_passes(prediction.spf)
    unusable = [dkim for dkim in prediction.dkim if dkim.result is not DkimResult.PASS]
    match prediction.aligned:
        case Ternary.UNKNOWN:
            yield CannotSay(f"whether {ours.domain} passes: {_doubt(prediction)}")
        case Ternary.NO:
            yield error(
                FindingId.NOTIFICATIONS_DOMAIN_FAILS,
                f"rewritten mail, from {ours.address.address} with the envelope sender "
                f"{ours.bounces.address}, does not pass: {_failure(prediction)}",
                _OUTAGE,
                _spf_mend(prediction.spf, ours, relay),
            )
        case _ if spf is Ternary.NO:
            yield warning(
                FindingId.NOTIFICATIONS_SPF_FAILS,
                f"SPF of the envelope sender {ours.bounces.address} does not pass: "
                f"{_spf_failure(prediction.spf)}",
                "rewritten mail passes by its DKIM signature alone, and some receivers refuse "
                "what fails SPF before they look at it",
                _spf_mend(prediction.spf, ours, relay),
            )
        case _:
            yield from (_unusable_key(dkim) for dkim in unusable)


def _unusable_key(dkim: CheckedSignature) -> Remark:
    if dkim.result is DkimResult.TEMPERROR:
        return CannotSay(f"whether the DKIM key {_key(dkim)} fits: {dkim.explanation}")
    return warning(
        FindingId.NOTIFICATIONS_KEY_UNUSABLE,
        f"the signature that the signer will add does not verify: {_key(dkim)}: "
        f"{dkim.explanation}",
        "a signature that breaks counts for less than none, and mail that is forwarded passes "
        "by its signature alone",
        f"publish the signer's key at {_key(dkim)}, or take the domain out of its tables",
    )


def _key(dkim: CheckedSignature) -> str:
    assert dkim.domain is not None, "a planned signature names its domain"
    return key_name(dkim.domain, dkim.selector)


def _doubt(prediction: Prediction) -> str:
    for discovery in (prediction.rfc9989.discovery, prediction.rfc7489.discovery):
        if isinstance(discovery.organizational_domain, LookupFailed):
            return f"DNS: {discovery.organizational_domain.reason}"
    if any(spf.result is SpfResult.TEMPERROR for spf in prediction.spf):
        return f"SPF {_spf_failure(prediction.spf)}"
    return "DNS did not answer"


def _failure(prediction: Prediction) -> str:
    reasons = [f"SPF {_spf_failure(prediction.spf)}"]
    if spf_passes(prediction.spf) is Ternary.YES:
        reasons = [f"{prediction.spf[0].domain}, which SPF judges, does not align with it"]
    for dkim, aligns in zip(prediction.dkim, prediction.dkim_aligned, strict=True):
        problem = dkim.explanation if aligns is Ternary.YES else f"{dkim.domain} does not align"
        reasons.append(f"DKIM {_key(dkim)}: {problem}")
    return "; ".join(reasons)


def _spf_failure(results: tuple[Spf, ...]) -> str:
    return ", ".join(
        f"from {spf.address}: {spf.result.value} ({spf.explanation})"
        for spf in results
        if not spf.counts
    )


def _spf_mend(results: tuple[Spf, ...], ours: Notifications, relay: Relay) -> str:
    terms = _spf_terms(relay)
    domain = ours.bounces.domain
    if spf_passes(results) is Ternary.YES:
        return f'envelope_sender = "bounces@{ours.domain}" in [notifications] of alignd.conf'
    if any(spf.result is SpfResult.NONE for spf in results):
        return f'{domain}. TXT "v=spf1 {terms} -all"'
    return f"in the SPF record of {domain}, in front of 'all':   {terms}"


def _spf_terms(relay: Relay) -> str:
    if relay.spf_include:
        return f"include:{relay.spf_include}"
    return _own_terms(relay)


def _own_terms(relay: Relay) -> str:
    return " ".join(map(mechanism_for, relay.addresses))


def _routable(domain: Domain, lookup: Lookup) -> Iterator[Remark]:
    exchanges = lookup.look_up(domain.name, RecordType.MX)
    if isinstance(exchanges, LookupFailed):
        yield CannotSay(f"whether {domain} takes mail: {exchanges.reason}")
        return
    hosts = [each.host for each in exchanges.records if isinstance(each, MailExchange)]
    problem = "has a null MX: it takes no mail" if hosts and not any(hosts) else ""
    if not hosts:  # RFC 5321, section 5.1: without MX, the name itself
        found = _addresses(domain, lookup)
        if isinstance(found, LookupFailed):
            yield CannotSay(f"whether {domain} takes mail: {found.reason}")
            return
        problem = "" if found else "has neither an MX record nor an address"
    if problem:
        yield error(
            FindingId.NOTIFICATIONS_UNROUTABLE,
            f"{domain} {problem}",
            "replies and bounces have no way back, and many receivers refuse a sender whose "
            "domain takes no mail",
            f"{domain}. MX 10 NAME, the host that takes its mail",
        )


def _helo(relay: Relay, lookup: Lookup) -> Iterator[Remark]:
    name = relay.hostname
    found = _addresses(name, lookup)
    if isinstance(found, LookupFailed):
        yield CannotSay(f"whether {name} resolves: {found.reason}")
    else:
        missing = [address for address in relay.addresses if address not in found]
        if missing:
            known = ", ".join(map(str, found)) or "nothing"
            yield warning(
                FindingId.HELO_UNRESOLVED,
                f"the HELO name {name} resolves to {known}, not to {_listed(missing)}",
                "receivers look the HELO name up, and distrust one that is not the client's",
                "\n".join(f"{name}. {_address_type(each)} {each}" for each in missing),
            )
    yield from _named(relay, lookup)
    yield from _helo_spf(relay, lookup)


def _helo_spf(relay: Relay, lookup: Lookup) -> Iterator[Remark]:
    results = judge_spf("", relay, lookup)
    match spf_passes(results):
        case Ternary.UNKNOWN:
            yield CannotSay(f"whether SPF of {relay.hostname} passes: {_spf_failure(results)}")
        case Ternary.NO:
            yield warning(
                FindingId.HELO_WITHOUT_SPF,
                f"SPF of the HELO name {relay.hostname} does not pass: {_spf_failure(results)}",
                "mail with a null envelope sender, such as a bounce, is judged on that name",
                f'{relay.hostname}. TXT "v=spf1 {_own_terms(relay)} -all"',
            )


def _named(relay: Relay, lookup: Lookup) -> Iterator[Remark]:
    for address in relay.addresses:
        pointers = lookup.look_up(address.reverse_pointer, RecordType.PTR)
        if isinstance(pointers, LookupFailed):
            yield CannotSay(f"whether {address} has a name: {pointers.reason}")
            continue
        names = [each for each in pointers.records if isinstance(each, str)]
        confirmed = [_points_to(name, address, lookup) for name in names]
        if Ternary.YES in confirmed:
            continue
        if Ternary.UNKNOWN in confirmed:
            yield CannotSay(f"whether a name of {address} points back to it")
            continue
        what = f"has the name {', '.join(names)}, which does not point back" if names else ""
        yield warning(
            FindingId.ADDRESS_WITHOUT_NAME,
            f"{address} {what or 'has no name (PTR)'}",
            "large receivers refuse or distrust a client without a name that is confirmed",
            f"{address.reverse_pointer}. PTR {relay.hostname}., at whoever gave you the address",
        )


def _points_to(name: str, address: IPv4Address | IPv6Address, lookup: Lookup) -> Ternary:
    answer = lookup.look_up(name.removesuffix(".").lower(), RecordType(_address_type(address)))
    if isinstance(answer, LookupFailed):
        return Ternary.UNKNOWN
    return Ternary.YES if address in _parsed(answer.records) else Ternary.NO


def _addresses(
    name: Domain, lookup: Lookup
) -> tuple[IPv4Address | IPv6Address, ...] | LookupFailed:
    found: list[IPv4Address | IPv6Address] = []
    for record_type in (RecordType.A, RecordType.AAAA):
        answer = lookup.look_up(name.name, record_type)
        if isinstance(answer, LookupFailed):
            return answer
        found += _parsed(answer.records)
    return tuple(found)


def _parsed(records: tuple[object, ...]) -> list[IPv4Address | IPv6Address]:
    return [ip_address(record) for record in records if isinstance(record, str)]


def _address_type(address: IPv4Address | IPv6Address) -> str:
    return "A" if isinstance(address, IPv4Address) else "AAAA"


def _listed(addresses: list[IPv4Address | IPv6Address]) -> str:
    return ", ".join(map(str, addresses))
