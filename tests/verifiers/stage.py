"""Responsible for the relay with an alignd for each configuration, and for the receiver."""

import shutil
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from demo.postfix import Listener, Postfix
from tests.lab import cast, namespaces
from tests.lab.alignd import Alignd, run_alignd
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.sink import Sink, run_sink
from tests.lab.syslog import record_syslog
from tests.support.case import Case
from tests.verifiers import places
from tests.verifiers.daemons import Daemons
from tests.verifiers.signing import SigningKey, Tables

_DNS, _SMTP = 53, 25
_FIRST_PORT = 10000
_STARTS_AT_ONCE = 4

_COMMON = {
    "inet_protocols": "all",
    "mynetworks": "0.0.0.0/0, [::]/0",
    "smtpd_relay_restrictions": "permit_mynetworks, reject",
    "smtpd_peername_lookup": "no",
    "smtpd_error_sleep_time": "0",
    "smtpd_client_connection_count_limit": "0",
    "in_flow_delay": "0",
    "local_header_rewrite_clients": "",
    "message_size_limit": "104857600",
    "header_size_limit": "10485760",
    "smtp_line_length_limit": "0",
    "smtp_dns_support_level": "disabled",
    "smtp_connection_cache_on_demand": "no",
    "notify_classes": "",
}

_RELAY = _COMMON | {
    "myhostname": cast.RELAY,
    "inet_interfaces": "127.0.0.1",
    "smtpd_authorized_xclient_hosts": "127.0.0.1",
}

_RECEIVER = _COMMON | {
    "myhostname": places.RECEIVER,
    "inet_interfaces": f"{places.RECEIVER_IPV4}, {places.RECEIVER_IPV6}",
    # Nobody outside may speak in the name of this server's own checks.
    "header_checks": "regexp:{{ {{ /^Authentication-Results:.*{}/ IGNORE }} }}".format(
        places.RECEIVER.replace(".", r"\.")
    ),
}


@dataclass(frozen=True, slots=True)
class Outlet(Listener):
    """A listener of the relay whose mail leaves from *source*, to the receiver."""

    source: str

    def service(self) -> str:
        """Return the entry of master.cf, and that of a transport for this listener alone."""
        receiver = f"[{places.receiver_for(self.source)}]:{_SMTP}"
        bind = "smtp_bind_address6" if ":" in self.source else "smtp_bind_address"
        return (
            f"{Listener.service(self)}"
            f"  -o content_filter=from{self.port}:{receiver}\n"
            f"from{self.port} unix - - n - - smtp\n"
            f"  -o {bind}={self.source}\n"
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs."""

    nameserver: Nameserver
    key: SigningKey
    relay: Postfix
    outlets: dict[tuple[str, str], Outlet]
    """By configuration and source."""
    alignds: dict[str, Alignd]
    """By configuration."""
    sink: Sink
    """Behind the receiver."""


def sources(case: Case) -> tuple[str, ...]:
    """The addresses from which the relay sends this case."""
    for tenant in tomllib.loads(case.config).get("tenant", ()):
        if addresses := tenant.get("relay", {}).get("addresses"):
            return tuple(addresses)
    return places.RELAY


@contextmanager
def set_stage(directory: Path, cases: Sequence[Case]) -> Iterator[Stage]:
    """Start all that *cases* need, with files below *directory*."""
    exits = [(case.config, source) for case in cases for source in sources(case)]
    addresses = {source for _, source in exits} | {places.RECEIVER_IPV4, places.RECEIVER_IPV6}
    namespaces.furnish(directory, addresses, places.NAMESERVER)
    record_syslog(Path("/dev/log"), directory / "syslog.log")
    sockets = directory / "daemons"
    sockets.mkdir()
    # OpenDKIM and OpenDMARC make their sockets as users of their own.
    sockets.chmod(0o777)
    daemons, key = Daemons(sockets), SigningKey.make(sockets)
    shutil.chown(key.path, "opendkim")
    with run_nameserver(port=_DNS) as nameserver, run_sink() as sink, ExitStack() as running:
        rspamd = running.enter_context(ThreadPoolExecutor()).submit(daemons.start_rspamd)
        alignds = _start_alignds(
            directory / "alignd", dict.fromkeys(c.config for c in cases), running
        )
        outlets = _outlets(dict.fromkeys(exits), alignds, daemons, key)
        relay = Postfix(directory / "relay")
        # For the relay only bounces: its listeners have transports of their own.
        onwards = {"relayhost": f"[127.0.0.1]:{sink.port}"}
        relay.start(_RELAY | onwards, list(outlets.values()))
        receiver = Postfix(directory / "receiver")
        receiver.start(_RECEIVER | onwards, _entrances(daemons))
        rspamd.result()
        yield Stage(nameserver, key, relay, outlets, alignds, sink)


def _start_alignds(
    directory: Path, configs: Iterable[str], running: ExitStack
) -> dict[str, Alignd]:
    """Start one for each configuration, side by side: most of a start is the work of Python."""
    directory.mkdir()

    def start(number: int, config: str) -> tuple[str, Alignd]:
        alignd = run_alignd(directory / str(number), f"{places.NAMESERVER}:{_DNS}", config)
        return config, running.enter_context(alignd)

    with ThreadPoolExecutor(_STARTS_AT_ONCE) as pool:
        return dict(pool.map(start, *zip(*enumerate(configs), strict=True)))


def _outlets(
    exits: Iterable[tuple[str, str]], alignds: dict[str, Alignd], daemons: Daemons, key: SigningKey
) -> dict[tuple[str, str], Outlet]:
    outlets: dict[tuple[str, str], Outlet] = {}
    signers: dict[str, Path] = {}
    for port, (config, source) in enumerate(exits, _FIRST_PORT):
        if config not in signers:
            tables = Tables.of(config, key.path)
            signers[config] = daemons.start_signer(f"signer{port}", tables)
        milters = (Path(alignds[config].socket.removeprefix("unix:")), signers[config])
        outlets[config, source] = Outlet("127.0.0.1", port, milters, source)
    return outlets


def _entrances(daemons: Daemons) -> list[Listener]:
    """The listeners of the receiver, which hands on what its checks let in."""
    checks = (daemons.start_verifier(), daemons.start_opendmarc())
    addresses = (places.RECEIVER_IPV4, f"[{places.RECEIVER_IPV6}]")
    return [Listener(address, _SMTP, checks) for address in addresses]
