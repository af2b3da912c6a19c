"""Matches header fields with glob patterns, and finds the first of many patterns by index."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import translate

from alignd.mail.message import HeaderField, Message

_Values = Mapping[str, Collection[str]]
"""The values of header fields, unfolded and without blanks around them, by lower-case name."""
_Key = tuple[str, str]
"""The lower-case name of a field, and its value as `_folded` has it."""

_SPECIAL = frozenset("*?[")  # fnmatch(3); a "]" by itself is nothing special
_DOTTED_OR_NOT = str.maketrans("\u0130\u0131", "ii")


@dataclass(frozen=True, slots=True)
class HeaderPattern:
    """A glob pattern for the value of one header field."""

    name: str
    text: str
    glob: re.Pattern[str] | None
    """None for a plain value: to compile one for each of thousands of tenants takes seconds."""

    @classmethod
    def parse(cls, name: str, text: str) -> HeaderPattern:
        is_plain = _SPECIAL.isdisjoint(text)
        return cls(name, text, None if is_plain else re.compile(translate(text), re.IGNORECASE))

    @property
    def key(self) -> _Key | None:
        """What a field that matches has in common with this pattern; None if it is a glob."""
        return (self.name.lower(), _folded(self.text)) if self.glob is None else None

    def matches(self, values: _Values) -> bool:
        """Whether one of *values* with its name matches as a whole, ignoring case."""
        pattern = self.glob or re.compile(re.escape(self.text), re.IGNORECASE)
        return any(map(pattern.fullmatch, values.get(self.name.lower(), ())))


@dataclass(frozen=True, slots=True)
class HeaderPatterns:
    """Glob patterns by header field name, such as `"X-Mailer" = "Redmine*"`."""

    patterns: tuple[HeaderPattern, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the header fields that `match` reads."""
        return tuple(pattern.name for pattern in self.patterns)

    def match(self, message: Message) -> bool:
        """Whether each pattern matches a field of its name in *message*, ignoring case."""
        return self.matches(_values(message, {name.lower() for name in self.names}))

    def matches(self, values: _Values) -> bool:
        """Whether each pattern matches one of *values*."""
        return all(pattern.matches(values) for pattern in self.patterns)


class PatternIndex:
    """Finds the first of many header patterns that matches a message.

    One with a plain value among its patterns is found by that value, whatever their number; those
    with globs alone are tried one by one.
    """

    def __init__(self, patterns: Iterable[HeaderPatterns]) -> None:
        self._patterns = tuple(patterns)
        keys = [
            frozenset(key for pattern in each.patterns if (key := pattern.key))
            for each in self._patterns
        ]
        number = Counter(key for each in keys for key in each)
        self._by_key: dict[_Key, list[int]] = {}
        self._others: dict[int, frozenset[_Key]] = {}
        """What else a message must have where a position is found by one key of several."""
        self._globs: list[int] = []
        for position, each in enumerate(keys):
            if not each:
                self._globs.append(position)
                continue
            rarest = min(each, key=number.__getitem__)
            self._by_key.setdefault(rarest, []).append(position)
            if others := each - {rarest}:
                self._others[position] = others
        self.names = frozenset(name.lower() for each in self._patterns for name in each.names)
        """The names of all header fields that are read, in lower case."""

    def first(self, message: Message) -> int | None:
        """The position of the first patterns that match *message*, or None."""
        values = _values(message, self.names)
        plain = self._first_by_key(values)
        for position in self._globs:
            if plain is not None and position > plain:
                break
            if self._patterns[position].matches(values):
                return position
        return plain

    def _first_by_key(self, values: _Values) -> int | None:
        keys = {(name, _folded(value)) for name, found in values.items() for value in found}
        for position in sorted(each for key in keys for each in self._by_key.get(key, ())):
            # Keys are equal wherever a pattern matches, and at times where it does not.
            if self._others.get(position, frozenset()) <= keys and self._patterns[
                position
            ].matches(values):
                return position
        return None


def _values(message: Message, names: Collection[str]) -> _Values:
    found: dict[str, dict[str, None]] = {}
    for field in message.header:
        if (name := field.name.lower()) in names:
            found.setdefault(name, {})[_text(field)] = None
    return found


def _text(field: HeaderField) -> str:
    return field.unfolded.decode(errors="replace").strip()


def _folded(text: str) -> str:
    """*text* so that it is the same for all that `re.IGNORECASE` takes for the same.

    Case folding says more than that of some letters, as of "ss"; less it says only of the Turkish
    i, with a dot or without.
    """
    return text.translate(_DOTTED_OR_NOT).casefold()
