"""One page of the list of author domains."""

import random

import pytest

from alignd.ledger.answer import Finding
from alignd.ledger.queries.overview import SHOWN_DAYS, DomainRow
from alignd.web.listing import PAGE_ROWS, UNKNOWN, Column, Snapshot, Wanted, state_of

NOW = 1_782_900_000.0


def row(domain: str, action: str = "pass", tenant: str = "", **fields: float) -> DomainRow:
    """A domain; `messages`, `rewritten` and `last_day` are numbers of it."""
    times = {name: fields.get(name, 0.0) for name in ("since", "last_seen", "unknown_since")}
    by_day = (0,) * (SHOWN_DAYS - 1) + (int(fields.get("messages", 0)),)
    numbers = int(fields.get("rewritten", 0)), int(fields.get("last_day", 0))
    finding = Finding(action, "reason")
    return DomainRow(tenant, domain, finding, times["since"], 0.0, times["last_seen"], 0.0,
                     times["unknown_since"], by_day, *numbers)  # fmt: skip


MINE = row("mycompany.com", "rewrite", since=5, messages=30, rewritten=23, last_day=3, last_seen=9)
GOOD = row("good.example", since=4, messages=400, last_day=0, last_seen=7)
EASY = row("good.example", tenant="easy", since=6, messages=1, last_day=0, last_seen=8)
LOST = row("xn--mnchen-3ya.example", "rewrite", "Easy", unknown_since=9, messages=1)
ROWS = (LOST, EASY, MINE, GOOD)
SNAPSHOT = Snapshot(ROWS, NOW)


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        pytest.param(Wanted(), [GOOD, MINE, EASY, LOST], id="most-messages-first"),
        pytest.param(Wanted(state="rewrite"), [MINE], id="by-state"),
        pytest.param(Wanted(state=UNKNOWN), [LOST], id="of-which-dns-says-nothing"),
        pytest.param(Wanted(state="no-such"), [], id="by-a-state-that-is-none"),
        pytest.param(Wanted(tenant="easy"), [EASY], id="by-tenant"),
        pytest.param(Wanted(tenant=""), [GOOD, MINE], id="by-the-general-options"),
        pytest.param(Wanted(search="COMPANY"), [MINE], id="a-part-of-the-domain"),
        pytest.param(Wanted(search=" Marky@MyCompany.com "), [MINE], id="an-address"),
        pytest.param(Wanted(search="München.example"), [LOST], id="a-domain-as-people-write-it"),
        pytest.param(Wanted(search="münchen"), [LOST], id="a-label-as-people-write-it"),
        pytest.param(Wanted(search="\ud800\x00<b>"), [], id="nonsense"),
        pytest.param(Wanted(search="x" * 65_536), [], id="64-kilobytes"),
        pytest.param(Wanted(search="ø" * 65_536), [], id="64-kilobytes-beyond-ascii"),
        pytest.param(Wanted(search="*"), [], id="wildcards-stand-for-themselves"),
        pytest.param(Wanted(state="pass", tenant="easy", search="good"), [EASY], id="all-at-once"),
    ],
)
def test_what_is_wanted_is_shown(wanted: Wanted, rows: list[DomainRow]) -> None:
    view = SNAPSHOT.view(wanted)
    assert list(view.rows) == rows
    assert (view.matching, view.page, view.pages) == (len(rows), 1, 1)


@pytest.mark.parametrize(
    ("column", "upwards", "downwards"),
    [
        (Column.DOMAIN, [MINE, GOOD, EASY, LOST], [LOST, EASY, GOOD, MINE]),
        (Column.TENANT, [MINE, GOOD, EASY, LOST], [EASY, LOST, MINE, GOOD]),
        (Column.STATE, [GOOD, EASY, MINE, LOST], [LOST, MINE, GOOD, EASY]),
        (Column.SINCE, [LOST, GOOD, MINE, EASY], [EASY, MINE, GOOD, LOST]),
        (Column.DAY, [GOOD, EASY, LOST, MINE], [MINE, GOOD, EASY, LOST]),
        (Column.MESSAGES, [EASY, LOST, MINE, GOOD], [GOOD, MINE, EASY, LOST]),
        (Column.REWRITTEN, [GOOD, EASY, LOST, MINE], [MINE, GOOD, EASY, LOST]),
        (Column.SEEN, [LOST, GOOD, EASY, MINE], [MINE, EASY, GOOD, LOST]),
    ],
)
def test_every_column_sorts_both_ways_and_what_is_equal_by_name(
    column: Column, upwards: list[DomainRow], downwards: list[DomainRow]
) -> None:
    for is_descending, rows in ((False, upwards), (True, downwards)):
        view = SNAPSHOT.view(Wanted(column=column, is_descending=is_descending))
        assert list(view.rows) == rows


def test_the_pages_of_10000_domains_have_each_once() -> None:
    names = [f"company{number}.example" for number in range(10_000)]
    random.Random(1).shuffle(names)
    snapshot = Snapshot([row(name, messages=len(name)) for name in names], NOW)

    seen: list[str] = []
    page = 1
    while True:
        view = snapshot.view(Wanted(page=page))
        assert (view.pages, view.matching) == (100, 10_000)
        assert (view.first, view.previous) == (len(seen) + 1, page - 1 or None)
        seen += [each.domain for each in view.rows]
        if view.next is None:
            break
        assert len(view.rows) == PAGE_ROWS
        page = view.next
    assert page == 100
    assert sorted(seen) == sorted(names)
    assert snapshot.view(Wanted(search="y42.")).matching == 1


@pytest.mark.parametrize("page", [-1, 0, 2, 10**30])
def test_a_page_that_is_not_there_is_the_nearest_one(page: int) -> None:
    assert SNAPSHOT.view(Wanted(page=page)).page == 1


def test_a_list_without_domains_has_one_empty_page() -> None:
    view = Snapshot([], NOW).view(Wanted())
    assert (view.rows, view.page, view.pages, view.first) == ((), 1, 1, 0)
    assert (view.previous, view.next) == (None, None)


def test_a_snapshot_says_how_old_it_is_and_what_there_is_to_choose_from() -> None:
    assert SNAPSHOT.age(NOW + 7.5) == 7.5
    assert SNAPSHOT.age(NOW - 60) == 0.0
    assert SNAPSHOT.total == 4
    assert SNAPSHOT.states == {"rewrite": 1, "pass": 2, UNKNOWN: 1}
    assert SNAPSHOT.tenants == {"": 2, "easy": 1, "Easy": 1}


def test_a_domain_of_which_dns_says_nothing_is_unknown_whatever_was_last_done() -> None:
    assert state_of(LOST) == UNKNOWN
    assert state_of(MINE) == "rewrite"
