"""What Postfix does to a rewritten message behind alignd, which docs/operation.md tells and doctor
checks."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from email import message_from_bytes

import pytest

from tests.lab import cast
from tests.lab.alignd import Fleet
from tests.lab.nameserver import Nameserver
from tests.lab.postfix import obstacle, run_relay_services
from tests.lab.readiness import free_ports
from tests.lab.settings import world
from tests.lab.sink import Arrival, Inbox, run_inbox
from tests.lab.submission import submit

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
]

ZONE = 'mycompany.com. TXT "v=spf1 -all"\n_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"\n'
MESSAGE = f"""\
From: Marky Mark <{cast.MARKY}>
To: Julia <{cast.JULIA}>
Subject: Re: ticket 12
Date: Fri, 27 Nov 2026 10:00:00 +0100
Message-ID: <12@helpdesk.example>

Hello{"!" * 100}
""".replace("\n", "\r\n").encode()
OURS = r"/^(.*)@notifications\.easysoftware\.com$$/ $$1@other.example"
MOVED = f"regexp:{{ {{{OURS}}} }}"
SRS = cast.BOUNCES.replace(cast.NOTIFICATIONS_DOMAIN, "other.example")
FROM = f'"Marky Mark {cast.VIA}" <{cast.NOTIFICATIONS}>'


@dataclass(frozen=True, slots=True)
class Behind:
    """Settings of the services that one message passes, and what arrives with them."""

    smtpd: tuple[str, ...] = ()
    cleanup: tuple[str, ...] = ()
    smtp: tuple[str, ...] = ()
    sender: str = cast.BOUNCES
    author: str = FROM
    subject: str | None = "Re: ticket 12"
    body: str = f"Hello{'!' * 100}\r\n"


UNTOUCHED = Behind()
BEHIND = {
    "nothing": UNTOUCHED,
    "sender-canonical-maps": Behind(cleanup=(f"sender_canonical_maps = {MOVED}",), sender=SRS),
    "canonical-maps": Behind(cleanup=(f"canonical_maps = {MOVED}",), sender=SRS),
    "canonical-maps-of-the-header": replace(
        UNTOUCHED,
        smtpd=("local_header_rewrite_clients = static:all",),
        cleanup=(f"canonical_maps = {MOVED}", "canonical_classes = header_sender"),
    ),
    "no-address-mappings": replace(
        UNTOUCHED,
        smtpd=("receive_override_options = no_address_mappings",),
        cleanup=(f"sender_canonical_maps = {MOVED}", "masquerade_domains = easysoftware.com"),
    ),
    "masquerade-domains": Behind(
        cleanup=("masquerade_domains = easysoftware.com",), sender="bounces@easysoftware.com"
    ),
    "smtp-generic-maps": Behind(
        smtp=(f"smtp_generic_maps = {MOVED}",),
        sender=SRS,
        author=FROM.replace(cast.NOTIFICATIONS_DOMAIN, "other.example"),
    ),
    "milter-header-checks": Behind(
        cleanup=("milter_header_checks = regexp:{ {/^From:/ REPLACE From: x@other.example} }",),
        author="x@other.example",
    ),
    "smtp-header-checks": Behind(
        smtp=("smtp_header_checks = regexp:{ {/^Subject:/ IGNORE} }",), subject=None
    ),
    "smtp-body-checks": Behind(
        smtp=("smtp_body_checks = regexp:{ {/^Hello.*/ REPLACE Bye} }",), body="Bye\r\n"
    ),
    "smtp-line-length-limit": Behind(
        smtp=("smtp_line_length_limit = 100",), body=f"Hello{'!' * 95}\r\n !!!!!\r\n"
    ),
    "header-checks": replace(
        UNTOUCHED,
        cleanup=("header_checks = regexp:{ {/^From: .*via/ REPLACE From: x@other.example} }",),
    ),
    "smtpd-proxy-filter": Behind(
        smtpd=("smtpd_proxy_filter = 127.0.0.1:{proxied}",),
        sender=cast.MARKY,
        author=f"Marky Mark <{cast.MARKY}>",
    ),
}
PROXIED = "behind-the-proxy"


@pytest.fixture(scope="module")
def inbox() -> Iterator[Inbox]:
    with run_inbox() as inbox:
        yield inbox


@pytest.fixture(scope="module")
def ports(fleet: Fleet, inbox: Inbox) -> Iterator[dict[str, int]]:
    """One Postfix with a listener, a cleanup and an smtp client for each of BEHIND."""
    names = (*BEHIND, PROXIED)
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    services = "".join(
        f"127.0.0.1:{ports[name]} inet n - n - - smtpd\n"
        + options(
            f"smtpd_milters = {fleet.alignd().socket}",
            f"cleanup_service_name = cleanup-{name}",
            f"content_filter = smtp-{name}:[127.0.0.1]:{inbox.port}",
            *(each.format(proxied=ports[PROXIED]) for each in behind.smtpd),
        )
        + f"cleanup-{name} unix n - n - 0 cleanup\n{options(*behind.cleanup)}"
        + f"smtp-{name} unix - - n - - smtp\n{options(*behind.smtp)}"
        for name, behind in BEHIND.items()
    )
    services += f"127.0.0.1:{ports[PROXIED]} inet n - n - - smtpd\n"
    with run_relay_services(services, ports, inbox.port):
        yield ports


def options(*settings: str) -> str:
    return "".join(f"  -o {{ {setting} }}\n" for setting in settings)


@pytest.mark.parametrize("name", BEHIND)
def test_what_arrives_is_what_is_told(
    name: str, nameserver: Nameserver, ports: dict[str, int], inbox: Inbox
) -> None:
    nameserver.serve(world(ZONE))
    expected = BEHIND[name]

    reply = submit(ports[name], cast.MARKY, [cast.JULIA], MESSAGE)
    arrival = inbox.wait_for(lambda arrival: arrival.came_as(reply.queue_id))

    told = (expected.sender, expected.author, expected.subject, expected.body)
    assert arrived(arrival) == told


def arrived(arrival: Arrival) -> tuple[str, str, str | None, str]:
    """What is told of a message."""
    message = message_from_bytes(arrival.message)
    body = arrival.message.partition(b"\r\n\r\n")[2].decode()
    return arrival.envelope_sender, message["From"], message["Subject"], body
