"""`make test` runs every test but those that boot, and each in one of its parts."""

import shlex
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.lab.places import ROOT

BOOTED = "tests/packages"
EVERY_FILE = {str(path.relative_to(ROOT)) for path in ROOT.joinpath("tests").glob("**/test_*.py")}


@pytest.fixture(scope="module")
def parts() -> list[set[str]]:
    """The files of each part, as the Makefile names and leaves out files and directories."""
    wanted = "print-parts:\n\t@echo $(PARTS) $(LAST)\ninclude Makefile\n"
    targets = make("--file=-", "print-parts", given=wanted).split()
    said = make("--dry-run", *(each for each in targets if each.startswith("test-")))
    return [set(files_of(words)) for words in map(shlex.split, said.splitlines())]


def make(*arguments: str, given: str = "") -> str:
    command = ["make", "--no-print-directory", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, input=given, capture_output=True, text=True, check=True
    )
    return done.stdout


def files_of(words: Sequence[str]) -> Iterator[str]:
    """The files that pytest runs when it is called with these words."""
    assert words[0].endswith("pytest")
    named = [word for word in words[1:] if not word.startswith("-")] or ["tests"]
    ignored = [word.removeprefix("--ignore=") for word in words if word.startswith("--ignore=")]
    for each in EVERY_FILE:
        if is_below(each, named) and not is_below(each, ignored):
            yield each


def is_below(file: str, paths: Sequence[str]) -> bool:
    return any(Path(file).is_relative_to(path) for path in paths)


def test_each_file_of_tests_is_in_one_part(parts: Sequence[set[str]]) -> None:
    assert Counter(file for part in parts for file in part) == dict.fromkeys(
        (file for file in EVERY_FILE if not is_below(file, [BOOTED])), 1
    )


def test_those_that_boot_run_with_the_others_before_a_commit_lands() -> None:
    said = make("--dry-run", "test-package-bookworm", "test-package-trixie")

    assert [words[-2:] for line in said.splitlines() if (words := shlex.split(line))] == [
        ["-k", "bookworm"],
        ["-k", "trixie"],
    ]
    assert all(BOOTED in line for line in said.splitlines())
    commands = (ROOT / ".ci/run").read_text().splitlines()
    assert commands[-2:] == ["make test", "make test-packages"]


def test_no_part_is_empty(parts: Sequence[set[str]]) -> None:
    assert len(parts) > 2
    assert all(parts)
