"""The benchmark in short: it runs as it stands, and every answer is the one expected."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.fleet import Fleet, simulate, written
from bench.peers import EMPTY
from bench.speed import CONNECTIONS, OURS
from tests.lab import postfix, postgresql, unbound
from tests.lab.places import ROOT

OBSTACLE = postfix.obstacle() or unbound.obstacle()
PATIENCE = 180.0  # seconds

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(OBSTACLE is not None, reason=OBSTACLE or ""),
]


def test_it_measures_and_says_so(tmp_path: Path) -> None:
    page = tmp_path / "bench.md"
    short = [
        "speed",
        "figures",
        "ledger",
        "--no-peers",
        "--rounds",
        "1",
        "--seconds",
        "0.1",
        "--warming",
        "500",
        "--page",
        str(page),
    ]
    outcome = subprocess.run(
        [sys.executable, "-m", "bench", *short],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )

    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    text = page.read_text()
    rates = dict(re.findall(r"^\| (.+?) \| ([\d,]+ \| [\d,]+ \| [\d,]+) \|", text, re.MULTILINE))
    for name in (OURS, EMPTY):
        assert len(rates[name].split(" | ")) == len(CONNECTIONS)
        assert "0" not in rates[name].split(" | ")
    assert re.search(r"^\| a body of 50 MB \| never sent \|", text, re.MULTILINE)
    assert (
        len(re.findall(r"^\| \d+ connections \| [\d,]+ \| [\d,]+ \| \d", text, re.MULTILINE)) == 3
    )
    assert page.with_suffix(".svg").read_text().startswith("<?xml")


@pytest.mark.skipif(postgresql.obstacle() is not None, reason=postgresql.obstacle() or "")
def test_what_a_fleet_writes_is_what_paper_says() -> None:
    fleet = Fleet(messages=4_000, relays=3, domains=300)

    results = simulate(fleet, 40_000, 2, lambda _: None)

    assert results.counted == results.sent
    assert results.sizes["hours"].rows == pytest.approx(fleet.rows_of_hours(), rel=0.05)
    assert results.sizes["days"].rows == pytest.approx(fleet.rows_of_days(), rel=0.05)
    assert results.caught_up is not None
    assert results.caught_up.updated > results.caught_up.deadlocks == 0
    assert "| transactions a second |" in written(results)
