"""Under the system call filter of its unit, alignd does all that it does without."""

import ctypes.util
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.lab.alignd import Alignd, run_alignd
from tests.lab.dovecot import PASSWORD, USER, run_dovecot
from tests.lab.dovecot import obstacle as imap_obstacle
from tests.lab.ledger_rows import new_ledger
from tests.lab.milter_client import MilterConnection
from tests.lab.nameserver import Nameserver
from tests.lab.places import ROOT
from tests.lab.readiness import PATIENCE, open_directory, wait_until
from tests.lab.settings import configuration, world
from tests.support.mailed_reports import GOOD, LOST, SIGNS, published, report, report_mail
from tests.support.signing import new_key
from tests.support.web import run_web, run_window

pytestmark = [
    pytest.mark.wire,
    pytest.mark.skipif(
        not (shutil.which("systemd-analyze") and ctypes.util.find_library("seccomp")),
        reason="systemd-analyze or libseccomp is not installed",
    ),
]

UNIT = ROOT / "systemd/alignd.service"
AGENT = "marky.mark@mycompany.com"
MESSAGE = f"From: Marky Mark <{AGENT}>\r\nSubject: Re: printer\r\n\r\nHello\r\n".encode()
REFUSED = [
    {
        "SYSLOG_IDENTIFIER": "alignd",
        "MESSAGE": "AAAAA1: action=pass domain=good.example reason=spf-aligned ms=1.0",
    },
    {
        "__CURSOR": "s=1",
        "SYSLOG_IDENTIFIER": "postfix/smtp",
        "MESSAGE": "AAAAA1: to=<julia@customer.com>, relay=mx.customer.com[203.0.113.25]:25, "
        "dsn=5.7.1, status=bounced (host mx.customer.com[203.0.113.25] said: 550 5.7.1 rejected "
        "by DMARC policy for good.example)",
    },
]
COMPLAINT = "worker cannot be pinned to one core"


@pytest.fixture
def directory() -> Iterator[Path]:
    with open_directory() as directory:
        yield directory


def serve_one(directory: Path, nameserver: Nameserver, unit: Path) -> Alignd:
    """Run alignd under the filter of *unit*, see it rewrite a message, and end it."""
    nameserver.serve(world('mycompany.com. TXT "v=spf1 -all"\n'))
    under = [sys.executable, "-m", "tests.support.syscallfilter", str(unit)]
    ledger = directory / "ledger.sqlite"
    changes = f'[dns]\narchive = "{directory}/dns.sqlite"\n[ledger]\nurl = "sqlite:///{ledger}"\n'
    window = directory / "window.sock"
    changes += f'window = "unix:{window}"\n'
    with (
        run_alignd(directory / "alignd", nameserver.address, changes, under=under) as alignd,
        MilterConnection(alignd.socket) as mta,
    ):
        (worker, *_) = alignd.children()
        assert "Seccomp:\t2" in Path(f"/proc/{worker}/status").read_text()
        wait_until(ledger.exists, "the ledger")
        wait_until(window.is_socket, "its window")
        result = mta.send(AGENT, ("julia@customer.example",), MESSAGE)
    assert result.accepted
    with closing(sqlite3.connect(ledger)) as database:
        assert database.execute("SELECT sum(messages) FROM hours").fetchone() == (1,)
    assert b"Alignd: action=rewrite" in result.message
    return alignd


def test_the_filter_of_the_unit_is_wide_enough(directory: Path, nameserver: Nameserver) -> None:
    alignd = serve_one(directory, nameserver, UNIT)

    assert alignd.returncode == 0
    assert "Operation not permitted" not in alignd.log()


def test_the_filter_of_the_page_is_wide_enough(directory: Path) -> None:
    unit = ROOT / "systemd/alignd-web.service"
    under = (sys.executable, "-m", "tests.support.syscallfilter", str(unit))
    with run_window(directory) as window, run_web(directory, window, under) as web:
        # `systemd` starts no shell before it: the process itself is under the filter.
        assert "Seccomp:\t2" in Path(f"/proc/{web.process.pid}/status").read_text()
        assert web.ask("/")[0].status == 200
        web.process.terminate()
        assert web.process.wait(timeout=PATIENCE) == 0
        assert "Operation not permitted" not in web.log()


def test_the_filter_of_feedback_is_wide_enough(directory: Path) -> None:
    unit = ROOT / "systemd/alignd-feedback.service"
    ledger, log, state = (directory / name for name in ("ledger.sqlite", "log", "state"))
    config = directory / "alignd.conf"
    config.write_text(configuration(f'[ledger]\nurl = "sqlite:///{ledger}"\n'))
    new_ledger(f"sqlite:///{ledger}", ())
    # A journalctl of our own, which ends as soon as it is asked: it is started all the same.
    (directory / "journalctl").write_text(f"#!/bin/sh\nexec cat {log}\n")
    (directory / "journalctl").chmod(0o755)
    log.write_text("".join(f"{json.dumps(entry)}\n" for entry in REFUSED))
    with (directory / "err").open("w") as err:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.support.syscallfilter", str(unit)),
                *(sys.executable, "-m", "alignd", "feedback", "--follow", "--record"),
                *("--since", "1h", "--state", str(state), "--config", str(config)),
            ],
            stderr=err,
            env=os.environ | {"PATH": f"{directory}:{os.environ['PATH']}"},
        )
    try:
        with closing(sqlite3.connect(ledger)) as database:
            question = "SELECT sum(messages) FROM replies"
            wait_until(lambda: database.execute(question).fetchone() == (1,), "the reply")
        assert "Seccomp:\t2" in Path(f"/proc/{process.pid}/status").read_text()
        process.terminate()
        assert process.wait(timeout=PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
    assert "Operation not permitted" not in (directory / "err").read_text()


@pytest.mark.skipif(imap_obstacle() is not None, reason=imap_obstacle() or "")
def test_the_filter_of_reports_is_wide_enough(directory: Path) -> None:
    unit, key = ROOT / "systemd/alignd-reports.service", new_key()
    ledger, password, zone, config = (
        directory / name for name in ("ledger.sqlite", "password", "zone", "alignd.conf")
    )
    zone.write_text(world(published(key)))
    password.write_text(PASSWORD)
    password.chmod(0o600)
    new_ledger(f"sqlite:///{ledger}", ())
    with run_dovecot() as server:
        server.deliver("1.a.host", report_mail(key, report(GOOD, LOST)))
        config.write_text(
            configuration(
                f'[ledger]\nurl = "sqlite:///{ledger}"\n{SIGNS}[reports]\n'
                f'imap = "imap://{USER}@127.0.0.1:{server.plain}"\npassword_file = "{password}"\n'
            )
        )
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tests.support.syscallfilter", str(unit)),
                *(sys.executable, "-m", "alignd", "reports", "--imap"),
                *("--zone", str(zone), "--config", str(config)),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    assert (done.returncode, done.stderr) == (1, ""), "the unit takes this for success"
    with closing(sqlite3.connect(ledger)) as database:
        assert database.execute("SELECT sum(messages) FROM report_rows").fetchone() == (6,)


def test_what_a_filter_denies_costs_no_mail(directory: Path, nameserver: Nameserver) -> None:
    tighter = directory / "alignd.service"
    text = UNIT.read_text()
    tighter.write_text(re.sub(r"^SystemCallFilter=s\w+\n", "", text, flags=re.MULTILINE))
    assert tighter.read_text() != text

    alignd = serve_one(directory, nameserver, tighter)

    assert COMPLAINT in alignd.log()
