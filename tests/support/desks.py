"""A desk of the page with a real ledger in a file, and DNS that is not asked."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from alignd.config.settings import WebOptions
from alignd.ledger.window.database import DatabaseAsks
from alignd.ledger.window.protocol import WindowError
from alignd.ledger.window.question import Question
from alignd.ledger.window.reader import LedgerReader
from alignd.mail.domain import Domain
from alignd.return_path.keyring import Keyring
from alignd.web.desk.desk import Desk
from alignd.web.desk.examined import (
    Checked,
    CheckOutcome,
    CheckProblem,
    Examined,
    Trouble,
)
from alignd.web.desk.snapshots import Snapshots, Unreadable
from tests.lab.ledger_rows import NOW
from tests.support.languages import TEXTS

HOST = "localhost:18880"
ORIGIN = f"http://{HOST}"
SHARE_HOST = "dns-help.example"
SHARE_ORIGIN = f"https://{SHARE_HOST}"
KEYRING = Keyring.parse(f"sign {'6b' * 32}\n")
OPTIONS = WebOptions.model_validate(
    {"share_listen": "127.0.0.1:18881", "share_url": SHARE_ORIGIN, "share_keys": "keys"}
)


class SilentDns:
    """Checks that find nothing, and note what they were asked."""

    def __init__(self) -> None:
        self.checked: list[str] = []
        self.result: CheckOutcome = CheckProblem(Trouble.DNS)
        self.failure: Exception | None = None

    def examine(self, domain: Domain, tenant: str = "") -> Examined | CheckProblem:
        if self.failure:
            raise self.failure
        return CheckProblem(Trouble.DNS, f"{domain} of {tenant or 'nobody'}")

    def check_now(self, domain: Domain, tenant: str = "") -> CheckOutcome:
        self.checked.append(f"{domain} of {tenant}" if tenant else domain.name)
        return self.result

    def last_check(self, domain: Domain, tenant: str = "") -> Checked | None:
        assert domain or tenant
        return None


@dataclass
class Heard:
    """What operators are told."""

    refusals: list[str] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    no_past: list[WindowError] = field(default_factory=list)
    no_link: list[str] = field(default_factory=list)
    ledger: list[Unreadable | None] = field(default_factory=list)

    def refused(self, why: str) -> None:
        self.refusals.append(why)

    def failed(self, error: Exception) -> None:
        self.failures.append(error)

    def no_history(self, error: WindowError) -> None:
        self.no_past.append(error)

    def no_links(self, problem: str) -> None:
        self.no_link.append(problem)


@dataclass
class Ledger:
    """Asks a ledger, or whatever takes its place."""

    url: str
    obstacle: WindowError | None = None
    asked: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Whoever asks waits while the block runs."""
        with self._lock:
            yield

    def __call__(self, question: Question[Any]) -> Any:
        self.asked += 1
        with self._lock:
            pass
        if self.obstacle:
            raise self.obstacle
        return DatabaseAsks(self.url)(question)


@dataclass(frozen=True)
class Setting:
    """A desk, and what stands behind it."""

    desk: Desk
    dns: SilentDns
    heard: Heard
    ledger: Ledger

    def with_options(self, **changes: Any) -> "Setting":
        options = self.desk.options.model_copy(update=changes)
        return replace(self, desk=replace(self.desk, options=options))


@contextmanager
def open_desk(
    url: str, clock: Callable[[], float] = lambda: NOW, revoked: Path | None = None
) -> Iterator[Setting]:
    """A desk for the ledger at *url*, which is read while the block runs."""
    dns, heard, ledger = SilentDns(), Heard(), Ledger(url)
    reader = LedgerReader(ledger)
    snapshots = Snapshots(reader, heard.ledger.append, clock)
    desk = Desk(
        OPTIONS, reader, snapshots, dns, TEXTS, {Domain("gmail.com")}, clock, b"s" * 32,
        heard, share_keys=KEYRING, revoked=revoked,
    )  # fmt: skip
    reading = threading.Thread(target=snapshots.run)
    reading.start()
    try:
        yield Setting(desk, dns, heard, ledger)
    finally:
        snapshots.end()
        reading.join()
