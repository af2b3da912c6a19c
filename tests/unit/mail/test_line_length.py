"""Lines that Postfix breaks: over 998 octets, in fields and in bodies that come in chunks."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.mail.line_length import BodyLines, has_broken_line, has_long_line

CHUNK = 65_535  # octets, of Postfix


def of_body(*chunks: bytes) -> BodyLines:
    lines = BodyLines()
    for chunk in chunks:
        lines.add(chunk)
    return lines


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"", False, id="nothing"),
        pytest.param(b" " + b"x" * 989, False, id="998-octets-with-name-colon-and-blank"),
        pytest.param(b" " + b"x" * 990, True, id="999-octets"),
        pytest.param(b"x" * 990, False, id="998-octets-without-a-blank"),
        pytest.param(b"x" * 991, True, id="999-octets-without-a-blank"),
        pytest.param(b" x\n " + b"x" * 997, False, id="folded-998-octets-with-the-blank"),
        pytest.param(b" x\n " + b"x" * 998, True, id="folded-999-octets-with-the-blank"),
        pytest.param(b" x" * 300 + b"\n x" * 300, False, id="folded-into-short-lines"),
        pytest.param(b" " + "č".encode() * 495, True, id="octets-count-not-letters"),
        pytest.param(b" " + b"x" * 900 + b" " * 90, True, id="blanks-at-the-end-count"),
    ],
)
def test_a_field_is_too_long_by_a_line_of_it(value: bytes, expected: bool) -> None:
    assert has_long_line("Subject", value) is expected


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        pytest.param([], False, id="no-body"),
        pytest.param([b"x" * 998 + b"\r\n"], False, id="998-octets"),
        pytest.param([b"x" * 999 + b"\r\n"], True, id="999-octets"),
        pytest.param([b"x" * 998], False, id="998-octets-without-a-line-end"),
        pytest.param([b"x" * 999], True, id="999-octets-without-a-line-end"),
        pytest.param([b"short\r\n" + b"x" * 997, b"x\r\n"], False, id="998-octets-over-a-border"),
        pytest.param([b"short\r\n" + b"x" * 998, b"x\r\n"], True, id="999-octets-over-a-border"),
        pytest.param([b"x" * 998 + b"\r", b"\n" + b"x" * 998], False, id="a-border-in-a-line-end"),
        pytest.param([b"x" * 998, b"\r\n" + b"x" * 998], False, id="a-border-before-a-line-end"),
        pytest.param([b"x" * 998 + b"\r\n", b"x" * 998], False, id="a-border-behind-a-line-end"),
        pytest.param([b"x"] * 998 + [b"\r", b"\n"], False, id="998-chunks-of-an-octet"),
        pytest.param([b"x"] * 999 + [b"\r", b"\n"], True, id="999-chunks-of-an-octet"),
        pytest.param([b"x" * CHUNK, b"x\r\n"], True, id="a-whole-chunk-of-one-line"),
        pytest.param([b"x" * 76 + b"\r\n"] * 100 + [b"x" * 999], True, id="the-last-of-many"),
        pytest.param([b"x" * 999 + b"\r\n"] + [b"y\r\n"] * 100, True, id="the-first-of-many"),
        pytest.param(["č".encode() * 500 + b"\r\n"], True, id="octets-count-not-letters"),
        pytest.param([b"x" * 500 + b"\n" + b"x" * 498], True, id="a-bare-lf-ends-no-line"),
    ],
)
def test_a_body_is_too_long_by_a_line_of_it(chunks: list[bytes], expected: bool) -> None:
    assert of_body(*chunks).are_long is expected


@given(
    st.lists(st.integers(990, 1003) | st.integers(0, 2100), max_size=70),
    st.booleans(),
    st.lists(st.integers(0, 70_000), max_size=5),
)
def test_it_does_not_matter_where_the_borders_are(
    lengths: list[int], ends: bool, borders: list[int]
) -> None:
    body = b"\r\n".join(b"x" * length for length in lengths) + (b"\r\n" if ends else b"")
    places = sorted({0, len(body), *(border for border in borders if border < len(body))})

    chunks = [body[begin:end] for begin, end in pairwise(places)]

    assert of_body(*chunks).are_long is any(length > 998 for length in lengths)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b" " + b"x" * 989 + b"\n x", True, id="998-octets-and-a-blank"),
        pytest.param(b" x\n " + b"x" * 997 + b"\n x", True, id="the-second-line"),
        pytest.param(b" " + b"x" * 989 + b"\n\tx", False, id="998-octets-and-a-tab"),
        pytest.param(b" " + b"x" * 988 + b"\n x", False, id="997-octets-and-a-blank"),
        pytest.param(b" " + b"x" * 989, False, id="998-octets-and-no-more"),
        pytest.param(b" " + b"x" * 989 + b"\n", False, id="998-octets-and-an-empty-line"),
    ],
)
def test_a_field_that_was_broken_is_known(value: bytes, expected: bool) -> None:
    assert has_broken_line("Subject", value) is expected


@given(
    st.lists(st.tuples(st.integers(995, 999) | st.integers(0, 1100), st.booleans()), max_size=50),
    st.lists(st.integers(0, 60_000), max_size=5),
)
def test_a_body_that_was_broken_is_known(
    lines: list[tuple[int, bool]], borders: list[int]
) -> None:
    body = b"".join(
        (b" " if blank and length else b"x" * min(length, 1)) + b"x" * (length - 1) + b"\r\n"
        for length, blank in lines
    )
    places = sorted({0, len(body), *(border for border in borders if border < len(body))})

    found = of_body(*(body[begin:end] for begin, end in pairwise(places)))

    if not found.are_long:  # or nothing is looked at behind the long line
        pairs = pairwise(lines)
        assert found.were_long is any(
            length == 998 and blank and rest > 0 for (length, _), (rest, blank) in pairs
        )
