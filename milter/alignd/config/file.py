"""Reads the configuration file, and says of every problem at once at which line it stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from alignd.config.settings import WHOLE, Configuration, Settings, Table

DEFAULT_PATH = Path("/etc/alignd/alignd.conf")

_Place = tuple[str | int, ...]
_HEADER = re.compile(r"^\s*(\[{1,2})\s*([^\[\]#]+?)\s*\]{1,2}\s*(#.*)?$")
_KEY = re.compile(
    r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")
_SYNTAX_LINE = re.compile(r"\(at line (\d+), column \d+\)|\(at end of document\)")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the file."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


class ConfigError(Exception):
    """The configuration cannot be used; holds every problem, in the order of the file."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def load(path: Path) -> Configuration:
    """Read and validate the file at *path*.

    Raises:
        ConfigError: it cannot be read, is no TOML, or an option in it is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError((Problem(str(path), 1, f"cannot be read: {problem}"),)) from error
    return parse(text, str(path))


def parse(text: str, path: str) -> Configuration:
    """Validate the *text* of a configuration file; *path* names it in problems.

    Raises:
        ConfigError: the text is no TOML, or an option in it is wrong.
    """
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError((_syntax_problem(text, path, str(error)),)) from error
    try:
        return Configuration.model_validate(tables)
    except ValidationError as error:
        lines = dict(_lines(text))
        problems = {
            Problem(path, _line_of(place, lines), _describe(detail, place))
            for detail in error.errors(include_url=False)
            if (place := _place(detail, tables)) is not None
        }
        ordered = sorted(problems, key=lambda problem: (problem.line, problem.text))
        raise ConfigError(tuple(ordered)) from error


def _syntax_problem(text: str, path: str, error: str) -> Problem:
    match = _SYNTAX_LINE.search(error)
    line = int(match[1]) if match and match[1] else text.count("\n") + (not text.endswith("\n"))
    return Problem(path, line, f"not TOML: {_SYNTAX_LINE.sub('', error).strip()}")


def _place(detail: ErrorDetails, tables: dict[str, Any]) -> _Place | None:
    """Where the problem stands in the file; None when it is a tenant's copy of another one."""
    place = tuple(detail["loc"])
    if place[:1] != ("tenant",) or WHOLE not in place:
        return place
    own = (*place[:2], *place[3:])
    inside: Any = tables
    for part in own[:4]:
        if isinstance(inside, dict) and part not in inside:
            return None
        if isinstance(inside, dict) or (isinstance(inside, list) and isinstance(part, int)):
            inside = inside[part]  # type: ignore[index]
    return own


def _lines(text: str) -> Iterator[tuple[_Place, int]]:
    """Where every table and key of the file stands, counted from 1."""
    table: _Place = ()
    counts: dict[_Place, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line):
            table = _parts(header[2])
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            elif table[:1] in counts:
                table = (table[0], counts[table[:1]], *table[1:])
            yield table, number
        elif key := _KEY.match(line):
            yield (*table, *_parts(key[1])), number


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


def _line_of(place: _Place, lines: dict[_Place, int]) -> int:
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)


def _describe(detail: ErrorDetails, place: _Place) -> str:
    named = ".".join(str(part) for part in place if isinstance(part, str))
    match detail["type"]:
        case _ if place == ("tenant",):
            return "tenant must be a list of tables: write [[tenant]]"
        case "extra_forbidden":
            return _unknown(place)
        case "missing":
            return f"{named} is missing; it has no default"
        case "value_error":
            return f"{named}: {detail['msg'].removeprefix('Value error, ')}"
        case "model_type" | "model_attributes_type":
            return f"{named} must be a table: {_header_of(named)}"
        case _:
            return f"{named} = {detail['input']!r}: {detail['msg'][:1].lower()}{detail['msg'][1:]}"


def _header_of(table: str) -> str:
    return "[[tenant]]" if table == "tenant" else f"[{table}]"


def _unknown(place: _Place) -> str:
    key = str(place[-1])
    owner = _table_at(place[:-1])
    where = ".".join(str(part) for part in place[:-1] if isinstance(part, str))
    text = f"unknown option {key!r} in [{where}]" if where else f"unknown table or option {key!r}"
    elsewhere = [name for name, keys in option_names().items() if key in keys and name != where]
    if elsewhere:
        return f"{text}; it belongs in [{elsewhere[0]}]"
    close = get_close_matches(key, owner, n=1)
    return f"{text}; did you mean {close[0]!r}?" if close else text


def _table_at(place: _Place) -> tuple[str, ...]:
    if place[:1] == ("tenant",):
        if len(place) == 2:  # noqa: PLR2004  the tenant itself
            return ("match", *Settings.model_fields)
        place = place[2:]
    return option_names().get(str(place[0]), ()) if place else tuple(option_names())


def option_names() -> dict[str, tuple[str, ...]]:
    """The names of all options, by table."""
    names: dict[str, tuple[str, ...]] = {}
    for table, field in Configuration.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Table):
            names[table] = tuple(kind.model_fields)
    return names | {"tenant": ("match", *Settings.model_fields)}
