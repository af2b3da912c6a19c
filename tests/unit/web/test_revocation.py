"""Links that were revoked: the file is always whole, bounded, and has none that has ended."""

import multiprocessing
import os
import socket
from pathlib import Path

import pytest

from alignd.config.settings import WebOptions
from alignd.web import revocation
from alignd.web.revocation import RevocationError, path_of, read_revoked, revoke
from alignd.web.sharing import DAY, new_id

NOW = 1_790_000_123.5


def some_id(number: int, days: int = 30, now: float = NOW) -> str:
    return new_id(days, now, (number << 4).to_bytes(8))


def revoke_some(path: Path, first: int) -> None:
    for number in range(first, first + 20):
        revoke(path, some_id(number), NOW)


def test_where_there_is_no_file_nothing_is_revoked(tmp_path: Path) -> None:
    assert read_revoked(tmp_path / "revoked") == frozenset()


def test_what_is_revoked_is_kept_once(tmp_path: Path) -> None:
    path = tmp_path / "revoked"
    for number in (1, 2, 1):
        revoke(path, some_id(number), NOW)

    assert read_revoked(path) == {some_id(1), some_id(2)}
    assert len(path.read_text().splitlines()) == 3
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["revoked"]


def test_what_has_ended_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "revoked"
    revoke(path, some_id(1, days=1), NOW)
    revoke(path, some_id(2, days=9), NOW)

    revoke(path, some_id(3), NOW + 3 * DAY)

    assert read_revoked(path) == {some_id(2, days=9), some_id(3)}


def test_those_who_revoke_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "revoked"
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=revoke_some, args=(path, n)) for n in (0, 20, 40)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert read_revoked(path) == {some_id(number) for number in range(60)}


def test_there_is_room_for_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "MAX_REVOKED", 2)
    path = tmp_path / "revoked"
    for number in (1, 2):
        revoke(path, some_id(number), NOW)

    with pytest.raises(RevocationError, match=r"2 links are revoked: retire the key in web\."):
        revoke(path, some_id(3), NOW)
    revoke(path, some_id(3, now=NOW + 99 * DAY), NOW + 99 * DAY)
    assert len(read_revoked(path)) == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"diary\n", "revoked:1: not the id of a link", id="something else"),
        pytest.param(b"# x\n\xff\xfe\n", "revoked:2: not the id of a link", id="no text"),
        pytest.param(b"#" * 1_000_001, "cannot be read: more than 1000000 octets", id="large"),
    ],
)
def test_a_file_that_is_none_of_ours_is_no_empty_one(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    path = tmp_path / "revoked"
    path.write_bytes(content)

    for attempt in (lambda: read_revoked(path), lambda: revoke(path, some_id(1), NOW)):
        with pytest.raises(RevocationError) as caught:
            attempt()
        assert str(caught.value).endswith(expected)
    assert path.read_bytes() == content


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        with pytest.raises(RevocationError, match="cannot be read"):
            read_revoked(path)
    os.mkfifo(tmp_path / "fifo")
    for other in (tmp_path / "fifo", Path("/dev/null")):
        with pytest.raises(RevocationError, match="not a file"):
            read_revoked(other)
    with pytest.raises(RevocationError, match="cannot be read: Is a directory"):
        read_revoked(tmp_path)
    with pytest.raises(RevocationError, match="cannot be written: No such file"):
        revoke(tmp_path / "none" / "revoked", some_id(1), NOW)


def test_it_is_in_the_state_directory_unless_it_is_named() -> None:
    state = {"STATE_DIRECTORY": "/var/lib/alignd-web"}

    assert path_of(WebOptions(), state) == Path("/var/lib/alignd-web/revoked")
    assert path_of(WebOptions(), {}) is None
    assert path_of(WebOptions(revoked="/r"), state) == Path("/r")
