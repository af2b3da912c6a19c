"""Checks the DNS of the relay: rewritten mail passes DMARC, the HELO name and PTR resolve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address

from alignd.config.settings import Configuration, Notifications, Relay
from alignd.doctor.findings import (
    FindingId,
    Note,
    Remark,
    Skipped,
    Topic,
    TopicReport,
    Unknown,
    error,
    topic_report,
    warning,
)
from alignd.judgement.prediction import Prediction, predict, spf_passes
from alignd.mail.domain import Domain
from alignd.mail.ip_address import IpAddress, parse_ip_address
from alignd.mail.mailbox import Mailbox
from alignd.mailauth.dkim import CheckedSignature, Signer, check_planned
from alignd.mailauth.dkim_key import DkimResult, key_name
from alignd.mailauth.dmarc import Policy, record_name
from alignd.mailauth.dns import Lookup, LookupFailed, MailExchange, RecordType
from alignd.mailauth.reporting.rua import new_record
from alignd.mailauth.rfc7489 import PublicSuffixes
from alignd.mailauth.spf import Spf, SpfResult
from alignd.mailauth.spf_record import mechanism_for
from alignd.mailauth.ternary import Ternary

_OF_AUTHOR = "agent=author.example=k7f3q2x4w9"
"""For the local part of a return address, on which no record depends."""
_OUTAGE = (
    "every rewritten message fails DMARC, and receivers block it silently: a complete outage that "
    "nobody notices"
)


def examine_notifications(
    configuration: Configuration,
    signer: Signer,
    new_lookup: Callable[[], Lookup],
    suffixes: PublicSuffixes,
    at_most: int | None = None,
) -> TopicReport:
    """Examine every notifications domain, those of tenants included, as far as *at_most* says."""
    every = tuple(dict.fromkeys(_senders(configuration)))
    remarks: list[Remark] = []
    for ours, relay in every[:at_most]:
        asking = configuration.reports.address
        remarks += _notifications(ours, relay, signer, new_lookup(), suffixes, asking)
    if left := len(every) - len(every[:at_most]):
        remarks.append(Skipped(f"{left} more [tenant.notifications]; `alignd doctor` checks all"))
    return topic_report(Topic.NOTIFICATIONS, remarks)


def examine_helo(
    configuration: Configuration, new_lookup: Callable[[], Lookup], suffixes: PublicSuffixes
) -> TopicReport:
    """Examine every HELO name and relay address, those of tenants included."""
    relays = dict.fromkeys(view.relay for view in configuration.all_settings)
    remarks = (r for relay in relays for r in _helo(relay, new_lookup(), suffixes))
    return topic_report(Topic.HELO, remarks)


def _senders(configuration: Configuration) -> Iterator[tuple[Notifications, Relay]]:
    """What rewritten mail is from: the notifications addresses, and return addresses for all."""
    for view in configuration.all_settings:
        yield view.notifications, view.relay
        options, ours = view.return_path, view.notifications
        if options.keys:
            address = Mailbox(_OF_AUTHOR, view.return_domain)
            bounces = ours.bounces if options.envelope == "shared" else address
            if (address.domain, bounces.domain) != (ours.domain, ours.bounces.domain):
                changed = {"address": address, "envelope_sender": bounces}
                yield ours.model_copy(update=changed), view.relay


def _notifications(
    ours: Notifications,
    relay: Relay,
    signer: Signer,
    lookup: Lookup,
    suffixes: PublicSuffixes,
    reports: Mailbox | None,
) -> Iterator[Remark]:
    signatures = signer.signatures_for(ours.address)
    dkim = tuple(check_planned(planned, lookup) for planned in signatures)
    prediction = predict(ours.domain, ours.bounces.address, relay, lookup, suffixes, dkim)
    yield from _passing(prediction, ours, relay)
    if prediction.aligned is Ternary.YES:
        null = predict(ours.domain, "", relay, lookup, suffixes, dkim)
        yield from _null_sender(null, ours, relay)
    if prediction.policy is Policy.ABSENT:
        yield warning(
            FindingId.NOTIFICATIONS_WITHOUT_DMARC,
            f"{ours.domain} has no DMARC record",
            "large receivers require one, and trust mail without it less",
            f'{record_name(ours.domain)}. TXT "{new_record(reports)}"',
        )
    for domain in dict.fromkeys((ours.domain, ours.bounces.domain)):
        yield from _routable(domain, lookup)


def _passing(prediction: Prediction, ours: Notifications, relay: Relay) -> Iterator[Remark]:
    spf = spf_passes(prediction.spf)
    unusable = [dkim for dkim in prediction.dkim if dkim.result is not DkimResult.PASS]
    match prediction.aligned:
        case Ternary.UNKNOWN:
            yield Unknown(f"whether {ours.domain} passes DMARC: {_doubt(prediction)}")
        case Ternary.NO:
            yield error(
                FindingId.NOTIFICATIONS_DOMAIN_FAILS,
                f"rewritten mail, from {ours.address.address} with the envelope sender "
                f"{ours.bounces.address}, fails DMARC: {_failure(prediction)}",
                _OUTAGE,
                _spf_fix(prediction.spf, ours, relay),
            )
        case _ if spf is Ternary.NO:
            yield warning(
                FindingId.NOTIFICATIONS_SPF_FAILS,
                f"SPF of the envelope sender {ours.bounces.address} does not pass: "
                f"{_spf_failure(prediction.spf)}",
                "only its DKIM signature makes rewritten mail pass DMARC, and some receivers "
                "refuse mail that fails SPF before they look at the signature",
                _spf_fix(prediction.spf, ours, relay),
            )
        case _:
            yield from (_unusable_key(dkim) for dkim in unusable)


def _null_sender(prediction: Prediction, ours: Notifications, relay: Relay) -> Iterator[Remark]:
    """Say what becomes of rewritten auto-replies and bounces; *prediction* is for one."""
    match prediction.aligned:
        case Ternary.UNKNOWN:
            yield Unknown(
                f"whether rewritten mail with a null envelope sender passes DMARC: "
                f"{_doubt(prediction)}"
            )
        case Ternary.NO:
            what = (
                f"rewritten mail with a null envelope sender, such as auto-replies, fails DMARC: "
                f"{_failure(prediction)}"
            )
            if prediction.policy in {Policy.ABSENT, Policy.NONE}:
                yield Note(f"{what}; the policy of {ours.domain} lets it in")
                return
            yield warning(
                FindingId.NULL_SENDER_REWRITE_FAILS,
                what,
                f"receivers judge it by the HELO name {relay.hostname}, and the policy of "
                f"{ours.domain} is {prediction.policy.value}: alignd leaves it alone "
                "(rewrite-would-fail), or rewrites it and it is blocked (rewrite-fails)",
                f'signs = [{{ domain = "{ours.domain}", selector = "SELECTOR" }}]'
                "   in [dkim] of alignd.conf\n"
                "(once the signer behind alignd signs for it, and its key is published)",
            )


def _unusable_key(dkim: CheckedSignature) -> Remark:
    if dkim.result is DkimResult.TEMPERROR:
        return Unknown(f"whether the DKIM key {_key(dkim)} is usable: {dkim.explanation}")
    if dkim.result is DkimResult.NONE:
        return warning(
            FindingId.NOTIFICATIONS_KEY_UNUSABLE,
            f"the signer will not sign rewritten mail: {dkim.explanation}",
            "a signer that fails with a message defers it, and forwarded mail passes only by its "
            "signature",
            "mend the signer's tables, or remove the domain from them",
        )
    return warning(
        FindingId.NOTIFICATIONS_KEY_UNUSABLE,
        f"the signature that the signer adds will not verify: {_key(dkim)}: {dkim.explanation}",
        "a broken signature is worse than none, and forwarded mail passes only by its signature",
        f"publish the signer's key at {_key(dkim)}, or remove the domain from the signer's tables",
    )


def _key(dkim: CheckedSignature) -> str:
    assert dkim.domain is not None, "a planned signature names its domain"
    return key_name(dkim.domain, dkim.selector) if dkim.selector else dkim.domain.name


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
        reasons = [f"SPF passes for {prediction.spf[0].domain}, which does not align"]
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


def _spf_fix(results: tuple[Spf, ...], ours: Notifications, relay: Relay) -> str:
    terms = _spf_terms(relay)
    domain = ours.bounces.domain
    if spf_passes(results) is Ternary.YES:
        return f'envelope_sender = "bounces@{ours.domain}" in [notifications] of alignd.conf'
    if any(spf.result is SpfResult.NONE for spf in results):
        return f'{domain}. TXT "v=spf1 {terms} -all"'
    return f"in the SPF record of {domain}, before 'all':   {terms}"


def _spf_terms(relay: Relay) -> str:
    if relay.spf_include:
        return f"include:{relay.spf_include}"
    return _own_terms(relay)


def _own_terms(relay: Relay) -> str:
    return " ".join(map(mechanism_for, relay.addresses))


def _routable(domain: Domain, lookup: Lookup) -> Iterator[Remark]:
    exchanges = lookup.look_up(domain.name, RecordType.MX)
    if isinstance(exchanges, LookupFailed):
        yield Unknown(f"whether {domain} accepts mail: {exchanges.reason}")
        return
    hosts = [each.host for each in exchanges.records if isinstance(each, MailExchange)]
    problem = "has a null MX: it accepts no mail" if hosts and not any(hosts) else ""
    if not hosts:  # RFC 5321, section 5.1: without MX, the name itself
        found = addresses_of(domain, lookup)
        if isinstance(found, LookupFailed):
            yield Unknown(f"whether {domain} accepts mail: {found.reason}")
            return
        problem = "" if found else "has neither an MX record nor an address"
    if problem:
        yield error(
            FindingId.NOTIFICATIONS_UNROUTABLE,
            f"{domain} {problem}",
            "replies and bounces cannot be delivered, and many receivers refuse a sender whose "
            "domain accepts no mail",
            f"{domain}. MX 10 NAME\n(NAME is the host that receives its mail)",
        )


def _helo(relay: Relay, lookup: Lookup, suffixes: PublicSuffixes) -> Iterator[Remark]:
    name = relay.hostname
    found = addresses_of(name, lookup)
    if isinstance(found, LookupFailed):
        yield Unknown(f"whether {name} resolves: {found.reason}")
    else:
        missing = [address for address in relay.addresses if address not in found]
        if missing:
            known = ", ".join(map(str, found)) or "nothing"
            yield warning(
                FindingId.HELO_UNRESOLVED,
                f"the HELO name {name} resolves to {known}, not to {_listed(missing)}",
                "receivers look up the HELO name, and distrust one that is not the client's",
                "\n".join(f"{name}. {_address_type(each)} {each}" for each in missing),
            )
    yield from _reverse(relay, lookup)
    yield from _helo_spf(relay, lookup, suffixes)


def _helo_spf(relay: Relay, lookup: Lookup, suffixes: PublicSuffixes) -> Iterator[Remark]:
    """Check mail of the relay itself: bounces of MAILER-DAEMON, which nobody need sign."""
    own = predict(relay.hostname, "", relay, lookup, suffixes)
    results = own.spf
    match spf_passes(results):
        case Ternary.UNKNOWN:
            yield Unknown(f"whether SPF of {relay.hostname} passes: {_spf_failure(results)}")
        case Ternary.NO:
            yield warning(
                FindingId.HELO_WITHOUT_SPF,
                f"SPF of the HELO name {relay.hostname} does not pass: {_spf_failure(results)}",
                "receivers check SPF of this name for mail with a null envelope sender, such as "
                f"the bounces of this relay: {_fate(own.policy)}",
                f'{relay.hostname}. TXT "v=spf1 {_own_terms(relay)} -all"',
            )


def _fate(policy: Policy) -> str:
    if policy in {Policy.QUARANTINE, Policy.REJECT}:
        return f"their From is in the same domain, whose DMARC policy is {policy.value}"
    return "large receivers refuse mail that passes neither SPF nor DKIM"


def _reverse(relay: Relay, lookup: Lookup) -> Iterator[Remark]:
    for address in relay.addresses:
        pointers = lookup.look_up(address.reverse_pointer, RecordType.PTR)
        if isinstance(pointers, LookupFailed):
            yield Unknown(f"whether {address} has a name (PTR): {pointers.reason}")
            continue
        names = [each for each in pointers.records if isinstance(each, str)]
        confirmed = [_points_to(name, address, lookup) for name in names]
        if Ternary.YES in confirmed:
            continue
        if Ternary.UNKNOWN in confirmed:
            yield Unknown(f"whether the name of {address} resolves back to it: DNS did not answer")
            continue
        what = (
            f"has the name {', '.join(names)}, which does not resolve back to it" if names else ""
        )
        yield warning(
            FindingId.ADDRESS_WITHOUT_NAME,
            f"{address} {what or 'has no name (PTR)'}",
            "large receivers refuse or distrust a client without a name that resolves back to it",
            f"{address.reverse_pointer}. PTR {relay.hostname}.\n"
            "(set by whoever assigned you the address)",
        )


def _points_to(name: str, address: IpAddress, lookup: Lookup) -> Ternary:
    answer = lookup.look_up(name.removesuffix(".").lower(), RecordType(_address_type(address)))
    if isinstance(answer, LookupFailed):
        return Ternary.UNKNOWN
    return Ternary.YES if address in _addresses_in(answer.records) else Ternary.NO


def addresses_of(name: Domain, lookup: Lookup) -> tuple[IpAddress, ...] | LookupFailed:
    found: list[IpAddress] = []
    for record_type in (RecordType.A, RecordType.AAAA):
        answer = lookup.look_up(name.name, record_type)
        if isinstance(answer, LookupFailed):
            return answer
        found += _addresses_in(answer.records)
    return tuple(found)


def _addresses_in(records: tuple[object, ...]) -> list[IpAddress]:
    return [parse_ip_address(record) for record in records if isinstance(record, str)]


def _address_type(address: IpAddress) -> str:
    return "A" if isinstance(address, IPv4Address) else "AAAA"


def _listed(addresses: list[IpAddress]) -> str:
    return ", ".join(map(str, addresses))
