"""The mail servers of the story: the DNS, the vendor's relay and Julia's server, all running."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cast
from tests.lab.alignd import run_alignd
from tests.lab.namespaces import furnish
from tests.lab.opendkim import SigningKey, Tables, run_signer, run_verifier
from tests.lab.opendmarc import run_opendmarc
from tests.lab.postfix import Listener, Postfix, run_postfix
from tests.lab.syslog import record_syslog
from tests.lab.unbound import ROOT_RECORDS, run_unbound

# Two listeners of the relay: with alignd, and as it would be without.
PORT_WITH_ALIGND = 25
PORT_WITHOUT_ALIGND = 2525

_ZONE = Path(__file__).with_name("story.zone")
# Every daemon of the demo sits at one of these: OpenDMARC and others ignore 127.0.0.1.
_NAMESERVER = "192.0.2.53"
_ADDRESSES = (_NAMESERVER, *cast.RELAY_ADDRESSES, cast.HELPDESK_IPV4, cast.RECEIVER_IPV4)

# The nameserver that it asks is that of the machine.
_ALIGND = f"""\
[helpdesk]
networks = ["{cast.HELPDESK_NETWORK}"]
[dkim]
# The helpdesk is on another host, and OpenDKIM would sign for this one alone.
internal_hosts = ["127.0.0.1", "{cast.HELPDESK_NETWORK}"]
[dns]
nameservers = []
"""
_RELAY = f"""\
myhostname = {cast.RELAY}
inet_interfaces = {cast.RELAY_IPV4}, {cast.RELAY_IPV6}
smtp_bind_address = {cast.RELAY_IPV4}
smtp_bind_address6 = {cast.RELAY_IPV6}
mynetworks = {cast.HELPDESK_NETWORK}
smtpd_relay_restrictions = permit_mynetworks, reject
"""
# Nobody outside may speak in the name of this server's own checks.
_RECEIVER = """\
myhostname = {name}
inet_interfaces = {address}
mynetworks = {address}
smtpd_relay_restrictions = reject_unauth_destination
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {mailboxes}
virtual_mailbox_maps = static:inbox/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
header_checks = regexp:{{ {{ /^Authentication-Results:.*{pattern}/ IGNORE }} }}
"""

Step = Callable[[str], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Servers:
    """The two mail servers of the story, and where Julia's mail arrives."""

    relay: Postfix
    receiver: Postfix
    inbox: Path


@contextmanager
def run_servers(directory: Path, step: Step) -> Iterator[Servers]:
    """Run everything, each part started within a *step*, with files below *directory*."""
    with ExitStack() as running:
        start = running.enter_context
        with step("A network of its own, where nothing touches this machine"):
            furnish(directory, _ADDRESSES, _NAMESERVER)
            record_syslog(Path("/dev/log"), directory / "syslog.log")
            sockets = directory / "daemons"
            sockets.mkdir()
            # OpenDKIM and OpenDMARC make their sockets as users of their own.
            sockets.chmod(0o777)
        with step("DNS: the story's zones, with a fresh DKIM key for the relay"):
            key = SigningKey.make(sockets)
            zone = f"{_ZONE.read_text()}{ROOT_RECORDS}{key.record}"
            start(run_unbound(zone, 53, address=_NAMESERVER, parent=directory))
        with step(f"The relay, {cast.RELAY}: Postfix, alignd, OpenDKIM"):
            alignd = start(run_alignd(directory / "alignd", _NAMESERVER, _ALIGND)).socket
            tables = Tables.of(_ALIGND, key.path)
            signer = f"unix:{start(run_signer(sockets, 'signer', tables, _NAMESERVER))}"
            listeners = (
                Listener(cast.RELAY_IPV4, PORT_WITH_ALIGND, f"{alignd}, {signer}"),
                Listener(cast.RELAY_IPV4, PORT_WITHOUT_ALIGND, signer),
            )
            relay = start(run_postfix(directory / "relay", _RELAY, listeners))
        with step(f"Julia's server, {cast.RECEIVER}: Postfix, OpenDKIM, OpenDMARC"):
            verifier = start(run_verifier(sockets, cast.RECEIVER, _NAMESERVER))
            opendmarc = start(run_opendmarc(sockets, cast.RECEIVER))
            checks = f"unix:{verifier}, unix:{opendmarc}"
            inbox = directory / "inbox"
            receiver = start(_run_receiver(directory / "receiver", inbox, checks))
        yield Servers(relay, receiver, inbox)


def _run_receiver(directory: Path, inbox: Path, checks: str) -> AbstractContextManager[Postfix]:
    inbox.mkdir()
    shutil.chown(inbox, "nobody")
    settings = _RECEIVER.format(
        name=cast.RECEIVER,
        address=cast.RECEIVER_IPV4,
        domain=cast.RECEIVER_DOMAIN,
        mailboxes=inbox.parent,
        pattern=cast.RECEIVER.replace(".", r"\."),
    )
    return run_postfix(directory, settings, [Listener(cast.RECEIVER_IPV4, 25, checks)])
