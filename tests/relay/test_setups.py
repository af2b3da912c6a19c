"""Rewritten mail leaves whole from a Postfix whose other settings are odd, old or rare."""

import subprocess
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest

from alignd.digest.digest import digest
from alignd.digest.facts import Facts
from alignd.digest.message import Addressed, as_message
from alignd.digest.sendmail import hand_over
from alignd.digest.week import Week
from alignd.languages.catalogues import load_texts
from alignd.languages.language import Language
from alignd.ledger.queries.traffic import Traffic
from alignd.mail.mailbox import Mailbox
from tests.lab import cast
from tests.lab.alignd import Fleet
from tests.lab.nameserver import Nameserver
from tests.lab.postfix import Postfix, obstacle, run_relay_services
from tests.lab.readiness import free_ports, wait_until
from tests.lab.settings import world
from tests.lab.sink import Arrival, Inbox, run_inbox
from tests.lab.submission import submit

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
]

ZONE = 'mycompany.com. TXT "v=spf1 -all"\n_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"\n'
PLAIN = f"From: Marky Mark <{cast.MARKY}>\r\nTo: {cast.JULIA}\r\nSubject: x\r\n\r\nhi\r\n".encode()
EVENTS = ("connect", "helo", "mail", "rcpt", "data", "end_of_header", "end_of_data")
# Postfix's own Received is gone, so that a field of the message is the first of its header.
NO_RECEIVED = "header_checks = regexp:{ {/^Received:/ IGNORE} }"
SETUPS = {
    "no-macros": (tuple(f"milter_{event}_macros =" for event in EVENTS), (), PLAIN),
    "an-old-protocol": (("milter_protocol = 2",), (), PLAIN),
    "from-on-top": ((), (NO_RECEIVED,), PLAIN),
    "empty-reply-to-on-top": ((), (NO_RECEIVED,), b"Reply-To: \r\n" + PLAIN),
}


@pytest.fixture(scope="module")
def inbox() -> Iterator[Inbox]:
    with run_inbox() as inbox:
        yield inbox


@pytest.fixture(scope="module")
def postfix(fleet: Fleet, inbox: Inbox) -> Iterator[Postfix]:
    """One Postfix with a listener and a cleanup for each of SETUPS."""
    milter = f"smtpd_milters = {fleet.alignd().socket}"
    setups = {name: (smtpd, cleanup) for name, (smtpd, cleanup, _) in SETUPS.items()}
    ports = dict(zip(setups, free_ports(len(setups)), strict=True))
    services = "pickup unix n - n 60 1 pickup\n" + "".join(
        f"127.0.0.1:{ports[name]} inet n - n - - smtpd\n"
        + options(milter, f"cleanup_service_name = cleanup-{name}", *smtpd)
        + f"cleanup-{name} unix n - n - 0 cleanup\n{options(*cleanup)}"
        for name, (smtpd, cleanup) in setups.items()
    )
    settings = f"non_smtpd_milters = {fleet.alignd().socket}\n"
    with run_relay_services(services, ports, inbox.port, settings=settings) as postfix:
        yield postfix


def options(*settings: str) -> str:
    return "".join(f"  -o {{ {setting} }}\n" for setting in settings)


def assert_rewritten(arrival: Arrival) -> None:
    message = message_from_bytes(arrival.message)
    assert arrival.envelope_sender == cast.BOUNCES
    (author,) = message.get_all("From", [])
    assert author == f'"Marky Mark {cast.VIA}" <{cast.NOTIFICATIONS}>'
    (reply_to,) = message.get_all("Reply-To", [])
    assert cast.MARKY in reply_to


@pytest.mark.parametrize("name", SETUPS)
def test_a_setup(name: str, nameserver: Nameserver, postfix: Postfix, inbox: Inbox) -> None:
    nameserver.serve(world(ZONE))
    _, _, message = SETUPS[name]

    reply = submit(postfix.ports[name], cast.MARKY, [cast.JULIA], message)
    postfix.wait_for_delivery(reply.queue_id)

    assert_rewritten(inbox.arrivals[-1])


def test_mail_of_sendmail(nameserver: Nameserver, postfix: Postfix, inbox: Inbox) -> None:
    nameserver.serve(world(ZONE))
    before = len(inbox.arrivals)
    command = ["/usr/sbin/sendmail", "-C", str(postfix.directory / "etc"), "-i"]

    subprocess.run(
        [*command, "-f", cast.MARKY, "--", cast.JULIA],
        input=PLAIN.replace(b"\r\n", b"\n"),
        timeout=30,
        check=True,
    )
    inbox.wait_for(lambda arrival: arrival in inbox.arrivals[before:])

    assert_rewritten(inbox.arrivals[before])


@pytest.mark.parametrize("language", Language, ids=lambda language: language.value)
def test_a_digest_leaves_as_it_is(
    language: Language,
    fleet: Fleet,
    nameserver: Nameserver,
    postfix: Postfix,
    inbox: Inbox,
    tmp_path: Path,
) -> None:
    nameserver.serve(world(ZONE))
    before, alignd = len(inbox.arrivals), fleet.alignd()
    logged = len(alignd.log())
    week = Week.ended(1_782_900_000.0)
    made = digest(Facts(week, None, (Traffic("", "mycompany.com", 9, 9),)), load_texts(language))
    sender = Mailbox("alignd", Mailbox.from_address(cast.NOTIFICATIONS).domain)
    message = as_message(
        made, Addressed(sender, [Mailbox.from_address(cast.JULIA)], week.until), language
    )
    sendmail = tmp_path / "sendmail"
    sendmail.write_text(f'#!/bin/sh\nexec /usr/sbin/sendmail -C "{postfix.directory}/etc" "$@"\n')
    sendmail.chmod(0o755)

    assert hand_over(str(sendmail), sender.address, [cast.JULIA], message) == ""
    arrival = inbox.wait_for(lambda arrival: arrival in inbox.arrivals[before:])

    assert arrival.envelope_sender == sender.address
    header, _, body = arrival.message.partition(b"\r\n\r\n")
    sent_header, _, sent_body = message.partition(b"\r\n\r\n")
    assert body.rstrip() == sent_body.rstrip()
    assert header.endswith(sent_header)
    assert b"Reply-To" not in header
    wait_until(lambda: "action=" in alignd.log()[logged:], "its line in the log")
    assert "action=pass" in alignd.log()[logged:]
