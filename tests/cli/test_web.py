"""`alignd web` says what keeps it from starting, with the place and the cure."""

import socket

import pytest

from tests.lab.settings import configuration
from tests.support.commandline import CommandLine, Outcome

WINDOW = 'ledger.window = "unix:/run/alignd/window/ledger.sock"\n'


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param(
            "",
            "there is no ledger that the page may read: restart alignd with "
            'ledger.window = "unix:/run/alignd/window/ledger.sock", '
            "or let ledger.url name PostgreSQL",
            id="no-window",
        ),
        pytest.param(
            f'{WINDOW}web.listen = ""\n',
            "there is nowhere to listen: set web.listen",
            id="nowhere-to-listen",
        ),
    ],
)
def test_what_is_missing_is_named(cli: CommandLine, changes: str, problem: str) -> None:
    cli.write("alignd.conf", configuration(changes))

    outcome = cli.run("web", "--config", "alignd.conf")

    assert outcome == Outcome(78, "", f"alignd.conf:1: {problem}\n")


@pytest.mark.parametrize("option", ["tokens", "share_keys"])
def test_a_file_that_others_can_read_is_refused(cli: CommandLine, option: str) -> None:
    share = 'share_listen = "127.0.0.1:1"\nshare_url = "http://127.0.0.1:1"\nshare_keys = "file"\n'
    more = 'tokens = "file"\n' if option == "tokens" else share
    cli.write("file", "")
    (cli.directory / "file").chmod(0o644)
    cli.write("alignd.conf", configuration(f"{WINDOW}[web]\n{more}"))

    outcome = cli.run("web", "--config", "alignd.conf")

    assert (outcome.status, outcome.stdout) == (78, "")
    assert outcome.stderr.startswith("file:1: its mode is 0644: others than the service can use")


def test_a_port_that_is_taken_is_named(cli: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        cli.write("alignd.conf", configuration(f'{WINDOW}web.listen = "{listen}"\n'))
        outcome = cli.run("web", "--config", "alignd.conf")

    complaint = f"alignd: cannot serve on {listen}: Address already in use\n"
    assert outcome == Outcome(69, "", complaint)
