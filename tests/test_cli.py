"""The command line: errors on standard error, and the exit status of each outcome."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.commandline import CommandLine, Outcome
from tests.support.settings import configuration


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param({"message": "none.eml"}, "none.eml: No such file or directory", id="no-file"),
        pytest.param({"message": "."}, ".: Is a directory", id="a-directory"),
        pytest.param({"message": "binary"}, "binary: not a message: ", id="a-binary-file"),
        pytest.param({"message": "empty"}, "empty: not a message: ", id="an-empty-file"),
        pytest.param({"message": "body"}, "body: not a message: ", id="a-body-alone"),
        pytest.param({"zone": "none.zone"}, "none.zone: No such file or directory", id="no-zone"),
        pytest.param({"zone": "."}, ".: Is a directory", id="a-directory-as-zone"),
        pytest.param({"zone": "broken"}, "broken:2: ", id="a-broken-zone"),
        pytest.param({"zone": "binary"}, "binary: not a zone file: not UTF-8 text", id="no-text"),
        pytest.param(
            {"client": "localhost"}, "--client: not an IP address: 'localhost'", id="a-name"
        ),
        pytest.param({"client": ""}, "--client: not an IP address: ''", id="no-client"),
    ],
)
def test_what_explain_cannot_say_is_one_line_and_status_2(
    cli: CommandLine, arguments: dict[str, str], complaint: str
) -> None:
    cli.write("binary", bytes(range(256)) * 16)
    cli.write("empty", b"")
    cli.write("body", b"\nFrom: a@b.example\n")
    cli.write("broken", "a.example. A 192.0.2.1\nb.example. WHAT 192.0.2.1\n")
    chosen = {"message": "marky.eml", "zone": "what-if.zone", "client": "127.0.0.1"} | arguments

    outcome = cli.explain(
        chosen["message"], "--client", chosen["client"], mail_from="", zone=chosen["zone"]
    )

    assert (outcome.status, outcome.stdout) == (2, "")
    (line,) = outcome.stderr.splitlines()
    assert line.startswith(f"Error: {complaint}")


BROKEN = """\
[relay]
hostname = "smtp2.easyredmine.com"
adresses = ["192.0.2.25"]

[notifications]
address = "helpdesk"
"""
PROBLEMS = """\
alignd.conf:1: relay.addresses is missing; it has no default
alignd.conf:3: unknown option 'adresses' in [relay]; did you mean 'addresses'?
alignd.conf:6: notifications.address: not an address: 'helpdesk' (expected '@' before '')
"""


@pytest.mark.parametrize(
    ("command", "status"),
    [
        pytest.param(("check-config",), 78, id="check-config"),
        pytest.param(("serve",), 78, id="serve"),
        pytest.param(("explain", "marky.eml", "--mail-from", ""), 2, id="explain"),
    ],
)
def test_a_bad_configuration_is_shown_whole(
    cli: CommandLine, command: tuple[str, ...], status: int
) -> None:
    cli.write("alignd.conf", BROKEN)

    outcome = cli.run(*command, "--config", "alignd.conf")

    assert outcome == Outcome(status, "", PROBLEMS)


@pytest.mark.parametrize("command", ["check-config", "serve"])
def test_a_configuration_that_is_not_there(cli: CommandLine, command: str) -> None:
    outcome = cli.run(command, "--config", "none.conf")

    complaint = "none.conf:1: cannot be read: No such file or directory\n"
    assert outcome == Outcome(78, "", complaint)


def test_check_config_sums_up_a_good_configuration(cli: CommandLine) -> None:
    outcome = cli.run("check-config", "--config", "alignd.conf")

    assert (outcome.status, outcome.stderr) == (0, "")
    (line,) = outcome.stdout.splitlines()
    assert line.startswith("alignd.conf: fine. ")
    assert "smtp2.easyredmine.com with 2 addresses" in line
    assert "helpdesk@notifications.easysoftware.com" in line


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param("unix:{directory}/none/alignd.sock", id="a-directory-that-is-not-there"),
        pytest.param("inet:8899@192.0.2.99", id="an-address-that-is-not-ours"),
        pytest.param("fd:99", id="a-descriptor-that-nobody-passed"),
    ],
)
def test_serve_says_when_its_socket_cannot_be_opened(cli: CommandLine, spec: str) -> None:
    spec = spec.format(directory=cli.directory)
    cli.write("alignd.conf", configuration(socket=spec))

    outcome = cli.run("serve", "--config", "alignd.conf")

    assert (outcome.status, outcome.stdout) == (69, "")
    (line,) = outcome.stderr.splitlines()
    assert line.startswith(f"alignd: cannot serve on {spec}: ")


# An empty file in the place of /etc/resolv.conf, seen by this one command only.
WITHOUT_NAMESERVER = (
    *("unshare", "--mount", "--", "sh", "-ec"),
    'mount --bind /dev/null "$(readlink -f /etc/resolv.conf)"; exec "$@"',
    "sh",
)


@pytest.mark.parametrize(
    ("command", "status", "complaint"),
    [
        pytest.param(("serve",), 69, "alignd: cannot serve: ", id="serve"),
        pytest.param(
            ("explain", "marky.eml", "--mail-from", ""), 2, "Error: no nameserver", id="explain"
        ),
    ],
)
def test_a_machine_without_a_nameserver(
    cli: CommandLine, command: tuple[str, ...], status: int, complaint: str
) -> None:
    if (
        shutil.which("unshare") is None
        or subprocess.run(
            [*WITHOUT_NAMESERVER, "true"], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("needs the right to mount")
    text = configuration(socket=f"unix:{cli.directory}/alignd.sock")
    cli.write("alignd.conf", text.replace('"127.0.0.1:53",', ""))

    outcome = cli.run(*command, "--config", "alignd.conf", before=WITHOUT_NAMESERVER)

    assert (outcome.status, outcome.stdout) == (status, "")
    (line,) = outcome.stderr.splitlines()
    assert line.startswith(complaint)
    assert "/etc/resolv.conf" in line
    assert "set dns.nameservers" in line


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(
            ("explain", "marky.eml", "--mail-from", "", "--zone", "what-if.zone"), id="explain"
        ),
        pytest.param(("check-config",), id="check-config"),
    ],
)
def test_nothing_is_changed(cli: CommandLine, command: tuple[str, ...]) -> None:
    def contents() -> dict[Path, tuple[bytes, int]]:
        files = cli.directory.rglob("*")
        return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}

    before = contents()

    assert cli.run(*command, "--config", "alignd.conf").status == 0

    assert contents() == before
