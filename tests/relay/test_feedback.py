"""`alignd feedback` on what a real Postfix and a real alignd have logged of real refusals."""

import json
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from alignd.cli.main import main
from tests.lab.alignd import Alignd, Fleet
from tests.lab.nameserver import Nameserver
from tests.lab.postfix import Postfix, obstacle, run_relay
from tests.lab.processes import missing_programs
from tests.lab.readiness import wait_for_line, wait_until
from tests.lab.settings import world
from tests.lab.sink import run_inbox
from tests.lab.submission import submit
from tests.support.commandline import PROGRAM
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


TENANT = """\
[[tenant]]
name = "mycompany"
match = { X-Redmine-Host = "mycompany.easyredmine.com" }
"""


def test_a_wrong_pass_is_told_of_within_a_minute(
    nameserver: Nameserver, fleet: Fleet, tmp_path: Path
) -> None:
    nameserver.serve(world(ZONE))
    ledger, log, told = tmp_path / "ledger.sqlite", tmp_path / "log", tmp_path / "told"
    state, err, program = tmp_path / "state", tmp_path / "err", tmp_path / "tell"
    program.write_text(f"#!/bin/sh\ncat >> {told}\n")
    program.chmod(0o755)
    log.write_text("")
    alignd = fleet.alignd(
        f'[ledger]\nurl = "sqlite:///{ledger}"\n'
        f'[notify]\ncommand = ["{program}"]\nkinds = ["rejected"]\n{TENANT}'
    )
    with (
        run_inbox() as inbox,
        run_relay({"in": ""}, inbox.port, settings=RECEIVER) as receiver,
        run_relay({"in": alignd.socket}, receiver.ports["in"]) as relay,
        err.open("w") as stream,
    ):
        recorder = subprocess.Popen(
            [
                *(*PROGRAM, "feedback", str(log), "--follow", "--record"),
                *("--state", str(state), "--config", str(alignd.config_path)),
            ],
            stderr=stream,
        )
        try:
            wait_until(lambda: "are followed" in err.read_text(), "it to follow")
            queue_id = refused(relay, "marky@mycompany.com")
            begin = time.monotonic()
            log.write_text(alignd.log() + relay.log())  # as they come into one file elsewhere
            wait_until(lambda: told.exists() and told.read_text(), "somebody to be told")
            seconds = time.monotonic() - begin
            recorder.terminate()
            assert recorder.wait(30) == 0
        finally:
            recorder.kill()
            recorder.wait()

    assert seconds < 60.0
    assert f"{queue_id}: action=rewrite domain=mycompany.com tenant=mycompany " in alignd.log()
    with closing(sqlite3.connect(ledger)) as database:
        rows = database.execute(
            "SELECT tenant, domain, action, kind, messages FROM replies WHERE kind <> 'bounce'"
        ).fetchall()
    assert rows == [("mycompany", "mycompany.com", "rewrite", "outage", 1)]
    event = json.loads(told.read_text())["data"]
    assert (event["kind"], event["tenant"], event["domain"]) == (
        *("rejected", "mycompany", "mycompany.com"),
    )
    assert "julia" not in err.read_text() + state.read_text() + told.read_text()


def refused(relay: Postfix, author: str) -> str:
    """Submit a message that the receiver refuses; its queue id."""
    message = (
        f"From: {author}\r\nX-Redmine-Host: mycompany.easyredmine.com\r\n"
        "Subject: dmarc\r\n\r\nHello\r\n"
    )
    sent = submit(relay.ports["in"], author, ["julia@customer.com"], message.encode())
    wait_for_line(relay.directory / "mail.log", rf"{sent.queue_id}: removed", "the end of it")
    return sent.queue_id


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
