"""smtpd_milters is read as Postfix reads it, or refused with a reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.config.endpoint import Endpoint, InetEndpoint, UnixEndpoint
from alignd.postfix.milters import MilterListError, read_milters

NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)
VALUES = st.text("abcdefghijklmnopqrstuvwxyz0123456789", max_size=8)
PORTS = st.integers(1, 65535)
ENDPOINTS: st.SearchStrategy[Endpoint] = st.one_of(
    st.builds(InetEndpoint, st.sampled_from(["127.0.0.1", "::1", "relay.example"]), PORTS),
    st.builds(UnixEndpoint, st.text("abc/.-_", min_size=1)),
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("", [], id="none"),
        pytest.param("inet:localhost:1", [("inet:localhost:1", {})], id="one"),
        pytest.param(
            "unix:a/b.sock inet:[::1]:2",
            [("unix:a/b.sock", {}), ("inet:[::1]:2", {})],
            id="a-blank-between",
        ),
        pytest.param(
            ",unix:/a,\tunix:/b ,", [("unix:/a", {}), ("unix:/b", {})], id="stray-commas"
        ),
        pytest.param(
            "{ unix:/a, connect_timeout=5s default_action=accept },unix:/b",
            [("unix:/a", {"connect_timeout": "5s", "default_action": "accept"}), ("unix:/b", {})],
            id="settings-in-braces",
        ),
        pytest.param(
            "{unix:/a,{ default_action = accept }}unix:/b",
            [("unix:/a", {"default_action": "accept"}), ("unix:/b", {})],
            id="a-setting-in-braces-may-have-blanks",
        ),
        pytest.param("inet:localhost:milter", [("inet:localhost:milter", {})], id="a-named-port"),
        pytest.param("inet:localhost:65536", [("inet:localhost:65536", {})], id="no-such-port"),
        pytest.param("{ unix:/a }", [("unix:/a", {})], id="braces-without-settings"),
    ],
)
def test_what_postfix_takes(value: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [(milter.text, milter.settings) for milter in read_milters(value)] == expected


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        pytest.param("{ unix:/a", "a brace that is never closed", id="open"),
        pytest.param("unix:/a }", "not a milter: '}'", id="closed-too-often"),
        pytest.param("{ }", "nothing between braces", id="nothing"),
        pytest.param("{ unix:/a, connect_timeout = 5s }", "not a setting", id="blanks"),
        pytest.param("{ unix:/a, =5s }", "not a setting", id="no-name"),
        pytest.param("inet:8899@127.0.0.1", "not a milter", id="libmilters-words"),
        pytest.param("inet:127.0.0.1", "not a milter", id="no-port"),
        pytest.param("/run/a.sock", "not a milter", id="a-path-alone"),
    ],
)
def test_what_it_does_not_take(value: str, problem: str) -> None:
    with pytest.raises(MilterListError, match=problem):
        read_milters(value)


@given(st.text("{}=, \t:/unixet[]1a", max_size=60) | st.text(max_size=60))
def test_any_text_is_read_or_refused(value: str) -> None:
    try:
        milters = read_milters(value)
    except MilterListError:
        return
    assert all(milter.text in value for milter in milters)


@given(st.lists(st.tuples(ENDPOINTS, st.dictionaries(NAMES, VALUES, max_size=3)), max_size=4))
def test_what_is_written_down_is_read_back(chain: list[tuple[Endpoint, dict[str, str]]]) -> None:
    written = ", ".join(
        f"{{ {', '.join([str(endpoint), *(f'{name}={value}' for name, value in own.items())])} }}"
        for endpoint, own in chain
    )

    assert [(milter.endpoint, milter.settings) for milter in read_milters(written)] == chain


@pytest.mark.parametrize(
    ("value", "endpoint"),
    [
        pytest.param("inet:[::1]:2", InetEndpoint("::1", 2), id="tcp"),
        pytest.param("unix:a/b.sock", UnixEndpoint("a/b.sock"), id="unix"),
        pytest.param("inet:localhost:milter", None, id="a-named-port"),
        pytest.param("inet:localhost:65536", None, id="no-such-port"),
    ],
)
def test_the_endpoint_of_a_milter(value: str, endpoint: Endpoint | None) -> None:
    assert [milter.endpoint for milter in read_milters(value)] == [endpoint]
