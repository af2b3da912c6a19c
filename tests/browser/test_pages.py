"""The real page in a real browser: whoever looks at it, and however, can read and use it."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.conftest import Look
from tests.lab.browser import DESK, PHONE, Browser, Sight
from tests.lab.nameserver import run_nameserver
from tests.lab.pages import COMPANY, NEW_SPF, PASSING, Pages, run_pages, zone
from tests.lab.readiness import wait_until

SIGHTS = {
    "phone": Sight(PHONE),
    "phone-dark": Sight(PHONE, is_dark=True),
    "desk": Sight(DESK),
    "desk-dark": Sight(DESK, is_dark=True),
}
SIZES = {
    "tablet": Sight(768),
    "phone-large-text": Sight(PHONE, text_percent=200),
    "desk-large-text": Sight(DESK, text_percent=200),
}
KINDS = (
    *("list", "nothing found", "rewritten", "passing", "letter", "shared", "in Czech"),
    *("not known", "never seen", "no page", "relays", "receivers"),
)
PATIENCE = 60.0
"""Seconds: a list is read again every few."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    with (
        run_nameserver() as nameserver,
        run_pages(tmp_path_factory.mktemp("pages") / "p", nameserver) as pages,
    ):
        yield pages


@pytest.fixture(scope="module")
def addresses(pages: Pages) -> dict[str, str]:
    """Where each kind of page is."""
    own = {
        "list": "",
        "nothing found": "?search=nobody.example",
        "rewritten": f"domains/{COMPANY}",
        "passing": f"domains/{PASSING}",
        "letter": f"domains/{COMPANY}/letter",
        "in Czech": f"domains/{COMPANY}?language=cs",
        "not known": "domains/school.example",
        "never seen": "domains/nobody.example",
        "no page": "nothing",
        "relays": "relays",
        "receivers": "receivers",
    }
    return {kind: pages.url + path for kind, path in own.items()} | {"shared": pages.share()}


def complaints(browser: Browser, kind: str) -> list[str]:
    """What the browser says of a page, but that there is none where there is none."""
    said = browser.complaints()
    return [each for each in said if not (kind == "no page" and "404" in each)]


@pytest.mark.parametrize("sight", SIGHTS.values(), ids=SIGHTS)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_keeps_anybody_out(
    look: Look, addresses: dict[str, str], kind: str, sight: Sight
) -> None:
    browser = look(sight)
    browser.open(addresses[kind])
    assert complaints(browser, kind) == []
    assert browser.cut() == []
    browser.unfold()
    assert browser.cut() == []
    assert browser.barriers() == []


@pytest.mark.parametrize("sight", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_text_of_any_size_is_read_whole(
    look: Look, addresses: dict[str, str], kind: str, sight: Sight
) -> None:
    browser = look(sight)
    browser.open(addresses[kind])
    browser.unfold()
    assert browser.cut() == []


class TestKeys:
    """Nothing needs a mouse."""

    def test_the_first_key_leads_past_the_menu(
        self, look: Look, addresses: dict[str, str]
    ) -> None:
        browser = look(Sight())
        browser.open(addresses["list"])
        browser.press(Keys.TAB)
        assert browser.focused().is_displayed()
        browser.press(Keys.ENTER)
        assert browser.driver.current_url.endswith("#main")
        browser.press(Keys.TAB)
        assert browser.evaluate("return document.activeElement.closest('main') !== null")

    def test_a_domain_is_found_and_its_record_copied(
        self, look: Look, addresses: dict[str, str]
    ) -> None:
        browser = look(Sight())
        browser.open(addresses["list"])
        browser.allow_copying()
        browser.tab_to("#search")
        browser.press(COMPANY)
        browser.tab_to("#state")
        browser.press("r")  # the first one that begins so
        browser.tab_to(".filters button")
        browser.press(Keys.ENTER)
        wait_until(lambda: "search=" in browser.driver.current_url, "the list")
        browser.tab_to("table.list tbody a")
        browser.press(Keys.ENTER)
        wait_until(lambda: browser.driver.title.startswith(COMPANY), "the domain")
        browser.tab_to(".record .record-value + .copy")
        browser.press(Keys.ENTER)
        wait_until(lambda: browser.text(".record-value + .copy + [role=status]"), "a word")
        assert browser.clipboard() == NEW_SPF

    def test_where_the_focus_is_can_be_seen(self, look: Look, addresses: dict[str, str]) -> None:
        browser = look(Sight())
        browser.open(addresses["rewritten"])
        script = "return getComputedStyle(document.activeElement).outlineStyle"
        for selector in ("nav a", ".check button", ".copy", "summary"):
            browser.tab_to(selector)
            assert browser.evaluate(script) == "solid"


class TestWithoutScripts:
    sight = Sight(runs_scripts=False)

    def test_a_record_is_found(self, look: Look, addresses: dict[str, str]) -> None:
        browser = look(self.sight)
        browser.open(addresses["list"])
        browser.one("#search").send_keys(COMPANY)
        browser.one(".filters button").click()
        wait_until(lambda: "search=" in browser.driver.current_url, "the list")
        browser.one("table.list tbody a").click()
        wait_until(lambda: browser.driver.title.startswith(COMPANY), "the domain")
        assert browser.text(".record .record-value") == NEW_SPF
        assert not browser.one(".copy").is_displayed()

    def test_dns_is_asked_anew(self, look: Look, addresses: dict[str, str]) -> None:
        browser = look(self.sight)
        browser.open(addresses["passing"])
        browser.one(".check button").click()
        wait_until(lambda: "checked=" in browser.driver.current_url, "the check")
        assert browser.text(".notice[role=status]")

    def test_evidence_unfolds(self, look: Look, addresses: dict[str, str]) -> None:
        browser = look(self.sight)
        browser.open(addresses["rewritten"])
        browser.one(".notice .evidence summary").click()
        assert browser.one(".notice .evidence table").is_displayed()


class TestStory:
    """From the telephone call to the mended record."""

    def test_a_supporter_finds_the_record_and_sees_it_work(
        self, look: Look, tmp_path: Path, queue_ids: Iterator[str]
    ) -> None:
        with run_nameserver() as nameserver, run_pages(tmp_path / "p", nameserver) as pages:
            browser = look(Sight())
            _find(browser, pages)
            browser.allow_copying()
            assert browser.all("main > p .state-rewrite, main .state-rewrite")

            browser.one(".record .record-value + .copy").click()
            wait_until(lambda: browser.text(".record-value + .copy + [role=status]"), "a word")
            record = browser.clipboard()
            assert record == NEW_SPF

            nameserver.serve(zone(record))
            browser.one(".check button").click()
            wait_until(lambda: "checked=" in browser.driver.current_url, "the check")
            browser.one(".notice-good[role=status]")
            assert browser.one("main .state").get_attribute("class") == "state state-pass"

            before = _drawn(browser, pages)
            pages.send(3, queue_ids)
            wait_until(
                partial(_has_more, browser, pages, before), "the messages in the chart", PATIENCE
            )


def _find(browser: Browser, pages: Pages) -> None:
    def is_listed() -> bool:
        browser.open(pages.url)
        return bool(browser.all("table.list tbody a"))

    wait_until(is_listed, "the list", PATIENCE)
    browser.one("#search").send_keys(f"marky.mark@{COMPANY}")
    browser.one(".filters button").click()
    wait_until(lambda: "search=" in browser.driver.current_url, "what was searched for")
    browser.one("table.list tbody a").click()
    wait_until(lambda: browser.driver.title.startswith(COMPANY), "the domain")


def _drawn(browser: Browser, pages: Pages) -> int:
    """The days of the chart on which mail passed."""
    browser.open(pages.domain())
    return len(browser.all(".chart .chart-passed"))


def _has_more(browser: Browser, pages: Pages, before: int) -> bool:
    return _drawn(browser, pages) > before
