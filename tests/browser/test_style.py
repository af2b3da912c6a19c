"""The stylesheet and the script: all that pages are made of can be read and used by everybody."""

import pytest

from tests.browser.conftest import Look
from tests.browser.sheet import Site
from tests.lab.browser import DESK, PHONE, Sight
from tests.lab.readiness import wait_until

SIGHTS = {
    f"{width}-{'dark' if is_dark else 'light'}": Sight(width, is_dark=is_dark)
    for width in (PHONE, DESK)
    for is_dark in (False, True)
}
SIZES = {
    "phone": Sight(PHONE),
    "small-phone": Sight(320),
    "tablet": Sight(768),
    "desk": Sight(DESK),
    "phone-large-text": Sight(PHONE, text_percent=200),
    "desk-large-text": Sight(DESK, text_percent=200),
}
NO_SCRIPTS = Sight(runs_scripts=False)
RECORD = (
    "v=spf1 include:spf.mailing.easy.cz"
    " include:a-very-long-name-of-a-provider.of-mail.example.com ~all"
)
MIN_TEXT = 9
"""Pixels: the height of a line of the smallest text in a drawing."""


@pytest.mark.parametrize("sight", SIGHTS.values(), ids=SIGHTS)
def test_nothing_keeps_anybody_out(look: Look, sheet: Site, sight: Sight) -> None:
    browser = look(sight)
    browser.open(sheet.url)
    assert browser.complaints() == []
    assert browser.barriers(("moderate", "serious", "critical")) == []


@pytest.mark.parametrize("sight", SIZES.values(), ids=SIZES)
def test_nothing_sticks_out_or_is_cut(look: Look, sheet: Site, sight: Sight) -> None:
    browser = look(sight)
    browser.open(sheet.url)
    assert browser.cut() == []


@pytest.mark.parametrize("sight", SIZES.values(), ids=SIZES)
def test_words_of_a_chart_can_be_read(look: Look, sheet: Site, sight: Sight) -> None:
    browser = look(sight)
    browser.open(sheet.url)
    heights = browser.evaluate(
        "return [...document.querySelectorAll('.chart text')]"
        ".map(each => each.getBoundingClientRect().height).filter(Boolean)"
    )
    assert heights
    assert min(heights) >= MIN_TEXT


def test_states_differ_in_shape_too(look: Look, sheet: Site) -> None:
    browser = look(Sight())
    browser.open(sheet.url)
    shapes = browser.evaluate(
        "return [...document.querySelectorAll('p > .state')].map(each => {"
        " const style = getComputedStyle(each, '::before');"
        " return style.clipPath + style.borderStyle})"
    )
    assert len(shapes) == len(set(shapes)) == 6


class TestCopying:
    def test_a_button_copies_the_record_and_says_so(self, look: Look, sheet: Site) -> None:
        browser = look(Sight())
        browser.open(sheet.url)
        browser.allow_copying()
        browser.one(".copy").click()
        wait_until(lambda: browser.text(".copy + [role=status]") == "Copied.", "a word")
        assert browser.clipboard() == RECORD

    def test_it_does_so_where_a_page_has_no_clipboard(self, look: Look, sheet: Site) -> None:
        browser = look(Sight())
        browser.open(sheet.url)
        browser.allow_copying()
        # As on a page that came by HTTP from another machine.
        browser.evaluate("Object.defineProperty(navigator.clipboard, 'writeText', {value: null})")
        browser.one(".copy").click()
        wait_until(lambda: browser.text(".copy + [role=status]") == "Copied.", "a word")
        assert browser.clipboard() == RECORD

    def test_what_cannot_be_copied_is_selected(self, look: Look, sheet: Site) -> None:
        browser = look(Sight())
        browser.open(sheet.url)
        browser.evaluate(
            "Object.defineProperty(navigator.clipboard, 'writeText', {value: null});"
            "document.execCommand = () => false"
        )
        browser.one(".copy").click()
        wait_until(lambda: browser.text(".copy + [role=status]") == "Selected.", "a word")
        assert browser.evaluate("return String(getSelection())") == RECORD

    def test_there_is_no_button_without_scripts(self, look: Look, sheet: Site) -> None:
        browser = look(NO_SCRIPTS)
        browser.open(sheet.url)
        assert not browser.one(".copy").is_displayed()
        assert browser.text(".record-value") == RECORD


class TestLiveCheck:
    def test_the_page_is_shown_anew_when_the_check_is_done(self, look: Look, sheet: Site) -> None:
        browser = look(Sight())
        browser.open(sheet.url)
        browser.one(".check button").click()
        browser.wait_for_query("checked=1")
        assert sheet.posts == [("application/json", b"token=t")]
        assert browser.one(".check button").is_enabled()

    def test_what_went_wrong_is_said(self, look: Look, sheet: Site) -> None:
        browser = look(Sight())
        browser.open(sheet.url)
        sheet.answer = (429, '{"error": "rate", "problem": "<b>Wait</b> a minute."}')
        browser.one(".check button").click()
        wait_until(lambda: "Wait" in browser.text(".check + [role=status]"), "an answer")
        assert browser.text(".check + [role=status]") == "<b>Wait</b> a minute."
        assert browser.one(".check button").is_enabled()

    def test_what_cannot_be_understood_is_left_to_the_browser(
        self, look: Look, sheet: Site
    ) -> None:
        browser = look(Sight())
        browser.open(sheet.url)
        sheet.answer = (502, "<html>")
        browser.one(".check button").click()
        browser.wait_for_query("checked=1")
        assert [body for _, body in sheet.posts] == [b"token=t", b"token=t"]

    def test_it_is_a_form_without_scripts(self, look: Look, sheet: Site) -> None:
        browser = look(NO_SCRIPTS)
        browser.open(sheet.url)
        browser.one(".check button").click()
        browser.wait_for_query("checked=1")
