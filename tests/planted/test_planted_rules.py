"""A rule that looks at what the cache does not know is met by a test, not by a customer.

Each rule is planted in a copy of the source as somebody would write it who does not think of the
cache; then the property test of the cache is run on that copy.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import alignd
from tests.lab.places import ROOT

CACHE_TEST = "tests/unit/mta/test_judgement_cache.py"
PROPERTY = "test_whatever_differs_is_not_confused"
COVERAGE = "test_every_field_of_the_circumstances_has_variants"

DECISION = "alignd/judgement/decision.py"
FIRST_RULE = "    as_sent, moved = predictions.as_sent, predictions.with_author_as_sender\n"
FIELD = "    good_until: float = math.inf\n"
MADE = "        is_freemail=domain in surroundings.freemail,\n"

FRIDAY = [
    (DECISION, FIELD, f"    is_friday: bool\n{FIELD}"),
    (
        DECISION,
        MADE,
        f"{MADE}        is_friday=int(surroundings.now // 86400 + 3) % 7 == 4,\n",
    ),
    (
        DECISION,
        FIRST_RULE,
        f"{FIRST_RULE}    if circumstances.is_friday:\n        return Reason.ALWAYS\n",
    ),
]
UNTIL_MIDNIGHT = (
    DECISION,
    MADE,
    f"{MADE}        good_until=(surroundings.now // 86400 + 1) * 86400,\n",
)
STRICT_RECIPIENT = [
    (DECISION, FIELD, f"    is_to_strict: bool\n{FIELD}"),
    (
        DECISION,
        MADE,
        f'{MADE}        is_to_strict=any("strict" in each for each in message.recipients),\n',
    ),
    (
        DECISION,
        FIRST_RULE,
        f"{FIRST_RULE}    if circumstances.is_to_strict:\n        return Reason.ALWAYS\n",
    ),
]
TIME = (CACHE_TEST, '    "good_until": [at', '    "is_friday": [],\n    "good_until": [at')
RECIPIENT = (CACHE_TEST, '    "good_until": [at', '    "is_to_strict": [],\n    "good_until": [at')

# That a failure is found is enough: nobody reads the smallest message that has it. It is found by
# chance, so that more messages are tried than where none is expected.
FOUND_IS_ENOUGH = (
    "tests/conftest.py",
    '"untimed", deadline=None',
    '"untimed", deadline=None, phases=[Phase.generate], max_examples=400',
)
PHASES = (
    "tests/conftest.py",
    "from hypothesis import settings\n",
    "from hypothesis import Phase, settings\n",
)

Plant = tuple[str, str, str]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(Path(alignd.__file__).parent, tmp_path / "alignd")
    ignored = shutil.ignore_patterns("*.pyc", "relay", "wire", "cli", "documents")
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=ignored)
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    return tmp_path


def failures(copy: Path, plants: list[Plant], test: str) -> str:
    """What the tests called *test* say of the planted copy; empty when they pass."""
    for file, old, new in [*plants, FOUND_IS_ENOUGH, PHASES]:
        text = (copy / file).read_text()
        assert text.count(old) == 1, f"nowhere to plant: {old}"
        (copy / file).write_text(text.replace(old, new))
    command = [sys.executable, "-m", "pytest", "-q", f"{CACHE_TEST}::{test}"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return done.stdout if done.returncode else ""


@pytest.mark.parametrize(
    "plants",
    [pytest.param(FRIDAY, id="on-fridays"), pytest.param(STRICT_RECIPIENT, id="to-a-recipient")],
)
def test_a_new_field_without_variants_is_noticed(copy: Path, plants: list[Plant]) -> None:
    assert COVERAGE in failures(copy, plants, COVERAGE)


@pytest.mark.parametrize(
    "plants",
    [
        pytest.param([*FRIDAY, TIME], id="on-fridays"),
        pytest.param([*STRICT_RECIPIENT, RECIPIENT], id="to-a-recipient"),
    ],
)
def test_a_decision_that_memory_would_confuse_is_noticed(copy: Path, plants: list[Plant]) -> None:
    assert "AssertionError" in failures(copy, plants, PROPERTY)


def test_a_decision_that_says_until_when_it_holds_ends_then(copy: Path) -> None:
    assert failures(copy, [*FRIDAY, TIME, UNTIL_MIDNIGHT], PROPERTY) == ""
