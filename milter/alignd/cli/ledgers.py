"""Finds the ledger that a command is about, opens it, and reports errors.

Beside `options`, since it imports SQLAlchemy, which `alignd serve` does without.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click

from alignd.cli.options import CONFIG, EXIT_INCOMPLETE, InputError, load_or_exit
from alignd.ledger.database import LedgerError, problem_of, shown
from alignd.ledger.migration import SchemaError
from alignd.ledger.place import LedgerPlace
from alignd.ledger.queries.opening import OpenLedger, open_ledger
from alignd.service.ledger.place import ledger_place
from alignd.service.setup import Leg

_STATE_DIRECTORIES = {Leg.OUTBOUND: "/var/lib/alignd", Leg.RETURN: "/var/lib/alignd-return"}
"""What systemd makes for the units that alignd comes with."""
_SQLITE = "sqlite:///"
_KINDS = (_SQLITE, "postgresql://")
_AGO = re.compile(r"(\d{1,5})([hd])")
_SECONDS = {"h": 3600, "d": 86_400}

_DATABASE = click.option(
    "--database",
    metavar="URL",
    help="The ledger, if not the one that the configuration names: sqlite:////PATH or "
    "postgresql://USER@HOST/DATABASE.",
)

_LEG = click.option(
    "--leg",
    type=click.Choice([leg.value for leg in Leg]),
    default=Leg.OUTBOUND.value,
    show_default=True,
    help="Which way the mail went: from helpdesks, or back to return addresses.",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which ledger a command is about."""

    leg: Leg
    database: str | None
    """The URL of --database."""
    config: Path

    @property
    def url(self) -> str:
        """See `url_of`."""
        return url_of(self.database, self.config, self.leg)


def takes_ledger(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* the options that say which ledger it is about, as one."""
    return _LEG(takes_both_legs(command))


def takes_both_legs(command: Callable[..., None]) -> Callable[..., None]:
    """The same without --leg."""

    @_DATABASE
    @CONFIG
    @wraps(command)
    def with_ledger(
        database: str | None, config: Path, leg: str = Leg.OUTBOUND.value, **others: Any
    ) -> None:
        command(asked=Asked(Leg(leg), database, config), **others)

    return with_ledger


class Since(click.ParamType[float]):
    """A day, or how long ago; as a Unix time."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if isinstance(value, float):
            return value
        if ago := _AGO.fullmatch(value):
            return max(0.0, time.time() - int(ago[1]) * _SECONDS[ago[2]])
        try:
            return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
        except ValueError:
            self.fail(
                f"not a time: {value!r}; write a day such as '2026-07-01', or '7d' or '12h' for "
                "that long ago",
                param,
                ctx,
            )


def places_of(config: Path, legs: tuple[Leg, ...]) -> list[LedgerPlace]:
    """The ledgers of the services that have the configuration file *config*.

    Raises:
        InputError: it wants none.
    """
    configuration, _ = load_or_exit(config, EXIT_INCOMPLETE)
    places = []
    for leg in legs:
        environment = {"STATE_DIRECTORY": _STATE_DIRECTORIES[leg], **os.environ}
        if place := ledger_place(configuration.ledger, leg, environment):
            places.append(place)
    if not places:
        raise InputError(f'{config}: there is no ledger: ledger.url is ""')
    return places


def url_of(database: str | None, config: Path, leg: Leg) -> str:
    """The URL of the ledger: *database* if that is given, else what *config* names.

    Raises:
        InputError: it cannot be one, or names a file that is not there.
    """
    url = database or places_of(config, (leg,))[0].url
    if not url.startswith(_KINDS) or not _is_readable(url):
        # Not quoted: it may have a password.
        raise InputError(
            "--database: not where a ledger can be; write 'sqlite:////PATH' or "
            "'postgresql://USER@HOST/DATABASE'"
        )
    if not is_there(url):
        raise InputError(
            f"{_name(url)}: there is no such ledger; the service makes it when it starts. If it "
            "is elsewhere, give --database"
        )
    return url


def is_there(url: str) -> bool:
    """Whether the file of the ledger at *url* is there; of one on a server, True.

    Raises:
        InputError: nobody can say.
    """
    file = _file_of(url)
    try:
        return file is None or file.is_file()
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}; {_cure(url)}") from error


@contextmanager
def opened(url: str) -> Iterator[OpenLedger]:
    """The ledger at *url*, to be asked.

    Raises:
        InputError: it cannot be, or not to the end.
    """
    with reported(url), open_ledger(url) as ledger:
        yield ledger


@contextmanager
def reported(url: str) -> Iterator[None]:
    """Report what is wrong with the database at *url* as an InputError, with what to do."""
    try:
        yield
    except LedgerError as error:
        raise InputError(f"{_name(url)}: {problem_of(error)}; {_cure(url)}") from error
    except SchemaError as error:
        raise InputError(f"{_name(url)}: {error}") from error


def _file_of(url: str) -> Path | None:
    return Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None


def _is_readable(url: str) -> bool:
    try:
        return bool(shown(url))
    except ValueError:
        return False


def _name(url: str) -> str:
    """The file, or the URL without its password."""
    file = _file_of(url)
    return shown(url) if file is None else str(file)


def _cure(url: str) -> str:
    if _file_of(url) is not None:
        return "run this as root or as the user of the service"
    return "see that the server runs and lets this user read, or give --database"
