"""Makes catalogues of gettext from the sentences in the code, with Babel.

What it makes depends on the code and the translations alone, so that a test can compare it with
what is committed: no dates, no line numbers.
"""

from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from alignd.languages.catalogues import DOMAIN
from alignd.languages.language import SOURCE, Language

ROOT = Path(__file__).parents[2]
SOURCES = tuple(ROOT / "milter/alignd" / package for package in ("digest", "letter", "web"))
"""The packages that speak to people in their language."""
TRANSLATED = tuple(language for language in Language if language is not SOURCE)
_METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
_KEYWORDS = {"msgid": None, "text": None, "plural": (1, 2)}
_RELEASE = "0"  # else each release would write the catalogues anew
_NO_DATE = datetime(2026, 1, 1, tzinfo=UTC)


def catalogue_path(language: Language) -> Path:
    """The .po file of *language*; the .mo file is beside it."""
    folder = ROOT / "milter/alignd/languages/locale" / language.value / "LC_MESSAGES"
    return folder / f"{DOMAIN}.po"


@cache
def extracted() -> Catalog:
    """Every sentence of the code."""
    template = Catalog(project="alignd", creation_date=_NO_DATE, charset="utf-8")
    for source in filter(Path.is_dir, SOURCES):
        found = extract_from_dir(source, _METHODS, keywords=_KEYWORDS, comment_tags=())
        for name, _line, message, comments, context in sorted(found, key=lambda each: each[:2]):
            place = (source / name).relative_to(ROOT).as_posix()
            template.add(message, None, [(place, 0)], (), comments, context=context)
    return template


def read(text: bytes, language: Language) -> Catalog:
    """Read a .po file; an empty one has no translations."""
    return read_po(BytesIO(text), locale=language.value, domain=DOMAIN, abort_invalid=True)


def updated(text: bytes, language: Language) -> bytes:
    """The .po file with the sentences of the code and no others; new ones are untranslated."""
    before, catalogue = (
        read(text, language),
        Catalog(
            locale=language.value,
            project="alignd",
            version=_RELEASE,
            header_comment="# Written by `make catalogues` but for the translations.",
            creation_date=_NO_DATE,
            revision_date=_NO_DATE,
            last_translator="alignd",
            language_team=language.own_name,
            fuzzy=False,
        ),
    )
    for message in extracted():
        if message.id:
            known = before.get(message.id, message.context)
            translated = known.string if known else None
            flags = known.flags if known else set()
            catalogue.add(message.id, translated, message.locations, flags)
    written = BytesIO()
    write_po(written, catalogue, width=99, include_lineno=False)
    return written.getvalue()


def compiled(text: bytes, language: Language) -> bytes:
    """The .mo file of a .po file; what is not translated or fuzzy is not in it."""
    written = BytesIO()
    write_mo(written, read(text, language))
    return written.getvalue()
