"""The relay with an alignd for each configuration, and the receiver."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cast
from tests.lab.alignd import Alignd, run_alignd
from tests.lab.mailauth import Mailauth, run_mailauth
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.namespaces import furnish
from tests.lab.opendkim import SigningKey, Tables, run_signer, run_verifier
from tests.lab.opendmarc import run_opendmarc
from tests.lab.postfix import TAKES_ALL, Listener, Postfix, run_postfix
from tests.lab.rspamd import run_rspamd
from tests.lab.settings import world
from tests.lab.sink import Inbox, run_inbox
from tests.lab.suffixes import write_suffixes
from tests.lab.syslog import record_syslog
from tests.verifiers.sending import Sending

_NAMESERVER = "127.0.0.1"
_DNS, _SMTP = 53, 25
_FIRST_PORT = 10000
_STARTS_AT_ONCE = 4

_RELAY = f"""\
myhostname = {cast.RELAY}
inet_interfaces = 127.0.0.1
smtp_connection_cache_on_demand = no
"""
# Nobody outside may speak in the name of this server's own checks.
_RECEIVER = """\
myhostname = {name}
inet_interfaces = {ipv4}, {ipv6}
smtp_connection_cache_on_demand = no
header_checks = regexp:{{ {{ /^Authentication-Results:.*{pattern}/ IGNORE }} }}
""".format(
    name=cast.RECEIVER,
    ipv4=cast.RECEIVER_IPV4,
    ipv6=cast.RECEIVER_IPV6,
    pattern=cast.RECEIVER.replace(".", r"\."),
)


@dataclass(frozen=True, slots=True)
class Outlet(Listener):
    """A listener of the relay whose mail leaves from *source*, to the receiver."""

    source: str = ""

    def service(self) -> str:
        """Return the entry of master.cf, and that of a transport for this listener alone."""
        is_ipv6 = ":" in self.source
        receiver = f"[{cast.RECEIVER_IPV6 if is_ipv6 else cast.RECEIVER_IPV4}]:{_SMTP}"
        bind = "smtp_bind_address6" if is_ipv6 else "smtp_bind_address"
        return (
            f"{Listener.service(self)}"
            f"  -o content_filter=from{self.port}:{receiver}\n"
            f"from{self.port} unix - - n - - smtp\n"
            f"  -o {bind}={self.source}\n"
        )


@dataclass(frozen=True, slots=True)
class Testbed:
    """Everything that runs."""

    nameserver: Nameserver
    key: SigningKey
    relay: Postfix
    outlets: dict[tuple[str, str], Outlet]
    """By configuration and source."""
    alignds: dict[str, Alignd]
    """By configuration."""
    inbox: Inbox
    """Behind the receiver."""
    mailauth: Mailauth | None


@contextmanager
def run_testbed(directory: Path, sendings: Sequence[Sending]) -> Iterator[Testbed]:
    """Run all that *sendings* need, with files below *directory*."""
    exits = [(sending.config, source) for sending in sendings for source in sending.sources()]
    addresses = {source for _, source in exits} | {cast.RECEIVER_IPV4, cast.RECEIVER_IPV6}
    furnish(directory, addresses, _NAMESERVER)
    record_syslog(Path("/dev/log"), directory / "syslog.log")
    sockets = directory / "daemons"
    sockets.mkdir()
    # OpenDKIM and OpenDMARC make their sockets as users of their own.
    sockets.chmod(0o777)
    suffixes = sockets / "suffixes"
    write_suffixes(suffixes, "".join(world(each.zone) + each.to_json() for each in sendings))
    key = SigningKey.make(sockets)
    with ExitStack() as running:
        start = running.enter_context
        nameserver, inbox = start(run_nameserver(port=_DNS)), start(run_inbox())
        rspamd = start(ThreadPoolExecutor()).submit(
            start, run_rspamd(sockets / "rspamd", _NAMESERVER, suffixes)
        )
        configs = dict.fromkeys(sending.config for sending in sendings)
        alignds = _start_alignds(directory / "alignd", configs, running)
        outlets = _outlets(dict.fromkeys(exits), alignds, sockets, key, running)
        # For the relay only bounces: its listeners have transports of their own.
        onwards = f"{TAKES_ALL}relayhost = [127.0.0.1]:{inbox.port}\n"
        listeners = list(outlets.values())
        relay = start(run_postfix(directory / "relay", onwards + _RELAY, listeners))
        checks = (
            start(run_verifier(sockets, cast.RECEIVER, _NAMESERVER)),
            start(run_opendmarc(sockets, cast.RECEIVER, suffixes)),
        )
        milters = ", ".join(f"unix:{endpoint}" for endpoint in checks)
        entrances = [
            Listener(address, _SMTP, milters)
            for address in (cast.RECEIVER_IPV4, cast.RECEIVER_IPV6)
        ]
        start(run_postfix(directory / "receiver", onwards + _RECEIVER, entrances))
        rspamd.result()
        mailauth = start(run_mailauth())
        yield Testbed(nameserver, key, relay, outlets, alignds, inbox, mailauth)


def _start_alignds(
    directory: Path, configs: Iterable[str], running: ExitStack
) -> dict[str, Alignd]:
    """Start one for each configuration, side by side: most of a start is the work of Python."""
    directory.mkdir()

    def start(number: int, config: str) -> tuple[str, Alignd]:
        alignd = run_alignd(directory / str(number), f"{_NAMESERVER}:{_DNS}", config)
        return config, running.enter_context(alignd)

    with ThreadPoolExecutor(_STARTS_AT_ONCE) as pool:
        return dict(pool.map(start, *zip(*enumerate(configs), strict=True)))


def _outlets(
    exits: Iterable[tuple[str, str]],
    alignds: dict[str, Alignd],
    sockets: Path,
    key: SigningKey,
    running: ExitStack,
) -> dict[tuple[str, str], Outlet]:
    outlets: dict[tuple[str, str], Outlet] = {}
    signers: dict[str, Path] = {}
    for port, (config, source) in enumerate(exits, _FIRST_PORT):
        if config not in signers:
            tables = Tables.of(config, key.path)
            signer = run_signer(sockets, f"signer{port}", tables, _NAMESERVER)
            signers[config] = running.enter_context(signer)
        milters = f"{alignds[config].socket}, unix:{signers[config]}"
        outlets[config, source] = Outlet("127.0.0.1", port, milters, source)
    return outlets
