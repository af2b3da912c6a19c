"""Checks the way back: from the MX of return addresses to the keys that say whose they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

from alignd.config.settings import Configuration, Relay
from alignd.doctor.dns.relay import addresses_of
from alignd.doctor.facts import (
    Barrier,
    Interfaces,
    KeyFile,
    MissingPermission,
    OpenDkimSettings,
    ReturnLeg,
)
from alignd.doctor.findings import (
    FindingId,
    Note,
    Remark,
    Topic,
    TopicReport,
    Unknown,
    error,
    topic_report,
    warning,
)
from alignd.doctor.machine import examine_socket
from alignd.doctor.outbound import outgoing
from alignd.doctor.return_maps import examine_kept, examine_maps
from alignd.doctor.return_milters import examine_listeners, examine_return_signer
from alignd.doctor.routes import read_address
from alignd.doctor.service import RETURN, examine_service
from alignd.judgement.prediction import Prediction, predict, spf_passes
from alignd.mail.domain import Domain, DomainError
from alignd.mail.ip_address import IpAddress
from alignd.mail.mailbox import Mailbox
from alignd.mailauth.dkim import Signer, check_planned
from alignd.mailauth.dmarc import Policy, record_name
from alignd.mailauth.dns import Lookup, LookupFailed, MailExchange, RecordType, texts_at
from alignd.mailauth.rfc7489 import PublicSuffixes
from alignd.mailauth.spf_record import mechanism_for
from alignd.mailauth.ternary import Ternary
from alignd.postfix.chain import Chain, read_chain
from alignd.postfix.config import PostfixConfig
from alignd.return_path.directory import KeyTrouble
from alignd.return_path.keyring import ALPHABET, KeyState

_EPOCH = date(1970, 1, 1)
_KEYS_LEFT = 4
"""With fewer letters left for the ids of keys, it is time to remove old ones."""
_REPORTS = re.compile(r"mailto:([^,;!\s@]+)@([^,;!\s]+)", re.IGNORECASE)
_POSTMASTER = "MAILER-DAEMON"


@dataclass(frozen=True, slots=True)
class Sending:
    """The Postfix that sends the helpdesk's mail, and the signer behind alignd there."""

    chain: Chain | None
    signer: Signer
    opendkim: OpenDkimSettings | Unknown | None


def examine_return_path(
    configuration: Configuration,
    leg: ReturnLeg,
    sending: Sending,
    interfaces: Interfaces,
    today: date,
    new_lookup: Callable[[], Lookup],
    suffixes: PublicSuffixes,
) -> TopicReport:
    """Examine all of the way back; *today* is the day on which bounce addresses are made."""
    remarks = [
        *_exchanges(configuration, interfaces, new_lookup),
        *(remark for file in leg.keys.values() for remark in examine_keys(file)),
    ]
    if isinstance(leg.postfix, PostfixConfig):
        chain = read_chain(leg.postfix, leg.endpoint)
        remarks += _postfix(configuration, leg, chain, sending, today, new_lookup)
        remarks += _own_bounces(configuration, leg, sending, new_lookup, suffixes)
    else:
        remarks.append(leg.postfix)
    remarks += examine_return_signer(configuration, leg.signer, sending.opendkim)
    remarks += examine_service(leg.service, leg.files, RETURN)
    return topic_report(Topic.RETURN, remarks)


def _postfix(
    configuration: Configuration,
    leg: ReturnLeg,
    chain: Chain,
    sending: Sending,
    today: date,
    new_lookup: Callable[[], Lookup],
) -> Iterator[Remark]:
    if leg.is_handed_over:
        yield Note(
            f"systemd owns the socket of the milter, which was looked for at {leg.endpoint}"
        )
    if leg.is_apart:
        yield Note(f"the Postfix of {leg.directory} takes mail for return addresses")
    yield from examine_listeners(configuration, leg, chain, sending.chain)
    yield from examine_socket(chain, leg.endpoint, leg.socket, RETURN.unit)
    listeners = tuple(smtpd.service for smtpd in chain.with_alignd)
    days = (today - _EPOCH).days
    reports = _report_addresses(configuration, new_lookup())
    yield from examine_maps(configuration, chain.postfix, leg, listeners, days, reports)
    if leg.is_apart and sending.chain is not None:
        yield from examine_kept(configuration, sending.chain.postfix, leg.tables)


def _return_domains(configuration: Configuration) -> tuple[Domain, ...]:
    domains = (view.return_domain for view in configuration.all_settings if view.return_path.keys)
    return tuple(dict.fromkeys(domains))


def _exchanges(
    configuration: Configuration, interfaces: Interfaces, new_lookup: Callable[[], Lookup]
) -> Iterator[Remark]:
    """Whether the MX records lead here. That there is one, the notifications topic says."""
    listed = {each for view in configuration.all_settings for each in view.relay.addresses}
    here = listed if isinstance(interfaces, Unknown) else listed.union(interfaces)
    for domain in _return_domains(configuration):
        lookup = new_lookup()
        answer = lookup.look_up(domain.name, RecordType.MX)
        if isinstance(answer, LookupFailed):
            yield Unknown(f"where mail to {domain} goes: {answer.reason}")
            continue
        hosts = [each.host for each in answer.records if isinstance(each, MailExchange)]
        for host in filter(None, hosts):  # a null MX has none
            yield from _exchange(domain, host, here, lookup)


def _exchange(domain: Domain, host: str, here: set[IpAddress], lookup: Lookup) -> Iterator[Remark]:
    try:
        found = addresses_of(Domain.parse(host.removesuffix(".")), lookup)
    except DomainError as problem:
        found = LookupFailed(str(problem))
    if isinstance(found, LookupFailed):
        yield Unknown(f"where mail to {domain} goes, by {host}: {found.reason}")
    elif not found:
        yield error(
            FindingId.RETURN_MX_UNRESOLVED,
            f"the MX of {domain} is {host}, which has no address",
            "answers to return addresses, and bounces, cannot be delivered",
            f"{host} A ADDRESS   (of the host with the Postfix that asks `alignd return`)",
        )
    elif not here.intersection(found):
        yield Note(
            f"mail to {domain} goes to {host}, {', '.join(map(str, found))}, which is not this "
            "machine: `alignd return` has to run there, with the same keys"
        )


def _report_addresses(
    configuration: Configuration, lookup: Lookup
) -> Mapping[Domain, tuple[str, ...]]:
    """Where the DMARC record of each return domain sends reports, within the domain."""
    found: dict[Domain, tuple[str, ...]] = {}
    for domain in _return_domains(configuration):
        texts = texts_at(record_name(domain), lookup)
        said = "" if isinstance(texts, LookupFailed) else b" ".join(texts).decode("latin-1")
        found[domain] = tuple(
            f"{local_part}@{name}".lower()
            for local_part, name in _REPORTS.findall(said)
            if name.lower() == domain.name
        )
    return found


def examine_keys(file: KeyFile) -> Iterator[Remark]:
    """Examine one file of keys, and who may read it."""
    if isinstance(file.keyring, KeyTrouble):
        yield error(
            FindingId.RETURN_KEYS_UNUSABLE,
            f"the keys of return addresses cannot be used: {file.keyring.problem}",
            "no return address can be made, and mail to those that are in use waits (451)",
            f"alignd new-key >> {file.path}   if there is none yet; else mend the file",
        )
    else:
        keys = file.keyring.keys.values()
        counts = (f"{sum(k.state is state for k in keys)} {state.value}" for state in KeyState)
        yield Note(f"keys in {file.path}: {', '.join(counts)}; {file.keyring.signing.id} signs")
        if len(ALPHABET) - len(file.keyring.keys) < _KEYS_LEFT:
            yield warning(
                FindingId.RETURN_KEYS_MANY,
                f"{file.path} has {len(file.keyring.keys)} keys, and no more than {len(ALPHABET)} "
                "can be told apart",
                "soon no new key can be made",
                "remove the oldest retired keys: mail to their addresses then waits (451) instead "
                "of being refused",
            )
    for barrier in file.barriers:
        if not isinstance(barrier, Barrier):
            yield barrier
            continue
        enters = barrier.missing is MissingPermission.ENTER
        yield error(
            FindingId.RETURN_KEYS_UNREADABLE,
            f"{barrier.user} {barrier.missing.value} {barrier.path}",
            "the service cannot read the keys of return addresses: `alignd serve` does not start, "
            "and `alignd return` defers all mail (451)",
            f"chmod o+x {barrier.path}"
            if enters
            else f"chown root:alignd-keys {file.path} && chmod 0640 {file.path}\n"
            "(a group of both services, by SupplementaryGroups= of their units)",
        )


def _own_bounces(
    configuration: Configuration,
    leg: ReturnLeg,
    sending: Sending,
    new_lookup: Callable[[], Lookup],
    suffixes: PublicSuffixes,
) -> Iterator[Remark]:
    """Bounces that Postfix itself writes: no milter sees them, and the HELO name speaks for them.

    Checks the senders of mail that is forwarded from another Postfix, too.
    """
    views = [view for view in configuration.all_settings if view.return_path.keys]
    for relay in dict.fromkeys(view.relay for view in views):
        if sending.chain is not None:
            postfix, signer = sending.chain.postfix, sending.signer
            yield from _own(postfix, relay, new_lookup(), suffixes, signer)
    if not leg.is_apart or not isinstance(leg.postfix, PostfixConfig):
        return
    relay = _relay_of(leg.postfix, configuration.relay)
    yield from _own(leg.postfix, relay, new_lookup(), suffixes, None)
    for domain in _return_domains(configuration):
        prediction = predict(domain, f"agent@{domain}", relay, new_lookup(), suffixes)
        passes = spf_passes(prediction.spf)
        if passes is Ternary.NO:
            said = ", ".join(f"{spf.address}: {spf.result.value}" for spf in prediction.spf)
            yield error(
                FindingId.RETURN_SENDER_FAILS,
                f"SPF of {domain} does not pass from the Postfix of {leg.directory} ({said})",
                "what is forwarded to agents has an envelope sender there, and servers refuse it",
                f"in the SPF record of {domain}, before 'all':   "
                + " ".join(map(mechanism_for, relay.addresses)),
            )
        elif passes is Ternary.UNKNOWN:
            yield Unknown(f"whether SPF of {domain} passes from the Postfix of {leg.directory}")


def _relay_of(postfix: PostfixConfig, relay: Relay) -> Relay:
    """The name and the addresses that *postfix* sends with; those of *relay* where it is open."""
    senders = outgoing(postfix)
    names = [postfix.value("smtp_helo_name", service) for service in senders]
    bound = [
        read_address(postfix.value(parameter, service))
        for service in senders
        for parameter in ("smtp_bind_address", "smtp_bind_address6")
    ]
    changes: dict[str, object] = {}
    if addresses := tuple(dict.fromkeys(each for each in bound if each is not None)):
        changes["addresses"] = addresses
    with suppress(DomainError, IndexError):
        changes["hostname"] = Domain.parse(names[0])
    return relay.model_copy(update=changes)


def _own(
    postfix: PostfixConfig,
    relay: Relay,
    lookup: Lookup,
    suffixes: PublicSuffixes,
    signer: Signer | None,
) -> Iterator[Remark]:
    try:
        origin = Domain.parse(postfix.value("myorigin"))
    except DomainError as problem:
        yield Unknown(f"what bounces of Postfix are from: myorigin: {problem}")
        return
    filtered = "bounce" in postfix.value("internal_mail_filter_classes")
    signs = filtered and bool(postfix.value("non_smtpd_milters"))
    planned = signer.signatures_for(Mailbox(_POSTMASTER, origin)) if signer and signs else ()
    dkim = tuple(check_planned(each, lookup) for each in planned)
    prediction = predict(origin, "", relay, lookup, suffixes, dkim)
    if prediction.aligned is Ternary.UNKNOWN:
        yield Unknown(f"whether bounces from {_POSTMASTER}@{origin} pass DMARC")
    elif prediction.aligned is Ternary.NO:
        yield from _own_failing(prediction, origin, relay)


def _own_failing(prediction: Prediction, origin: Domain, relay: Relay) -> Iterator[Remark]:
    what = (
        f"bounces that Postfix writes, from {_POSTMASTER}@{origin} by {relay.hostname}, fail DMARC"
    )
    if prediction.policy in {Policy.ABSENT, Policy.NONE}:
        yield Note(f"{what}; the policy of {origin} lets them in")
        return
    terms = " ".join(map(mechanism_for, relay.addresses))
    yield error(
        FindingId.RETURN_BOUNCES_FAIL,
        what,
        f"the policy of {origin} is {prediction.policy.value}: agents' servers refuse them, and "
        "agents never know that their mail did not arrive",
        f'{relay.hostname}. TXT "v=spf1 {terms} -all"\n'
        f"and postconf -e 'myorigin = {relay.hostname}'",
    )
