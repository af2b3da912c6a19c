"""The command line: errors on standard error, and the exit status of each outcome."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from alignd.cli.main import Program, main
from tests.lab.settings import configuration, world
from tests.support.commandline import MARKY, CommandLine, Outcome, without_privileges


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
        pytest.param({"message": "locked.eml"}, "locked.eml: Permission denied", id="locked"),
        pytest.param({"message": "locked/a.eml"}, "locked/a.eml: Permission", id="in-a-locked"),
        pytest.param({"message": "marky.eml/a.eml"}, "marky.eml/a.eml: Not a dir", id="below"),
        pytest.param({"message": "\x1b[31m.eml"}, "?[31m.eml: No such file", id="hostile-name"),
        pytest.param({"zone": "locked.zone"}, "locked.zone: Permission denied", id="locked-zone"),
        pytest.param({"config": "locked.conf"}, None, id="locked-configuration"),
    ],
)
def test_what_explain_cannot_say_is_one_line_and_status_2(
    cli: CommandLine, arguments: dict[str, str], complaint: str | None
) -> None:
    for name in ("locked.eml", "locked.zone", "locked.conf"):
        cli.write(name, b"")
        (cli.directory / name).chmod(0)
    (cli.directory / "locked").mkdir(mode=0)
    cli.write("binary", bytes(range(256)) * 16)
    cli.write("empty", b"")
    cli.write("body", b"\nFrom: a@b.example\n")
    cli.write("broken", "a.example. A 192.0.2.1\nb.example. WHAT 192.0.2.1\n")
    default = {"message": "marky.eml", "zone": "what-if.zone", "config": "alignd.conf"}
    chosen = default | arguments

    outcome = cli.run(
        *("explain", chosen["message"], "--mail-from", ""),
        *("--zone", chosen["zone"], "--config", chosen["config"]),
        before=without_privileges() if "locked" in str(arguments) else (),
    )

    assert (outcome.status, outcome.stdout) == (2, "")
    (line,) = outcome.stderr.splitlines()
    unreadable = "locked.conf:1: cannot be read: Permission denied"
    assert line.startswith(unreadable if complaint is None else f"Error: {complaint}")


@pytest.mark.parametrize("command", main.commands)
def test_a_mistake_on_the_command_line_is_status_64(tmp_path: Path, command: str) -> None:
    cli = CommandLine(tmp_path)  # from the start of an interpreter: each imports what it needs

    outcome = cli.run(command, "--no-such-option\x1b[31m")

    assert (outcome.status, outcome.stdout) == (64, "")
    assert outcome.stderr.splitlines()[-1].startswith("Error: No such option")
    assert all(line.isprintable() for line in outcome.stderr.splitlines())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param((), "Usage: alignd", id="nothing"),
        pytest.param(("explan",), "No such command 'explan'", id="no-such-command"),
        pytest.param(("explain",), "Missing argument 'MESSAGE'", id="no-message"),
        pytest.param(("explain", "a.eml"), "Missing option '--mail-from'", id="no-sender"),
        pytest.param(
            ("explain", "a.eml", "\x1b[31m", "--mail-from", ""), "(?[31m)", id="two-messages"
        ),
        pytest.param(
            ("explain", "a.eml", "--mail-from", "", "--client", "localhost"),
            "not an IP address: 'localhost'",
            id="a-name-for-the-client",
        ),
        pytest.param(
            ("reasons", "relay-not-authorized"),
            "no such reason: 'relay-not-authorized'; did you mean 'relay-not-authorised'?",
            id="no-such-reason",
        ),
    ],
)
def test_it_says_what_the_mistake_is(
    cli: CommandLine, arguments: tuple[str, ...], complaint: str
) -> None:
    outcome = cli.run(*arguments)

    assert (outcome.status, outcome.stdout) == (64, "")
    assert complaint in outcome.stderr
    assert all(line.isprintable() for line in outcome.stderr.splitlines())


def test_a_bug_is_status_70_and_cannot_drive_the_terminal() -> None:
    @click.command()
    def fails() -> None:
        raise RuntimeError("\x1b[31m")

    outcome = CliRunner().invoke(Program(commands=[fails]), ["fails"])

    assert outcome.exit_code == 70
    assert "RuntimeError: ?[31m" in outcome.output
    assert outcome.output.splitlines()[-1] == (
        "alignd: this is a bug; please report the lines above"
    )


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
        pytest.param(("return",), 78, id="return"),
        pytest.param(("web",), 78, id="web"),
        pytest.param(("explain", "marky.eml", "--mail-from", ""), 2, id="explain"),
    ],
)
def test_a_bad_configuration_is_shown_whole(
    cli: CommandLine, command: tuple[str, ...], status: int
) -> None:
    cli.write("alignd.conf", BROKEN)

    outcome = cli.run(*command, "--config", "alignd.conf")

    assert outcome == Outcome(status, "", PROBLEMS)


@pytest.mark.parametrize("command", ["check-config", "serve", "return", "web"])
def test_a_configuration_that_is_not_there(cli: CommandLine, command: str) -> None:
    outcome = cli.run(command, "--config", "none.conf")

    complaint = "none.conf:1: cannot be read: No such file or directory\n"
    assert outcome == Outcome(78, "", complaint)


def test_check_config_names_entries_of_opendkims_tables_that_are_no_use(cli: CommandLine) -> None:
    cli.write("signing", "*@mycompany.com one\n*@(a|b).com one\n")
    cli.write("keys", "one mycompany.com:s1:./one\none mycompany.com:s2:./two\n")
    tables = (
        f'signing_table = "refile:{cli.directory}/signing", key_table = "{cli.directory}/keys"'
    )
    cli.write("alignd.conf", configuration(f"[dkim]\nopendkim = {{ {tables} }}\n"))

    outcome = cli.run("check-config", "--config", "alignd.conf")

    assert (outcome.status, outcome.stdout.partition(": ")[2][:5]) == (0, "fine.")
    *odd, examples = outcome.stderr.splitlines()
    assert examples == EXAMPLES.rstrip()
    assert [line.partition(": the entry ")[0] for line in odd] == [
        f"{cli.directory}/signing:2",
        f"{cli.directory}/keys:2",
    ]


def test_a_table_that_is_no_file_is_named_with_its_line(cli: CommandLine) -> None:
    tables = 'signing_table = "db:/etc/signing.db", key_table = "/etc/keys"'
    cli.write("alignd.conf", configuration(f"[dkim]\nopendkim = {{ {tables} }}\n"))

    outcome = cli.run("check-config", "--config", "alignd.conf")

    assert outcome.status == 78
    assert "not a table that alignd can read: 'db:/etc/signing.db'" in outcome.stderr


EXAMPLES = (
    "alignd.conf:1: relay.addresses: 192.0.2.25, 2001:db8::25: for examples, and no address of a "
    "relay\n"
)
"""What is said of the addresses of all tests."""


def test_check_config_counts_as_people_do(cli: CommandLine) -> None:
    one = '[relay]\naddresses = ["8.8.8.8"]\n[[tenant]]\nmatch = { X-Host = "a.example" }\n'
    cli.write("alignd.conf", configuration(one))

    outcome = cli.run("check-config", "--config", "alignd.conf")

    assert (outcome.status, outcome.stderr) == (0, "")
    assert "with 1 address, notifications" in outcome.stdout
    assert outcome.stdout.rstrip().endswith(", 1 tenant.")


def test_check_config_reads_what_one_service_reads(cli: CommandLine) -> None:
    cli.write("alignd.conf", configuration('[web]\ntokens = "no-such-file"\n'))

    statuses = {
        name: cli.run("check-config", "--service", name, "--config", "alignd.conf").status
        for name in ("serve", "return", "web")
    }

    assert statuses == {"serve": 0, "return": 0, "web": 78}


def test_check_config_sums_up_a_good_configuration(cli: CommandLine) -> None:
    outcome = cli.run("check-config", "--config", "alignd.conf")

    assert (outcome.status, outcome.stderr) == (0, EXAMPLES)
    (line,) = outcome.stdout.splitlines()
    assert line.startswith("alignd.conf: fine. ")
    assert "smtp2.easyredmine.com with 2 addresses" in line
    assert "helpdesk@notifications.easysoftware.com" in line


TWO_FILES = """\
[return]
keys = "one.keys"

[[tenant]]
match = { X-Host = "a.example" }
return = { domain = "a.example" }

[[tenant]]
match = { X-Host = "b.example" }
return = { keys = "other.keys", domain = "b.example" }
"""


def test_check_config_sums_up_the_keys_of_return_addresses(cli: CommandLine) -> None:
    cli.write("alignd.conf", configuration(TWO_FILES))
    keys = [
        f"{state} {number:064x}\n" for number, state in enumerate(["sign", "accept", "retired"])
    ]
    for name, text in (("one.keys", "".join(keys)), ("other.keys", keys[0])):
        (cli.directory / name).touch(0o600)
        cli.write(name, text)

    outcome = cli.run("check-config", "--config", "alignd.conf")

    assert (outcome.status, outcome.stderr) == (0, EXAMPLES)
    on = "Return addresses are on in"
    assert outcome.stdout.splitlines()[1:] == [
        f"{on} 2 domains. Keys in one.keys: 1 signs, 1 accepted, 1 retired.",
        f"{on} b.example. Keys in other.keys: 1 signs, 0 accepted, 0 retired.",
    ]


TELLING = """\
[notify]
webhook = "https://desk:tea@helpdesk.example/hooks/secret"
secret_file = "{0}/webhook.secret"
ca_file = "{0}/ca.pem"
command = ["{0}/ticket"]
"""


def test_check_config_names_the_files_by_which_nobody_could_be_told(cli: CommandLine) -> None:
    cli.write("alignd.conf", configuration(TELLING.format(cli.directory)))
    cli.write("webhook.secret", "tea\n")
    (cli.directory / "webhook.secret").chmod(0o600)
    cli.write("ticket", "#!/bin/sh\n")

    outcome = cli.run("check-config", "--config", "alignd.conf")

    assert outcome == Outcome(
        78,
        "",
        f'{cli.directory}/webhook.secret:1: a secret begins with "whsec_"; `echo "whsec_$(openssl '
        'rand -base64 32)"` makes one\n'
        f"{cli.directory}/ca.pem:1: cannot be read: No such file or directory\n"
        f"{cli.directory}/ticket:1: cannot be executed: `chmod +x` it\n",
    )


def test_check_config_says_who_is_told_of_events_without_any_secret(cli: CommandLine) -> None:
    text = TELLING.format(cli.directory).replace(f'ca_file = "{cli.directory}/ca.pem"\n', "")
    cli.write("alignd.conf", configuration(text))
    cli.write("webhook.secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n")
    (cli.directory / "webhook.secret").chmod(0o640)
    cli.write("ticket", "#!/bin/sh\n")
    (cli.directory / "ticket").chmod(0o755)

    outcome = cli.run("check-config", "--config", "alignd.conf")

    assert (outcome.status, outcome.stderr) == (0, EXAMPLES)
    told = f"Events are told to helpdesk.example and {cli.directory}/ticket."
    assert outcome.stdout.splitlines()[1:] == [told]


@pytest.mark.parametrize("command", ["check-config", "serve"])
def test_keys_that_cannot_be_used_are_shown_with_their_lines(
    cli: CommandLine, command: str
) -> None:
    cli.write("alignd.conf", configuration(TWO_FILES))
    (cli.directory / "other.keys").touch(0o640)
    cli.write("other.keys", f"sign {'6b' * 32}\nsign 6b6b\nretired {'6b' * 32}\n")

    outcome = cli.run(command, "--config", "alignd.conf")

    assert outcome == Outcome(
        78,
        "",
        "one.keys:1: cannot be read: No such file or directory\n"
        "other.keys:2: the key is too short: 2 octets, at least 32 are needed\n"
        "other.keys:3: the key of line 1 once more, in another state\n",
    )


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param("unix:{directory}/none/alignd.sock", id="a-directory-that-is-not-there"),
        pytest.param("inet:8899@192.0.2.99", id="an-address-that-is-not-ours"),
    ],
)
def test_serve_says_when_its_socket_cannot_be_opened(cli: CommandLine, spec: str) -> None:
    spec = spec.format(directory=cli.directory)
    cli.write("alignd.conf", configuration(socket=spec))

    outcome = cli.run("serve", "--config", "alignd.conf")

    assert (outcome.status, outcome.stdout) == (69, "")
    (line,) = outcome.stderr.splitlines()
    assert line.startswith(f"alignd: cannot serve on {spec}: ")


def test_a_socket_that_nobody_handed_over_is_no_reason_to_try_again(cli: CommandLine) -> None:
    cli.write("alignd.conf", configuration(socket="fd:99"))

    outcome = cli.run("serve", "--config", "alignd.conf")

    assert (outcome.status, outcome.stdout) == (78, "")
    (line,) = outcome.stderr.splitlines()
    assert "fd:99: systemd has handed over no socket" in line
    order = ("stop alignd`", "enable --now alignd.socket`", "start alignd`")
    assert [line.index(f"systemctl {each}") for each in order] == sorted(
        line.index(f"systemctl {each}") for each in order
    )


def test_return_needs_keys(cli: CommandLine) -> None:
    outcome = cli.run("return", "--config", "alignd.conf")

    said = "there are no return addresses: set return.keys; `alignd new-key` makes the file"
    assert outcome == Outcome(78, "", f"alignd.conf:1: {said}\n")


def test_return_says_when_the_socket_of_its_map_is_served(cli: CommandLine) -> None:
    path = cli.directory / "map.sock"
    cli.write(
        "alignd.conf",
        configuration(
            f'[return]\nkeys = "none"\nsocket = "unix:{path}"\n'
            f'milter = "unix:{cli.directory}/milter.sock"\nmetrics = ""\n'
        ),
    )
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        outcome = cli.run("return", "--config", "alignd.conf")

    assert outcome.status == 69
    complaint = f"alignd: cannot serve on unix:{path}: another process serves it"
    assert outcome.stderr.splitlines()[-1] == complaint


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


@pytest.mark.parametrize(
    "command", [("--help",), ("reasons",), ("explain", "m.eml", "--mail-from", "a@b.example")]
)
def test_output_that_cannot_be_written_is_no_bug(
    cli: CommandLine, command: tuple[str, ...]
) -> None:
    cli.write("m.eml", MARKY)
    cli.write("zone", world(""))
    options = ("--config", "alignd.conf", "--zone", "zone") if command[0] == "explain" else ()

    outcome = cli.run(*command, *options, before=("sh", "-c", 'exec "$@" > /dev/full', "sh"))

    assert outcome.status == os.EX_IOERR
    assert outcome.stderr == "Error: standard output: No space left on device\n"
