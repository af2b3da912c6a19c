"""The service while DNS is bad, or the wall clock is set: who waits, and what is believed."""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from tests.lab import cast, fast_clock
from tests.lab.alignd import Alignd, run_alignd
from tests.lab.faulty_nameserver import Fault, FaultyNameserver
from tests.lab.milter_client import MilterConnection
from tests.lab.nameserver import run_nameserver
from tests.lab.readiness import open_directory, wait_until
from tests.lab.settings import world
from tests.lab.stepped_clock import SteppedClock

pytestmark = pytest.mark.wire

KNOWN = tuple(f"known{number}.example" for number in range(10))
NEW = tuple(f"new{number}.example" for number in range(30))
AT_ONCE = 4
LONG = 1000.0  # milliseconds; half of what a message may wait
# Answers expire at once, as they do within an outage of hours.
EXPIRING = '[milter]\nworkers = 1\n[dns]\nmax_ttl = "1s"\nstale = "3d"\n'
AUTHORISED = "v=spf1 include:spf.mailing.easy.cz -all"
_NUMBERS = count()


@pytest.fixture
def nameserver() -> Iterator[FaultyNameserver]:
    nameserver = FaultyNameserver(seed=1)
    with run_nameserver(nameserver):
        records = "".join(f'{name}. 0 TXT "{AUTHORISED}"\n' for name in (*KNOWN, *NEW))
        nameserver.serve(world(records))
        yield nameserver


@pytest.fixture
def alignd(nameserver: FaultyNameserver) -> Iterator[Alignd]:
    with (
        open_directory() as directory,
        run_alignd(directory / "alignd", nameserver.address, EXPIRING) as alignd,
    ):
        yield alignd


def send(alignd: Alignd, domain: str) -> str:
    """Send a message of an agent of *domain*; its log line."""
    agent, queue_id = f"marky@{domain}", f"BAD{next(_NUMBERS)}"
    message = f"From: Marky <{agent}>\r\nSubject: Re\r\n\r\nHello\r\n".encode()
    with MilterConnection(alignd.socket) as mta:
        mta.send(agent, (cast.JULIA,), message, queue_id=queue_id)
    return alignd.log_line(queue_id)


def send_all(alignd: Alignd, domains: Sequence[str]) -> tuple[list[str], int]:
    """Send a message from each, a few at a time; their actions, and how many waited for long."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        lines = list(pool.map(lambda domain: send(alignd, domain), domains))
    times = (float(line.rpartition("ms=")[2]) for line in lines)
    actions = [re.findall(r"action=(\w+)", line)[0] for line in lines]
    return actions, sum(each > LONG for each in times)


@pytest.mark.parametrize(
    "fault", [Fault.SILENT, Fault.UPLINK_DOWN, Fault.LATE_FAILURE], ids=lambda fault: fault.name
)
def test_mail_of_known_domains_does_not_wait(
    nameserver: FaultyNameserver, alignd: Alignd, fault: Fault
) -> None:
    assert send_all(alignd, KNOWN)[0] == ["pass"] * len(KNOWN)
    nameserver.fault = fault

    actions, late = send_all(alignd, KNOWN * 4)

    assert actions == ["pass"] * len(KNOWN) * 4
    assert late == 0


def test_mail_of_new_domains_seldom_waits_for_a_resolver_whose_uplink_is_down(
    nameserver: FaultyNameserver, alignd: Alignd
) -> None:
    nameserver.fault = Fault.UPLINK_DOWN

    actions, late = send_all(alignd, NEW)

    assert actions == ["rewrite"] * len(NEW)
    assert late < len(NEW) / 2
    wait_until(lambda: "DNS does not answer: " in alignd.log(), "it to be told")
    nameserver.fault = Fault.NONE
    wait_until(lambda: "action=pass" in send(alignd, NEW[0]), "it to be over", 30)
    assert "DNS is back after" in alignd.log()


@pytest.mark.skipif(fast_clock.obstacle() is not None, reason=fast_clock.obstacle() or "")
@pytest.mark.parametrize(
    "step", [pytest.param(-86_400, id="back"), pytest.param(86_400, id="ahead")]
)
def test_a_record_that_changes_is_seen_in_time_when_the_clock_is_set(
    nameserver: FaultyNameserver, tmp_path: Path, step: int
) -> None:
    clock = SteppedClock(tmp_path)
    options = '[milter]\nworkers = 1\n[dns]\nmin_ttl = "3s"\n'
    with (
        open_directory() as directory,
        run_alignd(
            directory / "alignd", nameserver.address, options, environment=clock.environment
        ) as alignd,
    ):
        assert "action=pass" in send(alignd, "known0.example")
        nameserver.serve(world('known0.example. TXT "v=spf1 -all"\n'))
        clock.step(step)

        wait_until(lambda: "action=rewrite" in send(alignd, "known0.example"), "it to be seen")
