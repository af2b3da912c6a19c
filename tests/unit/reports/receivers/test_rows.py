"""What a ledger keeps of a report: no address of others, and bounded memory."""

from dataclasses import replace

import pytest

from alignd.ledger.answer import OTHER
from alignd.ledger.batch import DAY
from alignd.ledger.receivers.rows import KnownReport, ReportKey
from alignd.mail.domain import Domain
from alignd.mail.ip_address import parse_ip_address
from alignd.reports.identity import ReportIdentity
from alignd.reports.ours import Origin, Ours
from alignd.reports.receivers.rows import MAX_KEYS, KeptRows, known
from alignd.reports.report import (
    Disposition,
    DkimResult,
    Outcome,
    PublishedPolicy,
    Report,
    Row,
    SpfResult,
)
from alignd.reports.words import MAX_COUNT

RELAY, ELSEWHERE = parse_ip_address("192.0.2.25"), parse_ip_address("203.0.113.9")
OUR_DOMAIN, CUSTOMER = Domain("notifications.example"), Domain("mycompany.example")
OURS = Ours(
    frozenset({RELAY}),
    frozenset({OUR_DOMAIN}),
    frozenset({(OUR_DOMAIN.name, "n1")}),
    exempt=frozenset({CUSTOMER}),
)
BEGIN = 1_782_864_000
"""2026-07-01."""
POLICY = PublishedPolicy(CUSTOMER, "r", "r", "reject", "", "", "", "", "treewalk")
REPORT = Report("Receiver", None, "r-1", BEGIN, BEGIN + DAY - 1, POLICY, 1, 3, 0)
SIGNED = DkimResult(OUR_DOMAIN, "n1", "pass")
ROW = Row(
    *(RELAY, 3, Disposition.REJECT, Outcome.FAIL, Outcome.FAIL, (), CUSTOMER, None),
    *((), (SpfResult(CUSTOMER, "mfrom", "softfail"),)),
)
IDENTITY = ReportIdentity("receiver.example", True, "r-1", CUSTOMER, BEGIN)


def kept(*rows: Row, report: Report = REPORT) -> dict[ReportKey, int]:
    found = KeptRows()
    for row in rows:
        found.add(row, OURS.origin_of(row))
    return dict(found.rows(report, "receiver.example", OURS))


def test_rows_that_are_alike_are_one() -> None:
    assert kept(ROW, replace(ROW, count=4)) == {
        ReportKey(
            *(BEGIN, BEGIN, "receiver.example", "ours", CUSTOMER.name, str(RELAY)),
            *("fail", "none", "fail", "reject", True),
        ): 7
    }


@pytest.mark.parametrize(
    ("row", "origin", "address"),
    [
        pytest.param(ROW, Origin.OURS, str(RELAY), id="ours"),
        pytest.param(
            replace(ROW, header_from=OUR_DOMAIN), Origin.REWRITTEN, str(RELAY), id="rewritten"
        ),
        pytest.param(
            replace(ROW, source=ELSEWHERE, dkim_results=(SIGNED,), spf=Outcome.PASS),
            Origin.UNLISTED,
            str(ELSEWHERE),
            id="an-address-that-we-lack",
        ),
        pytest.param(
            replace(ROW, source=ELSEWHERE, dkim_results=(SIGNED,)),
            Origin.FORWARDED,
            "",
            id="a-forwarder's",
        ),
    ],
)
def test_an_address_is_kept_of(row: Row, origin: Origin, address: str) -> None:
    (key,) = kept(row)

    assert (key.origin, key.address) == (origin.value, address)
    assert key.is_foretold is (origin is Origin.OURS)


def test_what_others_send_is_not_kept() -> None:
    assert kept(replace(ROW, source=ELSEWHERE)) == {}


def test_counts_that_lie_do_not_add_up_without_bounds() -> None:
    assert list(kept(*[replace(ROW, count=MAX_COUNT)] * 9).values()) == [MAX_COUNT]


@pytest.mark.parametrize(
    ("begin", "end", "first", "last"),
    [
        pytest.param(BEGIN, BEGIN + DAY - 1, BEGIN, BEGIN, id="a-day"),
        pytest.param(BEGIN, BEGIN + DAY, BEGIN, BEGIN, id="to-where-the-next-begins"),
        pytest.param(BEGIN, BEGIN, BEGIN, BEGIN, id="a-moment"),
        pytest.param(
            BEGIN + 3600, BEGIN + DAY + 3599, BEGIN, BEGIN + DAY, id="a-day-of-another-zone"
        ),
    ],
)
def test_the_days_of_a_period(begin: int, end: int, first: int, last: int) -> None:
    (key,) = kept(ROW, report=replace(REPORT, begin=begin, end=end))

    assert (key.first_day, key.last_day) == (first, last)


def test_memory_is_bounded_and_no_message_is_forgotten() -> None:
    rows = [
        replace(ROW, header_from=Domain(f"d{number}.example")) for number in range(3 * MAX_KEYS)
    ]

    found = kept(*rows)

    assert len(found) == MAX_KEYS + 1
    assert sum(found.values()) == 9 * MAX_KEYS
    assert max(found, key=lambda key: found[key]).domain == OTHER


def test_a_report_is_known_by_what_only_its_copies_have() -> None:
    report = known(REPORT, IDENTITY)

    assert report == KnownReport(
        *(IDENTITY.digest, "receiver.example", CUSTOMER.name, BEGIN, BEGIN + DAY - 1, 3),
        "treewalk",
    )
    # The same in every run: a ledger has it.
    assert report.id == "873df97e2b66a1e6e66d9f60f4eb7166053afd3816debf48f1fe802d9f550bbc"
    assert (
        known(replace(REPORT, policy=replace(POLICY, discovery_method="x")), IDENTITY).discovery
        == ""
    )
