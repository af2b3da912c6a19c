"""Completion in a shell: click's own, as the manual says to switch it on."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from alignd.cli.main import main
from alignd.judgement.words import WORDS
from tests.support.commandline import CommandLine

BIN = Path(sys.executable).parent
COMPLETE = """
eval "$(_ALIGND_COMPLETE=bash_source alignd)"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
$(complete -p alignd | sed 's/.*-F \\([^ ]*\\).*/\\1/') alignd
printf '%s\\n' "${COMPREPLY[@]}"
"""


def completed(cli: CommandLine, *words: str) -> list[str]:
    """What bash offers behind `alignd` and these words."""
    if not shutil.which("bash") or not (BIN / "alignd").exists():
        pytest.skip("bash or an installed alignd is not there")
    environment = cli.environment
    done = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", "alignd", *words],
        cwd=cli.directory,
        env=environment | {"PATH": f"{BIN}:{environment['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_every_command_is_offered(cli: CommandLine) -> None:
    assert sorted(completed(cli, "")) == sorted(main.commands)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        pytest.param(("repl",), ["replay"], id="a-command"),
        pytest.param(("explain", "--mail"), ["--mail-from"], id="an-option"),
        pytest.param(
            ("reasons", "relay-"),
            [word.value for word in WORDS if word.value.startswith("relay-")],
            id="a-reason",
        ),
    ],
)
def test_what_begins_so_is_offered(
    cli: CommandLine, words: tuple[str, ...], offered: list[str]
) -> None:
    assert completed(cli, *words) == offered


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("explain", "mar"), id="a-message"),
        pytest.param(("replay", "mar"), id="a-corpus"),
        pytest.param(("explain", "--zone", "mar"), id="a-zone"),
        pytest.param(("check-config", "--config", "mar"), id="a-configuration"),
    ],
)
def test_a_file_is_left_to_the_shell(cli: CommandLine, words: tuple[str, ...]) -> None:
    line = " ".join(("alignd", *words))

    outcome = cli.run(
        _ALIGND_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(words))
    )

    assert outcome.stdout == "file,mar\n"
