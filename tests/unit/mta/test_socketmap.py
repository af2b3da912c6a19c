"""Requests of Postfix come out of a stream as they went in, and nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.mta.socketmap import (
    MAX_REQUEST,
    NOT_FOUND,
    MalformedError,
    Request,
    RequestReader,
    found,
    temporary,
)

names = st.text(st.characters(codec="utf-8", exclude_characters=" "), max_size=20)
requests = st.builds(Request, names, st.text(st.characters(codec="utf-8"), max_size=200))
garbage = st.sampled_from(
    [
        b"x",
        b":",
        b"-1:a b,",
        b"03:a b,",
        b"3:a b;",
        b"3:abc,",
        b"0:,",
        b"99999:",
        b" 3:a b,",
        b"\n",
    ]
)


def sent(request: Request) -> bytes:
    content = f"{request.name} {request.key}".encode()
    return b"%d:%b," % (len(content), content)


def heard(pieces: list[bytes]) -> tuple[list[Request], bool]:
    """The requests in a stream that comes in *pieces*, and whether garbage ended it."""
    reader = RequestReader()
    requests: list[Request] = []
    try:
        for piece in pieces:
            for request in reader.feed(piece):
                requests.append(request)
    except MalformedError:
        return requests, True
    assert reader.is_within_request == (b"".join(pieces) != b"".join(map(sent, requests)))
    return requests, False


def split(stream: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(stream) + 1) for place in places})
    return [stream[a:b] for a, b in zip([0, *ends], [*ends, len(stream)], strict=True)]


@given(st.lists(requests, max_size=5), st.lists(st.integers(min_value=0), max_size=20))
def test_requests_come_out_in_order_however_they_are_split(
    given: list[Request], places: list[int]
) -> None:
    stream = b"".join(map(sent, given))

    assert heard(split(stream, places)) == (given, False)


@given(
    st.lists(requests, max_size=3),
    garbage,
    st.binary(max_size=50),
    st.lists(st.integers(min_value=0), max_size=20),
)
def test_garbage_ends_a_stream_and_what_came_before_is_heard(
    given: list[Request], bad: bytes, more: bytes, places: list[int]
) -> None:
    stream = b"".join(map(sent, given)) + bad + more

    # What looks like a number so far may go on as one.
    assert heard([*split(stream, places), b"x" * (MAX_REQUEST + 10)]) == (given, True)


@given(st.binary(max_size=40), st.lists(st.integers(min_value=0), max_size=20))
def test_of_any_octets_every_split_says_the_same(stream: bytes, places: list[int]) -> None:
    assert heard(split(stream, places)) == heard([stream])


def test_a_request_of_4096_octets_is_heard_and_one_more_is_not() -> None:
    key = "k" * (MAX_REQUEST - len("return "))

    assert heard([sent(Request("return", key))]) == ([Request("return", key)], False)
    assert heard([sent(Request("return", key + "k"))[:5]]) == ([], True)


def test_a_reader_holds_no_more_than_one_request() -> None:
    reader = RequestReader()
    list(reader.feed(b"4096:"))
    list(reader.feed(b"k" * MAX_REQUEST))

    with pytest.raises(MalformedError):
        list(reader.feed(b"k"))


def test_replies_are_netstrings() -> None:
    assert found("a@b.example") == b"14:OK a@b.example,"
    assert NOT_FOUND == b"9:NOTFOUND ,"
    assert temporary("later") == b"10:TEMP later,"
