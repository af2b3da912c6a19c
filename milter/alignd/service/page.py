"""Runs the page: a process of its own, which reads the ledger and DNS, and touches no mail."""

from __future__ import annotations

import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from alignd.config.domain_lists import FreemailDomains
from alignd.config.file import ConfigError, ConfigProblem, load_configuration
from alignd.config.nameservers import Nameservers, nameservers_of
from alignd.config.settings import Configuration, WebOptions
from alignd.config.signer import TableSigner, load_signer
from alignd.languages.catalogues import load_texts
from alignd.languages.language import Language
from alignd.ledger.window.opening import reader_of
from alignd.ledger.window.protocol import WindowError
from alignd.ledger.window.reader import LedgerReader
from alignd.return_path.directory import Directory, make_directory
from alignd.return_path.key_file import load_keyring
from alignd.return_path.keyring import MIN_OCTETS, Key, Keyring, KeyState
from alignd.service.processes.notification import ServiceManager, Watchdog
from alignd.service.processes.patience import Silence
from alignd.telemetry.log import MessageLog, described
from alignd.web.app.pages import make_pages
from alignd.web.app.server import LibraryLog, Listener
from alignd.web.app.shared import make_shared
from alignd.web.desk.assembly import make_checker
from alignd.web.desk.desk import Checks, Desk
from alignd.web.desk.snapshots import Snapshots, Unreadable, heard_of, overview_of
from alignd.web.heard import Heard
from alignd.web.listing import Snapshot
from alignd.web.revocation import path_of
from alignd.web.token_file import load_tokens
from alignd.web.tokens import Tokens

_ENDING = {signal.SIGTERM, signal.SIGINT}
_SIGNALS = {*_ENDING, signal.SIGHUP}
_NICENESS = 10  # at least, also where no systemd has given it that of its unit
_ROUND_SECONDS = 1.0
_STUCK_SECONDS = 30.0  # while mail takes nearly all, a thread of the page waits for seconds
_SECRET_OCTETS = 32
_NOWHERE = "there is nowhere to listen: set web.listen"
_NO_LEDGER = (
    "there is no ledger that the page may read: restart alignd with "
    'ledger.window = "unix:/run/alignd/window/ledger.sock", or let ledger.url name PostgreSQL'
)


@dataclass(frozen=True, slots=True)
class PageSetup:
    """The configuration of the page, and all that is read along with it."""

    configuration: Configuration
    signer: TableSigner
    directory: Directory
    nameservers: Nameservers
    ledger: LedgerReader
    tokens: Tokens | None
    share_keys: Keyring | None
    revoked: Path | None

    @property
    def web(self) -> WebOptions:
        return self.configuration.web


def load_page(path: Path, environment: Mapping[str, str]) -> PageSetup:
    """Read the configuration file at *path*, and what it names for the page.

    Raises:
        ConfigError: something of it is wrong.
        ResolverError: there is no nameserver to ask.
    """
    configuration = load_configuration(path)
    web = configuration.web
    ledger = reader_of(configuration.ledger)
    if web.listen is None and web.share_listen is None:
        raise ConfigError((ConfigProblem(str(path), 1, _NOWHERE),))
    if ledger is None:
        raise ConfigError((ConfigProblem(str(path), 1, _NO_LEDGER),))
    return PageSetup(
        configuration,
        load_signer(configuration.dkim),
        make_directory(configuration, example_keyrings(configuration)),
        nameservers_of(configuration.dns),
        ledger,
        load_tokens(web.tokens) if web.tokens else None,
        load_keyring(web.share_keys) if web.share_keys and web.share_listen else None,
        path_of(web, environment),
    )


def example_keyrings(configuration: Configuration) -> dict[str, Keyring]:
    """A key of the page's own in the place of those in each file of `return.keys`.

    The page shows what return addresses look like, and what receivers say of their domain. None
    that it shows holds, so that its user, whom readers reach, need not read the keys.
    """
    key = Key(secrets.token_bytes(MIN_OCTETS), KeyState.SIGN)
    paths = (each.return_path.keys for each in configuration.all_settings)
    return {path: Keyring({key.id: key}, key) for path in paths if path}


class PageService:
    """The process of `alignd web`."""

    def __init__(self, setup: PageSetup, log: MessageLog, environment: Mapping[str, str]) -> None:
        """Open its sockets.

        Raises:
            ConfigError: the key of Domain Connect is no use.
            ListenError: one of them cannot be opened.
        """
        self._log = log
        own = PageLog(log)
        LibraryLog(own.failed).install()
        self._snapshots = Snapshots(overview_of(setup.ledger), own.ledger)
        self._receivers = Snapshots(
            heard_of(
                setup.ledger,
                is_dry=any(each.rules.dry_run for each in setup.configuration.all_settings),
            ),
            own.no_receivers,
        )
        self._checker = make_checker(
            setup.configuration,
            setup.signer,
            setup.directory,
            setup.nameservers,
            lambda _domain, error: own.failed(error),
        )
        desk = make_desk(setup, self._snapshots, self._receivers, self._checker, own)
        self._listeners = tuple(_listeners(desk))
        now = time.monotonic()
        self._vigils = tuple(Vigil(each, now) for each in self._listeners)
        self._manager = ServiceManager()
        self._watchdog = Watchdog(self._manager, self._is_well, environment)
        self._web = setup.web

    def run(self) -> int:
        """Serve until TERM or INT; the result is the exit status."""
        # Before there are threads, which have mask and priority of whoever starts them.
        let_mail_go_first()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        for name, run in (("snapshots", self._snapshots.run), ("receivers", self._receivers.run)):
            threading.Thread(target=run, name=name, daemon=True).start()
        for each in self._listeners:
            each.start()
        listen, share_listen = (
            str(each or "") for each in (self._web.listen, self._web.share_listen)
        )
        self._log.service("page is served", listen=listen, share_listen=share_listen)
        self._manager.ready()
        self._watchdog.begin()
        status = self._wait()
        self._manager.stopping()
        for each in self._listeners:
            each.end()
        self._snapshots.end()
        self._receivers.end()
        self._checker.close()
        for each in self._listeners:
            each.join()
        self._log.service("page is served no longer")
        self._log.close()
        return status

    def _wait(self) -> int:
        while True:
            found = signal.sigtimedwait(_SIGNALS, _ROUND_SECONDS)
            # Python 3.11 to 3.13 give a siginfo that was not filled in to a process that was
            # stopped for longer than the round, and goes on: its number is then none of these.
            number = found.si_signo if found else 0
            if number in _ENDING:
                return os.EX_OK
            if number == signal.SIGHUP:
                self._log.service("the page reads its configuration at a start only: restart it")
            self._manager.tell_untold()
            self._watchdog.feed()
            if not self._is_well():
                self._log.service("the page has stopped answering: it ends")
                return os.EX_SOFTWARE

    def _is_well(self) -> bool:
        now = time.monotonic()
        return all(each.is_well(now) for each in self._vigils)


class Turning(Protocol):
    """What looks after connections, again and again."""

    @property
    def is_alive(self) -> bool:
        raise NotImplementedError

    @property
    def turns(self) -> int:
        """How often it has done so."""
        raise NotImplementedError


class Vigil:
    """Sees whether a listener still looks after its connections."""

    def __init__(self, listener: Turning, now: float) -> None:
        """*now* is of a monotonic clock, in seconds."""
        self._listener = listener
        self._turns = listener.turns
        self._silence = Silence(now)

    def is_well(self, now: float) -> bool:
        if self._listener.turns != self._turns:
            self._turns = self._listener.turns
            self._silence.end()
        return self._listener.is_alive and self._silence.look(now) < _STUCK_SECONDS


def let_mail_go_first() -> None:
    """Take a low priority, also where no unit has given one."""
    missing = _NICENESS - os.getpriority(os.PRIO_PROCESS, 0)
    if missing > 0:
        with suppress(OSError):  # where a sandbox forbids it
            os.nice(missing)


class PageLog:
    """Writes what operators should know; see `DeskLog`."""

    def __init__(self, log: MessageLog) -> None:
        self._log = log

    def refused(self, why: str) -> None:
        self._log.once_a_minute("a request for a page was refused", why=why)

    def failed(self, error: Exception) -> None:
        self._log.once_a_minute("a page failed", error=described(error))

    def no_history(self, error: WindowError) -> None:
        self._log.once_a_minute(
            "a page lacks its history: the ledger cannot be read", problem=str(error)
        )

    def no_receivers(self, trouble: Unreadable | None) -> None:
        """What receivers said cannot be read for *trouble*; `ledger` tells when it can again."""
        if trouble is not None:
            self._log.once_a_minute(
                "pages lack what receivers said: the ledger cannot be read",
                problem=trouble.problem,
            )

    def no_links(self, problem: str) -> None:
        self._log.once_a_minute(
            "no link is good: it is not known which are revoked", problem=problem
        )

    def ledger(self, trouble: Unreadable | None) -> None:
        """The ledger cannot be read for *trouble*, or can be read again."""
        if trouble is None:
            self._log.service("the page reads the ledger again")
        else:
            what = trouble.obstacle.value
            self._log.service(
                "the page cannot read the ledger", obstacle=what, problem=trouble.problem
            )


def make_desk(
    setup: PageSetup,
    snapshots: Snapshots[Snapshot],
    receivers: Snapshots[Heard],
    checker: Checks,
    log: PageLog,
    clock: Callable[[], float] = time.time,
) -> Desk:
    """What the page works with."""
    return Desk(
        options=setup.web,
        ledger=setup.ledger,
        snapshots=snapshots,
        receivers=receivers,
        checker=checker,
        texts={language: load_texts(language) for language in map(Language, setup.web.languages)},
        providers=FreemailDomains(),
        clock=clock,
        form_secret=secrets.token_bytes(_SECRET_OCTETS),
        log=log,
        tokens=setup.tokens,
        share_keys=setup.share_keys,
        revoked=setup.revoked,
    )


def _listeners(desk: Desk) -> list[Listener]:
    options = desk.options
    found = []
    if options.listen:
        found.append(Listener(make_pages(desk), options.listen, "pages"))
    if options.share_listen:
        found.append(Listener(make_shared(desk), options.share_listen, "links"))
    return found
