"""Under the system call filter of its unit, alignd does all that it does without."""

import ctypes.util
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.lab.alignd import Alignd, run_alignd
from tests.lab.milter_client import MilterConnection
from tests.lab.nameserver import Nameserver
from tests.lab.places import ROOT
from tests.lab.readiness import PATIENCE, open_directory, wait_until
from tests.lab.settings import world
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


def test_what_a_filter_denies_costs_no_mail(directory: Path, nameserver: Nameserver) -> None:
    tighter = directory / "alignd.service"
    text = UNIT.read_text()
    tighter.write_text(re.sub(r"^SystemCallFilter=s\w+\n", "", text, flags=re.MULTILINE))
    assert tighter.read_text() != text

    alignd = serve_one(directory, nameserver, tighter)

    assert COMPLAINT in alignd.log()
