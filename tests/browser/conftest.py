"""Fixtures of tests in a browser: one for each way to look, started when first needed."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.browser.sheet import Site, run_sheet
from tests.lab.browser import PROGRAMS, Browser, Sight, run_browser
from tests.lab.processes import missing_programs

Look = Callable[[Sight], Browser]
"""The browser of somebody who looks at pages like this."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a browser where there is none."""
    missing = missing_programs(PROGRAMS)
    if missing:
        skip = pytest.mark.skip(reason=f"not installed: {', '.join(missing)}")
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def look(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Look]:
    """Text size and scripts are settings of a browser: those that differ in them are two."""
    browsers: dict[Sight, Browser] = {}
    with ExitStack() as running:

        def get(sight: Sight) -> Browser:
            kind = replace(sight, width=0, height=0, is_dark=False)
            if kind not in browsers:
                directory = tmp_path_factory.mktemp("browser")
                browsers[kind] = running.enter_context(run_browser(directory, sight))
            browser = browsers[kind]
            browser.look(sight)
            browser.complaints()
            return browser

        yield get


@pytest.fixture(scope="session")
def served() -> Iterator[Site]:
    with run_sheet() as site:
        yield site


@pytest.fixture
def sheet(served: Site) -> Site:
    served.answer = (200, "{}")
    served.posts.clear()
    return served
