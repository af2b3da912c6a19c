"""Where others read the ledger: what can be written, and what contradicts it."""

import pytest

from alignd.config.endpoint import UnixSocket
from alignd.config.file import parse_configuration
from tests.support.configtext import BASE, problems

SOCKET = 'window = "unix:/run/alignd/window/ledger.sock"'
READER = 'window = "postgresql://alignd_reader@db.example.com/alignd"'
POSTGRESQL = 'url = "postgresql://alignd@db.example.com/alignd"'


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        pytest.param(
            f'url = ""\n{SOCKET}',
            '9: ledger.window shows nothing: ledger.url = "" switches the ledger off',
            id="no ledger",
        ),
        pytest.param(
            f"{POSTGRESQL}\n{SOCKET}",
            "9: ledger.window must be a URL of the PostgreSQL that ledger.url names",
            id="a socket beside PostgreSQL",
        ),
        pytest.param(
            READER,
            "8: ledger.window must be a socket, since ledger.url is a file",
            id="PostgreSQL beside a file",
        ),
    ],
)
def test_what_shows_another_ledger_is_told_at_its_line(lines: str, problem: str) -> None:
    assert problems(f"{BASE}[ledger]\n{lines}\n") == [problem]


@pytest.mark.parametrize(
    "value", ["/run/ledger.sock", "unix:ledger.sock", "inet:80@127.0.0.1", "sqlite", "mysql://a"]
)
def test_what_is_no_window_is_refused(value: str) -> None:
    (problem,) = problems(f'{BASE}[ledger]\nwindow = "{value}"\n')
    assert problem.startswith(f"8: ledger.window: not a window: '{value}'")


def test_a_password_is_not_shown() -> None:
    text = f'{BASE}[ledger]\nwindow = "postgresql:/alignd:secret@db.example.com/alignd x"\n'
    text = text.replace("postgresql:/", "postgresql://")
    (problem,) = problems(text)
    assert "secret" not in problem


@pytest.mark.parametrize("lines", ["", SOCKET, POSTGRESQL, f"{POSTGRESQL}\n{READER}"])
def test_windows_of_the_ledger_are_taken(lines: str) -> None:
    assert parse_configuration(f"{BASE}[ledger]\n{lines}\n", "alignd.conf").conflicts() == ()


def test_a_window_is_a_socket_or_a_url() -> None:
    ledger = parse_configuration(f"{BASE}[ledger]\n{SOCKET}\n", "alignd.conf").ledger
    assert ledger.window == UnixSocket("/run/alignd/window/ledger.sock")
