"""The shared board: what one process writes another reads, whole or not at all."""

import os

import pytest

from alignd.telemetry.board import PLACE_OCTETS, Board, BoardError

A, B = b"a" * 9000, b"b" * 12_000


def test_a_row_says_what_was_written_last() -> None:
    board = Board(2)

    assert board.row(1).read() == b""
    board.row(1).write(b"first")
    board.row(1).write(b"2")
    assert (board.row(0).read(), board.row(1).read()) == (b"", b"2")
    board.row(1).clear()
    assert board.row(1).read() == b""


def test_a_text_that_is_too_long_changes_nothing() -> None:
    row = Board(1).row(0)
    row.write(b"short")

    with pytest.raises(BoardError, match="do not fit"):
        row.write(b"x" * PLACE_OCTETS)
    assert row.read() == b"short"


def test_another_process_reads_what_is_whole() -> None:
    board = Board(1)
    board.row(0).write(A)
    child = os.fork()
    if child == 0:
        for _ in range(3000):
            board.row(0).write(B)
            board.row(0).write(A)
        os._exit(0)
    seen = set()
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        seen.add(board.row(0).read())

    assert seen <= {A, B}
    assert board.row(0).read() == A


def test_a_process_that_dies_over_it_leaves_what_it_said_before() -> None:
    board = Board(1)
    board.row(0).write(b"first")
    board.row(0).write(b"second")
    board.row(0)._octets[PLACE_OCTETS + 20 : PLACE_OCTETS + 22] = b"##"  # it writes there next

    assert board.row(0).read() == b"second"
