"""Numbers, dates and plurals, as each language writes them; and the choice of a language."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.languages.catalogues import load_texts
from alignd.languages.choice import choose
from alignd.languages.language import Language

NOVEMBER = 1795856400.0
ONE = "There is another TXT record with this name, which stays as it is."
MANY = "There are {n} other TXT records with this name, which stay as they are."
EN, DA, CS, DE = Language


@pytest.mark.parametrize(
    ("language", "date", "number"),
    [
        (EN, "28 November 2026", "12,345"),
        (DA, "28. november 2026", "12.345"),
        (CS, "28. listopadu 2026", "12\xa0345"),
        (DE, "28. November 2026", "12.345"),
    ],
)
def test_dates_and_numbers(language: Language, date: str, number: str) -> None:
    texts = load_texts(language)

    assert texts.date(NOVEMBER) == date
    assert texts.number(12345) == number


@pytest.mark.parametrize(
    ("number", "said"),
    [(1, "jiný TXT záznam;"), (2, "2 jiné TXT"), (4, "4 jiné TXT"), (5, "5 jiných TXT")],
)
def test_czech_has_three_forms(number: int, said: str) -> None:
    assert said in load_texts(CS).plural(ONE, MANY, number)


def test_a_value_is_never_read_as_a_placeholder() -> None:
    said = load_texts(EN).text("The record is of {domain}.", domain="{0.__class__}")

    assert said == "The record is of {0.__class__}."


@pytest.mark.parametrize(
    ("accept", "wanted", "chosen"),
    [
        pytest.param("", "", DE, id="nothing-said"),
        pytest.param("da-DK,da;q=0.9,en;q=0.8", "", DA, id="browser"),
        pytest.param("fr-FR,fr;q=0.9,cs;q=0.3,en;q=0.2", "", CS, id="first-that-there-is"),
        pytest.param("en;q=0.2, cs;q=0.3", "", CS, id="by-weight"),
        pytest.param("en, cs", "", EN, id="the-first-of-equal-weight"),
        pytest.param("da;q=0", "", DE, id="refused"),
        pytest.param("fr, *;q=0.5", "", DE, id="none-that-there-is"),
        pytest.param("da", "cs", CS, id="the-link-before-the-browser"),
        pytest.param("da", "xx", DA, id="a-link-for-no-language"),
        pytest.param("da;q=9, ;;, q=1, cs;q=0.1", "", CS, id="malformed-parts"),
        pytest.param("d" * 10_000 + ",da", "", DE, id="endless"),
    ],
)
def test_the_language_of_a_reader(accept: str, wanted: str, chosen: Language) -> None:
    assert choose(accept, wanted, DE) is chosen


def test_what_is_not_offered_is_not_chosen() -> None:
    assert choose("cs,da;q=0.5", "cs", DE, (DA, DE)) is DA


@given(st.text(), st.text())
def test_any_header_and_any_link_choose_a_language(accept: str, wanted: str) -> None:
    assert isinstance(choose(accept, wanted, DE), Language)
