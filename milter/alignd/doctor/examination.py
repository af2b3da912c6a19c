"""Runs every check of a relay on facts that were gathered before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from alignd.config.endpoint import Endpoint
from alignd.config.settings import Configuration
from alignd.doctor.chain import examine_chain
from alignd.doctor.dns import examine_helo, examine_notifications
from alignd.doctor.facts import Machine
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
from alignd.doctor.outbound import examine_outbound, examine_version
from alignd.doctor.queue_first import examine_queue_first
from alignd.mail.mailbox import Mailbox
from alignd.mailauth.dkim import Signer
from alignd.mailauth.dns import Lookup
from alignd.mailauth.rfc7489 import PublicSuffixes
from alignd.postfix.chain import Chain, read_chain
from alignd.postfix.config import PostfixConfig


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the checks look at."""

    configuration: Configuration
    signer: Signer
    endpoint: Endpoint
    """Where Postfix reaches alignd."""
    is_handed_over: bool
    """Whether systemd owns the socket, so that *endpoint* is only the default of its unit."""
    postfix: PostfixConfig | Unknown
    machine: Machine
    new_lookup: Callable[[], Lookup]
    suffixes: PublicSuffixes
    application: Mailbox | None
    """The address that the application sends from; None if it was not given."""


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
        examine_helo(configuration, facts.new_lookup, facts.suffixes),
        topic_report(Topic.APPLICATION, _application(facts)),
        *_postfix(facts, chain),
        topic_report(Topic.SOCKET, _socket(facts, chain)),
        topic_report(Topic.RESOLVER, examine_resolver(configuration.dns, machine.resolvers)),
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
        examine_outbound(facts.configuration, facts.postfix, facts.machine.interfaces),
        *examine_chain(facts.configuration, chain),
        *examine_queue_first(chain),
    )


def _socket(facts: Facts, chain: Chain | None) -> Iterator[Remark]:
    if facts.is_handed_over:
        yield Note(
            f"systemd owns the socket; alignd was looked for at {facts.endpoint}, the default of "
            "alignd.socket (use --socket if yours is another)"
        )
    yield from examine_socket(chain, facts.endpoint, facts.machine.socket)


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
