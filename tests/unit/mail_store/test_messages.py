"""Messages are found in mail stores of every kind, each once and as it was."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.mail.message import split_message
from alignd.mail_store.messages import StoredMessage, StoreProblem, find_messages
from tests.lab.readiness import open_directory

FIRST = "From app@helpdesk.example Fri Nov 27 10:01:00 2026\n"
ONE = "From: Ann <ann@mycompany.com>\nSubject: 1\n\n"
TWO = "From: Ben <ben@mycompany.com>\nSubject: 2\n\nBye\n"


def read(path: Path) -> list[bytes]:
    """The messages at *path*; those that are not whole raise."""
    found = []
    for stored in find_messages(path):
        assert isinstance(stored, StoredMessage), stored
        data = stored.read(1_000_000)
        assert isinstance(data, bytes), data
        found.append(data)
    return found


@pytest.mark.parametrize(
    "separator",
    [
        pytest.param(FIRST, id="asctime"),
        pytest.param("From - Fri Nov 27 10:01:00 2026\n", id="thunderbird"),
        pytest.param("From MAILER-DAEMON Fri Nov 27 10:01 2026\n", id="without-seconds"),
        pytest.param("From a@b.example  Fri Nov  7 10:01:00 +0100 2026\n", id="a-zone"),
        pytest.param("From a@b.example Fri Nov  7 10:01:00 2026 +0100\n", id="a-zone-behind"),
        pytest.param("From a@b.example Fri Nov  7 10:01:00 CET 2026\n", id="a-named-zone"),
        pytest.param("From a@b.example Fri, 7 Nov 2026 10:01:00 +0100\n", id="as-in-date"),
        pytest.param("From Jan Novak <jan@b.example>  Fri Nov 27 10:01:00 2026\n", id="a-name"),
        pytest.param("From a at b.example  Fri Nov 27 10:01:00 2026\n", id="pipermail"),
        pytest.param("From a!b!c Fri Nov 27 10:01:00 2026 remote from x\n", id="uucp"),
        pytest.param("From a@b.example\n", id="no-date"),
        pytest.param(FIRST.replace("\n", "\r\n"), id="crlf"),
    ],
)
def test_a_separator_separates(tmp_path: Path, separator: str) -> None:
    box = f"{separator}{ONE}Hello\n\n{separator}{TWO}\n"
    (tmp_path / "box").write_bytes(box.encode())

    assert read(tmp_path / "box") == [f"{ONE}Hello\n".encode(), TWO.encode()]


@pytest.mark.parametrize(
    ("stored", "body"),
    [
        pytest.param("Hello\n\nFrom now on\n", "Hello\n\nFrom now on\n", id="prose"),
        pytest.param("Hello\n\nFrom: x\n", "Hello\n\nFrom: x\n", id="a-field"),
        pytest.param("Hello\n\n>From now\n", "Hello\n\nFrom now\n", id="quoted"),
        pytest.param(">>From now\n>x\n", ">From now\n>x\n", id="quoted-twice-as-in-mboxrd"),
        pytest.param(
            f"Hello\n{FIRST}text\n", f"Hello\n{FIRST}text\n", id="no-blank-and-no-header"
        ),
        pytest.param("Hello\n\n\n", "Hello\n\n\n", id="blank-lines"),
    ],
)
def test_a_body_stays_whole(tmp_path: Path, stored: str, body: str) -> None:
    (tmp_path / "box").write_text(f"{FIRST}{ONE}{stored}\n{FIRST}{TWO}\n")

    assert read(tmp_path / "box") == [f"{ONE}{body}".encode(), TWO.encode()]


def test_content_length_keeps_a_message_together(tmp_path: Path) -> None:
    body = f"I forward:\n\n{FIRST}{TWO}"
    header = f"From: Ann <ann@mycompany.com>\nContent-Length: {len(body)}\n\n"
    (tmp_path / "box").write_text(f"{FIRST}{header}{body}\n{FIRST}{TWO}\n")

    assert read(tmp_path / "box") == [f"{header}{body}".encode(), TWO.encode()]


@pytest.mark.parametrize("length", [0, 3, 10**17])
def test_a_content_length_that_leads_to_no_separator_counts_for_nothing(
    tmp_path: Path, length: int
) -> None:
    header = f"From: Ann <ann@mycompany.com>\nContent-Length: {length}\n\n"
    (tmp_path / "box").write_text(f"{FIRST}{header}Hello\n\n{FIRST}{TWO}\n")

    assert read(tmp_path / "box") == [f"{header}Hello\n".encode(), TWO.encode()]


def test_a_file_that_begins_with_from_and_a_blank_before_the_colon_is_a_message(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("From  : Ann <ann@mycompany.com>\n\nHello\n")

    (data,) = read(tmp_path / "file")
    assert [field.name for field in split_message(data)[0]] == ["X-Mailbox-Line"]


def test_what_is_longer_than_wanted_stays_longer(tmp_path: Path) -> None:
    (tmp_path / "box").write_text(f"{FIRST}{ONE}>From x\n>From y\n")
    (stored,) = find_messages(tmp_path / "box")
    assert isinstance(stored, StoredMessage)

    data = stored.read(9)

    assert isinstance(data, bytes)
    assert len(data) == len(ONE) + 9


@pytest.mark.parametrize("folder", [".Sent", ".Sent.2026", "Sent", "Sent/2026", "a/b/c"])
def test_folders_of_a_maildir_are_searched(tmp_path: Path, folder: str) -> None:
    for path in (tmp_path, tmp_path / folder):
        for part in ("cur", "new", "tmp"):
            (path / part).mkdir(parents=True, exist_ok=True)
    (tmp_path / "cur/1.a:2,S").write_text(ONE)
    (tmp_path / folder / "new/2.b").write_text(TWO)
    (tmp_path / "tmp/3.c").write_text(TWO)
    (tmp_path / "dovecot-uidlist").write_text("3 V1\n")
    (tmp_path / "sieve").mkdir()
    (tmp_path / "sieve/x.sieve").write_text("keep;\n")

    assert read(tmp_path) == [ONE.encode(), TWO.encode()]


HEADERS = st.sampled_from([ONE, TWO.partition("\n\n")[0] + "\n\n"])
LINES = st.lists(
    st.sampled_from(["Hello", "", "From now", ">From x", ">>From y", FIRST.strip(), "X: y"])
)


@given(st.lists(st.tuples(HEADERS, LINES), min_size=1, max_size=4))
def test_an_mboxrd_is_read_back(messages: list[tuple[str, list[str]]]) -> None:
    whole = [header + "".join(f"{line}\n" for line in lines) for header, lines in messages]
    quoted = [
        header + "".join(f"{'>' * line.lstrip('>').startswith('From ')}{line}\n" for line in lines)
        for header, lines in messages
    ]
    with open_directory() as directory:
        (directory / "box").write_text("".join(f"{FIRST}{each}\n" for each in quoted))

        assert read(directory / "box") == [each.encode() for each in whole]


@pytest.mark.parametrize("top", [pytest.param("", id="files"), pytest.param("cur", id="maildir")])
def test_directories_without_end_are_not_followed_to_it(tmp_path: Path, top: str) -> None:
    for name in ("cur", "new", "tmp") if top else ():
        (tmp_path / name).mkdir()
    (tmp_path / "/".join(["d"] * 300)).mkdir(parents=True)

    (problem,) = find_messages(tmp_path)

    assert isinstance(problem, StoreProblem)
    assert "directories deep" in problem.text
