"""The window of the ledger in the whole service: whatever befalls its process, it opens again."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from alignd.ledger.queries.overview import Selection
from alignd.ledger.window.client import SocketAsks
from alignd.ledger.window.protocol import Obstacle, WindowError
from alignd.ledger.window.reader import LedgerReader
from tests.lab.milter_client import MilterConnection
from tests.lab.nameserver import Nameserver
from tests.lab.processes import calls_itself
from tests.lab.readiness import open_directory, wait_until
from tests.lab.settings import world
from tests.support.scrape import Watched, run_watched

pytestmark = pytest.mark.wire

ZONE = world('mycompany.com. TXT "v=spf1 -all"\n_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"\n')
AGENT, JULIA = "marky.mark@mycompany.com", ("julia@customer.example",)
MESSAGE = f"From: <{AGENT}>\r\nSubject: Re: printer\r\n\r\nHello\r\n".encode()
LIMIT = 60.0
NOW = 4e9
"""After all that a test writes, and a clock that is not this machine's."""
_WHILE_IT_STARTS = {
    *(Obstacle.UNREACHABLE, Obstacle.BROKEN, Obstacle.DATABASE, Obstacle.SCHEMA),
}


@dataclass(frozen=True, slots=True)
class Service:
    watched: Watched
    window: Path
    queue_ids: Iterator[str]

    @property
    def reader(self) -> LedgerReader:
        return LedgerReader(SocketAsks(str(self.window)))

    def send(self, times: int) -> None:
        with MilterConnection(self.watched.alignd.socket) as mta:
            for _ in range(times):
                assert mta.send(AGENT, JULIA, MESSAGE, queue_id=next(self.queue_ids)).accepted

    def ledger_process(self) -> int:
        def find() -> int | None:
            pids = self.watched.alignd.children()
            return next((pid for pid in pids if calls_itself(pid, "alignd: ledger")), None)

        return wait_until(find, "the process of the ledger")

    def seen(self) -> int:
        """The messages of the domain that somebody at the window sees; 0 if nobody can look."""
        try:
            found = self.reader.history("outbound", "mycompany.com", 0, NOW)
        except WindowError as error:
            if error.obstacle not in _WHILE_IT_STARTS:
                raise
            return 0
        return sum(day.messages for day in found.days)

    def is_another(self, old: int) -> bool:
        return self.ledger_process() != old

    def await_seen(self, messages: int) -> None:
        wait_until(lambda: self.seen() == messages, f"{messages} messages to be seen", LIMIT)


@pytest.fixture
def service(nameserver: Nameserver, queue_ids: Iterator[str]) -> Iterator[Service]:
    nameserver.serve(ZONE)
    with ExitStack() as running:
        directory = running.enter_context(open_directory())
        window = directory / "ledger.sock"
        changes = (
            f'[ledger]\nwatch = "0s"\nurl = "sqlite:///{directory}/ledger.sqlite"\n'
            f'window = "unix:{window}"\n'
        )
        place = directory / "alignd"
        watched = running.enter_context(run_watched(place, nameserver.address, changes))
        yield Service(watched, window, queue_ids)


def test_what_is_counted_is_seen_by_others(service: Service) -> None:
    service.send(3)
    service.await_seen(3)
    (state,) = service.reader.overview(Selection(), NOW)
    assert (state.domain, state.is_rewritten) == ("mycompany.com", True)
    (relay,) = service.reader.relays(NOW)
    assert relay.relay == "smtp2.easyredmine.com"
    assert service.window.stat().st_mode & 0o777 == 0o660
    asked = service.watched.scrape().of("alignd_ledger_questions_total", result="answered")
    assert asked >= 3


def test_a_process_that_is_killed_opens_the_window_again(service: Service) -> None:
    for sent in (2, 4, 6):
        service.send(2)
        service.await_seen(sent)
        old = service.ledger_process()
        with closing(socket.socket(socket.AF_UNIX)) as waiting, suppress(ConnectionResetError):
            waiting.connect(str(service.window))
            os.kill(old, signal.SIGKILL)
            assert waiting.recv(1) == b""  # who waits hears of it
        wait_until(partial(service.is_another, old), "another process", LIMIT)
        service.await_seen(sent)


def test_nonsense_costs_no_count(service: Service) -> None:
    with ExitStack() as strangers:
        for _ in range(30):
            stranger = strangers.enter_context(closing(socket.socket(socket.AF_UNIX)))
            wait_until(service.window.exists, "the window")
            stranger.connect(str(service.window))
            stranger.send(b"\xff" * 5000)
        service.send(40)
    service.await_seen(40)
    log = service.watched.alignd.log()
    assert "goes on after" not in log
    assert service.watched.scrape().of("alignd_ledger_messages_dropped_total") == 0


def test_a_reload_moves_the_window_and_one_that_cannot_be_opened_costs_nothing(
    service: Service,
) -> None:
    service.send(1)
    service.await_seen(1)
    alignd = service.watched.alignd
    text = alignd.config_path.read_text()
    assert str(service.window) in text
    missing = str(service.window.parent / "none" / "ledger.sock")
    alignd.config_path.write_text(text.replace(str(service.window), missing))
    alignd.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "ledger has no window problem=" in alignd.log(), "the line", LIMIT)
    service.send(1)
    Path(missing).parent.mkdir()
    moved = Service(service.watched, Path(missing), service.queue_ids)
    moved.await_seen(2)
    wait_until(lambda: "ledger has its window again" in alignd.log(), "the line", LIMIT)
