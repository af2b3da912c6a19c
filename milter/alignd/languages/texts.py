"""Sentences, numbers and dates in one language.

A sentence is written in the code in English, whole, with named placeholders: `{domain}`. What
stands there is looked up in the catalogue of the language; where it has none, it stays English.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alignd.languages.language import Language


def msgid(sentence: str) -> str:
    """Mark *sentence* for translation where it is kept, and not yet said."""
    return sentence


@dataclass(frozen=True, slots=True)
class Texts:
    """What translates into one language; `catalogues.load_texts` makes it."""

    language: Language
    translate: Callable[[str], str]
    translate_plural: Callable[[str, str, int], str]
    format_number: Callable[[int], str]
    format_date: Callable[[float], str]

    def text(self, sentence: str, /, **values: object) -> str:
        """Say *sentence*, with *values* in its placeholders."""
        return self.translate(sentence).format(**values)

    def plural(self, one: str, many: str, number: int, /, **values: object) -> str:
        """Say *one* or *many*, as the language does of *number*, which is their `{n}`."""
        sentence = self.translate_plural(one, many, number)
        return sentence.format(n=self.number(number), **values)

    def number(self, number: int) -> str:
        """Write a number, with the separators of the language."""
        return self.format_number(number)

    def date(self, unix_time: float) -> str:
        """Write the date of *unix_time* in UTC, with the month as a word."""
        return self.format_date(unix_time)
