"""Loads the catalogue of a language from the package."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_decimal

from alignd.languages.language import SOURCE, Language
from alignd.languages.texts import Texts

DOMAIN = "alignd"
_LOCALES = {Language.EN: "en_GB"}
"""Where a language alone means another way to write dates: those of `en` begin with the month."""
_KEPT = 4096
"""Numbers, and days. A list has hundreds, and Babel takes longer for one than all else for it."""
_DAY = 86_400


def load_texts(language: Language) -> Texts:
    """Read the catalogue of *language*.

    Raises:
        OSError: it is not installed, or cannot be read.
    """
    translations = _read(language)
    locale = Locale.parse(_LOCALES.get(language, language.value))
    return Texts(
        language,
        translations.gettext,
        translations.ngettext,
        lru_cache(_KEPT)(lambda number: format_decimal(number, locale=locale)),
        _dates(locale),
    )


def _dates(locale: Locale) -> Callable[[float], str]:
    @lru_cache(_KEPT)
    def format_day(day: int) -> str:
        return format_date(datetime.fromtimestamp(day * _DAY, UTC), format="long", locale=locale)

    return lambda time: format_day(int(time // _DAY))


def _read(language: Language) -> NullTranslations:
    if language is SOURCE:
        return NullTranslations()
    path = files("alignd.languages") / "locale" / language.value / "LC_MESSAGES" / f"{DOMAIN}.mo"
    with path.open("rb") as catalogue:
        return GNUTranslations(catalogue)
