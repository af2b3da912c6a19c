"""A browser that looks at pages as people do: on phones, in the dark, with large text, by keys."""

import base64
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.lab.places import DATA
from tests.lab.readiness import PATIENCE, wait_until

PROGRAMS = ("chromium", "chromedriver")
PHONE, DESK = 390, 1280
"""Pixels across."""
_AXE = DATA / "axe.min.js"
# It is root in a container, and finds nothing but this machine: no update, no other host.
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--lang=en-US",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_NO_SCRIPTS = {"profile.managed_default_content_settings.javascript": 2}
_RUN_AXE = """
const [kinds, done] = arguments;
axe.run(document, {resultTypes: ["violations"]}).then(
    ({violations}) => done(violations
        .filter(({impact}) => kinds.includes(impact))
        .map(({id, impact, nodes}) => [
            `${impact}: ${id}`,
            ...nodes.map(({target, failureSummary}) => `  ${target}: ${failureSummary}`)
        ].join("\\n"))),
    (error) => done([String(error)])
);
"""
# What is wider than the page, or than the box that clips it. Elements that nobody sees are small.
_CUT = """
const told = [];
const page = document.documentElement;
if (page.scrollWidth > page.clientWidth) {
    told.push(`the page: ${page.scrollWidth} > ${page.clientWidth}`);
}
for (const each of document.body.querySelectorAll("*")) {
    const box = each.getBoundingClientRect();
    if (box.width < 2 || box.height < 2 || each.closest("svg, .visually-hidden, thead")) continue;
    const name = `${each.tagName} ${each.className}: ${each.textContent.trim().slice(0, 40)}`;
    const isOut = box.right > page.clientWidth + 1 || box.left < -1;
    if (isOut && !each.closest(".table-wrap, .skip-link")) told.push(`out: ${name}`);
    const clips = getComputedStyle(each).overflow !== "visible";
    if (clips && each.scrollWidth > each.clientWidth + 1 && !each.matches("input, select")) {
        told.push(`cut: ${name}`);
    }
}
return told;
"""


@dataclass(frozen=True)
class Sight:
    """How somebody looks at pages."""

    width: int = DESK
    height: int = 900
    is_dark: bool = False
    text_percent: int = 100
    """Of the usual size of text, as set in the browser."""
    runs_scripts: bool = True


_HAS_STYLES = (
    "return [...document.querySelectorAll('link[rel=stylesheet]')].every(each => each.sheet)"
)


class Browser:
    """A browser that runs; what it says of pages, and what is done in it."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def look(self, sight: Sight) -> None:
        """Look like this from now on; the size of text and scripts stay as they were."""
        self._command(
            "Emulation.setDeviceMetricsOverride",
            width=sight.width,
            height=sight.height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if sight.is_dark else "light"}
        calm = {"name": "prefers-reduced-motion", "value": "reduce"}
        self._command("Emulation.setEmulatedMedia", features=[scheme, calm])

    def open(self, url: str) -> None:
        """Open *url*, and return when the page is there, with its styles."""
        self.driver.get(url)
        wait_until(lambda: self.evaluate(_HAS_STYLES), f"the styles of {url}")

    def all(self, selector: str) -> list[WebElement]:
        """The elements that a CSS selector finds."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """The first of them, when it is there.

        Raises:
            TimeoutError: there is none.
        """
        return wait_until(lambda: self.all(selector), f"an element {selector}")[0]

    def text(self, selector: str = "main") -> str:
        """What a reader sees of an element."""
        return self.one(selector).text

    def evaluate(self, script: str, *arguments: Any) -> Any:
        """The value of a function's body in the page."""
        return self.driver.execute_script(script, *arguments)

    def press(self, *keys: str) -> None:
        """Press keys, one after another, where the focus is."""
        ActionChains(self.driver, duration=0).send_keys(*keys).perform()

    def focused(self) -> WebElement:
        """The element that has the focus."""
        return self.driver.switch_to.active_element

    def tab_to(self, selector: str, limit: int = 100) -> WebElement:
        """Press the tabulator until an element of *selector* has the focus.

        Raises:
            LookupError: it gets none.
        """
        for _ in range(limit):
            self.press(Keys.TAB)
            if self.evaluate("return document.activeElement.matches(arguments[0])", selector):
                return self.focused()
        raise LookupError(f"no {selector} in {limit} steps")

    def wait_for_query(self, query: str) -> None:
        """Wait until the page is there whose URL has this *query*."""
        wait_until(
            lambda: (
                self.driver.current_url.endswith(f"?{query}")
                and self.evaluate("return document.readyState") == "complete"
            ),
            f"a page ?{query}",
        )

    def allow_copying(self) -> None:
        """Let pages read and write what was copied, and forget what it was."""
        permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
        self._command("Browser.grantPermissions", permissions=permissions)
        self.driver.execute_async_script(
            "navigator.clipboard.writeText('').then(arguments[0], arguments[0])"
        )

    def unfold(self) -> None:
        """Show all that is folded away."""
        self.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")

    def clipboard(self) -> str:
        """What was copied last; see `allow_copying`."""
        script = "navigator.clipboard.readText().then(arguments[0], arguments[0])"
        return str(self.driver.execute_async_script(script))

    def barriers(self, kinds: Sequence[str] = ("serious", "critical")) -> list[str]:
        """What axe finds on the page that keeps people out."""
        self.evaluate(_AXE.read_text())
        return list(self.driver.execute_async_script(_RUN_AXE, list(kinds)))

    def cut(self) -> list[str]:
        """What sticks out of the page, or is cut off."""
        return list(self.evaluate(_CUT))

    def complaints(self) -> list[str]:
        """What the browser itself has said since it was asked last: refused content, errors."""
        log = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in log]

    def picture(self, file: Path) -> None:
        """Write what is seen of the page to *file*, as PNG."""
        answer = self._command("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(answer["data"]))

    def _command(self, name: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, arguments)


@contextmanager
def run_browser(directory: Path, sight: Sight) -> Iterator[Browser]:
    """Run a browser that keeps its things in *directory*."""
    driver_program = shutil.which("chromedriver")
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in (*_ARGUMENTS, f"--user-data-dir={directory}"):
        options.add_argument(argument)
    size = 16 * sight.text_percent // 100
    preferences: dict[str, object] = {
        "intl.accept_languages": "en-US,en",
        "webkit.webprefs.default_font_size": size,
        **({} if sight.runs_scripts else _NO_SCRIPTS),
    }
    options.add_experimental_option("prefs", preferences)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with Chrome(options, ChromeService(driver_program)) as driver:
        driver.set_page_load_timeout(PATIENCE)
        driver.set_script_timeout(PATIENCE)
        browser = Browser(driver)
        browser.look(sight)
        yield browser
