"""Fifty readers at once beside mail: each is answered whole, and mail is as without them."""

import http.client
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from alignd.ledger.window.client import SocketAsks
from alignd.ledger.window.reader import LedgerReader
from tests.lab import cast
from tests.lab.milter_client import MilterConnection
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.pages import COMPANY, PASSING, Pages, run_pages
from tests.lab.parallel import in_parallel
from tests.lab.processes import stop
from tests.lab.readiness import open_directory, wait_until

pytestmark = pytest.mark.wire

READERS, ROUNDS = 50, 3
PATIENCE = 120.0
NOW = 4e9
STOPPED = 2.5
"""Seconds: more than a round of the main thread of the page."""
PATHS = {
    "/": COMPANY,
    "/?search=my": COMPANY,
    f"/domains/{COMPANY}": COMPANY,
    "/?state=rewrite&sort=domain": COMPANY,
    f"/domains/{PASSING}": PASSING,
    "/domains.json": COMPANY,
    f"/domains/{COMPANY}.json": COMPANY,
    "/?sort=-day": PASSING,
    "/relays": "smtp2.easyredmine.com",
}
"""What is asked for, and what stands in each answer."""
ENDS = {"/": "</html>", "json": "}\n"}
AUTHORS = {cast.MARKY: "rewrite", f"ann@{PASSING}": "pass"}


@pytest.fixture(scope="module")
def nameserver() -> Iterator[Nameserver]:
    """One for these alone: the others must not be asked for what a page asks."""
    with run_nameserver() as nameserver:
        yield nameserver


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with open_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def pages(place: Path, nameserver: Nameserver) -> Iterator[Pages]:
    with run_pages(place / "pages", nameserver) as pages:
        yield pages
        assert "failed" not in pages.web.log()


class Mail:
    """An application that sends until it is told to stop."""

    def __init__(self, socket: str) -> None:
        self.actions: Counter[str] = Counter()
        """By the action that is right, the messages that were accepted."""
        self.wrong: list[str] = []
        self._socket = socket
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> "Mail":
        self._thread.start()
        wait_until(lambda: self.actions.total() > 10, "mail to flow")
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _send(self) -> None:
        for number, (author, action) in enumerate(cycle(AUTHORS.items())):
            message = f"From: <{author}>\r\nSubject: Re: printer\r\n\r\nHello\r\n".encode()
            with MilterConnection(self._socket) as mta:
                sent = mta.send(author, (cast.JULIA,), message, queue_id=f"4bRd{number:06d}")
            is_rewritten = f"<{author}>".encode() not in sent.message.split(b"\r\n")[0]
            if not sent.accepted or is_rewritten != (action == "rewrite"):
                self.wrong.append(f"{author}: {sent}")
            self.actions[action] += 1
            if self._ended.is_set():
                return


def ask(peer: http.client.HTTPConnection, path: str) -> str:
    peer.request("GET", path)
    answer = peer.getresponse()
    text = answer.read().decode()
    assert answer.status == 200, path
    assert len(text.encode()) == int(answer.headers["Content-Length"])
    assert text.endswith(ENDS["json" if ".json" in path else "/"]), path
    return text


def counted(window: Path) -> int:
    reader = LedgerReader(SocketAsks(str(window)))
    found = (reader.history("outbound", each, 0, NOW) for each in (COMPANY, PASSING))
    return sum(day.messages for each in found for day in each.days)


def test_fifty_readers_at_once_are_answered_and_mail_is_as_without_them(
    pages: Pages, place: Path
) -> None:
    window = place / "pages" / "window.sock"
    before = counted(window)
    port = urlsplit(pages.url).port
    all_there = threading.Barrier(READERS)
    answered = Counter[str]()

    def read(numbers: Iterator[int]) -> None:
        number = next(numbers)
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as peer:
            all_there.wait(PATIENCE)
            for turn in range(ROUNDS):
                path, expected = list(PATHS.items())[(number + turn) % len(PATHS)]
                assert expected in ask(peer, path), path
                answered[path] += 1
        assert list(numbers) == []

    with Mail(pages.relay.socket) as mail:
        in_parallel(read, range(READERS), threads=READERS)

    assert answered.total() == READERS * ROUNDS
    assert mail.wrong == []
    sent = mail.actions.total()
    wait_until(lambda: counted(window) - before >= sent, "all to be counted", PATIENCE)
    assert counted(window) - before == sent
    log = pages.relay.log()
    assert set(re.findall(r"reason=(\S+)", log)) == {"relay-not-authorised", "spf-aligned"}


def test_a_page_that_was_stopped_goes_on(pages: Pages) -> None:
    pid = pages.web.process.pid
    stop(pid)
    began = time.monotonic()
    with Mail(pages.relay.socket) as mail:
        wait_until(lambda: mail.actions.total() > 100, "mail to go on", PATIENCE)
        wait_until(lambda: time.monotonic() > began + STOPPED, "some time to pass", PATIENCE)
    os.kill(pid, signal.SIGCONT)
    port = urlsplit(pages.url).port
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as peer:
        ask(peer, "/")
    assert pages.web.returncode is None
    assert mail.wrong == []


def test_mail_goes_before_pages(pages: Pages) -> None:
    assert os.getpriority(os.PRIO_PROCESS, pages.web.process.pid) >= 10
    assert os.getpriority(os.PRIO_PROCESS, pages.relay.process.pid) == 0
