"""The examination of a relay as a whole: all checks, over facts that were gathered before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from alignd.config.settings import Configuration
from alignd.doctor.chain import examine_chain
from alignd.doctor.dns import examine_helo, examine_notifications
from alignd.doctor.facts import Machine
from alignd.doctor.findings import (
    CannotSay,
    FindingId,
    NotAsked,
    Note,
    Remark,
    Topic,
    TopicReport,
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
from alignd.postfix.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that an examination looks at."""

    configuration: Configuration
    signer: Signer
    place: Endpoint
    """Where Postfix reaches alignd."""
    is_handed_over: bool
    """Whether systemd keeps the socket, so that *place* is only where its unit says by default."""
    postfix: PostfixConfig | CannotSay
    machine: Machine
    new_lookup: Callable[[], Lookup]
    suffixes: PublicSuffixes
    application: Mailbox | None
    """The address that the application sends from; None when nobody said."""


class Result(Enum):
    """What comes out of it."""

    FINE = "fine"
    FOUND = "found"
    UNKNOWN = "unknown"


def result(topics: tuple[TopicReport, ...]) -> Result:
    """FOUND where anything was found; UNKNOWN where nothing was, and something is not known."""
    if any(topic.findings for topic in topics):
        return Result.FOUND
    return Result.UNKNOWN if any(topic.unknown for topic in topics) else Result.FINE


def examine(facts: Facts) -> tuple[TopicReport, ...]:
    """Examine the relay, topic by topic."""
    configuration, machine = facts.configuration, facts.machine
    postfix = facts.postfix
    chain = read_chain(postfix, facts.place) if isinstance(postfix, PostfixConfig) else None
    return (
        examine_notifications(configuration, facts.signer, facts.new_lookup, facts.suffixes),
        examine_helo(configuration, facts.new_lookup),
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
    if chain is None or isinstance(facts.postfix, CannotSay):
        unknown = [facts.postfix] if isinstance(facts.postfix, CannotSay) else []
        return (topic_report(Topic.OUTBOUND, unknown), topic_report(Topic.CHAIN, unknown))
    return (
        examine_outbound(facts.configuration, facts.postfix, facts.machine.interfaces),
        *examine_chain(facts.configuration, chain),
        *examine_queue_first(chain),
    )


def _socket(facts: Facts, chain: Chain | None) -> Iterator[Remark]:
    if facts.is_handed_over:
        yield Note(
            f"systemd keeps the socket; it was looked for at {facts.place}, where alignd.socket "
            "listens by default (--socket says where else)"
        )
    yield from examine_socket(chain, facts.place, facts.machine.socket)


def _versions(facts: Facts) -> Iterator[Remark]:
    if isinstance(facts.postfix, PostfixConfig):
        yield from examine_version(facts.postfix)
    yield from examine_suffixes(facts.machine.suffixes_released, facts.machine.today)


def _application(facts: Facts) -> Iterator[Remark]:
    views = facts.configuration.all_settings
    ours = {view.notifications.address.address.lower() for view in views}
    if facts.application is None:
        yield NotAsked(
            "give --application-address, the one that the application itself sends from: it must "
            f"not be {' or '.join(sorted(ours))}"
        )
    elif facts.application.address.lower() in ours:
        yield error(
            FindingId.NOTIFICATIONS_ARE_APPLICATIONS,
            f"{facts.application.address} is both the application's own address and that of "
            "rewritten mail",
            "Redmine drops mail that claims to be from its own address, so that replies are lost",
            "another address of the same domain as notifications.address in alignd.conf",
        )
