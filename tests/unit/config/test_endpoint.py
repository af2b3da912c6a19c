"""A socket is parsed once, and is valid once built; both spellings are read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.config.endpoint import (
    Endpoint,
    HandedOverSocket,
    InetEndpoint,
    InetSocket,
    MilterSocket,
    UnixEndpoint,
    UnixSocket,
    parse_endpoint,
    parse_socket,
)

HOSTS = st.sampled_from(["127.0.0.1", "::1", "relay.example"])
PORTS = st.integers(1, 65535)
PATHS = st.text("abc/.-_", min_size=1)
ENDPOINTS: st.SearchStrategy[Endpoint] = st.one_of(
    st.builds(InetEndpoint, HOSTS, PORTS), st.builds(UnixEndpoint, PATHS)
)
SOCKETS: st.SearchStrategy[MilterSocket] = st.one_of(
    st.builds(InetSocket, PORTS, HOSTS | st.just(""), st.booleans()),
    st.builds(UnixSocket, PATHS.map("/{}".format)),
    st.builds(HandedOverSocket, st.integers(0, 100)),
)


@given(ENDPOINTS)
def test_an_endpoint_in_postfixs_spelling_is_read_back(endpoint: Endpoint) -> None:
    assert parse_endpoint(str(endpoint)) == endpoint


@given(SOCKETS)
def test_a_socket_in_libmilters_spelling_is_read_back(socket: MilterSocket) -> None:
    assert parse_socket(str(socket)) == socket


@given(st.text("inetunixfdlocal6:/@[].1a ", max_size=30) | st.text(max_size=30))
def test_any_text_is_a_socket_that_libmilter_can_be_told_or_refused(text: str) -> None:
    try:
        socket = parse_socket(text)
    except ValueError:
        return
    assert parse_socket(str(socket)) == socket


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("inet:8899@127.0.0.1", InetEndpoint("127.0.0.1", 8899)),
        ("inet:8899@relay.example", InetEndpoint("relay.example", 8899)),
        ("inet6:8899", InetEndpoint("::1", 8899)),
        ("inet6:8899@::", InetEndpoint("::1", 8899)),
        ("inet:8899@0.0.0.0", InetEndpoint("127.0.0.1", 8899)),
        ("local:/run/a.sock", UnixEndpoint("/run/a.sock")),
    ],
)
def test_where_a_socket_is_reached_from_this_machine(text: str, endpoint: Endpoint) -> None:
    socket = parse_socket(text)

    assert not isinstance(socket, HandedOverSocket)
    assert socket.endpoint == endpoint


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_a_port_out_of_range_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match="not a port"):
        InetSocket(port)
    with pytest.raises(ValueError, match="not a port"):
        InetEndpoint("127.0.0.1", port)


def test_a_socket_at_a_relative_path_is_refused() -> None:
    with pytest.raises(ValueError, match="not an absolute path"):
        UnixSocket("run/a.sock")


@pytest.mark.parametrize(
    "text", ["inet:127.0.0.1:65536", "inet:127.0.0.1:milter", "inet:8899@127.0.0.1", "fd:3", ""]
)
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        parse_endpoint(text)
