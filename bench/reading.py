"""Aggregate reports: how fast they are read and stored, and in how much memory.

    python -m bench.reading REPORTS ROWS DIRECTORY

A process of its own, so that its memory is that of reading alone. Each report is as large
receivers send them: gzip, of one day, from one receiver, its rows of many addresses, of which a
third is this relay's mail. Its mail counts as verified, as that costs by the mail and not by the
row. The time is that of reading and storing, without the making.
"""

from __future__ import annotations

import gzip
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from alignd.config.domain_lists import SuffixList
from alignd.ledger.database import open_database
from alignd.ledger.migration import migrate
from alignd.ledger.receivers.opening import ReceiversLedger
from alignd.ledger.receivers.rows import KnownReport, ReportKey
from alignd.mail.domain import Domain
from alignd.mail.ip_address import parse_ip_address
from alignd.mail.message import Message
from alignd.reports.carrier import Verified
from alignd.reports.collect import Collector
from alignd.reports.intake import Parcel
from alignd.reports.ours import Ours

REPORTS, ROWS = 10_000, 1_000
"""What is read where nothing else is said."""
MOST_MEMORY = 150
"""MiB, however many reports there are."""
_BEGIN = 1_782_864_000  # 2026-07-01
_DAY = 86_400
_RECEIVERS, _DOMAINS, _ADDRESSES = 20, 10, 4_000
_OURS = 3  # of so many rows, one is of this relay

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading took."""

    reports: int
    rows: int
    """Of all of them."""
    seconds: float
    memory: float
    """MiB, the most that the process had."""
    stored: int
    """Rows of a ledger that were added to."""

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


class UnreadError(RuntimeError):
    """Not every row of every report was read, so that the rate is none."""


def measure(directory: Path, reports: int, tell: Tell) -> Reading:
    """Read so many *reports* of ROWS rows.

    Raises:
        UnreadError: some were not.
    """
    directory.mkdir()
    tell(f"reading {reports} reports")
    command = [sys.executable, "-m", "bench.reading", str(reports), str(ROWS), str(directory)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return Reading(**json.loads(done.stdout))


def _reports(reports: int, rows: int) -> Iterator[tuple[Domain, bytes]]:
    """Each with who sends it. Its rows are one of a few texts: to make them takes long."""
    texts = ["".join(_row(start + number) for number in range(rows)) for start in (0, 77, 1000)]
    for number in range(reports):
        receiver = Domain(f"receiver{number % _RECEIVERS}.example")
        begin = _BEGIN + number // _RECEIVERS * _DAY
        head = (
            f"<feedback><report_metadata><org_name>{receiver}</org_name>"
            f"<email>dmarc@{receiver}</email><report_id>{number}</report_id><date_range>"
            f"<begin>{begin}</begin><end>{begin + _DAY - 1}</end></date_range></report_metadata>"
            "<policy_published><domain>customer.example</domain><p>reject</p></policy_published>"
        )
        text = f"{head}{texts[number % len(texts)]}</feedback>"
        yield receiver, gzip.compress(text.encode(), compresslevel=1)


def _row(number: int) -> str:
    address = number * 7 % _ADDRESSES
    is_ours = not number % _OURS
    source = "192.0.2.7" if is_ours else f"198.51.{address // 250}.{address % 250 + 1}"
    domain = f"d{number * 13 % _DOMAINS}.customer.example"
    result = "pass" if number % 5 else "fail"
    return (
        f"<record><row><source_ip>{source}</source_ip><count>{1 + number % 9}</count>"
        f"<policy_evaluated><disposition>none</disposition><dkim>{result}</dkim>"
        f"<spf>{result}</spf></policy_evaluated></row><identifiers>"
        f"<envelope_from>{domain}</envelope_from><header_from>{domain}</header_from></identifiers>"
        f"<auth_results><dkim><domain>{domain}</domain><selector>s1</selector>"
        f"<result>{result}</result></dkim><spf><domain>{domain}</domain><scope>mfrom</scope>"
        f"<result>{result}</result></spf></auth_results></record>"
    )


def _read(reports: int, rows: int, directory: Path) -> Reading:
    url = f"sqlite:///{directory}/ledger.sqlite"
    engine = open_database(url)
    migrate(engine)
    engine.dispose()
    ledger = ReceiversLedger(url)
    stored = 0

    def keep(report: KnownReport, found: Mapping[ReportKey, int]) -> None:
        nonlocal stored
        if ledger.add_report(report, found, time.time()):
            stored += len(found)

    senders: list[Domain] = []
    ours = Ours(frozenset({parse_ip_address("192.0.2.7")}), frozenset(), frozenset())
    collector = Collector(ours, lambda _: Verified(senders.pop()), SuffixList(), keep)
    seconds = 0.0
    for receiver, packed in _reports(reports, rows):
        senders[:] = [receiver]
        started = time.perf_counter()
        collector.take(Parcel("report", (packed,), Message("", (), ())))
        seconds += time.perf_counter() - started
    summary = collector.summary
    if summary.counted != reports or summary.unreadable_rows:
        raise UnreadError(f"{summary.counted} of {reports} reports: {summary.problems[:1]}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Reading(reports, reports * rows, seconds, memory, stored)


def main(arguments: Sequence[str]) -> None:
    reports, rows, directory = arguments
    print(json.dumps(asdict(_read(int(reports), int(rows), Path(directory)))))


if __name__ == "__main__":
    main(sys.argv[1:])
