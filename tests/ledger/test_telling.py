"""Events are told to each target until it has taken them, whatever else fails meanwhile."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from sqlalchemy import Engine, delete, insert, select, text, update

from alignd.ledger.database import LedgerError, open_database
from alignd.ledger.event import Event, EventKind
from alignd.ledger.fleet.leadership import Leadership, Role
from alignd.ledger.migration import migrate
from alignd.ledger.notify import deliveries
from alignd.ledger.notify.deliveries import LASTING, MOST_WAITING, Choice
from alignd.ledger.notify.target import NotTakenError
from alignd.ledger.notify.teller import (
    FAILED,
    FIRST_PAUSE,
    GIVEN_UP,
    LONGEST_PAUSE,
    TOLD,
    Teller,
    pause_after,
)
from alignd.ledger.tables import DELIVERIES, EVENTS
from tests.lab.postgresql import PostgreSql
from tests.lab.readiness import PATIENCE, wait_until

NOW = 1_795_862_000.0
NEVER = threading.Event()


@dataclass
class Receiver:
    """Somebody who is told, and refuses the events in *refused*, or all."""

    name: str = "webhook"
    told: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    refuses_all: bool = False
    tried: int = 0

    def tell(self, event: Event, ended: threading.Event) -> None:
        assert not ended.is_set()
        self.tried += 1
        if self.refuses_all or event.id in self.refused:
            raise NotTakenError("it answered 500")
        self.told.append(event.id)


@dataclass
class Clock:
    """A clock that is set."""

    time: float = NOW

    def __call__(self) -> float:
        return self.time


@dataclass
class Desk:
    """A teller, and all that it has to do with."""

    engine: Engine
    receiver: Receiver = field(default_factory=Receiver)
    clock: Clock = field(default_factory=Clock)
    results: dict[str, int] = field(default_factory=dict)

    def teller(
        self, choice: Choice | None = None, may_tell: Callable[[], bool] = lambda: True
    ) -> Teller:
        return Teller(
            self.receiver,
            self.engine,
            choice or Choice(),
            may_tell,
            self.clock,
            lambda: 1.0,
            self.count,
        )

    def count(self, target: str, result: str, number: int) -> None:
        assert target == self.receiver.name
        self.results[result] = self.results.get(result, 0) + number

    def happen(self, *ids: str, at: float = 0.0, **fields: str) -> None:
        """Let events come about."""
        event = {"leg": "outbound", "kind": "stopped", "domain": "a.example", "relay": "smtp1"}
        with self.engine.begin() as connection:
            for place, each in enumerate(ids):
                moment = (at or self.clock.time) + place / 1000
                connection.execute(insert(EVENTS), {"id": each, "at": moment, **event, **fields})

    def row(self, event: str) -> tuple[int, float, float, str]:
        """The attempts, the next one, when it was told, and the problem."""
        with self.engine.connect() as connection:
            found = connection.execute(select(DELIVERIES).where(DELIVERIES.c.event == event)).one()
        return found.attempts, found.next_at, found.told_at, found.problem


@pytest.fixture
def desk(ledger_url: str) -> Iterator[Desk]:
    engine = open_database(ledger_url)
    migrate(engine)
    yield Desk(engine)
    engine.dispose()


def tell_all(teller: Teller) -> float:
    """Tell until there is nothing to do at once; the pause."""
    while not (pause := teller.tell_next(NEVER)):
        pass
    return pause


def test_each_event_is_told_once_in_its_order_also_after_a_restart(desk: Desk) -> None:
    ids = [f"e{number:02}" for number in range(50, 0, -1)]
    desk.happen(*ids)
    tell_all(desk.teller())
    tell_all(desk.teller())

    assert desk.receiver.told == ids
    assert desk.results == {TOLD: 50}
    assert desk.row("e50") == (0, 0.0, NOW, "")


def test_an_event_that_becomes_visible_after_a_later_one_is_told_too(desk: Desk) -> None:
    teller = desk.teller()
    desk.happen("later")
    tell_all(teller)
    desk.happen("earlier", at=NOW - 60.0)
    tell_all(teller)

    assert desk.receiver.told == ["later", "earlier"]


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        pytest.param(Choice(), ["e1", "e2", "e3"], id="no choice is all"),
        pytest.param(Choice(kinds=("began",)), ["e2"], id="kinds"),
        pytest.param(Choice(tenants=("a", "b")), ["e1", "e3"], id="tenants"),
        pytest.param(Choice(("stopped",), ("b",)), ["e3"], id="both"),
    ],
)
def test_only_events_that_are_chosen_are_told(desk: Desk, choice: Choice, told: list[str]) -> None:
    desk.happen("e1", tenant="a", at=NOW - 3)
    desk.happen("e2", kind="began", at=NOW - 2)
    desk.happen("e3", tenant="b", at=NOW - 1)
    tell_all(desk.teller(choice))
    assert desk.receiver.told == told


def test_events_of_the_last_days_are_told_to_a_target_that_is_new_and_no_older_ones(
    desk: Desk,
) -> None:
    desk.happen("old", at=NOW - LASTING - 1.0)
    desk.happen("young", at=NOW - LASTING + 1.0)
    tell_all(desk.teller())
    assert desk.receiver.told == ["young"]
    assert desk.results == {TOLD: 1}


def test_an_event_of_a_later_version_is_left_alone(desk: Desk) -> None:
    desk.happen("e1", kind="of-a-later-version")
    desk.happen("e2")
    tell_all(desk.teller())
    assert desk.receiver.told == ["e2"]


def test_what_is_not_taken_is_told_again_after_pauses_that_grow_for_three_days(
    desk: Desk,
) -> None:
    desk.happen("e1")
    desk.receiver.refuses_all = True
    teller = desk.teller()
    at = []
    while GIVEN_UP not in desk.results:
        tried = desk.receiver.tried
        tell_all(teller)
        if desk.receiver.tried > tried:
            at.append(desk.clock.time - NOW)
            assert desk.row("e1")[0] == len(at)
            assert desk.row("e1")[3] == teller.problem == "it answered 500"
        desk.clock.time = max(desk.row("e1")[1], desk.clock.time + 1.0)

    pauses = [later - earlier for earlier, later in pairwise(at)]
    assert pauses[:4] == [5.0, 15.0, 45.0, 135.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE
    assert LASTING - LONGEST_PAUSE <= at[-1] <= LASTING
    assert desk.results == {FAILED: len(at), GIVEN_UP: 1}
    assert teller.waiting == 0

    desk.receiver.refuses_all = False
    desk.clock.time += LONGEST_PAUSE
    tell_all(teller)
    assert desk.receiver.told == []


def test_one_event_that_is_never_taken_holds_up_no_other(desk: Desk) -> None:
    desk.happen("e1", "e2", "e3")
    desk.receiver.refused = {"e1"}
    teller = desk.teller()
    assert tell_all(teller) == FIRST_PAUSE
    desk.clock.time += 1.0
    tell_all(teller)

    assert desk.receiver.told == ["e2", "e3"]
    assert teller.problem == ""
    assert teller.waiting == 1


def test_a_target_that_is_down_is_asked_less_and_less_and_then_told_everything_at_once(
    desk: Desk,
) -> None:
    ids = [f"e{number:02}" for number in range(30)]
    desk.happen(*ids)
    desk.receiver.refuses_all = True
    teller = desk.teller()
    pauses = []
    while desk.clock.time < NOW + 3600.0:
        pauses.append(tell_all(teller))
        desk.clock.time += pauses[-1]
    assert pauses[:4] == [5.0, 15.0, 45.0, 135.0]
    assert max(pauses) == 300.0
    assert desk.receiver.tried < 20
    assert teller.waiting == 30

    desk.receiver.refuses_all = False
    tell_all(teller)
    assert sorted(desk.receiver.told) == ids
    assert teller.waiting == 0


def test_the_oldest_events_are_given_up_when_too_many_wait(desk: Desk) -> None:
    desk.happen(*(f"e{number}" for number in range(7)))
    with desk.engine.begin() as connection:
        deliveries.queue(connection, "webhook", Choice(), NOW)
        assert deliveries.give_up(connection, "webhook", NOW, most=4) == 3
        assert deliveries.waiting(connection, "webhook") == 4
        due = deliveries.due(connection, "webhook", NOW, 9)
        deliveries.queue(connection, "webhook", Choice(), NOW)
        assert deliveries.waiting(connection, "webhook") == 4
    assert [each.event.id for each in due] == ["e3", "e4", "e5", "e6"]


def test_however_many_events_there_are_only_so_many_wait(desk: Desk) -> None:
    many = 40_000  # more than a statement may have parameters
    fill = (
        "INSERT INTO events (id, at, kind) WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL "
        "SELECT n + 1 FROM numbers WHERE n + 1 < :many) "
        "SELECT 'e' || (100000 + n), :begin + n, 'began' FROM numbers"
    )
    with desk.engine.begin() as connection:
        connection.execute(text(fill), {"many": many, "begin": NOW - many})
    teller = desk.teller()
    teller.tell_next(NEVER)
    assert desk.results == {GIVEN_UP: many - MOST_WAITING, TOLD: 20}
    assert desk.receiver.told[0] == f"e{100_000 + many - MOST_WAITING}"
    assert teller.waiting == MOST_WAITING - 20


def test_targets_know_nothing_of_one_another(desk: Desk) -> None:
    down = replace(desk, receiver=Receiver("webhook", refuses_all=True), results={})
    good = replace(desk, receiver=Receiver("command"), results={})
    desk.happen("e1", "e2")
    tell_all(down.teller())
    tell_all(good.teller())

    assert good.receiver.told == ["e1", "e2"]
    assert good.results == {TOLD: 2}
    assert down.results == {FAILED: 1}


def test_a_domain_that_is_forgotten_takes_its_deliveries_along(desk: Desk) -> None:
    desk.happen("e1", "e2")
    desk.receiver.refuses_all = True
    teller = desk.teller()
    tell_all(teller)
    with desk.engine.begin() as connection:
        connection.execute(delete(EVENTS).where(EVENTS.c.domain == "a.example"))
        assert connection.execute(select(DELIVERIES)).all() == []
    tell_all(teller)
    assert teller.waiting == 0


def test_an_event_that_is_forgotten_while_it_is_told_is_no_failure(desk: Desk) -> None:
    class Forgetting(Receiver):
        def tell(self, event: Event, ended: threading.Event) -> None:
            with desk.engine.begin() as connection:
                connection.execute(delete(EVENTS))
            super().tell(event, ended)

    desk.happen("e1")
    forgetting = replace(desk, receiver=Forgetting(), results={})
    tell_all(forgetting.teller())
    assert forgetting.results == {TOLD: 1}


def test_what_was_told_and_could_not_be_noted_is_told_again(desk: Desk, ledger_url: str) -> None:
    """At least once: a lock that lasts stands for whatever keeps a database from writing."""

    class Locking(Receiver):
        def tell(self, event: Event, ended: threading.Event) -> None:
            super().tell(event, ended)
            other = stack.connect()
            other.execute(update(DELIVERIES).values(problem="locked"))
            locks.append(other)

    locks: list = []  # type: ignore[type-arg]
    stack = open_database(ledger_url)
    quick = replace(
        desk, engine=open_database(ledger_url, patience=0.2), receiver=Locking(), results={}
    )
    desk.happen("e1")
    tell_all(quick.teller())
    assert quick.receiver.told == ["e1"]
    locks.pop().close()

    tell_all(quick.teller())
    locks.pop().close()
    assert quick.receiver.told == ["e1", "e1"]
    tell_all(desk.teller())
    assert desk.row("e1")[1:] == (0.0, NOW, "")


def test_the_end_of_the_service_is_no_failure_of_the_target(desk: Desk) -> None:
    ended = threading.Event()

    class Cut(Receiver):
        def tell(self, event: Event, ended: threading.Event) -> None:
            del event
            ended.set()
            raise NotTakenError("it was killed")

    desk.happen("e1", "e2")
    cut = replace(desk, receiver=Cut(), results={})
    cut.teller().tell_next(ended)
    assert cut.results == {}
    assert desk.row("e1") == (0, NOW, 0.0, "")


def test_a_ledger_without_tables_is_waited_for(ledger_url: str) -> None:
    desk = Desk(open_database(ledger_url))
    teller = desk.teller()
    ended = threading.Event()
    thread = threading.Thread(target=teller.run, args=(ended,))
    thread.start()
    try:
        assert teller.tell_next(NEVER) > 0.0
        migrate(desk.engine)
        desk.happen("e1")
        assert teller.tell_next(NEVER) > 0.0
        assert desk.receiver.told == ["e1"]
    finally:
        ended.set()
        thread.join()


def test_one_relay_of_many_tells_and_another_goes_on_when_it_ends(
    postgresql: PostgreSql,
) -> None:
    url = postgresql.url(postgresql.new_database())
    first, second = (Desk(open_database(url)) for _ in range(2))
    migrate(first.engine)
    claims = [Leadership(each.engine, Role.TELLING_WEBHOOK) for each in (first, second)]
    tellers = [
        each.teller(may_tell=claim.is_held)
        for each, claim in zip((first, second), claims, strict=True)
    ]
    first.happen("e1", "e2")
    for _ in range(2):
        for teller in tellers:
            tell_all(teller)
    first.happen("e3")
    for teller in reversed(tellers):
        tell_all(teller)
    assert (first.receiver.told, second.receiver.told) == (["e1", "e2", "e3"], [])

    claims[0].give_up()  # as its connection ends with its process
    first.happen("e4")
    wait_until(lambda: tell_all(tellers[1]) and second.receiver.told, "the second relay")
    tell_all(tellers[0])
    assert (first.receiver.told, second.receiver.told) == (["e1", "e2", "e3"], ["e4"])
    claims[1].give_up()


def test_nothing_is_told_while_the_claim_cannot_be_made(desk: Desk) -> None:
    def fails() -> bool:
        raise LedgerError("connection refused")

    desk.happen("e1")
    assert desk.teller(may_tell=fails).tell_next(NEVER) > FIRST_PAUSE
    assert desk.receiver.tried == 0


def test_a_slow_target_delays_nothing_else(desk: Desk) -> None:
    class Slow(Receiver):
        def tell(self, event: Event, ended: threading.Event) -> None:
            del event
            begun.set()
            assert ended.wait(PATIENCE)
            raise NotTakenError("it was cut")

    begun, ended = threading.Event(), threading.Event()
    desk.happen("e1", "e2")
    slow = replace(desk, receiver=Slow("command"), results={})
    thread = threading.Thread(target=slow.teller().run, args=(ended,))
    thread.start()
    try:
        assert begun.wait(PATIENCE)
        tell_all(desk.teller())
        desk.happen("e3")
        tell_all(desk.teller())
        assert desk.receiver.told == ["e1", "e2", "e3"]
        assert slow.results == {}  # it waits on, and holds no lock of the database
    finally:
        ended.set()
        thread.join()


def test_pauses_are_bounded_however_many_attempts_there_were() -> None:
    assert [pause_after(each) for each in (1, 2, 10, 100, 10**9)] == [
        *(5.0, 15.0),
        *(LONGEST_PAUSE,) * 3,
    ]


def test_every_kind_of_event_can_be_kept_and_told(desk: Desk) -> None:
    for kind in EventKind:
        desk.happen(kind.value, kind=kind.value)
    tell_all(desk.teller())
    assert sorted(desk.receiver.told) == sorted(kind.value for kind in EventKind)
