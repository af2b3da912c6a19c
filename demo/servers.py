"""The mail servers of the story: the DNS, the vendor's relay, Julia's server and Marky's."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

from tests.lab import cast
from tests.lab.alignd import run_alignd, run_return
from tests.lab.namespaces import furnish
from tests.lab.opendkim import SigningKey, Tables, run_signer, run_verifier
from tests.lab.opendmarc import run_opendmarc
from tests.lab.postfix import Listener, Postfix, run_postfix
from tests.lab.syslog import record_syslog
from tests.lab.unbound import ROOT_RECORDS, run_unbound

# Two listeners of the relay: with alignd, and as it would be without.
PORT_WITH_ALIGND = 25
PORT_WITHOUT_ALIGND = 2525
# Where Julia hands in her mail: with her company's signature, and without.
PORT_SIGNED = 587
PORT_UNSIGNED = 588

GONE = f"gone@{cast.RECEIVER_DOMAIN}"
"""A mailbox that Julia's server does not have."""
FORGER_IPV4 = "198.51.100.66"

_ZONE = Path(__file__).with_name("story.zone")
# Every daemon of the demo sits at one of these: OpenDMARC and others ignore 127.0.0.1.
_NAMESERVER = "192.0.2.53"
_ADDRESSES = (
    *(_NAMESERVER, *cast.RELAY_ADDRESSES, cast.HELPDESK_IPV4, cast.RECEIVER_IPV4),
    *(cast.RETURN_IPV4, cast.COMPANY_IPV4, FORGER_IPV4),
)
_JULIAS_SELECTOR = "mail"
_EVERYBODY = ("0.0.0.0/0", "::/0")

# The nameserver that it asks is that of the machine.
_ALIGND = """\
[helpdesk]
networks = ["{network}"]
[dkim]
# The helpdesk is on another host, and OpenDKIM would sign for this one alone.
internal_hosts = ["127.0.0.1", "{network}"]
[dns]
nameservers = []
[return]
keys = "{keys}"
"""
_RELAY = f"""\
myhostname = {cast.RELAY}
inet_interfaces = {cast.RELAY_IPV4}, {cast.RELAY_IPV6}
smtp_bind_address = {cast.RELAY_IPV4}
smtp_bind_address6 = {cast.RELAY_IPV6}
mynetworks = {cast.HELPDESK_NETWORK}
smtpd_relay_restrictions = permit_mynetworks, reject
"""
# A Postfix of its own, with an address and a name of its own: what comes back is not all good, and
# must not spoil the name of the relay.
_BACK = """\
myhostname = {name}
inet_interfaces = {address}
smtp_bind_address = {address}
mynetworks =
smtpd_relay_restrictions = reject_unauth_destination
disable_mime_output_conversion = yes
virtual_alias_domains = {domain}
virtual_alias_maps = pipemap:{{ regexp:{directory}/return-domain, \
proxy:socketmap:unix:{map}:return }}
"""
_RETURN_DOMAIN = f"/^(.*@{cast.NOTIFICATIONS_DOMAIN.replace('.', '[.]')})$/ $1\n"
# Nobody outside may speak in the name of this server's own checks.
_COMPANY = """\
myhostname = {name}
inet_interfaces = {address}
smtp_bind_address = {address}
mynetworks = {address}
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_recipient_restrictions = check_recipient_access inline:{{ {{ {gone} = 550 5.1.1 gone }} }}
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {mailboxes}
virtual_mailbox_maps = static:{domain}/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
header_checks = regexp:{{ {{ /^Authentication-Results:.*{pattern}/ IGNORE }} }}
"""

T = TypeVar("T")
Step = Callable[[str], AbstractContextManager[object]]


class Start(Protocol):
    """Runs something until the demo ends."""

    def __call__(self, context: AbstractContextManager[T], /) -> T: ...


@dataclass(frozen=True, slots=True)
class Company:
    """A company's mail server, which rejects what fails DMARC, and where its mail arrives."""

    postfix: Postfix
    inbox: Path


@dataclass(frozen=True, slots=True)
class Servers:
    """The mail servers of the story."""

    relay: Postfix
    back: Postfix
    """Takes what comes back to the helpdesk's addresses."""
    julias: Company
    markys: Company


@contextmanager
def run_servers(directory: Path, step: Step) -> Iterator[Servers]:
    """Run everything, each part started within a *step*, with files below *directory*."""
    with ExitStack() as running:
        start = running.enter_context
        with step("A network of its own, where nothing touches this machine"):
            furnish(directory, _ADDRESSES, _NAMESERVER)
            record_syslog(Path("/dev/log"), directory / "syslog.log")
            # OpenDKIM and OpenDMARC make their sockets as users of their own.
            daemons = [_opened(directory / name) for name in ("daemons", "julias", "markys")]
        with step("DNS: the story's zones, with fresh DKIM keys for the relay and for Julia"):
            key = SigningKey.make(daemons[0])
            julias = SigningKey.make(daemons[1], cast.RECEIVER_DOMAIN, _JULIAS_SELECTOR)
            zone = f"{_ZONE.read_text()}{ROOT_RECORDS}{key.record}{julias.record}"
            start(run_unbound(zone, 53, address=_NAMESERVER, parent=directory))
        settings = _alignd_settings(directory)
        with step(f"The relay, {cast.RELAY}: Postfix, alignd, OpenDKIM"):
            relay = _run_relay(directory, daemons[0], settings, key, start)
        with step(f"The way back, {cast.RETURN_MX}: Postfix, alignd return, OpenDKIM"):
            back = _run_back(directory, daemons[0], settings, key, start)
        with step(f"Julia's server, {cast.RECEIVER}: Postfix, OpenDKIM, OpenDMARC"):
            sender = start(run_signer(daemons[1], "signer", _julias_tables(julias), _NAMESERVER))
            listeners = (
                Listener(cast.RECEIVER_IPV4, PORT_SIGNED, f"unix:{sender}"),
                Listener(cast.RECEIVER_IPV4, PORT_UNSIGNED),
            )
            where = (cast.RECEIVER, cast.RECEIVER_IPV4, cast.RECEIVER_DOMAIN)
            hers = _run_company(directory, daemons[1], where, listeners, start)
        with step(f"Marky's server, {cast.COMPANY_MX}: Postfix, OpenDKIM, OpenDMARC"):
            where = (cast.COMPANY_MX, cast.COMPANY_IPV4, cast.COMPANY_DOMAIN)
            his = _run_company(directory, daemons[2], where, (), start)
        yield Servers(relay, back, hers, his)


def _run_relay(
    directory: Path, sockets: Path, settings: str, key: SigningKey, start: Start
) -> Postfix:
    alignd = start(run_alignd(directory / "alignd", _NAMESERVER, settings)).socket
    tables = Tables.of(settings, key.path)
    signer = f"unix:{start(run_signer(sockets, 'signer', tables, _NAMESERVER))}"
    listeners = (
        Listener(cast.RELAY_IPV4, PORT_WITH_ALIGND, f"{alignd}, {signer}"),
        Listener(cast.RELAY_IPV4, PORT_WITHOUT_ALIGND, signer),
    )
    return start(run_postfix(directory / "relay", _RELAY, listeners))


def _run_back(
    directory: Path, sockets: Path, settings: str, key: SigningKey, start: Start
) -> Postfix:
    service = start(run_return(directory / "return", _NAMESERVER, settings))
    # It signs for the notifications domain alone, and for every client: behind alignd, which has
    # refused what is from there and not of its own making.
    tables = replace(Tables.of("", key.path), internal_hosts=_EVERYBODY)
    signer = f"unix:{start(run_signer(sockets, 'return-signer', tables, _NAMESERVER))}"
    (directory / "return-domain").write_text(_RETURN_DOMAIN)
    postfix = _BACK.format(
        name=cast.RETURN_MX,
        address=cast.RETURN_IPV4,
        domain=cast.NOTIFICATIONS_DOMAIN,
        directory=directory,
        map=service.map_path,
    )
    listeners = [Listener(cast.RETURN_IPV4, 25, f"{service.alignd.socket}, {signer}")]
    return start(run_postfix(directory / "back", postfix, listeners))


def _run_company(
    directory: Path,
    sockets: Path,
    where: tuple[str, str, str],
    listeners: Sequence[Listener],
    start: Start,
) -> Company:
    name, address, domain = where
    verifier = start(run_verifier(sockets, name, _NAMESERVER))
    opendmarc = start(run_opendmarc(sockets, name))
    inbox = directory / domain
    inbox.mkdir()
    shutil.chown(inbox, "nobody")
    settings = _COMPANY.format(
        name=name,
        address=address,
        domain=domain,
        gone=GONE,
        mailboxes=directory,
        pattern=name.replace(".", r"\."),
    )
    checked = Listener(address, 25, f"unix:{verifier}, unix:{opendmarc}")
    postfix = start(run_postfix(directory / name, settings, (checked, *listeners)))
    return Company(postfix, inbox)


def _alignd_settings(directory: Path) -> str:
    """What both services of alignd are configured with, and the key of the return addresses."""
    keys = directory / "return.keys"
    keys.touch(mode=0o600)
    keys.write_text(f"sign {secrets.token_hex(32)}\n")
    return _ALIGND.format(network=cast.HELPDESK_NETWORK, keys=keys)


def _julias_tables(key: SigningKey) -> Tables:
    domain = cast.RECEIVER_DOMAIN
    keys = f"{domain} {domain}:{_JULIAS_SELECTOR}:{key.path}\n"
    return Tables(f"*@{domain} {domain}\n", keys, internal_hosts=(cast.RECEIVER_IPV4,))


def _opened(directory: Path) -> Path:
    directory.mkdir()
    directory.chmod(0o777)
    return directory
