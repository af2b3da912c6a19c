"""Where a ledger is: the local file of a relay, and the database that relays share, if any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from alignd.config.settings import LedgerOptions

FILE_NAME = "ledger.sqlite"
_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class LedgerPlace:
    """The files and servers of one service's ledger."""

    file: Path
    """The SQLite file that this service alone writes; every count goes there first."""
    shared_url: str = ""
    """The PostgreSQL that relays share, as `ledger.url` has it; empty where the file is all."""

    @property
    def url(self) -> str:
        """Where states and events are: the shared database, else the file."""
        return self.shared_url or f"{_SQLITE}{self.file}"


def place_of(
    options: LedgerOptions, environment: Mapping[str, str], suffix: str = ""
) -> LedgerPlace | None:
    """Where the ledger of a service is; None where there is none.

    *suffix* tells the file of one service from that of another which has the same options, such as
    `-return`. Without systemd, which names a state directory, there is none by default.
    """
    if not options.url:
        return None
    state = environment.get("STATE_DIRECTORY", "")  # systemd.exec(5), StateDirectory=
    default = Path(state) / FILE_NAME if state else None
    if options.url.startswith(_SQLITE):
        path = Path(options.url.removeprefix(_SQLITE))
        return LedgerPlace(path.with_stem(path.stem + suffix))
    named = Path(options.spool) if options.spool else None
    file = named.with_stem(named.stem + suffix) if named else default
    if file is None:
        return None
    return LedgerPlace(file, "" if options.url == "sqlite" else options.url)
