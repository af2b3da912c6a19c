"""A fleet that shares one PostgreSQL, simulated: what its ledger takes.

    python -m bench.fleet --messages 1000000

First a day of mail for which the database is away: what waits in the files of the relays, and
what sending it takes. Then the busiest minute of a day, second by second: sent as it comes, and
sent every ten seconds. Tally, file, outbox, shipper and server are the real ones; the mail is
drawn, and the clock is the simulation's.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from math import exp
from pathlib import Path

import click
from sqlalchemy import func, select

from alignd.config.settings import Keep
from alignd.ledger.answer import Answer, Finding
from alignd.ledger.database import open_database
from alignd.ledger.fleet.outbox import MAX_ROWS
from alignd.ledger.fleet.shipper import Shipper
from alignd.ledger.migration import migrate
from alignd.ledger.place import LedgerPlace
from alignd.ledger.ring import Records
from alignd.ledger.spool import Spool
from alignd.ledger.tables import OUTBOX
from alignd.ledger.tally import Tally
from alignd.ledger.writer import Writer
from bench.page import table
from tests.lab.machine import described
from tests.lab.postgresql import PostgreSql, obstacle, run_postgresql
from tests.lab.readiness import open_directory

FLEET = 10_000_000
"""Messages a day that the figures are carried on to."""
_SKEW = 0.9  # of Zipf's law: how uneven author domains are
_TENANTS = 500
_HOURS = (1, 1, 1, 1, 1, 2, 4, 7, 10, 11, 11, 10, 9, 10, 11, 10, 9, 7, 4, 3, 2, 2, 1, 1)
"""The mail of each hour of a day, of office workers."""
_DURABLE = ("fsync=on", "full_page_writes=on", "shared_buffers=128MB")
_SHARES = tuple(hour / sum(_HOURS) for hour in _HOURS)
_DAY = 1_800_057_600  # Unix time of its beginning
_PAUSES = (1, 10)  # seconds
_SENDERS = 8  # relays that send at a time
_KEPT_HOURS, _KEPT_DAYS = 14, 730
_REWRITTEN = Finding("rewrite", "relay-not-authorised", "reject", "fail,fail", "none")
_ALIGNED = Finding("pass", "spf-aligned", "reject", "pass,pass", "none")
_FIGURES = (
    "SELECT pg_current_wal_lsn() - '0/0', xact_commit, tup_inserted, tup_updated, deadlocks, "
    "sessions FROM pg_stat_database WHERE datname = current_database()"
)
_SIZES = (
    "SELECT relname, n_live_tup, pg_total_relation_size(relid) FROM pg_stat_user_tables "
    "WHERE relname IN ('hours', 'days', 'relay_hours', 'states') ORDER BY relname"
)

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Fleet:
    """How large it is."""

    messages: int
    """Of a day."""
    relays: int
    domains: int

    @property
    def weights(self) -> list[float]:
        """How much mail each author domain has: the first has the most."""
        return [(number + 1) ** -_SKEW for number in range(self.domains)]

    def rows_of_hours(self, *, by_relay: bool = False) -> float:
        """How many rows a day has in `hours`, on paper; and with the relay in their key."""
        parts = self.relays if by_relay else 1
        return parts * sum(self._met(share / parts) for share in _SHARES)

    def rows_of_days(self) -> float:
        """How many rows a day has in `days`, on paper."""
        return self._met(1.0)

    def _met(self, share: float) -> float:
        """How many domains have mail among this share of a day's."""
        weights = self.weights
        one = self.messages * share / sum(weights)
        return sum(1 - exp(-one * weight) for weight in weights)


@dataclass(frozen=True, slots=True)
class Size:
    """What a table takes, with its indexes."""

    rows: int
    octets: int
    packed: int
    """Once nothing in it is free: as the days before today, which are changed no more."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a server has done meanwhile."""

    seconds: float
    processor: float
    """Seconds, of one core."""
    wal: int
    """Octets of the write-ahead log."""
    transactions: int
    inserted: int
    updated: int
    deadlocks: int
    sessions: int


@dataclass(slots=True)
class Results:
    """All that was measured."""

    fleet: Fleet
    whole: int
    """Messages of the day that the figures are carried on to."""
    peak_seconds: int
    sent: int = 0
    """Messages of the day."""
    counted: int = 0
    """Those that are in the database after it."""
    spools: list[int] = field(default_factory=list)
    """Octets of the file of each relay, when the database comes back."""
    waiting_rows: int = 0
    """In the file of a relay with its share of the whole, after a day without the database."""
    waiting_octets: int = 0
    caught_up: Work | None = None
    sizes: dict[str, Size] = field(default_factory=dict)
    peaks: dict[int, Work] = field(default_factory=dict)
    """What the busiest seconds take, by how many of them pass between two sendings."""


@dataclass(slots=True)
class _Clock:
    now: float = _DAY

    def __call__(self) -> float:
        return self.now


class _Relay:
    """One relay: from its workers' answers to what is in the shared database."""

    def __init__(
        self, number: int, directory: Path, url: str, clock: _Clock, admitted: dict[str, int]
    ) -> None:
        self.name = f"relay{number}.example"
        self.file = directory / f"relay{number}.sqlite"
        writer = Writer(self.name, "outbound", "simulated")
        self._spool = Spool(LedgerPlace(self.file, url), writer, clock, _fail)
        self._shipper = Shipper(
            self._spool.engine, open_database(url, patience=60), writer, Keep(), clock, _fail
        )
        self._tally = Tally(admitted, {})
        self.count = 0
        """Messages so far."""

    @property
    def waiting_rows(self) -> int:
        """Rows that wait in its file."""
        with self._spool.engine.connect() as connection:
            return int(connection.execute(select(func.sum(OUTBOX.c.rows))).scalar_one())

    @property
    def octets(self) -> int:
        """What its file takes, with the log of it."""
        files = (self.file, self.file.with_name(f"{self.file.name}-wal"))
        return sum(each.stat().st_size for each in files if each.exists())

    def answer(self, at: float, payloads: Iterable[bytes]) -> None:
        """Have messages been answered at *at*."""
        for payload in payloads:
            self.count += 1
            self._tally.add("ring", Records((self.count,), (at,), (0,), (payload,), (0,)))

    def write(self) -> None:
        """Write what waits to the file of the relay."""
        batch, admitted = self._tally.take()
        if batch.rows:
            self._spool.write(batch, {"ring": self.count}, admitted)

    def ship(self) -> None:
        """Send all that waits in the file."""
        while self._shipper.ship_next():
            pass

    def close(self) -> None:
        self._spool.close()


def simulate(fleet: Fleet, whole: int, peak_seconds: int, tell: Tell) -> Results:
    """Simulate a day of *fleet*, and the busiest seconds of a day with *whole* messages."""
    results = Results(fleet, whole, peak_seconds)
    clock, chance = _Clock(), random.Random(1)
    with run_postgresql(options=_DURABLE) as server, ExitStack() as opened:
        database = server.new_database()
        url = server.url(database)
        migrate(open_database(url))
        # Those of a fleet that is not new.
        admitted = {_domain(number): _DAY for number in range(fleet.domains)}
        files = opened.enter_context(open_directory())
        relays = [
            opened.enter_context(closing(_Relay(number, files, url, clock, admitted)))
            for number in range(fleet.relays)
        ]
        mail = _Mail(fleet, chance)
        for hour, share in enumerate(_SHARES):
            tell(f"hour {hour} of the day without a database")
            clock.now = _DAY + 3600.0 * hour
            for relay in relays:
                relay.answer(clock.now, mail.some(fleet.messages * share / fleet.relays))
                relay.write()
        results.sent = sum(relay.count for relay in relays)
        results.spools = [relay.octets for relay in relays]
        tell("a relay of the whole fleet")
        with closing(_Relay(len(relays), files, url, clock, admitted)) as relay:
            for minute in range(0, 1440, 5):
                clock.now = _DAY + 60.0 * minute
                share = _SHARES[minute // 60] / 12
                relay.answer(clock.now, mail.some(whole * share / len(relays)))
                relay.write()
            results.waiting_rows, results.waiting_octets = relay.waiting_rows, relay.octets
        tell("the database is back")
        with _measured(server, database) as work:
            _all_at_once(_Relay.ship, relays)
        results.caught_up = work[0]
        results.counted = int(server.sql("SELECT sum(messages) FROM hours", database))
        results.sizes = _sizes(server, database)
        for pause in _PAUSES:
            tell(f"the busiest seconds, sent every {pause} s")
            with _measured(server, database) as work:
                for second in range(1, peak_seconds + 1):
                    clock.now += 1
                    for relay in relays:
                        expected = whole * max(_SHARES) / 3600 / len(relays)
                        relay.answer(clock.now, mail.some(expected))
                        relay.write()
                    if second % pause == 0 or second == peak_seconds:
                        _all_at_once(_Relay.ship, relays)
            results.peaks[pause] = work[0]
    return results


class _Mail:
    """Draws what messages say to the ledger."""

    def __init__(self, fleet: Fleet, chance: random.Random) -> None:
        self._cumulated = list(accumulate(fleet.weights))
        self._chance = chance
        self._payloads = [
            Answer(
                f"tenant{number % _TENANTS}",
                _domain(number),
                _ALIGNED if number % 3 else _REWRITTEN,
            ).encoded()
            for number in range(fleet.domains)
        ]

    def some(self, expected: float) -> list[bytes]:
        """So many messages on average, each an encoded answer."""
        count = int(expected) + (self._chance.random() < expected % 1)
        return self._chance.choices(self._payloads, cum_weights=self._cumulated, k=count)


def _domain(number: int) -> str:
    return f"company{number}.customers.example"


def _fail(text: str) -> None:
    raise RuntimeError(text)


def _all_at_once(work: Callable[[_Relay], None], relays: Iterable[_Relay]) -> None:
    with ThreadPoolExecutor(_SENDERS) as threads:
        for _ in threads.map(work, relays):
            pass


@contextmanager
def _measured(server: PostgreSql, database: str) -> Iterator[list[Work]]:
    """Measure what the server does in the block; the list has it afterwards."""
    found: list[Work] = []
    before, processor, started = (
        _figures(server, database),
        server.processor_seconds(),
        time.monotonic(),
    )
    yield found
    seconds = time.monotonic() - started
    after = _figures(server, database)
    differences = [new - old for new, old in zip(after, before, strict=True)]
    found.append(Work(seconds, server.processor_seconds() - processor, *differences))


def _figures(server: PostgreSql, database: str) -> list[int]:
    server.sql("SELECT pg_stat_force_next_flush()", database)
    return [int(each) for each in server.sql(_FIGURES, database).split("|")]


def _sizes(server: PostgreSql, database: str) -> dict[str, Size]:
    server.sql("VACUUM ANALYZE", database)
    before = [line.split("|") for line in server.sql(_SIZES, database).splitlines()]
    server.sql("VACUUM FULL", database)
    after = [line.split("|") for line in server.sql(_SIZES, database).splitlines()]
    return {
        name: Size(int(rows), int(octets), int(packed))
        for (name, rows, octets), (_, _, packed) in zip(before, after, strict=True)
    }


def written(results: Results) -> str:
    """What was measured, and what follows from it on paper."""
    work, fleet = results.caught_up, results.fleet
    assert work is not None
    deadlocks = sum(each.deadlocks for each in (work, *results.peaks.values()))
    rows = [
        ("messages of the day, in the database", f"{results.counted:,}"),
        ("file of a relay after the day, the largest", _mega(max(results.spools))),
        (
            f"file of a relay with {results.whole // fleet.relays:,} messages after a day",
            f"{results.waiting_rows:,} rows, {_mega(results.waiting_octets)}",
        ),
        ("so its oldest is dropped after", f"{MAX_ROWS / results.waiting_rows:.0f} days"),
        ("until all of it is sent", f"{work.seconds:.0f} s"),
        ("processor time of the server for it", f"{work.processor:.0f} s"),
        ("write-ahead log for it", _mega(work.wal)),
        ("rows inserted, changed", f"{work.inserted:,}, {work.updated:,}"),
        ("deadlocks", f"{deadlocks}"),
    ]
    for name, size in results.sizes.items():
        text = f"{size.rows:,} rows, {_mega(size.octets)}, packed {_mega(size.packed)}"
        rows.append((f"`{name}` after the day", text))
    tables = (table(("simulated", ""), rows), _peak_table(results), _on_paper(results, fleet))
    return "\n".join((described(), *tables))


def _peak_table(results: Results) -> str:
    seconds, rate = results.peak_seconds, results.whole * max(_SHARES) / 3600
    rows: dict[str, list[str]] = {}
    for work in results.peaks.values():
        for what, value in (
            ("transactions a second", f"{work.transactions / seconds:.1f}"),
            ("new connections a second", f"{work.sessions / seconds:.1f}"),
            ("rows inserted a second", f"{work.inserted / seconds:.0f}"),
            ("rows changed a second", f"{work.updated / seconds:.0f}"),
            ("write-ahead log a second", f"{work.wal / seconds / 1000:.0f} kB"),
            ("processor of the server", f"{work.processor / seconds:.2f} of a core"),
        ):
            rows.setdefault(what, []).append(value)
    heads = [f"sent every {pause} s" for pause in results.peaks]
    what = f"the busiest {seconds} s of {results.whole:,} messages a day: {rate:.0f} a second"
    return table((what, *heads), [(each, *values) for each, values in rows.items()])


def _on_paper(results: Results, fleet: Fleet) -> str:
    whole, sizes = Fleet(results.whole, fleet.relays, fleet.domains), results.sizes
    hours, days = whole.rows_of_hours(), whole.rows_of_days()
    found = {name: f"{size.rows:,} found" for name, size in sizes.items()}

    def kept(name: str, rows: float) -> str:
        octets = rows * sizes[name].packed / max(1, sizes[name].rows)
        return f"{rows:,.0f} rows, {octets / 1e9:.1f} GB"

    rows = [
        ("rows of `hours`, as simulated", f"{fleet.rows_of_hours():,.0f}, {found['hours']}"),
        ("rows of `days`, as simulated", f"{fleet.rows_of_days():,.0f}, {found['days']}"),
        (f"rows of `hours` a day, {whole.messages:,} messages", f"{hours:,.0f}"),
        ("with the relay in their key", f"{whole.rows_of_hours(by_relay=True):,.0f}"),
        (f"`hours` of {_KEPT_HOURS} days", kept("hours", hours * _KEPT_HOURS)),
        (f"`days` of {_KEPT_DAYS} days", kept("days", days * _KEPT_DAYS)),
    ]
    return table(("on paper", ""), rows)


def _mega(octets: float) -> str:
    return f"{octets / 1e6:.1f} MB"


@click.command()
@click.option("--messages", type=click.IntRange(min=1000), default=FLEET // 10, show_default=True)
@click.option("--relays", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--domains", type=click.IntRange(min=1), default=25_000, show_default=True)
@click.option("--peak", type=click.IntRange(min=1), default=60, show_default=True, help="Seconds.")
def main(messages: int, relays: int, domains: int, peak: int) -> None:
    """Simulate a day of a fleet's ledger, and print what it took."""
    if problem := obstacle():
        click.echo(f"fleet: {problem}; `make packages` installs what is missing", err=True)
        sys.exit(1)
    started = time.monotonic()

    def tell(text: str) -> None:
        click.echo(f"fleet: {time.monotonic() - started:.0f} s: {text}", err=True)

    results = simulate(Fleet(messages, relays, domains), FLEET, peak, tell)
    click.echo(written(results))
    if results.counted != results.sent:
        click.echo(f"fleet: {results.sent - results.counted} messages are missing", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
