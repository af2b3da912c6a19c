"""The languages that there are."""

from __future__ import annotations

from enum import Enum


class Language(Enum):
    """A language, by its subtag in BCP 47."""

    EN = "en"
    DA = "da"
    CS = "cs"
    DE = "de"

    @classmethod
    def of(cls, tag: str) -> Language | None:
        """The language of a tag such as "da-DK"; None for one that is not here."""
        subtag = tag.strip().lower().replace("_", "-").partition("-")[0]
        return next((each for each in cls if each.value == subtag), None)

    @property
    def own_name(self) -> str:
        """What its speakers call it, for links."""
        return _OWN_NAMES[self]


_OWN_NAMES = {
    Language.EN: "English",
    Language.DA: "Dansk",
    Language.CS: "Čeština",
    Language.DE: "Deutsch",
}
SOURCE = Language.EN
"""The language of the sentences in the code."""
