"""The way back, on real servers: two relays, Julia's and Marky's, in a network of their own.

Every domain has p=reject, and both receivers reject what fails. The first relay sends alone, and
what comes back goes to an instance beside it (layout return); the second does both (layout
return-inside). The second also has the listeners that do without a defence, one each.
"""

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from alignd.config.endpoint import parse_endpoint
from alignd.config.file import load_configuration
from alignd.postfix.layouts import Layout, LayoutParameters
from alignd.postfix.return_layouts import RETURN_FILES, TABLES, return_lines, way_back_of
from alignd.return_path.address import Kind
from tests.lab import cast
from tests.lab.alignd import Alignd, Return, run_alignd, run_return
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.namespaces import entered, furnish
from tests.lab.opendkim import SigningKey, Tables, run_opendkim, run_signer, run_verifier
from tests.lab.opendmarc import run_opendmarc
from tests.lab.postfix import Listener, Postfix, run_postfix
from tests.lab.processes import stop
from tests.lab.readiness import wait_until
from tests.lab.return_addresses import KEY_FILE, return_address
from tests.lab.settings import world
from tests.lab.sink import Inbox, run_inbox
from tests.lab.syslog import record_syslog

RELAY, INSTANCE, INSIDE = cast.RELAY_IPV4, "192.0.2.26", "192.0.2.27"
JULIAS, MARKYS, OLD = cast.RECEIVER_IPV4, "203.0.113.202", "203.0.113.203"
EVIL, BOTNET = "198.51.100.66", "198.51.100.67"
STAFF = "staff@staff.com"
"""Who reads the shared addresses."""
TICKETS_DOMAIN = "tickets.easysoftware.com"
"""Of return addresses whose answers are delivered to TICKETS, by the second relay."""
TICKETS = "tickets@mycompany.com"
CIRCULAR = "circular@mycompany.com"
"""Forwards what he gets to his own return address."""
NOTIFICATIONS_MX = f"mx.{cast.NOTIFICATIONS_DOMAIN}"
HELPDESK_PORT = 587

# Listeners of the second relay, each without one of the defences.
NO_MILTERS = 2525
"""Nobody judges what comes back."""
NAIVE_SIGNER = 2526
"""Nobody judges, and the signer signs whatever is from the notifications domain."""
OUTBOUND_RULES = 2527
"""It is judged as if the helpdesk had sent it."""
UNSIGNED_MAP = 2528
"""Whatever has the form of a return address is one."""
NO_LIMITS = 2529
"""All errors are answered."""

_NAMESERVER = "127.0.0.1"
_ADDRESSES = (
    *(RELAY, INSTANCE, INSIDE, JULIAS, MARKYS, OLD, EVIL, BOTNET),
    cast.HELPDESK_IPV4,
)
_RETURN = f"""\
[return]
keys = "{KEY_FILE}"
[[tenant]]
match = {{ "X-Relay-Tenant" = "tickets" }}
return = {{ domain = "{TICKETS_DOMAIN}", deliver_to = "{TICKETS}" }}
[helpdesk]
networks = ["{cast.HELPDESK_NETWORK}", "127.0.0.0/8"]
[dkim]
internal_hosts = ["127.0.0.1", "{cast.HELPDESK_NETWORK}"]
signs = [{{ domain = "{cast.NOTIFICATIONS_DOMAIN}", selector = "{cast.SELECTOR}" }}]
"""
_CARELESS = """\
[helpdesk]
networks = ["0.0.0.0/0"]
[dkim]
verify = true
"""
_HELO_SPF = f"v=spf1 a ip6:{cast.RELAY_IPV6} -all"
_ZONE = f"""\
{cast.SPF_INCLUDE}. TXT "v=spf1 ip4:{RELAY} ip4:{INSIDE} ip6:{cast.RELAY_IPV6} -all"
{cast.RELAY}. A {RELAY}
{cast.RELAY}. TXT "{_HELO_SPF}"
smtp3.easyredmine.com. A {INSIDE}
smtp3.easyredmine.com. TXT "{_HELO_SPF}"
{NOTIFICATIONS_MX}. A {INSTANCE}
{NOTIFICATIONS_MX}. TXT "v=spf1 a -all"
{cast.NOTIFICATIONS_DOMAIN}. MX 10 {NOTIFICATIONS_MX}.
{cast.NOTIFICATIONS_DOMAIN}. TXT "v=spf1 include:{cast.SPF_INCLUDE} ip4:{INSTANCE} -all"
{TICKETS_DOMAIN}. MX 10 smtp3.easyredmine.com.
{TICKETS_DOMAIN}. TXT "v=spf1 include:{cast.SPF_INCLUDE} -all"
mx.customer.com. A {JULIAS}
mx.customer.com. TXT "v=spf1 a -all"
customer.com. MX 10 mx.customer.com.
customer.com. TXT "v=spf1 mx -all"
{cast.SELECTOR}._domainkey.customer.com. TXT "v=DKIM1; k=rsa; p=MI"
unsigned.com. MX 10 mx.customer.com.
unsigned.com. TXT "v=spf1 mx -all"
staff.com. MX 10 mx.customer.com.
victim.com. MX 10 mx.customer.com.
victim.com. TXT "v=spf1 -all"
careless.com. MX 10 mx.customer.com.
careless.com. TXT "v=spf1 +all"
hosted.com. MX 10 mx.customer.com.
hosted.com. TXT "v=spf1 ip4:{EVIL} -all"
mx.mycompany.com. A {MARKYS}
mx.mycompany.com. TXT "v=spf1 a -all"
mycompany.com. MX 10 mx.mycompany.com.
mycompany.com. TXT "v=spf1 mx -all"
mx.old.com. A {OLD}
old.com. MX 10 mx.old.com.
old.com. TXT "v=spf1 mx -all"
happycustomer.com. TXT "v=spf1 include:{cast.SPF_INCLUDE} -all"
juliacorp.cz. TXT "v=spf1 -all"
evil.com. TXT "v=spf1 ip4:{EVIL} ip4:{BOTNET} -all"
"""
_WITH_POLICY = (
    *("easyredmine.com", "customer.com", "unsigned.com", "victim.com", "mycompany.com"),
    *("old.com", "happycustomer.com", "juliacorp.cz", TICKETS_DOMAIN),
)
_SERVER = """\
compatibility_level = 3.6
inet_protocols = ipv4
biff = no
smtpd_peername_lookup = no
in_flow_delay = 0
queue_run_delay = 1s
minimal_backoff_time = 3s
maximal_backoff_time = 3s
"""
"""What all have; the last lines are seconds in the place of minutes."""
_RELAYS = """\
myhostname = {name}
inet_interfaces = {address}
smtp_bind_address = {address}
mynetworks = {network}
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
2bounce_notice_recipient = {staff}
"""
_RECEIVER = """\
myhostname = {name}
inet_interfaces = {addresses}
smtp_bind_address = {address}
mynetworks = {address}
relay_domains = {domains}
relay_recipient_maps =
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_recipient_restrictions =
    check_recipient_access inline:{{ {{ dead@{domain} = 550 5.1.1 gone }} }}
smtpd_client_restrictions = check_client_access hash:$config_directory/clients
transport_maps = inline:{{ {transports} }}
notify_classes =
header_checks = regexp:{{ {{ /^Authentication-Results:.*{pattern}/ IGNORE }} }}
"""


@dataclass(frozen=True, slots=True)
class Entrance(Listener):
    """A listener with *more* options, and cleanup options of its own."""

    more: tuple[str, ...] = ()
    cleanup: tuple[str, ...] = ()

    def service(self) -> str:
        """Return the entry of master.cf."""
        more = self.more
        own = ""
        if self.cleanup:
            more = (*more, *self.cleanup, f"cleanup_service_name=cleanup{self.port}")
            own = f"cleanup{self.port} unix n - n - 0 cleanup\n" + _options(self.cleanup)
        return Listener.service(self) + _options(more) + own


@dataclass(frozen=True, slots=True)
class ShippedEntrance(Listener):
    """The listener of a shipped master.cf."""

    text: str = ""

    def service(self) -> str:
        """Return the entry of master.cf, at an address, in no chroot, and without pauses."""
        place = f"{self.address}:{self.port} inet n - n"
        text, count = re.subn(r"^smtp +inet +n +- +[yn]", place, self.text, flags=re.MULTILINE)
        assert count == 1
        return text.replace("smtpd_error_sleep_time=1s", "smtpd_error_sleep_time=0")


@dataclass(frozen=True, slots=True)
class WayBackLab:
    """All that runs."""

    nameserver: Nameserver
    zone: str
    outbound: Alignd
    back: Return
    relay: Postfix
    instance: Postfix
    inside: Postfix
    julias: Postfix
    markys: Postfix
    julia: Inbox
    """What Julia's server has delivered."""
    marky: Inbox

    @contextmanager
    def no_map(self) -> Iterator[None]:
        """Have nobody at the socket of the map, and end the process that has served it."""
        away = self.back.map_path.with_suffix(".away")
        self.back.map_path.rename(away)
        self.kill_map()
        try:
            yield
        finally:
            away.rename(self.back.map_path)

    def kill_map(self) -> None:
        """Kill the process of the map; another takes its place."""
        before = wait_until(self.back.map_process, "the map")
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: self.back.map_process() not in {before, None}, "another map")

    @contextmanager
    def stopped_map(self) -> Iterator[None]:
        """Have the map hang."""
        process = wait_until(self.back.map_process, "the map")
        stop(process)
        try:
            yield
        finally:
            os.kill(process, signal.SIGCONT)

    @contextmanager
    def markys_blocks(self, client: str) -> Iterator[None]:
        """Have Marky's server refuse all that comes from this address."""
        self._set_clients(f"{client} 550 5.7.1 too much spam from you\n")
        try:
            yield
        finally:
            self._set_clients("")

    def _set_clients(self, text: str) -> None:
        path = self.markys.directory / "etc/clients"
        path.write_text(text)
        made = path.with_suffix(".db")
        age = made.stat().st_mtime - 1
        subprocess.run(["postmap", "-c", str(path.parent), f"hash:{path}"], check=True)
        # Postfix reads a table again whose time of change is another second.
        os.utime(made, (age, age))

    def evidence(self) -> str:
        """What explains a failure."""
        servers = (self.relay, self.instance, self.inside, self.julias, self.markys)
        services = (self.outbound, self.back.alignd)
        return "\n".join(each.evidence() for each in (*services, *servers))


@contextmanager
def run_way_back() -> Iterator[WayBackLab]:
    """Run all of it in namespaces that this thread enters."""
    with entered() as directory, ExitStack() as running:
        start = running.enter_context
        furnish(directory, _ADDRESSES, _NAMESERVER)
        record_syslog(Path("/dev/log"), directory / "syslog.log")
        daemons = directory / "daemons"
        for place in (daemons, daemons / "julia", daemons / "marky"):
            place.mkdir()
            place.chmod(0o777)  # OpenDKIM and OpenDMARC make their sockets as users of their own
        key = SigningKey.make(daemons)
        nameserver = start(run_nameserver(port=53))
        zone = _published(key)
        nameserver.serve(zone)
        with ThreadPoolExecutor() as pool:
            dns = f"{_NAMESERVER}:53"
            serving = pool.submit(start, run_alignd(directory / "outbound", dns, _RETURN))
            returning = pool.submit(start, run_return(directory / "return", dns, _RETURN))
            careless = pool.submit(start, run_alignd(directory / "careless", dns, _CARELESS))
            outbound, back = serving.result(), returning.result()
            julia, marky = start(run_inbox()), start(run_inbox())
            helpdesk = f"{outbound.socket}, {start(_run_relay_signer(daemons, key))}"
            shipped = _shipped(daemons, key, back, running)
            texts = shipped[Layout.RETURN_INSIDE]
            listeners = [
                Listener(INSIDE, HELPDESK_PORT, helpdesk),
                ShippedEntrance(INSIDE, 25, text=texts["master.cf"]),
                *_undefended(daemons, key, careless.result(), texts, running),
            ]
            postfixes = (
                _run_relay(directory / "relay", helpdesk),
                _run_instance(directory / "instance", shipped[Layout.RETURN]),
                _run_inside(directory / "inside", texts, listeners, helpdesk),
                _run_julias(directory / "julias", daemons / "julia", key, julia.port),
                _run_markys(directory / "markys", daemons / "marky", marky.port),
            )
            relay, instance, inside, julias, markys = pool.map(start, postfixes)
        yield WayBackLab(
            *(nameserver, zone, outbound, back, relay, instance, inside, julias, markys),
            *(julia, marky),
        )


def _published(key: SigningKey) -> str:
    policies = "".join(f'_dmarc.{name}. TXT "v=DMARC1; p=reject"\n' for name in _WITH_POLICY)
    zone = key.publish(world(_ZONE + policies))
    own = f"{cast.SELECTOR}._domainkey.customer.com. "
    record = next(line for line in zone.splitlines() if line.startswith(own))
    return zone + record.replace(own, f"return1._domainkey.{cast.NOTIFICATIONS_DOMAIN}. ") + "\n"


@contextmanager
def _run_relay_signer(daemons: Path, key: SigningKey) -> Iterator[str]:
    hosts = ("127.0.0.1", cast.HELPDESK_NETWORK)
    ours = Tables.of("", key.path)
    tables = Tables(ours.signing, ours.keys, internal_hosts=hosts)
    with run_signer(daemons, "relay", tables, _NAMESERVER) as socket:
        yield f"unix:{socket}"


def _shipped(
    daemons: Path, key: SigningKey, back: Return, running: ExitStack
) -> Mapping[Layout, Mapping[str, str]]:
    """The lines and tables of both ways, for this configuration and the signer, which it runs."""
    way_back = way_back_of(load_configuration(back.alignd.config_path))
    parameters = LayoutParameters(parse_endpoint(back.alignd.socket))
    texts = {
        layout: {file: return_lines(layout, file, way_back, parameters) for file in files}
        for layout, files in RETURN_FILES.items()
    }
    own = texts[Layout.RETURN]
    for name in ("opendkim-return.hosts", "opendkim-return.signing", "opendkim-return.keys"):
        text = re.sub(r"/etc/opendkim/keys/\S+", str(key.path), own[name])
        (daemons / name).write_text(text)
    settings = own["opendkim-return.conf"].replace("/etc/", f"{daemons}/")
    settings = re.sub(r"^(Syslog|UserID|UMask|Socket) .*\n", "", settings, flags=re.MULTILINE)
    signer = running.enter_context(run_opendkim(daemons, "return", settings, _NAMESERVER))
    place = ("unix:opendkim-return/opendkim.sock", f"unix:{signer}")
    return {
        layout: {
            name: text.replace(*place).replace(" root\n", f" {STAFF}\n")
            for name, text in each.items()
        }
        for layout, each in texts.items()
    }


@contextmanager
def _run_relay(directory: Path, milters: str) -> Iterator[Postfix]:
    settings = _SERVER + _RELAYS.format(
        name=cast.RELAY, address=RELAY, network=cast.HELPDESK_NETWORK, staff=STAFF
    )
    listeners = [Listener(RELAY, HELPDESK_PORT, milters)]
    with run_postfix(directory, settings, listeners) as postfix:
        yield postfix


@contextmanager
def _run_instance(directory: Path, shipped: Mapping[str, str]) -> Iterator[Postfix]:
    own = f"2bounce_notice_recipient = {STAFF}\nsmtpd_error_sleep_time = 0\n"
    # Its milters are in main.cf, for all its listeners.
    listeners = [_Plain(INSTANCE, 25)]
    tables = {name: shipped[name] for name in TABLES}
    with run_postfix(directory, _SERVER + shipped["main.cf"] + own, listeners, tables) as postfix:
        yield postfix


class _Plain(Listener):
    """A listener with what main.cf says."""

    def service(self) -> str:
        return f"{self.address}:{self.port} inet n - n - - smtpd\n"


@contextmanager
def _run_inside(
    directory: Path, shipped: Mapping[str, str], listeners: list[Listener], milters: str
) -> Iterator[Postfix]:
    settings = _RELAYS.format(
        name="smtp3.easyredmine.com", address=INSIDE, network=cast.HELPDESK_NETWORK, staff=STAFF
    )
    settings += f"non_smtpd_milters = {milters}\n"
    tables = {name: shipped[name] for name in TABLES}
    with run_postfix(
        directory, _SERVER + settings + shipped["main.cf"], listeners, tables
    ) as postfix:
        yield postfix


def _undefended(
    daemons: Path,
    key: SigningKey,
    careless: Alignd,
    shipped: Mapping[str, str],
    running: ExitStack,
) -> list[Listener]:
    """The listeners that do without one defence each."""
    ours = Tables.of("", key.path)
    tables = Tables(ours.signing, ours.keys, internal_hosts=("0.0.0.0/0",))
    signer = f"unix:{running.enter_context(run_signer(daemons, 'naive', tables, _NAMESERVER))}"
    unsigned = (
        "{ virtual_alias_maps = regexp:{ "
        rf"{{/^(.+)=([^=]+)=[^=@]+@{re.escape(cast.NOTIFICATIONS_DOMAIN)}$$/ $$1@$$2}} }} }}"
    )
    found = re.search(r"smtpd_milters = (.*) }$", shipped["master.cf"], re.MULTILINE)
    assert found
    free = ("smtpd_hard_error_limit=1000", "smtpd_error_sleep_time=0")
    return [
        Listener(INSIDE, NO_MILTERS),
        Listener(INSIDE, NAIVE_SIGNER, signer),
        Listener(INSIDE, OUTBOUND_RULES, f"{careless.socket}, {signer}"),
        Entrance(INSIDE, UNSIGNED_MAP, cleanup=(unsigned,)),
        Entrance(INSIDE, NO_LIMITS, found[1], more=free),
    ]


@contextmanager
def _run_julias(
    directory: Path, daemons: Path, key: SigningKey, inbox_port: int
) -> Iterator[Postfix]:
    tables = Tables(
        "*@customer.com customer.com\n",
        f"customer.com customer.com:{cast.SELECTOR}:{key.path}\n",
        internal_hosts=(JULIAS,),
    )
    domains = (
        *("customer.com", "unsigned.com", "staff.com"),
        *("victim.com", "careless.com", "hosted.com"),
    )
    settings = _receiver("mx.customer.com", domains, (JULIAS,), inbox_port)
    with (
        run_signer(daemons, "signer", tables, _NAMESERVER) as signer,
        _run_checks(daemons, "mx.customer.com") as checks,
    ):
        listeners = [
            Listener(JULIAS, 25, checks),
            Listener(JULIAS, HELPDESK_PORT, f"unix:{signer}"),
        ]
        with run_postfix(directory, settings, listeners, {"clients": ""}) as postfix:
            yield postfix


@contextmanager
def _run_markys(directory: Path, daemons: Path, inbox_port: int) -> Iterator[Postfix]:
    domains = ("mycompany.com", "old.com")
    settings = _receiver("mx.mycompany.com", domains, (MARKYS, OLD), inbox_port)
    # A mailbox that forwards to its own return address.
    again = return_address(Kind.AUTHOR, CIRCULAR)
    settings += f"virtual_alias_maps = inline:{{ {{ {CIRCULAR} = {again} }} }}\n"
    with _run_checks(daemons, "mx.mycompany.com") as checks:
        listeners = [
            Listener(MARKYS, 25, checks),
            Listener(MARKYS, HELPDESK_PORT),
            # Postfix takes a server that has SMTPUTF8 for one that has 8BITMIME.
            Entrance(OLD, 25, checks, more=("smtpd_discard_ehlo_keywords=8bitmime,smtputf8",)),
        ]
        with run_postfix(directory, settings, listeners, {"clients": ""}) as postfix:
            yield postfix


@contextmanager
def _run_checks(daemons: Path, name: str) -> Iterator[str]:
    with (
        run_verifier(daemons, name, _NAMESERVER) as verifier,
        run_opendmarc(daemons, name) as opendmarc,
    ):
        yield f"unix:{verifier}, unix:{opendmarc}"


def _receiver(
    name: str, domains: tuple[str, ...], addresses: tuple[str, ...], inbox_port: int
) -> str:
    """A server that takes mail for *domains*, and lets it end in an inbox.

    Nobody is "dead" there, which it says at once, and nobody is "gone", which it says later.
    """
    inbox = f"smtp:[127.0.0.1]:{inbox_port}"
    transports = {f"gone@{domains[0]}": "error:5.1.1 no such mailbox"}
    transports |= dict.fromkeys(domains, inbox)
    return _SERVER + _RECEIVER.format(
        name=name,
        addresses=", ".join(addresses),
        address=addresses[0],
        domains=", ".join(domains),
        domain=domains[0],
        transports=", ".join(f"{{ {key} = {value} }}" for key, value in transports.items()),
        pattern=name.replace(".", r"\."),
    )


def _options(options: tuple[str, ...]) -> str:
    return "".join(f"  -o {option}\n" for option in options)
