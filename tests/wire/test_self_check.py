"""`alignd serve` warns in its log of DNS that would lose rewritten mail, and delays nothing."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.alignd import Alignd, run_alignd
from tests.lab.nameserver import Nameserver
from tests.lab.readiness import PATIENCE, open_directory, wait_until
from tests.support.relay import ZONE

pytestmark = pytest.mark.wire

WITHOUT_SPF = "".join(
    line for line in ZONE.splitlines(keepends=True) if "include:spf.mailing" not in line
)
SILENT = "; TIMEOUT notifications.easysoftware.com.\n"
FAILING = "; SERVFAIL notifications.easysoftware.com.\n"
LAST_QUESTION = (".", "NS")  # whether the nameserver answers


@pytest.fixture
def directory() -> Iterator[Path]:
    with open_directory() as directory:
        yield directory


def warnings(alignd: Alignd) -> list[str]:
    return re.findall(r"^notifications-domain-fails: .*", alignd.log(), re.MULTILINE)


def wait_for_warnings(alignd: Alignd, count: int) -> list[str]:
    wait_until(lambda: len(warnings(alignd)) >= count, f"{count} warnings")
    return warnings(alignd)


def reload(alignd: Alignd) -> None:
    alignd.process.send_signal(signal.SIGHUP)
    alignd.wait_for_notice("RELOADING=1")
    alignd.wait_for_notice("READY=1")


def test_one_worker_warns_at_start_and_after_each_reload(
    directory: Path, nameserver: Nameserver
) -> None:
    nameserver.serve(WITHOUT_SPF)
    with run_alignd(directory / "alignd", nameserver.address, "[milter]\nworkers = 3\n") as alignd:
        (line,) = wait_for_warnings(alignd, 1)
        reload(alignd)
        wait_for_warnings(alignd, 2)
        nameserver.serve(ZONE)
        reload(alignd)
        wait_until(lambda: nameserver.questions.count(LAST_QUESTION) >= 3, "the last question")

    assert "fails DMARC: SPF from 192.0.2.25: none" in line
    assert "fix: notifications.easysoftware.com. TXT" in line
    assert line.endswith("severity=error")
    assert len(warnings(alignd)) == 2


def test_another_worker_warns_in_the_place_of_one_that_died(
    directory: Path, nameserver: Nameserver
) -> None:
    nameserver.serve(WITHOUT_SPF)
    with run_alignd(directory / "alignd", nameserver.address, "[milter]\nworkers = 2\n") as alignd:
        wait_for_warnings(alignd, 1)
        for pid in alignd.children():
            os.kill(pid, signal.SIGKILL)

        assert len(wait_for_warnings(alignd, 2)) == 2


def test_silent_dns_delays_neither_start_nor_end(directory: Path, nameserver: Nameserver) -> None:
    nameserver.serve(SILENT)
    with run_alignd(directory / "alignd", nameserver.address) as alignd:
        wait_until(lambda: nameserver.questions, "the self check to ask")
        assert "could not be checked" not in alignd.log()
        alignd.process.terminate()
        alignd.process.wait(timeout=PATIENCE)


def test_what_dns_does_not_say_is_one_line(directory: Path, nameserver: Nameserver) -> None:
    nameserver.serve(FAILING)
    with run_alignd(directory / "alignd", nameserver.address) as alignd:
        wait_until(lambda: "could not be checked" in alignd.log(), "the self check")

    assert warnings(alignd) == []
    assert len(re.findall("^DNS of the relay could not be checked", alignd.log(), re.M)) == 1
