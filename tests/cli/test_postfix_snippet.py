"""`alignd postfix-snippet` prints what is shipped, for one configuration, and Postfix takes it."""

import configparser
import re
import shutil
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
FILES = [f"{path.parent.name}/{path.name}" for path in sorted(SHIPPED.glob("*/*"))]
LAYOUTS = ("inline", "queue-first")
TABLES = [name for name in FILES if not name.endswith(".cf")]
OF_RETURN = {
    "return": ["main.cf", *(name.removeprefix("return/") for name in TABLES)],
    "return-inside": ["main.cf", "master.cf", *(name.removeprefix("return/") for name in TABLES)],
}
TWO_DOMAINS = """\
[return]
keys = "return.keys"
socket = "unix:/run/alignd-return/other.sock"
[[tenant]]
match = { "X-Tenant" = "one" }
notifications = { address = "desk@mail.one.example", envelope_sender = "desk@one.example" }
[[tenant]]
match = { "X-Tenant" = "off" }
notifications = { address = "desk@off.example" }
return = { keys = "" }
[[tenant]]
match = { "X-Tenant" = "two" }
return = { domain = "reply.two.example" }
"""
QUERY = ("postmap", "-c", "etc", "-q")
BY_DEFAULT = "inet:8899@127.0.0.1"


def printed(
    cli: CommandLine, layout: str, *options: str, socket: str = BY_DEFAULT, changes: str = ""
) -> str:
    cli.write("alignd.conf", configuration(changes, socket=socket))
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


@pytest.mark.parametrize("layout", OF_RETURN)
def test_the_way_back_is_printed_with_all_its_files(cli: CommandLine, layout: str) -> None:
    whole = printed(cli, layout)

    headings = re.findall(r"^# (\S+):\n# Return", whole, re.MULTILINE)
    assert sorted(headings) == sorted(OF_RETURN[layout])


@pytest.mark.parametrize(
    "name", [name for name in TABLES if name != "return/opendkim-return.conf"]
)
def test_both_ways_back_have_the_same_tables(cli: CommandLine, name: str) -> None:
    file = name.removeprefix("return/")

    assert printed(cli, "return-inside", "--file", file) == (SHIPPED / name).read_text()


def test_each_way_back_has_a_signer_in_its_own_queue_directory(cli: CommandLine) -> None:
    file = ("--file", "opendkim-return.conf")
    places = {
        layout: re.findall(r"^Socket local:(.*)$", printed(cli, layout, *file), re.MULTILINE)
        for layout in OF_RETURN
    }

    below = "opendkim-return/opendkim.sock"
    assert places == {
        "return": [f"/var/spool/postfix-return/{below}"],
        "return-inside": [f"/var/spool/postfix/{below}"],
    }


def test_every_return_domain_is_in_every_table(cli: CommandLine) -> None:
    def body(file: str) -> list[str]:
        text = printed(cli, "return-inside", "--file", file, changes=TWO_DOMAINS)
        return without_comments(text).splitlines()

    main = "\n".join(body("main.cf"))
    ours = "notifications.easysoftware.com"
    assert f"virtual_alias_domains = {ours}, mail.one.example, reply.two.example\n" in main
    assert "proxy:socketmap:unix:/run/alignd-return/other.sock:return }" in main
    assert body("return-domains") == [
        r"/^(.*@notifications\.easysoftware\.com)$/ $1",
        r"/^(.*@mail\.one\.example)$/ $1",
        r"/^(.*@reply\.two\.example)$/ $1",
    ]
    assert [line.removesuffix(" root") for line in body("return-shared")] == [
        f"helpdesk@{ours}",
        "desk@mail.one.example",
        f"bounces@{ours}",
        *(f"{name}@{ours}" for name in ("postmaster", "abuse", "dmarc-reports")),
        *(f"{name}@mail.one.example" for name in ("postmaster", "abuse", "dmarc-reports")),
        *(f"{name}@reply.two.example" for name in ("postmaster", "abuse", "dmarc-reports")),
    ]
    assert body("opendkim-return.signing") == [
        f"helpdesk@{ours} {ours}",
        "desk@mail.one.example mail.one.example",
    ]
    assert [line.partition(":")[0] for line in body("opendkim-return.keys")] == [
        f"{ours} {ours}",
        "mail.one.example mail.one.example",
    ]


@pytest.mark.parametrize(
    ("changes", "expected", "is_chrooted"),
    [
        pytest.param("", "inet:127.0.0.1:8898", True, id="the-default"),
        pytest.param('milter = "inet6:70@::1"', "inet:[::1]:70", True, id="ipv6"),
        pytest.param('milter = "fd:3"', "inet:127.0.0.1:8898", True, id="systemd-has-it"),
        pytest.param('milter = "unix:/run/r.sock"', "unix:/run/r.sock", False, id="outside"),
        pytest.param(
            'milter = "unix:/var/spool/postfix/alignd/r.sock"',
            "unix:alignd/r.sock",
            True,
            id="below-the-queue-directory",
        ),
    ],
)
def test_the_listener_of_the_way_back_has_its_milter(
    cli: CommandLine, changes: str, expected: str, *, is_chrooted: bool
) -> None:
    own = f"[return]\n{changes}\n"
    text = printed(cli, "return-inside", "--file", "master.cf", changes=own)

    (milter,) = re.findall(r"smtpd_milters = \{ ([^,]+),", text)
    (chroot,) = re.findall(r"^smtp +inet +\S +\S +(\S)", text, re.MULTILINE)
    assert (milter, chroot) == (expected, "y" if is_chrooted else "n")
    assert ("set\n# return.milter = " in text) is not is_chrooted
    assert text.startswith("# systemd passes") is ("fd:3" in changes)


@pytest.mark.parametrize("layout", OF_RETURN)
def test_postfix_accepts_the_lines_of_the_way_back(cli: CommandLine, layout: str) -> None:
    if obstacle := postfix.obstacle():
        pytest.skip(obstacle)
    texts = {
        file: printed(cli, layout, "--file", file, changes=TWO_DOMAINS)
        for file in OF_RETURN[layout]
    }
    # Postfix wants an address that this machine has.
    main = texts.pop("main.cf").replace("192.0.2.26", "127.0.0.1")
    master = texts.pop("master.cf", "")
    with open_directory() as directory:
        postfix.configure_relay(directory, master, main)
        for name, text in texts.items():
            (directory / "etc" / name).write_text(text)
        run(directory, "postmap", "-c", "etc", f"hash:{directory}/etc/return-shared")

        checked = postfix_says(directory, "postfix", "-c", f"{directory}/etc", "check")
        wrong = postfix_says(directory, "postconf", "-c", "etc", "-n")
        shared = run(
            directory, *QUERY, "BOUNCES@notifications.easysoftware.com", "hash:etc/return-shared"
        )
        domains = [
            run(directory, *QUERY, address, "regexp:etc/return-domains")
            for address in (
                "A=b.Example=tag@Mail.One.Example",
                "julia@notifications-easysoftware.com",
            )
        ]

    assert (checked, wrong) == ("", "")
    assert shared == "root\n"
    assert domains == ["A=b.Example=tag@Mail.One.Example\n", ""]


def test_the_signer_of_the_way_back_accepts_its_files(cli: CommandLine) -> None:
    if shutil.which("opendkim") is None:
        pytest.skip("OpenDKIM is not installed")
    with open_directory() as directory:
        for name in TABLES:
            file = name.removeprefix("return/")
            text = printed(cli, "return", "--file", file, changes=TWO_DOMAINS)
            (directory / file).write_text(
                text.replace("/etc/opendkim-return", f"{directory}/opendkim-return")
            )

        said = run(directory, "opendkim", "-n", "-x", f"{directory}/opendkim-return.conf")

    assert said == ""


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
        main = directory / "etc/main.cf"
        # A lower one is answered with advice.
        level = ".".join(map(str, postfix.version()[:2]))
        main.write_text(main.read_text().replace("level = 3.6", f"level = {level}"))

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


def run(directory: Path, *command: str) -> str:
    """What the command prints; `postmap` ends with 1 where it finds nothing."""
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode in (0, 1)) == ("", True)
    return done.stdout


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
        pytest.param(
            ("--layout", "queue-first", "--file", "return-shared"),
            2,
            "--file: queue-first has no return-shared; it has main.cf, master.cf",
            id="a-file-of-another-layout",
        ),
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
