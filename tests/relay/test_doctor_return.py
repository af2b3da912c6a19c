"""`alignd doctor` finds each fault of a real way back, and nothing in a right one."""

from collections.abc import Iterator

import pytest

from alignd.postfix.layouts import Layout
from tests.lab.alignd import Return, run_alignd, run_return
from tests.lab.nameserver import Nameserver
from tests.lab.postfix import obstacle
from tests.lab.readiness import open_directory
from tests.lab.return_addresses import KEY_FILE
from tests.support.return_relay import ReturnFault, ReturnRelay

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
]

LAYOUTS = (Layout.RETURN, Layout.RETURN_INSIDE)


@pytest.fixture(scope="module")
def back(nameserver: Nameserver) -> Iterator[Return]:
    changes = f'[return]\nkeys = "{KEY_FILE}"\n'
    with (
        open_directory() as directory,
        run_return(directory / "return", nameserver.address, changes) as back,
    ):
        yield back


@pytest.fixture(scope="module")
def outbound(nameserver: Nameserver) -> Iterator[str]:
    with (
        open_directory() as directory,
        run_alignd(directory / "alignd", nameserver.address) as alignd,
    ):
        yield alignd.socket


@pytest.fixture
def relay(back: Return, outbound: str) -> Iterator[ReturnRelay]:
    with open_directory() as directory:
        yield ReturnRelay(directory, outbound, back)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nothing_is_found_where_all_is_right(relay: ReturnRelay, layout: Layout) -> None:
    outcome = relay.examine(ReturnFault(layout=layout))

    assert (outcome.status, outcome.stderr) == (0, ""), outcome.stdout
