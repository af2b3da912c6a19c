"""`alignd postfix-snippet` prints what is shipped, for one configuration, and Postfix takes it."""

import configparser
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from alignd.cli.main import main
from tests.lab import postfix
from tests.lab.places import ROOT
from tests.lab.readiness import open_directory
from tests.lab.settings import configuration
from tests.support.commandline import CommandLine

SHIPPED = ROOT / "conf/postfix"
FILES = [f"{path.parent.name}/{path.name}" for path in sorted(SHIPPED.glob("*/*.cf"))]
LAYOUTS = ("inline", "queue-first")
BY_DEFAULT = "inet:8899@127.0.0.1"


def printed(cli: CommandLine, layout: str, *options: str, socket: str = BY_DEFAULT) -> str:
    cli.write("alignd.conf", configuration(socket=socket))
    config = str(cli.directory / "alignd.conf")
    command = ["postfix-snippet", "--layout", layout, "--config", config, *options]
    outcome = CliRunner().invoke(main, command)
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    return outcome.stdout


def without_comments(text: str) -> str:
    return re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("name", FILES)
def test_a_default_configuration_gets_the_shipped_lines(cli: CommandLine, name: str) -> None:
    layout, file = name.split("/")

    assert printed(cli, layout, "--file", file) == (SHIPPED / name).read_text()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_files_are_printed_each_with_its_name(cli: CommandLine, layout: str) -> None:
    both = printed(cli, layout)

    texts = [(SHIPPED / layout / file).read_text() for file in ("main.cf", "master.cf")]
    assert both == f"# main.cf:\n{texts[0]}\n# master.cf:\n{texts[1]}"


@pytest.mark.parametrize(
    ("socket", "expected"),
    [
        pytest.param("inet:8899@127.0.0.1", "inet:127.0.0.1:8899", id="the-default"),
        pytest.param("inet:127.0.0.1:8899", "inet:127.0.0.1:8899", id="postfixs-own-spelling"),
        pytest.param("inet:7000@relay.example", "inet:relay.example:7000", id="a-host-name"),
        pytest.param("inet:7000", "inet:127.0.0.1:7000", id="every-address-is-loopback-here"),
        pytest.param("inet:7000@0.0.0.0", "inet:127.0.0.1:7000", id="every-ipv4-address"),
        pytest.param("inet6:7000@::1", "inet:[::1]:7000", id="ipv6"),
        pytest.param("inet6:7000@::", "inet:[::1]:7000", id="every-ipv6-address"),
        pytest.param("unix:/run/alignd/a.sock", "unix:/run/alignd/a.sock", id="a-unix-socket"),
        pytest.param("local:/run/alignd/a.sock", "unix:/run/alignd/a.sock", id="another-word"),
        pytest.param(
            "unix:/var/spool/postfix/alignd/a.sock",
            "unix:alignd/a.sock",
            id="below-the-queue-directory-it-is-found-in-a-chroot-and-out-of-it",
        ),
        pytest.param("fd:3", "inet:127.0.0.1:8899", id="systemd-has-the-socket"),
    ],
)
@pytest.mark.parametrize("file", ["main.cf", "master.cf"])
def test_the_socket_is_in_postfixs_words(
    cli: CommandLine, file: str, socket: str, expected: str
) -> None:
    text = printed(cli, "inline", "--file", file, socket=socket)

    (milter,) = re.findall(r"smtpd_milters = \{ ([^,]+),", without_comments(text))
    assert milter == expected


def test_what_systemd_hands_over_is_said_to_be_a_guess(cli: CommandLine) -> None:
    guessed = printed(cli, "inline", "--file", "main.cf", socket="fd:3")
    told = printed(cli, "inline", "--file", "main.cf", "--socket", "unix:a/b.sock", socket="fd:3")

    assert guessed.startswith("# systemd passes alignd its socket.")
    assert "{ unix:a/b.sock, connect_timeout" in told
    assert "systemd" not in told


@pytest.mark.parametrize(
    ("socket", "chroots"),
    [
        pytest.param("inet:8899@127.0.0.1", "yyy", id="tcp-is-reached-in-a-chroot"),
        pytest.param("unix:/run/alignd/a.sock", "yyn", id="the-listener-with-milters-has-none"),
        pytest.param("unix:/var/spool/postfix/a.sock", "yyy", id="below-the-queue-it-may-have"),
    ],
)
def test_no_chroot_where_the_socket_is_outside(
    cli: CommandLine, socket: str, chroots: str
) -> None:
    text = printed(cli, "queue-first", "--file", "master.cf", socket=socket)

    services = re.findall(r"^\S+ +(?:inet|unix) +\S+ +\S+ +(\S)", text, re.MULTILINE)
    assert "".join(services) == chroots
    assert ("runs in a chroot cannot reach" in text) == ("n" in chroots)


def test_the_port_of_the_second_listener_is_in_both_places(cli: CommandLine) -> None:
    text = printed(cli, "queue-first", "--file", "master.cf", "--second-port", "10099")

    assert "content_filter=requeue:[127.0.0.1]:10099\n" in text
    assert "\n127.0.0.1:10099 inet " in text
    assert "10026" not in text


@pytest.mark.parametrize("socket", ["inet:8899@127.0.0.1", "inet6:8899@::1", "unix:/run/a.sock"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_postfix_accepts_what_is_printed(cli: CommandLine, layout: str, socket: str) -> None:
    if obstacle := postfix.obstacle():
        pytest.skip(obstacle)
    settings = printed(cli, layout, "--file", "main.cf", socket=socket)
    services = printed(cli, layout, "--file", "master.cf", socket=socket)
    with open_directory() as directory:
        postfix.configure_relay(directory, services, settings)

        checked = postfix_says(directory, "postfix", "-c", f"{directory}/etc", "check")
        wrong = postfix_says(directory, "postconf", "-c", "etc", "-n")
        found = subprocess.run(
            ["postconf", "-c", "etc", "-P", "*/*/smtpd_milters"],
            cwd=directory,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert (checked, wrong) == ("", "")
    endpoint = re.search(r"smtpd_milters = \{ ([^,]+), connect_timeout=5s", found)
    assert endpoint is not None
    assert f"{{ {endpoint[1]}, " in settings + services


def postfix_says(directory: Path, *command: str) -> str:
    """What the command complains of."""
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    return done.stderr


@pytest.mark.parametrize(
    ("options", "status", "complaint"),
    [
        pytest.param(
            ("--socket", "inet:8899@127.0.0.1"),
            2,
            "--socket: not a milter as Postfix spells it: 'inet:8899@127.0.0.1'; write ",
            id="a-socket-in-libmilters-words",
        ),
        pytest.param(("--socket", "\x1b[31m"), 2, "--socket: ", id="a-socket-with-an-escape"),
        pytest.param(("--second-port", "0"), 64, "Invalid value for '--second", id="no-port"),
        pytest.param(("--layout", "both"), 64, "Invalid value for '--lay", id="no-such-layout"),
    ],
)
def test_options_that_are_wrong(
    cli: CommandLine, options: tuple[str, ...], status: int, complaint: str
) -> None:
    outcome = cli.run("postfix-snippet", "--config", "alignd.conf", *options)

    assert (outcome.status, outcome.stdout) == (status, "")
    assert f"Error: {complaint}" in outcome.stderr
    assert "\x1b" not in outcome.stderr


def test_without_a_configuration_nothing_is_printed(cli: CommandLine) -> None:
    outcome = cli.run("postfix-snippet", "--config", "none.conf")

    complaint = "none.conf:1: cannot be read: No such file or directory\n"
    assert (outcome.status, outcome.stdout, outcome.stderr) == (2, "", complaint)


def test_the_package_alone_is_enough() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    patterns = setup["options.package_data"]["alignd.postfix"].split(", ")
    source = ROOT / "milter/alignd/postfix"

    installed = {path for pattern in patterns for path in source.glob(pattern)}

    assert {source / "files" / name for name in FILES} <= installed
