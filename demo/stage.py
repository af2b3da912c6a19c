"""Sets the scene: the DNS, the vendor's relay and Julia's mail server, all started and ready."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from demo import daemons
from demo.postfix import Listener, Postfix
from tests.lab import cast, namespaces
from tests.lab.syslog import record_syslog

ZONE = Path(__file__).with_name("story.zone")

Step = Callable[[str], AbstractContextManager[object]]

RELAY = {
    "myhostname": cast.RELAY,
    "inet_interfaces": f"{cast.RELAY_IPV4}, {cast.RELAY_IPV6}",
    "smtp_bind_address": cast.RELAY_IPV4,
    "smtp_bind_address6": cast.RELAY_IPV6,
    "mynetworks": cast.HELPDESK_NETWORK,
    "smtpd_relay_restrictions": "permit_mynetworks, reject",
}

RECEIVER = {
    "myhostname": cast.RECEIVER,
    "inet_interfaces": cast.RECEIVER_IPV4,
    "mynetworks": cast.RECEIVER_IPV4,
    "smtpd_relay_restrictions": "reject_unauth_destination",
    "virtual_mailbox_domains": cast.RECEIVER_DOMAIN,
    "virtual_mailbox_maps": "static:inbox/",
    "virtual_uid_maps": "static:65534",
    "virtual_gid_maps": "static:65534",
    # Nobody outside may speak in the name of this server's own checks.
    "header_checks": "regexp:{{ {{ /^Authentication-Results:.*{}/ IGNORE }} }}".format(
        cast.RECEIVER.replace(".", r"\.")
    ),
}


@dataclass(frozen=True, slots=True)
class Stage:
    """The two mail servers of the story, and where Julia's mail arrives."""

    relay: Postfix
    receiver: Postfix
    inbox: Path


def set_stage(directory: Path, step: Step) -> Stage:
    """Start everything, each part within a *step*, with files below *directory*."""
    with step("A network of its own, where nothing touches this machine"):
        namespaces.furnish(directory, cast.ADDRESSES, cast.NAMESERVER)
        record_syslog(Path("/dev/log"), directory / "syslog.log")
        sockets = directory / "daemons"
        sockets.mkdir()
        # OpenDKIM and OpenDMARC make their sockets as users of their own.
        sockets.chmod(0o777)
    with step("DNS: the story's zones, with a fresh DKIM key for the relay"):
        zone = ZONE.read_text() + daemons.make_signing_key(sockets)
        daemons.start_nameserver(sockets, zone)
    with step(f"The relay, {cast.RELAY}: Postfix, alignd, OpenDKIM"):
        alignd = daemons.start_alignd(sockets)
        relay = _start_relay(directory / "relay", alignd, daemons.start_signer(sockets))
    with step(f"Julia's server, {cast.RECEIVER}: Postfix, OpenDKIM, OpenDMARC"):
        checks = (daemons.start_verifier(sockets), daemons.start_dmarc(sockets))
        inbox = directory / "inbox"
        receiver = _start_receiver(directory / "receiver", inbox, checks)
    return Stage(relay, receiver, inbox)


def _start_relay(directory: Path, alignd: Path, signer: Path) -> Postfix:
    relay = Postfix(directory)
    listeners = (
        Listener(cast.RELAY_IPV4, cast.PORT_WITH_ALIGND, (alignd, signer)),
        Listener(cast.RELAY_IPV4, cast.PORT_WITHOUT_ALIGND, (signer,)),
    )
    relay.start(RELAY, listeners)
    return relay


def _start_receiver(directory: Path, inbox: Path, checks: tuple[Path, ...]) -> Postfix:
    inbox.mkdir()
    shutil.chown(inbox, "nobody")
    receiver = Postfix(directory)
    listener = Listener(cast.RECEIVER_IPV4, 25, checks)
    receiver.start(RECEIVER | {"virtual_mailbox_base": str(inbox.parent)}, (listener,))
    return receiver
