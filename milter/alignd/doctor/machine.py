"""Whether the machine carries alignd: its socket, its resolver, its limits, its lists."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from ipaddress import ip_address

from alignd.config.settings import DnsOptions, MilterOptions
from alignd.doctor.facts import Descriptors, Permission, Resolvers, SocketState
from alignd.doctor.findings import CannotSay, FindingId, NotAsked, Note, Remark, error, warning
from alignd.mailauth.dns import LookupFailed
from alignd.postfix.chain import Chain, Listener, is_same, reached
from alignd.postfix.endpoint import Endpoint, UnixEndpoint

OTHER_DESCRIPTORS = 100
"""That a worker has open besides connections, those to DNS among them."""
_QUESTIONS = 20  # that a message may ask one after the other within its budget
_MAX_LIST_AGE = timedelta(days=365)


def examine_socket(chain: Chain | None, place: Endpoint, state: SocketState) -> Iterator[Remark]:
    """Say whether Postfix reaches alignd."""
    if chain is not None:
        outside = [each for each in chain.with_alignd if _is_outside(chain, each)]
        yield from (_outside(chain, listener) for listener in outside)
    if isinstance(state.answers, CannotSay):
        yield state.answers
    elif not state.answers:
        yield error(
            FindingId.ALIGND_DOES_NOT_ANSWER,
            f"nothing answers as a milter at {place}",
            "alignd is not running, or not there: mail is refused or waits",
            "systemctl enable --now alignd",
        )
    barrier = state.barrier
    if isinstance(barrier, CannotSay):
        yield barrier
    elif barrier:
        mode = "o+x" if barrier.permission is Permission.ENTER else "o+w"
        yield error(
            FindingId.SOCKET_FORBIDDEN,
            f"Postfix's user {barrier.user} {barrier.permission.value} {barrier.path}",
            "Postfix cannot connect to alignd, as if it were not running",
            f"chmod {mode} {barrier.path}",
        )


def _is_outside(chain: Chain, listener: Listener) -> bool:
    milter = listener.alignd
    if milter is None or not isinstance(milter.endpoint, UnixEndpoint):
        return False
    return not is_same(reached(milter.endpoint, chain.postfix, listener.service), chain.place)


def _outside(chain: Chain, listener: Listener) -> Remark:
    queue = chain.postfix.value("queue_directory")
    return error(
        FindingId.SOCKET_OUTSIDE_CHROOT,
        f"{listener.service} runs in a chroot, and {chain.place} is outside of it, {queue}",
        "Postfix looks for the socket below its queue directory, and does not find it",
        f'socket = "unix:{queue}/alignd/alignd.sock" in alignd.conf, and unix:alignd/alignd.sock '
        f'in smtpd_milters; or "n" in the fifth column of {listener.service} in master.cf',
    )


def examine_resolver(dns: DnsOptions, resolvers: Resolvers) -> Iterator[Remark]:
    """Say whether DNS answers, soon, and on this machine."""
    if isinstance(resolvers, CannotSay):
        yield resolvers
        return
    remote = [each.address for each in resolvers if not ip_address(each.address).is_loopback]
    if remote:
        yield warning(
            FindingId.RESOLVER_REMOTE,
            f"DNS is asked of {', '.join(remote)}, not on this machine",
            "each message waits for the network, and what others put in the way becomes a "
            "decision",
            'apt install unbound, and nameservers = ["127.0.0.1"] in [dns] of alignd.conf',
        )
    for server, took in resolvers.items():
        if took is None:
            yield NotAsked(f"--zone answers in the place of {server.address}")
        elif isinstance(took, LookupFailed):
            yield error(
                FindingId.RESOLVER_SILENT,
                f"the nameserver {server.address}, port {server.port}, does not answer: "
                f"{took.reason}",
                "what DNS does not say is unknown, so that mail is rewritten that need not be",
                f"dig -p {server.port} @{server.address} . NS",
            )
        elif took > dns.timeout / _QUESTIONS:
            yield warning(
                FindingId.RESOLVER_SLOW,
                f"the nameserver {server.address} takes {took * 1000:.0f} ms for an answer it "
                "knows",
                f"a message may need {_QUESTIONS} answers, and waits {dns.timeout:g} s at most "
                "(dns.timeout): what comes later is unknown",
                "use a resolver on this machine",
            )
        else:
            yield Note(f"{server.address} answers in {took * 1000:.1f} ms")


def examine_limits(
    milter: MilterOptions, chain: Chain | None, found: Descriptors, cores: int
) -> Iterator[Remark]:
    """Say whether alignd has room for all that Postfix may open."""
    room = found.limit - OTHER_DESCRIPTORS
    if room < milter.max_connections:
        yield warning(
            FindingId.DESCRIPTORS_FEW,
            f"{found.source} is {found.limit}, which leaves room for {max(1, room)} connections "
            f"of milter.max_connections = {milter.max_connections}",
            "sessions beyond it are answered with a temporary failure",
            f"LimitNOFILE={milter.max_connections + 10 * OTHER_DESCRIPTORS} in alignd.service",
        )
    if chain is None:
        return
    sessions = sum(_processes(chain, listener) for listener in chain.with_alignd)
    most = milter.workers_on(cores) * milter.max_connections
    if sessions > most:
        yield warning(
            FindingId.CONNECTIONS_FEW,
            f"Postfix may open {sessions} connections to alignd, which takes {most}",
            "sessions beyond it are answered with a temporary failure",
            f"max_connections = {-(-sessions // (most // milter.max_connections))} in [milter], "
            "or a lower default_process_limit",
        )


def _processes(chain: Chain, listener: Listener) -> int:
    """How many processes a listener may have; 0 when nothing limits them."""
    limit = listener.service.process_limit
    if limit is not None:
        return limit
    text = chain.postfix.value("default_process_limit")
    return int(text) if text.isdigit() else 0


def examine_suffixes(released: date | None, today: date) -> Iterator[Remark]:
    """Say whether the public suffix list is fresh."""
    if released is None:
        yield CannotSay("how old the public suffix list is: its package has no date")
    elif today - released > _MAX_LIST_AGE:
        yield warning(
            FindingId.SUFFIX_LIST_OLD,
            f"the public suffix list is of {released}",
            "what is an organizational domain changes, and receivers follow newer lists",
            "/opt/alignd/bin/pip install --upgrade publicsuffixlist",
        )
