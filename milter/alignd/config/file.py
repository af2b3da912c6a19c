"""Reads and validates the configuration file, and reports every problem at once, with its line."""

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

from alignd.config.settings import TENANT_TABLES, WHOLE, Configuration, Table

DEFAULT_PATH = Path("/etc/alignd/alignd.conf")

_KeyPath = tuple[str | int, ...]
"""The keys from the top of the file to an option: ("tenant", 0, "rules", "dry_run")."""
_HEADER = re.compile(r"^\s*(\[{1,2})\s*([^\[\]#]+?)\s*\]{1,2}\s*(#.*)?$")
_KEY = re.compile(
    r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")
_SYNTAX_LINE = re.compile(r"\(at line (\d+), column \d+\)|\(at end of document\)")


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One error of the configuration, at a line of a file."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


class ConfigError(Exception):
    """The configuration cannot be used; *problems* are in the order of the file."""

    def __init__(self, problems: tuple[ConfigProblem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def load_configuration(path: Path) -> Configuration:
    """Read and validate the file at *path*.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or an option in it is wrong.
    """
    return parse_configuration(read_text(path), str(path))


def read_text(path: Path) -> str:
    """Read the file at *path*, without looking at what it says.

    Raises:
        ConfigError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError((ConfigProblem(str(path), 1, f"cannot be read: {problem}"),)) from error


def parse_configuration(text: str, path: str) -> Configuration:
    """Validate the *text* of a configuration file; *path* names it in problems.

    Raises:
        ConfigError: the text is not TOML, or an option in it is wrong.
    """
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError((_syntax_problem(text, path, str(error)),)) from error
    try:
        configuration = Configuration.model_validate(tables)
    except ValidationError as error:
        lines = dict(_lines(text))
        problems = {
            ConfigProblem(path, _line_of(key_path, lines), _describe(detail, key_path))
            for detail in error.errors(include_url=False)
            if (key_path := _key_path(detail, tables)) is not None
        }
        ordered = sorted(problems, key=lambda problem: (problem.line, problem.text))
        raise ConfigError(tuple(ordered)) from error
    _refuse_conflicts(configuration, text, path)
    return configuration


def _refuse_conflicts(configuration: Configuration, text: str, path: str) -> None:
    """Refuse options that are good one by one and contradict each other."""
    conflicts = configuration.conflicts()
    if not conflicts:
        return
    lines = dict(_lines(text))
    raise ConfigError(
        tuple(
            ConfigProblem(path, _line_of(key_path, lines), problem)
            for key_path, problem in conflicts
        )
    )


def _syntax_problem(text: str, path: str, error: str) -> ConfigProblem:
    match = _SYNTAX_LINE.search(error)
    line = int(match[1]) if match and match[1] else text.count("\n") + (not text.endswith("\n"))
    return ConfigProblem(path, line, f"not TOML: {_SYNTAX_LINE.sub('', error).strip()}")


def _key_path(detail: ErrorDetails, tables: dict[str, Any]) -> _KeyPath | None:
    """Find the option in the file that *detail* is about.

    Each tenant is validated with a copy of the general options, so that an error in one of those
    is reported once more for every tenant: the result is None for such a copy.
    """
    key_path = tuple(detail["loc"])
    if key_path[:1] != ("tenant",) or WHOLE not in key_path:
        return key_path
    own = (*key_path[:2], *key_path[3:])
    inside: Any = tables
    for part in own[:4]:
        if isinstance(inside, dict) and part not in inside:
            return None
        if isinstance(inside, dict) or (isinstance(inside, list) and isinstance(part, int)):
            inside = inside[part]  # type: ignore[index]
    return own


def _lines(text: str) -> Iterator[tuple[_KeyPath, int]]:
    """Find the line, counted from 1, of every table and key.

    tomllib does not keep lines. A table or key that is written in a way that this does not see
    costs its problem only the exact line: it is reported at the table around it.
    """
    table: _KeyPath = ()
    counts: dict[_KeyPath, int] = {}
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


def _line_of(key_path: _KeyPath, lines: dict[_KeyPath, int]) -> int:
    while key_path and key_path not in lines:
        key_path = key_path[:-1]
    return lines.get(key_path, 1)


def _describe(detail: ErrorDetails, key_path: _KeyPath) -> str:
    named = ".".join(str(part) for part in key_path if isinstance(part, str))
    match detail["type"]:
        case _ if key_path == ("tenant",):
            return "tenant must be a list of tables: write [[tenant]]"
        case "extra_forbidden":
            return _unknown(key_path)
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


def _unknown(key_path: _KeyPath) -> str:
    key = str(key_path[-1])
    owner = _table_at(key_path[:-1])
    where = ".".join(str(part) for part in key_path[:-1] if isinstance(part, str))
    text = f"unknown option {key!r} in [{where}]" if where else f"unknown table or option {key!r}"
    if key in owner:  # the general table has more options
        return f"{text}; it is not for tenants"
    elsewhere = [name for name, keys in option_names().items() if key in keys and name != where]
    if elsewhere and key not in option_names():
        return f"{text}; it belongs in [{elsewhere[0]}]"
    close = get_close_matches(key, owner, n=1)
    return f"{text}; did you mean {close[0]!r}?" if close else text


def _table_at(key_path: _KeyPath) -> tuple[str, ...]:
    if key_path[:1] == ("tenant",):
        if len(key_path) == 2:  # noqa: PLR2004  the tenant itself
            return ("match", *TENANT_TABLES)
        key_path = key_path[2:]
    return option_names().get(str(key_path[0]), ()) if key_path else tuple(option_names())


def option_names() -> dict[str, tuple[str, ...]]:
    """List the names of all options by table."""
    names: dict[str, tuple[str, ...]] = {}
    for table, field in Configuration.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Table):
            options = kind.model_fields.items()
            names[field.alias or table] = tuple(each.alias or name for name, each in options)
    return names | {"tenant": ("match", *TENANT_TABLES)}
