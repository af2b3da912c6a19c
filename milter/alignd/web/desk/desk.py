"""Holds all that the page works with."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from alignd.config.settings import WebOptions
from alignd.languages.language import Language
from alignd.languages.texts import Texts
from alignd.ledger.apply import OUTBOUND
from alignd.ledger.queries.history import History
from alignd.ledger.window.protocol import WindowError
from alignd.ledger.window.reader import LedgerReader
from alignd.mail.domain import Domain
from alignd.return_path.keyring import Keyring
from alignd.web.desk.examined import Checked, CheckOutcome, CheckProblem, Examined
from alignd.web.desk.snapshots import Snapshots
from alignd.web.heard import Heard
from alignd.web.listing import Snapshot
from alignd.web.tokens import Tokens

HEARD_PATIENCE = 2.0
"""Seconds for which a page waits for what receivers said, where it is but a part of it."""
HISTORY_SECONDS = 400 * 86_400
"""Of the past that a page of a domain may show."""


class Checks(Protocol):
    """Finds out what DNS says about a domain, within bounds."""

    def examine(self, domain: Domain, tenant: str = "") -> Examined | CheckProblem:
        """What was found when it was looked at last, or is found now."""
        raise NotImplementedError

    def check_now(self, domain: Domain, tenant: str = "") -> CheckOutcome:
        """What its own nameservers say at this moment."""
        raise NotImplementedError

    def last_check(self, domain: Domain, tenant: str = "") -> Checked | None:
        """What the last check found, if that is what is known now."""
        raise NotImplementedError


class DeskLog(Protocol):
    """Hears of what operators should know. Nothing of a request is told: links are secrets."""

    def refused(self, why: str) -> None:
        """A request was refused; *why* is a word."""
        raise NotImplementedError

    def failed(self, error: Exception) -> None:
        """A bug."""
        raise NotImplementedError

    def no_history(self, error: WindowError) -> None:
        """The ledger did not say what happened to a domain."""
        raise NotImplementedError

    def no_links(self, problem: str) -> None:
        """No link is good, because it is not known which were revoked."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Desk:
    """All that the page works with. Everything in it can be used from any thread."""

    options: WebOptions
    ledger: LedgerReader
    snapshots: Snapshots[Snapshot]
    """Of the list of author domains."""
    receivers: Snapshots[Heard]
    """Of what receivers said."""
    checker: Checks
    texts: Mapping[Language, Texts]
    """Of each language that is offered."""
    providers: Container[Domain]
    """Of mailboxes: there is no link to their domains."""
    clock: Callable[[], float]
    """Unix time."""
    form_secret: bytes = field(repr=False)
    """Of this process, so that its forms are known again."""
    log: DeskLog
    tokens: Tokens | None = None
    share_keys: Keyring | None = None
    """Those that sign links; None where there are no links."""
    revoked: Path | None = None
    """The file of links that were revoked, if there may be one."""

    def history(self, domain: Domain, now: float) -> History | None:
        """What the ledger knows of *domain* at the Unix time *now*; None if it cannot be read."""
        try:
            return self.ledger.history(OUTBOUND, domain.name, max(0.0, now - HISTORY_SECONDS), now)
        except WindowError as error:
            self.log.no_history(error)
            return None

    def heard(self) -> Heard | None:
        """What receivers said, for a page of something else; None if that cannot be read."""
        return self.receivers.latest(HEARD_PATIENCE).snapshot

    @property
    def language(self) -> Language:
        """Of those who ask for none."""
        return Language(self.options.language)


def tenant_of(history: History | None) -> str:
    """The tenant under whose options a domain is judged: the one with the most of its mail."""
    return history.states[0].tenant if history and history.states else ""
