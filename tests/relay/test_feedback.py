"""`alignd feedback` on what a real Postfix and a real alignd have logged of real refusals."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from alignd.cli.main import main
from tests.lab.alignd import Alignd, Fleet
from tests.lab.nameserver import Nameserver
from tests.lab.postfix import Postfix, obstacle, run_relay
from tests.lab.processes import missing_programs
from tests.lab.readiness import wait_for_line
from tests.lab.settings import world
from tests.lab.sink import run_inbox
from tests.lab.submission import submit
from tests.support.program import run_program
from tests.verifiers.sending import Sending

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
]

ZONE = """\
good.example.         TXT "v=spf1 include:spf.mailing.easy.cz -all"
_dmarc.good.example.  TXT "v=DMARC1; p=reject"
mycompany.com.        TXT "v=spf1 -all"
_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"
"""
# What a receiver answers to a message with such a subject.
ANSWERS = {
    "dmarc": "REJECT 5.7.1 rejected by DMARC policy for good.example",
    "all": "REJECT 5.7.26 This mail does not have authentication information or fails SPF, DKIM",
    "spf": "REJECT 5.7.23 SPF validation failed",
    "long": f"REJECT 5.7.1 {'very ' * 300} long, rejected by DMARC policy",
    "spam": "REJECT 5.7.1 Message rejected as spam",
}
_CHECKS = " ".join(f"{{ /^Subject: {word}$$/ {answer} }}" for word, answer in ANSWERS.items())
# A relay whose own name greets it would take that for a loop.
RECEIVER = f"myhostname = mx.customer.com\nheader_checks = regexp:{{ {_CHECKS} }}\n"


@pytest.fixture(scope="module")
def alignd(fleet: Fleet) -> Alignd:
    return fleet.alignd()


@pytest.fixture(scope="module")
def relay(alignd: Alignd) -> Iterator[Postfix]:
    with (
        run_inbox() as inbox,
        run_relay({"in": ""}, inbox.port, settings=RECEIVER) as receiver,
        run_relay({"in": alignd.socket}, receiver.ports["in"]) as relay,
    ):
        yield relay


def shown(log: Path) -> dict[str, int]:
    done = CliRunner().invoke(main, ["feedback", str(log), "--json"])
    rows = json.loads(done.stdout)["rows"]
    counts = Counter[str]()
    for row in rows:  # one for each receiver
        counts[f"{row['kind']} {row['domain']} {row['says']}"] += row["messages"]
    return counts


def test_every_refusal_is_joined_with_its_decision(
    nameserver: Nameserver, alignd: Alignd, relay: Postfix, tmp_path: Path
) -> None:
    nameserver.serve(world(ZONE))
    queue_ids = []
    for author in ("ann@good.example", "marky@mycompany.com"):
        for subject in (*ANSWERS, "welcome"):
            message = f"From: {author}\r\nSubject: {subject}\r\n\r\nHello\r\n".encode()
            sent = submit(
                relay.ports["in"], author, ["julia@customer.com", "jo@customer.com"], message
            )
            queue_ids.append(sent.queue_id)
    for queue_id in queue_ids:
        wait_for_line(relay.directory / "mail.log", rf"{queue_id}: removed", "the end of it")
    log = tmp_path / "log"
    log.write_text(alignd.log() + relay.log())

    assert "[truncated]" not in relay.log()
    assert shown(log) == {
        "lost good.example dmarc-failed": 1,
        "lost good.example not-authenticated": 1,
        "envelope good.example spf-failed": 1,
        "outage mycompany.com dmarc-failed": 1,
        "outage mycompany.com not-authenticated": 1,
        "outage mycompany.com spf-failed": 1,
        # The receiver looks into what they quote.
        "bounce  dmarc-failed": 2,
        "bounce  not-authenticated": 2,
        "bounce  spf-failed": 2,
    }


AUTHORISED = """\
good.example.         TXT "v=spf1 ip4:192.0.2.25 -all"
_dmarc.good.example.  TXT "v=DMARC1; p=reject"
"""
OUTAGE = """\
mycompany.com.        TXT "v=spf1 -all"
_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"
notifications.easysoftware.com. TXT "v=spf1 ip4:192.0.2.25 -all"
easy1._domainkey.notifications.easysoftware.com. TXT "v=DKIM1; p="
"""
MISSING = missing_programs(("ip", "opendkim", "opendkim-genkey", "opendmarc", "postfix", "rspamd"))


def sending(name: str, zone: str, author: str, config: str = "") -> Sending:
    message = f"From: {author}\r\nSubject: {name}\r\n\r\nHello\r\n".encode()
    recipients = ("julia@customer.example",)
    return Sending(name, zone, config, "127.0.0.1", None, author, recipients, message)


@pytest.mark.skipif(bool(MISSING), reason=f"needs {MISSING}")
def test_each_planted_fault_is_found_by_what_a_real_opendmarc_answers(tmp_path: Path) -> None:
    few = '[relay]\naddresses = ["192.0.2.25"]'
    exempt = '[rules]\nexempt = ["mycompany.com"]\nalign_envelope = false'
    sendings = [
        sending("all-is-right", ZONE, "ann@good.example"),
        # Each leaves over IPv4 and over IPv6, and alignd does not know of the second.
        sending("an-address-is-missing", AUTHORISED, "ann@good.example", few),
        sending("and-our-own-key-is-revoked", OUTAGE, "marky@mycompany.com", few),
        sending("a-rule-leaves-it", ZONE, "marky@mycompany.com", exempt),
    ]
    lines = run_program(
        "tests.verifiers.logs", lines=(each.to_json() for each in sendings), timeout=240
    )
    log = tmp_path / "log"
    log.write_text("\n".join(lines))

    found = {name: each for name, each in shown(log).items() if not name.startswith("bounce ")}
    assert found == {
        "lost good.example dmarc-failed": 1,
        "outage mycompany.com dmarc-failed": 1,
        "foretold mycompany.com dmarc-failed": 2,
    }
