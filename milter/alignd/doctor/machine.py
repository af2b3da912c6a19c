"""Checks what this machine gives alignd: socket, resolver, limits, public suffix list."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from alignd.config.endpoint import Endpoint, UnixEndpoint
from alignd.config.settings import DnsOptions, MilterOptions
from alignd.doctor.facts import DescriptorLimit, MissingPermission, Resolvers, SocketState
from alignd.doctor.findings import FindingId, Note, Remark, Skipped, Unknown, error, warning
from alignd.mail.ip_address import parse_ip_address
from alignd.mailauth.dns import LookupFailed
from alignd.postfix.chain import Chain, SmtpdService, is_same, outside_chroot

OTHER_DESCRIPTORS = 100
"""Files that a worker has open besides milter connections, such as sockets to nameservers."""
_QUESTIONS = 20  # DNS queries, one after the other, that one message may need
_MAX_LIST_AGE = timedelta(days=365)


def examine_socket(
    chain: Chain | None, endpoint: Endpoint, state: SocketState, unit: str = "alignd"
) -> Iterator[Remark]:
    """Check that Postfix can connect to alignd, which systemd starts as *unit*."""
    if chain is not None:
        outside = [each for each in chain.with_alignd if _is_outside(chain, each)]
        yield from (_outside(chain, smtpd) for smtpd in outside)
    if isinstance(state.answers, Unknown):
        yield state.answers
    elif not state.answers:
        yield error(
            FindingId.ALIGND_DOES_NOT_ANSWER,
            f"no milter answers at {endpoint}",
            "alignd is not running, or listens elsewhere: mail is refused or waits",
            f"systemctl enable --now {unit}",
        )
    barrier = state.barrier
    if isinstance(barrier, Unknown):
        yield barrier
    elif barrier:
        mode = "o+x" if barrier.missing is MissingPermission.ENTER else "o+w"
        yield error(
            FindingId.SOCKET_FORBIDDEN,
            f"Postfix's user {barrier.user} {barrier.missing.value} {barrier.path}",
            "Postfix cannot connect to alignd, as if it were not running",
            f"chmod {mode} {barrier.path}",
        )


def _is_outside(chain: Chain, smtpd: SmtpdService) -> bool:
    milter = smtpd.alignd
    if milter is None or not isinstance(milter.endpoint, UnixEndpoint):
        return False
    return not is_same(
        outside_chroot(milter.endpoint, chain.postfix, smtpd.service), chain.endpoint
    )


def _outside(chain: Chain, smtpd: SmtpdService) -> Remark:
    queue = chain.postfix.value("queue_directory")
    return error(
        FindingId.SOCKET_OUTSIDE_CHROOT,
        f"{smtpd.service} runs in the chroot {queue}, and {chain.endpoint} is outside",
        "Postfix looks for the socket below its queue directory and does not find it",
        f'socket = "unix:{queue}/alignd/alignd.sock" in [milter] of alignd.conf\n'
        "and unix:alignd/alignd.sock in smtpd_milters\n"
        f'or "n" in the fifth column of {smtpd.service} in master.cf',
    )


def examine_resolver(
    dns: DnsOptions, resolvers: Resolvers, odd_lines: tuple[str, ...] = ()
) -> Iterator[Remark]:
    """Check that nameservers answer, quickly, and on this machine."""
    yield from (Note(f"{each}; Postfix does not ask it, either") for each in odd_lines)
    if isinstance(resolvers, Unknown):
        yield resolvers
        return
    remote = [each.host for each in resolvers if not parse_ip_address(each.address).is_loopback]
    if remote:
        yield warning(
            FindingId.RESOLVER_REMOTE,
            f"DNS queries go to {', '.join(remote)}, not to a resolver on this machine",
            "each message waits for the network, where answers can be forged",
            'apt install unbound\nand nameservers = ["127.0.0.1"] in [dns] of alignd.conf',
        )
    for server, took in resolvers.items():
        if took is None:
            yield Skipped(f"--zone answers instead of {server.host}")
        elif isinstance(took, LookupFailed):
            yield error(
                FindingId.RESOLVER_SILENT,
                f"the nameserver {server.host}, port {server.port}, does not answer: "
                f"{took.reason}",
                "without an answer alignd does not know, and rewrites mail that would pass",
                f"dig -p {server.port} @{server.host} . NS",
            )
        elif took > dns.timeout / _QUESTIONS:
            yield warning(
                FindingId.RESOLVER_SLOW,
                f"the nameserver {server.host} takes {took * 1000:.0f} ms for a cached answer",
                f"a message may need {_QUESTIONS} answers and waits at most {dns.timeout:g} s "
                "for all of them (dns.timeout): what is missing by then counts as unknown",
                "use a resolver on this machine",
            )
        else:
            yield Note(f"{server.host} answers in {took * 1000:.1f} ms")


def examine_limits(
    milter: MilterOptions, chain: Chain | None, found: DescriptorLimit, cores: int
) -> Iterator[Remark]:
    """Check that alignd accepts as many connections as Postfix may open."""
    room = found.limit - OTHER_DESCRIPTORS
    if room < milter.max_connections:
        yield warning(
            FindingId.DESCRIPTORS_FEW,
            f"{found.source} is {found.limit}, enough for {max(1, room)} connections; "
            f"milter.max_connections is {milter.max_connections}",
            "further sessions get a temporary failure",
            f"LimitNOFILE={milter.max_connections + 10 * OTHER_DESCRIPTORS} in alignd.service",
        )
    if chain is None:
        return
    sessions = sum(_processes(chain, smtpd) for smtpd in chain.with_alignd)
    workers = milter.workers_on(cores)
    most = workers * milter.max_connections
    if sessions > most:
        yield warning(
            FindingId.CONNECTIONS_FEW,
            f"Postfix may open {sessions} connections to alignd, which accepts {most}",
            "further sessions get a temporary failure",
            f"max_connections = {-(-sessions // workers)} in [milter] of alignd.conf\n"
            "or a lower default_process_limit in main.cf",
        )


def _processes(chain: Chain, smtpd: SmtpdService) -> int:
    """How many processes an smtpd service may have; 0 for no limit."""
    limit = smtpd.service.process_limit
    if limit is not None:
        return limit
    text = chain.postfix.value("default_process_limit")
    return int(text) if text.isdigit() else 0


def examine_suffixes(released: date | None, today: date) -> Iterator[Remark]:
    """Check the age of the public suffix list."""
    if released is None:
        yield Unknown("how old the public suffix list is: its package has no date")
    elif today - released > _MAX_LIST_AGE:
        yield warning(
            FindingId.SUFFIX_LIST_OLD,
            f"the public suffix list dates from {released}",
            "organizational domains change, and receivers use newer lists",
            "upgrade the package of alignd; without one: "
            "/opt/alignd/bin/pip install --upgrade publicsuffixlist",
        )
