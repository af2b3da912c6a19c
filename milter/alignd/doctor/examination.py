"""Runs every check of a relay on facts that were gathered before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from alignd.config.endpoint import Endpoint
from alignd.config.settings import Configuration, Settings
from alignd.doctor.behind import examine_behind
from alignd.doctor.chain import examine_chain
from alignd.doctor.dns.relay import examine_helo, examine_notifications
from alignd.doctor.dns.reports import examine_reports
from alignd.doctor.facts import (
    Files,
    Machine,
    OpenDkimSettings,
    Reach,
    ReturnLeg,
    RspamdSigning,
    RunningService,
    TableLookup,
)
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
)
from alignd.doctor.machine import (
    examine_limits,
    examine_resolver,
    examine_socket,
    examine_suffixes,
)
from alignd.doctor.milters import examine_milters
from alignd.doctor.outbound import examine_outbound, examine_version, outgoing
from alignd.doctor.queue_first import examine_queue_first
from alignd.doctor.return_path import Sending, examine_return_path
from alignd.doctor.service import examine_service
from alignd.doctor.signer import SignerSettings, examine_signer, is_rspamd
from alignd.judgement.prediction import predict
from alignd.mail.mailbox import Mailbox
from alignd.mailauth.dkim import Signer
from alignd.mailauth.dns import Lookup
from alignd.mailauth.rfc7489 import PublicSuffixes
from alignd.mailauth.ternary import Ternary
from alignd.postfix.chain import Chain, read_chain
from alignd.postfix.config import PostfixConfig


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the checks look at."""

    configuration: Configuration
    signer: Signer
    table_problems: tuple[str, ...]
    """Entries of the signer's tables that are no use, with file and line."""
    unreadable_tables: Mapping[str, str]
    """Those that alignd's user cannot read, each with the reason."""
    opendkim: OpenDkimSettings | Unknown | None
    """None if the configuration does not say that the signer is an OpenDKIM."""
    read_rspamd: Callable[[], RspamdSigning | Unknown]
    """Asked where the milter behind alignd looks like one, since that takes seconds."""
    endpoint: Endpoint
    """Where Postfix reaches alignd."""
    is_handed_over: bool
    """Whether systemd owns the socket, so that *endpoint* is only the default of its unit."""
    postfix: PostfixConfig | Unknown
    tables: TableLookup
    reached: Mapping[Endpoint, Reach]
    """What came of connecting to the other milters, as Postfix's user."""
    machine: Machine
    service: RunningService
    files: Files
    new_lookup: Callable[[], Lookup]
    suffixes: PublicSuffixes
    return_leg: ReturnLeg | None
    """None where return addresses are off."""
    application: Mailbox | None
    """The address that the application sends from; None if it was not given."""

    def predict_from(self, view: Settings, envelope_sender: str) -> Ternary:
        """Whether rewritten mail of *view* passes DMARC by SPF alone with *envelope_sender*."""
        domain, lookup = view.notifications.domain, self.new_lookup()
        return predict(domain, envelope_sender, view.relay, lookup, self.suffixes).aligned


class Outcome(Enum):
    """The overall result of an examination."""

    CLEAN = "clean"
    FINDINGS = "findings"
    UNKNOWN = "unknown"


def outcome(topics: tuple[TopicReport, ...]) -> Outcome:
    """FINDINGS if there are any, else UNKNOWN if any question is open, else CLEAN."""
    if any(topic.findings for topic in topics):
        return Outcome.FINDINGS
    return Outcome.UNKNOWN if any(topic.unknown for topic in topics) else Outcome.CLEAN


def examine(facts: Facts) -> tuple[TopicReport, ...]:
    """Examine the relay, topic by topic."""
    configuration, machine = facts.configuration, facts.machine
    postfix = facts.postfix
    chain = read_chain(postfix, facts.endpoint) if isinstance(postfix, PostfixConfig) else None
    return (
        examine_notifications(configuration, facts.signer, facts.new_lookup, facts.suffixes),
        examine_reports(configuration, facts.new_lookup, facts.suffixes),
        examine_helo(configuration, facts.new_lookup, facts.suffixes),
        topic_report(Topic.APPLICATION, _application(facts)),
        *_postfix(facts, chain),
        *_return_path(facts, chain),
        examine_signer(
            configuration,
            facts.table_problems,
            facts.unreadable_tables,
            _signer_settings(facts, chain),
        ),
        topic_report(Topic.SOCKET, _socket(facts, chain)),
        topic_report(Topic.SERVICE, examine_service(facts.service, facts.files)),
        topic_report(
            Topic.RESOLVER,
            examine_resolver(configuration.dns, machine.resolvers, machine.odd_lines),
        ),
        topic_report(
            Topic.LIMITS,
            examine_limits(configuration.milter, chain, machine.descriptors, machine.cores),
        ),
        topic_report(Topic.VERSIONS, _versions(facts)),
    )


def _postfix(facts: Facts, chain: Chain | None) -> tuple[TopicReport, ...]:
    if chain is None or isinstance(facts.postfix, Unknown):
        unknown = [facts.postfix] if isinstance(facts.postfix, Unknown) else []
        return (topic_report(Topic.OUTBOUND, unknown), topic_report(Topic.CHAIN, unknown))
    return (
        examine_outbound(
            facts.configuration,
            facts.postfix,
            facts.machine.interfaces,
            facts.tables,
            facts.new_lookup,
        ),
        *examine_chain(facts.configuration, chain),
        *_behind(facts, chain),
        *examine_queue_first(chain),
    )


def _return_path(facts: Facts, chain: Chain | None) -> Iterator[TopicReport]:
    if facts.return_leg is not None:
        yield examine_return_path(
            facts.configuration,
            facts.return_leg,
            Sending(chain, facts.signer, facts.opendkim),
            facts.machine.interfaces,
            facts.machine.today,
            facts.new_lookup,
            facts.suffixes,
        )


def _signer_settings(facts: Facts, chain: Chain | None) -> SignerSettings | Unknown | None:
    if facts.opendkim is not None or chain is None or not facts.configuration.dkim.signs:
        return facts.opendkim
    behind = (
        milter
        for smtpd in chain.with_alignd
        for milter in smtpd.milters[(smtpd.position or 0) + 1 :]
    )
    return facts.read_rspamd() if any(map(is_rspamd, behind)) else None


def _behind(facts: Facts, chain: Chain) -> Iterator[TopicReport]:
    if chain.with_alignd:
        senders = outgoing(chain.postfix)
        yield examine_behind(facts.configuration, chain, senders, facts.tables, facts.predict_from)


def _socket(facts: Facts, chain: Chain | None) -> Iterator[Remark]:
    if facts.is_handed_over:
        yield Note(
            f"systemd owns the socket; alignd was looked for at {facts.endpoint}, the default of "
            "alignd.socket (use --socket if yours is another)"
        )
    yield from examine_socket(chain, facts.endpoint, facts.machine.socket)
    if chain is not None:
        yield from examine_milters(chain, facts.reached)


def _versions(facts: Facts) -> Iterator[Remark]:
    if isinstance(facts.postfix, PostfixConfig):
        yield from examine_version(facts.postfix)
    yield from examine_suffixes(facts.machine.suffixes_released, facts.machine.today)


def _application(facts: Facts) -> Iterator[Remark]:
    views = facts.configuration.all_settings
    ours = {view.notifications.address.address.lower() for view in views}
    if facts.application is None:
        yield Skipped(
            "give the address that the application itself sends from (--application-address): it "
            f"must not be {' or '.join(sorted(ours))}"
        )
    elif facts.application.address.lower() in ours:
        yield error(
            FindingId.NOTIFICATIONS_ARE_APPLICATIONS,
            f"{facts.application.address} is both the application's own address and "
            "notifications.address",
            "Redmine drops mail that claims to be from its own address, so replies are lost",
            "set notifications.address in alignd.conf to another address of the same domain",
        )
