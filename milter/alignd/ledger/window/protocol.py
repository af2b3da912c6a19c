"""The lines that cross the socket of a ledger: strict JSON, each of a bounded length.

A connection is for one question, which is an object in one line. The answer is a row in each line,
an array, and in the last line an object: how many rows there were, or what is wrong.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

VERSION = 1
"""Of the questions and of the rows; who hears of another one is of another alignd."""
MAX_QUESTION = 4096
"""Octets of a question with the end of its line."""
MAX_LINE = 1 << 20
"""Octets of a line of an answer."""
MAX_ANSWER = 24 << 20
"""Octets of all of them: some 60,000 domains."""
MAX_TEXT = 255
"""Characters of a name in a question."""
_MAX_TIME = 1e11  # Unix time: some thousand years from now
_TERSE = (",", ":")


class Obstacle(Enum):
    """Why a question has no answer."""

    MALFORMED = "malformed"
    """It is no question."""
    VERSION = "version"
    """Whoever asks and whoever answers are not of the same alignd."""
    BUSY = "busy"
    """Others ask too much."""
    SCHEMA = "schema"
    """The ledger was written by another alignd."""
    TOO_LARGE = "too-large"
    """The answer would be."""
    SLOW = "slow"
    """It took too long."""
    DATABASE = "database"
    """It cannot be read."""
    FAILED = "failed"
    """A bug."""
    UNREACHABLE = "unreachable"
    """Nobody answers there: the service does not run, or does not let this user ask."""
    BROKEN = "broken"
    """The answer ended in the middle, or was none."""


class WindowError(Exception):
    """A question has no answer: `obstacle` says why to programs, the text to people."""

    def __init__(self, obstacle: Obstacle, problem: str) -> None:
        super().__init__(problem)
        self.obstacle = obstacle


class MalformedError(ValueError):
    """What came is not what may come there."""


def encode_question(word: str, fields: Mapping[str, Any]) -> bytes:
    """The line that asks.

    Raises:
        MalformedError: it would be too long.
    """
    line = _line({"version": VERSION, "ask": word, **fields})
    if len(line) > MAX_QUESTION:
        raise MalformedError(f"a question of {len(line)} octets")
    return line


def decode_question(line: bytes) -> tuple[str, dict[str, Any]]:
    """What *line*, without its end, asks: the word, and its fields as they came.

    Raises:
        WindowError: it is no question, or one of another version.
    """
    try:
        question = _parse(line)
        if not isinstance(question, dict):
            raise MalformedError("not an object")
        version, word = question.pop("version", None), question.pop("ask", None)
        if type(version) is not int:
            raise MalformedError("no version")
        if version == VERSION and not isinstance(word, str):
            raise MalformedError("asks nothing")
    except MalformedError as error:
        raise WindowError(Obstacle.MALFORMED, f"not a question: {error}") from error
    if version != VERSION:
        raise WindowError(Obstacle.VERSION, f"questions of version {VERSION} are answered here")
    return word, question


def encode_row(row: Sequence[Any]) -> bytes:
    """A line of an answer.

    Raises:
        WindowError: it would be too long.
    """
    line = _line(row)
    if len(line) > MAX_LINE:
        raise WindowError(Obstacle.TOO_LARGE, f"a row of {len(line)} octets")
    return line


def encode_end(rows: int) -> bytes:
    """The last line of an answer that is whole."""
    return _line({"version": VERSION, "rows": rows})


def encode_obstacle(error: WindowError) -> bytes:
    """The last line of one that is not."""
    return _line({"version": VERSION, "obstacle": error.obstacle.value, "problem": str(error)})


def decode_answer(lines: Iterator[bytes]) -> Iterator[list[Any]]:
    """The rows of an answer; *lines* are without their ends.

    Raises:
        WindowError: it is none, or not whole; or what whoever answers has said.
    """
    for count, line in enumerate(lines):
        try:
            row = _parse(line)
        except MalformedError as error:
            raise WindowError(Obstacle.BROKEN, f"not an answer: {error}") from error
        if not isinstance(row, list):
            _require_end(row, count)
            return
        yield row
    raise WindowError(Obstacle.BROKEN, "the answer ended in the middle")


def _require_end(last: object, rows: int) -> None:
    """Raise what keeps *last* from ending an answer of so many *rows*."""
    match last:
        case {"obstacle": str(word), "problem": str(problem)}:
            known = {each.value: each for each in Obstacle}
            raise WindowError(known.get(word, Obstacle.FAILED), problem[:MAX_TEXT])
        case {"version": int(version)} if version != VERSION:
            raise WindowError(Obstacle.VERSION, f"an answer of version {version}")
        case {"version": int(_), "rows": int(count)} if count == rows:
            return
    raise WindowError(Obstacle.BROKEN, "the answer has no proper end")


def _line(value: object) -> bytes:
    # ASCII: half of a pair of surrogates, which some JSON has, is no UTF-8.
    return json.dumps(value, separators=_TERSE, allow_nan=False).encode("ascii") + b"\n"


def _parse(line: bytes) -> object:
    try:
        return json.loads(
            line.decode("ascii"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except RecursionError as error:
        raise MalformedError("too deep") from error
    except ValueError as error:  # of JSON and of ASCII, and of a number with too many digits
        raise MalformedError(_first_line(error)) from error


def _first_line(error: ValueError) -> str:
    if isinstance(error, MalformedError):
        return str(error)
    return "not JSON in ASCII"  # what else is known of it quotes what came


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedError("a name comes twice")
    return found


def _refuse_constant(_name: str) -> float:
    raise MalformedError("not a number")


def require_names(fields: Mapping[str, Any], *names: str) -> None:
    """See that *fields* have these names and no others.

    Raises, as all below:
        MalformedError: they do not.
    """
    if set(fields) != set(names):
        raise MalformedError(f"needs {', '.join(names)}, and nothing else")


def text(value: object) -> str:
    if not isinstance(value, str):
        raise MalformedError("not a text")
    return value


def name(value: object) -> str:
    """A text of a question, which goes to a database: it has what names have."""
    found = text(value)
    if len(found) > MAX_TEXT or not found.isprintable():  # surrogates are not printable
        raise MalformedError("not a name")
    return found


def one_of(value: object, words: frozenset[str]) -> str:
    found = text(value)
    if found not in words:
        raise MalformedError("an unknown word")
    return found


def number(value: object) -> float:
    if type(value) is int:
        return value
    if not isinstance(value, float) or not math.isfinite(value):  # of 1e999 JSON makes an infinity
        raise MalformedError("not a number")
    return value


def time(value: object) -> float:
    """A Unix time of a question, which goes to a database."""
    found = number(value)
    if not 0 <= found <= _MAX_TIME:
        raise MalformedError("not a time")
    return float(found)


def count(value: object) -> int:
    if type(value) is not int:
        raise MalformedError("not a whole number")
    return value


def flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise MalformedError("neither true nor false")
    return value


def items(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise MalformedError("not a list")
    return value


def mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedError("not an object")
    return value
