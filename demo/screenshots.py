"""Takes the pictures of the page that the documents show: `python -m demo.screenshots`.

They are of the real page, over a ledger that is made up, in a real browser.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.lab.browser import DESK, PHONE, PROGRAMS, Browser, Sight, run_browser
from tests.lab.nameserver import run_nameserver
from tests.lab.pages import PASSING, Pages, run_pages
from tests.lab.places import ROOT
from tests.lab.processes import missing_programs
from tests.lab.readiness import wait_until

IMAGES = ROOT / "docs/images"
_COLOURS = 64
"""Of a picture, so that it is small."""


@dataclass(frozen=True)
class Picture:
    """A picture, and what is on it."""

    name: str
    address: Callable[[Pages], str]
    sight: Sight


PICTURES = (
    Picture("list", lambda pages: pages.url, Sight(DESK, height=720)),
    Picture("rewritten", lambda pages: pages.domain(), Sight(DESK, height=1180)),
    Picture("passing", lambda pages: pages.domain(PASSING), Sight(DESK, height=1180)),
    Picture("dark", lambda pages: pages.domain(), Sight(DESK, height=1180, is_dark=True)),
    Picture("phone", lambda pages: pages.domain(), Sight(PHONE, height=844)),
    Picture("share", lambda pages: pages.share(), Sight(PHONE, height=844)),
)


def main() -> None:
    """Take all pictures anew."""
    if missing := missing_programs(PROGRAMS):
        sys.exit(f"not installed: {', '.join(missing)}")
    IMAGES.mkdir(exist_ok=True)
    with ExitStack() as running:
        directory = Path(running.enter_context(TemporaryDirectory()))
        nameserver = running.enter_context(run_nameserver())
        pages = running.enter_context(run_pages(directory / "pages", nameserver))
        browser = running.enter_context(run_browser(directory / "browser", Sight()))
        wait_until(lambda: _is_listed(browser, pages), "the list")
        for picture in PICTURES:
            file = IMAGES / f"page-{picture.name}.png"
            browser.look(picture.sight)
            browser.open(picture.address(pages))
            browser.picture(file)
            _make_small(file)
            print(f"{file.relative_to(ROOT)}: {file.stat().st_size} octets")


def _is_listed(browser: Browser, pages: Pages) -> bool:
    browser.open(pages.url)
    return bool(browser.all("table.list tbody a"))


def _make_small(file: Path) -> None:
    program = shutil.which("pngquant")
    if program:
        how = ("--force", "--strip", "--speed=1", f"--output={file}", str(_COLOURS))
        subprocess.run([program, *how, str(file)], check=True)


if __name__ == "__main__":
    main()
