"""A command gets an event on its standard input, and half a minute for it."""

import json
import os
import threading
from pathlib import Path

import pytest

from alignd.ledger.event import Event, EventKind
from alignd.ledger.notify.command import Command
from alignd.ledger.notify.payload import payload, sentence
from alignd.ledger.notify.target import NotTakenError
from tests.lab.readiness import PATIENCE, wait_for_line, wait_until

EVENT = Event(
    id="e1",
    at=1_795_862_000.0,
    leg="outbound",
    tenant="mycompany",
    domain="mycompany.com",
    kind=EventKind.STOPPED,
    was='{"action":"rewrite","reason":"relay-not-authorised"}',
    now='{"action":"pass","reason":"spf-aligned","since":1795861920.5}',
    relay="smtp1",
)
NEVER = threading.Event()
ENVIRONMENT = {"PATH": os.environ["PATH"], "PGPASSWORD": "tea", "NOTIFY_SOCKET": "/run/x"}


def shell(script: str, *arguments: str, patience: float = 30.0) -> Command:
    return Command(("sh", "-c", script, "sh", *arguments), ENVIRONMENT, patience)


def problem(command: Command) -> str:
    """Why the event was not taken."""
    with pytest.raises(NotTakenError) as raised:
        command.tell(EVENT, NEVER)
    assert str(raised.value).isprintable()
    return str(raised.value)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A child of nobody who waits for it stays as a zombie where init does not.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_it_gets_the_json_the_words_and_nothing_of_our_environment(tmp_path: Path) -> None:
    shell('cat > "$1/said"; env > "$1/env"; pwd > "$1/where"', str(tmp_path)).tell(EVENT, NEVER)

    assert (tmp_path / "said").read_text() == payload(EVENT)
    assert json.loads((tmp_path / "said").read_text())["type"] == "domain.stopped"
    variables = dict(
        line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines() if "=" in line
    )
    assert {name: value for name, value in variables.items() if name.startswith("ALIGND")} == {
        "ALIGND_EVENT": "stopped",
        "ALIGND_EVENT_ID": "e1",
        "ALIGND_DOMAIN": "mycompany.com",
        "ALIGND_TENANT": "mycompany",
        "ALIGND_TEXT": sentence(EVENT),
    }
    assert not variables.keys() & {"PGPASSWORD", "NOTIFY_SOCKET"}
    assert (tmp_path / "where").read_text() == "/\n"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param("exit 3", "it ended with status 3", id="a status"),
        pytest.param(
            "echo begin; printf 'no \\033[31m queue\\n' >&2; exit 1",
            "it ended with status 1: no ?[31m queue",
            id="its last line",
        ),
        pytest.param("kill -9 $$", "it ended with signal 9", id="a signal"),
        pytest.param(
            "head -c 3000000 /dev/zero | tr '\\0' x; exit 1",
            f"it ended with status 1: {'x' * 160}",
            id="more output than anybody reads",
        ),
    ],
)
def test_what_does_not_end_with_0_has_not_taken_it(script: str, said: str) -> None:
    assert problem(shell(script)) == said


def test_one_that_reads_nothing_and_ends_with_0_has_taken_it() -> None:
    Command(("true",), ENVIRONMENT).tell(EVENT, NEVER)


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        pytest.param(None, "No such file or directory", id="missing"),
        pytest.param(0o644, "Permission denied", id="not executable"),
        pytest.param(0o755, "Exec format error", id="no program"),
    ],
)
def test_one_that_cannot_be_run_is_named(tmp_path: Path, mode: int | None, said: str) -> None:
    program = tmp_path / "ticket"
    if mode is not None:
        program.write_text("echo")
        program.chmod(mode)
    assert problem(Command((str(program),), ENVIRONMENT)) == f"{program} cannot be run: {said}"


def test_one_that_hangs_is_killed() -> None:
    said = problem(shell("exec sleep 600", patience=0.5))
    assert said == "it took longer than 0.5 s, and was killed"


def test_one_that_writes_without_end_is_killed() -> None:
    assert problem(shell("yes", patience=0.5)) == "it took longer than 0.5 s, and was killed"


def test_what_it_leaves_running_goes_on_and_is_not_waited_for(tmp_path: Path) -> None:
    go_on = 'cd "$1"; while [ ! -e go ]; do sleep 0.05; done; touch done'
    shell(f"({go_on}) &", str(tmp_path)).tell(EVENT, NEVER)
    (tmp_path / "go").touch()
    wait_until((tmp_path / "done").exists, "what it has left running")


def test_the_end_of_the_service_kills_it_with_what_it_has_started(tmp_path: Path) -> None:
    ended = threading.Event()
    found: list[str] = []

    def tell() -> None:
        try:
            shell('sleep 600 & echo "$! $$" > "$1/pids"; wait', str(tmp_path)).tell(EVENT, ended)
        except NotTakenError as error:
            found.append(str(error))

    thread = threading.Thread(target=tell)
    thread.start()
    both = wait_for_line(tmp_path / "pids", r"^(\d+) (\d+)$", "its start")
    ended.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert len(found) == 1
    wait_until(lambda: all(is_gone(int(pid)) for pid in both.groups()), "both to end")
