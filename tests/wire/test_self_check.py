"""`alignd serve` warns in its log of DNS that would lose rewritten mail, and delays nothing."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from alignd.config.domain_lists import SuffixList
from alignd.config.file import parse_configuration
from alignd.config.nameservers import Nameservers
from alignd.config.signer import PrivateKeys, TableSigner
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import Message
from alignd.mailauth.dkim import PlannedSignature
from alignd.service.self_check import start_self_check
from alignd.service.setup import Setup
from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import Metrics
from tests.lab.alignd import Alignd, run_alignd
from tests.lab.nameserver import Nameserver
from tests.lab.readiness import PATIENCE, open_directory, wait_until
from tests.lab.settings import configuration
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


class Broken(TableSigner):
    """A signer with a bug."""

    def signatures_for(
        self, author: Mailbox, message: Message | None = None
    ) -> tuple[PlannedSignature, ...]:
        raise RuntimeError(f"a bug, met by {author} in {message}")


def test_a_check_that_dies_is_counted(tmp_path: Path, nameserver: Nameserver) -> None:
    settings = parse_configuration(configuration(nameserver=nameserver.address), "")
    signer = Broken(settings.dkim, None, PrivateKeys())
    setup = Setup(settings, signer, Nameservers(settings.dns.nameservers))
    metrics = Metrics(1)
    with (tmp_path / "log").open("w") as stream:
        start_self_check(setup, SuffixList(), MessageLog(stream), metrics.of_worker(0))

    def counted() -> bool:
        families = {family.name: numbers for family, numbers in metrics.families()}
        return families["alignd_background_failures_total"]["self-check",] == 1

    wait_until(counted, "the count")
    assert "DNS of the relay was not checked problem=" in (tmp_path / "log").read_text()
