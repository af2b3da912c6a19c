"""SPF records as texts: what is added is reached, and what is split joins to the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.mailauth.spf_record import (
    MAX_STRING,
    SpfRecord,
    find_records,
    find_resembling,
    parse_term,
    strings_of,
)

OURS = "include:spf.relay.cz"


def read(text: str) -> SpfRecord:
    terms = [parse_term(word) for word in text.split()[1:]]
    return SpfRecord(tuple(term for term in terms if term))


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param("v=spf1 a -all", f"v=spf1 a {OURS} -all", id="in-front-of-all"),
        pytest.param("v=spf1 a ~all", f"v=spf1 a {OURS} ~all", id="the-qualifier-is-kept"),
        pytest.param("v=spf1 mx ALL", f"v=spf1 mx {OURS} ALL", id="so-is-the-case"),
        pytest.param("v=spf1 +all", f"v=spf1 {OURS} +all", id="plus-all"),
        pytest.param("v=spf1 a mx", f"v=spf1 a mx {OURS}", id="no-all"),
        pytest.param("v=spf1", f"v=spf1 {OURS}", id="no-term"),
        pytest.param(
            "v=spf1 a redirect=x.cz", f"v=spf1 a {OURS} redirect=x.cz", id="in-front-of-redirect"
        ),
        pytest.param(
            "v=spf1 redirect=x.cz a", f"v=spf1 redirect=x.cz a {OURS}", id="redirect-in-front"
        ),
        pytest.param(
            "v=spf1 exp=e.x.cz mx -all exp2=y",
            f"v=spf1 exp=e.x.cz mx {OURS} -all exp2=y",
            id="modifiers-stay-where-they-are",
        ),
        pytest.param(
            "v=spf1 exists:%{i}._spf.%{d2} -all",
            f"v=spf1 exists:%{{i}}._spf.%{{d2}} {OURS} -all",
            id="macros-stay-as-they-are",
        ),
        pytest.param(
            "v=spf1 a -all mx", f"v=spf1 a {OURS} -all mx", id="terms-behind-all-stay-there"
        ),
        pytest.param(f"v=spf1 ?{OURS} -all", f"v=spf1 {OURS} -all", id="another-qualifier"),
        pytest.param(f"v=spf1 -all {OURS}.", f"v=spf1 {OURS} -all", id="behind-all"),
    ],
)
def test_a_mechanism_is_added_where_it_is_reached(record: str, expected: str) -> None:
    assert read(record).text == record
    assert read(record).with_mechanisms([OURS]).text == expected


def test_a_mechanism_can_be_put_in_front_of_everything() -> None:
    record = read(f"v=spf1 a {OURS} mx ~all").with_mechanisms([OURS], first=True)

    assert record.text == f"v=spf1 {OURS} a mx ~all"


@pytest.mark.parametrize(
    ("text", "is_record", "resembles"),
    [
        pytest.param(b"v=spf1", True, False, id="no-term"),
        pytest.param(b"V=SPF1 a", True, False, id="upper-case"),
        pytest.param(b"v=spf10 a", False, False, id="another-version"),
        pytest.param(b" v=spf1 a", False, True, id="a-blank-in-front"),
        pytest.param(b"\xef\xbb\xbfv=spf1 a", False, True, id="a-byte-order-mark"),
        pytest.param(b'"v=spf1 a"', False, True, id="quotes"),
        pytest.param(b"v=spf1;a", False, True, id="no-blank-behind"),
        pytest.param(b"spf2.0/pra v=spf1 a", False, False, id="inside-another-record"),
    ],
)
def test_what_is_taken_for_a_record(text: bytes, *, is_record: bool, resembles: bool) -> None:
    assert bool(find_records([text])) is is_record
    assert bool(find_resembling([text])) is resembles


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=1000))
def test_strings_fit_and_join_to_the_value(value: str) -> None:
    strings = strings_of(value)

    assert "".join(strings) == value
    assert all(len(string) <= MAX_STRING for string in strings)
