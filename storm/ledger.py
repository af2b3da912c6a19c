"""The storm `ledger`: relays count their mail in one PostgreSQL, which suffers, as they do.

Beside them a relay without a ledger has as much mail and as many killed workers, and what it takes
is what the others may take. In the end the ledger has what the logs have, to the message.
"""

from __future__ import annotations

import http.client
import os
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from math import ceil

from storm.accounts import Accounts, Balance
from storm.mail import Kind, Post
from storm.mail_path import Logged, MailPath, memory_directory, run_mail_path
from storm.outages import percentile
from storm.run import Findings, Order, Outcome
from tests.lab.log_pipe import run_log_pipe
from tests.lab.postgresql import USER, PostgreSql, run_postgresql
from tests.lab.readiness import free_ports, open_directory, wait_until
from tests.lab.small_disk import SmallDisk, run_small_disk
from tests.lab.systemd import Surroundings
from tests.lab.unbound import ROOT_RECORDS, run_unbound

_RELAYS, _FEW_RELAYS = 3, 2
AUTHOR_DOMAINS = 2_000
RATE = 20
"""Messages a second of each relay: less than the machine can, so that what is slow waits."""
_CHANGES = """\
[milter]
workers = 2
[dns]
nameservers = ["127.0.0.1:{dns}"]
min_ttl = "5s"
stale = "3d"
archive = "{{directory}}/dns.sqlite"
[metrics]
listen = "127.0.0.1:{port}"
[ledger]
url = "{url}"
spool = "{{directory}}/ledger.sqlite"
relay = "{name}"
"""
_DISK = 64  # MiB, of which a new database takes eight
_PIPE = 2**20  # octets, some 8,000 lines
_TROUBLE = 3.0  # seconds that the database is away
_LONGER = 8.0  # than the ledger waits for a lock or a connection
_SETTLING = 60.0
_COUNTED = 120.0  # seconds after which all is in the database: it is tried every 60 s at least
_WHOLE = 3_000  # messages; a smaller storm has few events, and no relay without a ledger
_MAY_TAKE = 1.5  # times what a relay without a ledger takes
_NEVER_MIND = 5.0  # milliseconds: with so little between them, both are as fast
_ANSWERED = re.compile(r"^(\w+): action=(\w+) domain=(\S+) .*?reason=(\S+)", re.MULTILINE)
_CUT_OFF = re.compile(r" (\w+): milter-reject: END-OF-MESSAGE ")
_DROPPED = re.compile(r"^alignd_ledger_messages_dropped_total\{.*?\} (\S+)$", re.MULTILINE)
_UNLOGGED = re.compile(r"^alignd_log_lines_dropped_total (\S+)$", re.MULTILINE)
_WAITS, _FULL = "ledger waits for its database", "No space left on device"

Counts = Counter[tuple[str, str, str]]
"""Messages by action, author domain and reason."""


@dataclass(slots=True)
class _Relay:
    """One relay, with the mail that it is sent."""

    name: str
    has_ledger: bool
    port: int
    """Of its metrics."""
    accounts: Accounts
    path: MailPath = field(init=False)
    dropped: float = 0.0
    """Messages that its ledger dropped, by what it said before it was restarted."""
    unlogged: float = 0.0
    """Lines that its log lacks."""

    def send(self, count: int) -> None:
        self.path.send(self.accounts.post, self.accounts, range(count), rate=RATE)

    def answered(self) -> tuple[Counts, Counts]:
        """What its log has of messages; and of those whose worker was killed in the middle.

        Those may be in the ledger or not: Postfix has not heard the answer, and tries again.
        """
        cut_off = set(_CUT_OFF.findall(self.path.postfix.log()))
        found = _ANSWERED.finditer(self.path.service.log())
        lines = {each[1]: (each[2], each[3], each[4]) for each in found}
        whole = Counter(key for queue_id, key in lines.items() if queue_id not in cut_off)
        return whole, Counter(key for queue_id, key in lines.items() if queue_id in cut_off)

    def note_dropped(self) -> None:
        """Read what its metrics say was dropped, before it forgets that."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        self.dropped += sum(map(float, _DROPPED.findall(text)))
        self.unlogged += sum(map(float, _UNLOGGED.findall(text)))


@dataclass(frozen=True, slots=True)
class _Scene:
    """What an event has at hand."""

    server: PostgreSql
    database: str
    disk: SmallDisk
    relays: Sequence[_Relay]
    """The last one has no ledger, if there is one without."""
    chance: random.Random

    @property
    def counting(self) -> Sequence[_Relay]:
        return [relay for relay in self.relays if relay.has_ledger]

    def kill_workers(self) -> None:
        """Kill a worker of each relay."""
        for relay in self.relays:
            with suppress(ProcessLookupError, IndexError):
                os.kill(self.chance.choice(relay.path.service.workers()), signal.SIGKILL)

    def sql(self, statement: str) -> list[list[str]]:
        lines = self.server.sql(statement, self.database).splitlines()
        return [line.split("|") for line in lines]


Event = Callable[[_Scene], None]


def count(order: Order) -> Outcome:
    """Send the mail to all relays, with all events on the way, and compare."""
    findings = Findings()
    with _scene(order) as scene:
        each = order.messages // len(scene.counting)
        threads = [threading.Thread(target=relay.send, args=(each,)) for relay in scene.relays]
        for thread in threads:
            thread.start()
        try:
            _have(scene, order, each)
        finally:
            for thread in threads:
                thread.join()
        # Messages like those that a killed worker was judging are rewritten, to be safe.
        balances = [relay.accounts.settle(_SETTLING) for relay in scene.relays]
        findings.add(_sum(balances), cautious=True)
        _compare(scene, findings)
        _add_times(scene, findings)
    return findings.outcome()


def _have(scene: _Scene, order: Order, each: int) -> None:
    """Have the events, evenly over the mail."""
    events = _EVENTS if order.messages >= _WHOLE else _FEW_EVENTS
    for number, event in enumerate(events):
        for relay in scene.relays:
            relay.accounts.wait_for(number * each // len(events), _SETTLING)
        done = sum(relay.accounts.done for relay in scene.counting)
        order.progress(done, order.messages)
        event(scene)
        scene.kill_workers()


def _fill_disk(scene: _Scene) -> None:
    """Leave the database no room to grow, as long as its tables are empty, so that it has to."""
    services = [relay.path.service for relay in scene.counting]
    positions = [service.log_path.stat().st_size for service in services]
    scene.disk.fill()

    def is_noticed() -> bool:
        pairs = zip(services, positions, strict=True)
        return any(_FULL in service.log(position) for service, position in pairs)

    try:
        wait_until(is_noticed, "the database to have no room", _SETTLING)
        time.sleep(_TROUBLE)
    finally:
        scene.disk.free()


def _stop_database(scene: _Scene) -> None:
    _stop_for(scene, _TROUBLE, scene.server.stop)


def _kill_database(scene: _Scene) -> None:
    _stop_for(scene, _TROUBLE, scene.server.kill)


def _restart_database(scene: _Scene) -> None:
    _stop_for(scene, 0.0, scene.server.stop)


def _stop_for(scene: _Scene, seconds: float, stop: Callable[[], None]) -> None:
    stop()
    try:
        scene.kill_workers()
        time.sleep(seconds)
    finally:
        scene.server.start()


def _freeze_database(scene: _Scene) -> None:
    """Let it answer nothing, with its connections open."""
    scene.server.freeze()
    try:
        time.sleep(_LONGER)
    finally:
        scene.server.thaw()


def _lock_table(scene: _Scene) -> None:
    scene.sql(f"BEGIN; LOCK TABLE hours; SELECT pg_sleep({_LONGER}); COMMIT")


def _cut_connections(scene: _Scene) -> None:
    """End every session of the relays, whatever it is doing."""
    for _ in range(20):
        scene.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'alignd'"
        )
        time.sleep(0.1)


def _kill_ledgers(scene: _Scene) -> None:
    for relay in scene.counting:
        with suppress(ProcessLookupError, ValueError):  # it is being replaced
            os.kill(relay.path.service.ledger(), signal.SIGKILL)


def _reload(scene: _Scene) -> None:
    for relay in scene.relays:
        relay.path.service.reload()


def _restart(scene: _Scene) -> None:
    """Restart every relay's alignd, which has to write what waits."""
    for relay in scene.relays:
        relay.note_dropped()
        relay.path.service.restart()


_EVENTS: tuple[Event, ...] = (
    *(_fill_disk, _kill_ledgers, _stop_database, _kill_ledgers, _kill_database),
    *(_reload, _restart_database, _cut_connections, _restart, _freeze_database, _kill_ledgers),
    *(_lock_table, _kill_database, _kill_ledgers, _restart, _stop_database),
)
_FEW_EVENTS: tuple[Event, ...] = (_fill_disk, _kill_ledgers, _kill_database)


def _compare(scene: _Scene, findings: Findings) -> None:
    """See that the ledger has what the logs have."""
    logs = [relay.answered() for relay in scene.counting]
    whole = sum((each for each, _ in logs), Counts())
    cut_off = sum((each for _, each in logs), Counts())
    started = time.monotonic()
    with suppress(TimeoutError):
        wait_until(lambda: not whole - _counted(scene), "all to be counted", _COUNTED)
    seconds = time.monotonic() - started
    for relay in scene.counting:
        relay.note_dropped()
    dropped = sum(relay.dropped for relay in scene.counting)
    counted = _counted(scene)
    missing, surplus = (whole - counted).total(), (counted - whole - cut_off).total()
    findings.note(f"{whole.total()} in the logs, {counted.total()} in the ledger")
    findings.note(f"{cut_off.total()} cut off by a kill, which it may have or not")
    findings.hold(f"{missing} missing", kept=missing == 0)
    findings.hold(f"{surplus} counted twice", kept=surplus == 0)
    findings.hold(f"{dropped:.0f} dropped by what the metrics say", kept=dropped == 0)
    unlogged = sum(relay.unlogged for relay in scene.counting)
    findings.hold(f"{unlogged:.0f} lines of the log dropped", kept=unlogged == 0)
    findings.note(f"all of it {seconds:.0f} s after the last message")
    domains = {domain for _, domain, _ in counted}
    findings.note(f"{len(domains)} author domains")
    tables = {
        "days": "SELECT sum(messages) FROM days",
        "hours of relays": "SELECT sum(messages) FROM relay_hours",
    }
    for name, statement in tables.items():
        ((messages,),) = scene.sql(statement)
        findings.hold(f"{messages} in the {name}", kept=int(messages) == counted.total())
    ((states,),) = scene.sql("SELECT count(*) FROM states")
    findings.hold(f"{states} states", kept=int(states) == len(domains))
    waits = sum(relay.path.service.log().count(_WAITS) for relay in scene.counting)
    findings.hold(f"{waits} times without the database", kept=waits > 0)


def _counted(scene: _Scene) -> Counts:
    rows = scene.sql(
        "SELECT action, domain, reason, sum(messages) FROM hours GROUP BY action, domain, reason"
    )
    return Counter({(action, domain, reason): int(n) for action, domain, reason, n in rows})


def _add_times(scene: _Scene, findings: Findings) -> None:
    """Say what mail took, and compare it with what it took without a ledger."""
    plain = [relay for relay in scene.relays if not relay.has_ledger]
    ours = _logged(scene.counting)
    within, slowest = (percentile(ours, share) for share in (0.99, 1))
    put_off = sum(relay.path.times_put_off() for relay in scene.counting)
    findings.note(f"{put_off} times put off by killed workers")
    if plain:
        # Both are killed, and share two cores with four Postfixes.
        without, worst = (percentile(_logged(plain), share) for share in (0.99, 1))
        findings.note(f"slowest {slowest:.0f} ms, without a ledger {worst:.0f} ms")
        kept = within <= max(_MAY_TAKE * without, without + _NEVER_MIND)
        findings.hold(f"p99 {within:.1f} ms, without a ledger {without:.1f} ms", kept=kept)


def _logged(relays: Sequence[_Relay]) -> list[Logged]:
    return [each for relay in relays for each in relay.path.logged()]


def _sum(balances: Sequence[Balance]) -> Balance:
    names = Balance.__dataclass_fields__
    return Balance(**{name: sum(getattr(each, name) for each in balances) for name in names})


@contextmanager
def _scene(order: Order) -> Iterator[_Scene]:
    """Run the database and all relays, each with a Postfix of its own."""
    domains = ceil(min(AUTHOR_DOMAINS, order.messages // 5) / len(Kind))
    is_whole = order.messages >= _WHOLE
    ledgers = [True] * _RELAYS + [False] if is_whole else [True] * _FEW_RELAYS
    posts = [Post(order.seed * 10 + number, domains=domains) for number in range(len(ledgers))]
    ports = free_ports(len(posts))
    relays = [
        _Relay(f"relay{number}", has_ledger, port, Accounts(post))
        for number, (has_ledger, port, post) in enumerate(zip(ledgers, ports, posts, strict=True))
    ]
    with ExitStack() as running:
        directory = running.enter_context(open_directory(memory_directory()))
        place = directory / "disk"
        place.mkdir()
        directory.chmod(0o755)
        disk = running.enter_context(run_small_disk(place, _DISK, USER))
        # A nameserver in this process, which is busy sending, would answer late.
        dns = running.enter_context(run_unbound(posts[0].zone() + ROOT_RECORDS))
        server = running.enter_context(run_postgresql(directory, under=disk.under))
        server.sql(f"CREATE TABLESPACE small LOCATION '{place}'")
        server.sql("CREATE DATABASE shared TABLESPACE small")
        for relay in relays:
            url = server.url("shared") if relay.has_ledger else ""
            changes = _CHANGES.format(dns=dns, port=relay.port, url=url, name=relay.name)
            # To a file a thread of alignd writes, so that a worker which is killed loses lines.
            log = directory / relay.name
            pipe = running.enter_context(run_log_pipe(log, log.with_suffix(".log"), _PIPE))
            relay.path = running.enter_context(
                run_mail_path(
                    relay.accounts.arrive,
                    changes=changes,
                    surroundings=Surroundings(log_pipe=pipe),
                )
            )
        scene = _Scene(server, "shared", disk, relays, random.Random(order.seed))
        wait_until(partial(_has_schema, scene), "the tables of the ledger")
        yield scene


def _has_schema(scene: _Scene) -> bool:
    return scene.sql("SELECT to_regclass('shipments') IS NOT NULL") == [["t"]]
