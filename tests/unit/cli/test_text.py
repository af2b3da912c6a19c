"""Text for terminals: eighty columns, nothing that drives them, and nothing lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from alignd.cli.text import (
    ERROR,
    MAX_SHOWN,
    PLAIN,
    WIDTH,
    Line,
    Span,
    fold,
    shortened,
    verbatim,
)


@given(st.text(max_size=2 * MAX_SHOWN), st.sampled_from(["", "-", "  name  "]))
def test_any_text_becomes_printable_lines_of_eighty_columns(text: str, first: str) -> None:
    lines = [line.text for line in fold(text, first, "    ")]

    assert lines
    assert lines[0].startswith(first.rstrip())
    assert all(line.isprintable() and cell_len(line) <= WIDTH for line in lines)


@given(st.text(alphabet="abc日本 .@<>", max_size=MAX_SHOWN))
def test_nothing_but_blanks_is_lost(text: str) -> None:
    lines = [line.text for line in fold(text, "+", "+")]

    shown = "".join(line.removeprefix("+") for line in lines)
    assert shown.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param("", ["- "], id="nothing-is-one-line"),
        pytest.param("a" * 80, ["- " + "a" * 78, "  aa"], id="a-long-word-is-cut"),
        pytest.param("a\n\x1b[31mb\u202e", ["- a??[31mb?"], id="controls-are-question-marks"),
    ],
)
def test_folded(text: str, lines: list[str]) -> None:
    assert [line.text for line in fold(text, "- ", "  ")] == [line.rstrip() for line in lines]


def test_of_a_vast_text_the_beginning_is_shown_and_the_rest_counted() -> None:
    lines = [line.text for line in fold(shortened("x" * 64_000))]

    assert len(lines) < 12
    assert f"({64_000 - MAX_SHOWN} more characters)" in " ".join(lines)


@given(st.text(max_size=2 * MAX_SHOWN))
def test_what_is_to_be_copied_is_one_printable_line_of_its_own(text: str) -> None:
    line = verbatim(text, "  ").text

    assert len(line) == 2 + len(text)
    assert line.isprintable()


@given(st.text(max_size=2 * MAX_SHOWN))
def test_no_part_of_a_line_can_drive_the_terminal(text: str) -> None:
    line = Line.of("  ", Span(text, ERROR))

    assert all(span.text.isprintable() for span in line.spans)
    assert [span.style for span in line.spans] == [PLAIN, ERROR]
