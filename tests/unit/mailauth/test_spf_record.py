"""SPF records as texts: repaired, merged and added to, they are valid to every evaluator."""

from ipaddress import ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alignd.mail.domain import Domain
from alignd.mailauth.spf import SpfResult, evaluate_spf
from alignd.mailauth.spf_record import (
    MAX_STRING,
    SpfRecord,
    find_records,
    find_resembling,
    merge_records,
    repair_record,
    strings_of,
)
from alignd.resolver.zone import Zone
from tests.support.spftrace import second_opinion

CUSTOMER = Domain("customer.cz")
OURS = "include:spf.relay.cz"
HELO = Domain("relay.cz")
ADDRESS = ip_address("192.0.2.25")


def read(text: str) -> SpfRecord:
    return repair_record(text.encode("latin-1"), CUSTOMER).record


def dropped(text: str) -> tuple[str, ...]:
    return repair_record(text.encode("latin-1"), CUSTOMER).dropped


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
    assert dropped(record) == ()
    assert read(record).with_mechanisms([OURS]).text == expected


def test_a_mechanism_can_be_put_in_front_of_everything() -> None:
    record = read(f"v=spf1 a {OURS} mx ~all").with_mechanisms([OURS], first=True)

    assert record.text == f"v=spf1 {OURS} a mx ~all"


@pytest.mark.parametrize(
    ("record", "kept", "lost"),
    [
        pytest.param("v=spf1 a foo mx -all", "a mx -all", ("foo",), id="an-unknown-mechanism"),
        pytest.param("v=spf1 ip4:1.2.3 -all", "-all", ("ip4:1.2.3",), id="half-an-address"),
        pytest.param("v=spf1 ip4:192.0.2.1/33 ~all", "~all", ("ip4:192.0.2.1/33",), id="length"),
        pytest.param("v=spf1 ip4:192.0.2.01 ~all", "~all", ("ip4:192.0.2.01",), id="octal"),
        pytest.param("v=spf1 ip6:fe80::1%eth0 ~all", "~all", ("ip6:fe80::1%eth0",), id="scope"),
        pytest.param("v=spf1 a:%{d -all", "-all", ("a:%{d",), id="an-open-macro"),
        pytest.param("v=spf1 a:%{d02}.x.cz", "a:%{d02}.x.cz", (), id="a-zero-in-front-of-digits"),
        pytest.param("v=spf1 a:%{d0} -all", "-all", ("a:%{d0}",), id="no-labels-of-a-macro"),
        pytest.param("v=spf1 a:%{c} -all", "-all", ("a:%{c}",), id="a-macro-for-exp-alone"),
        pytest.param("v=spf1 include: mx", "mx", ("include:",), id="an-include-of-nothing"),
        pytest.param("v=spf1 a,mx -all", "-all", ("a,mx",), id="commas-between"),
        pytest.param("v=spf1 a, mx; -all", "a mx -all", (), id="commas-behind"),
        pytest.param("v=spf1 ip4:192.0.2.1-all", "ip4:192.0.2.1 -all", (), id="a-lost-blank"),
        pytest.param("v=spf1\ta\tmx", "a mx", (), id="tabs"),
        pytest.param('"v=spf1 a -all"', "a -all", (), id="quotes"),
        pytest.param("v=spf1-all", "-all", (), id="no-blank-behind-the-version"),
        pytest.param("v=spf1\xa0a\xa0-all", "a -all", (), id="blanks-that-are-not-ascii"),
        pytest.param(
            "v=spf1 redirect=x.cz redirect=y.cz",
            "redirect=x.cz",
            ("redirect=y.cz",),
            id="a-second-redirect",
        ),
        pytest.param(
            "v=spf1 include:customer.cz -all",
            "-all",
            ("include:customer.cz",),
            id="include-of-itself",
        ),
        pytest.param("v=spf1 redirect=%{d}", "", ("redirect=%{d}",), id="itself"),
        pytest.param("v=spf1 all:x -all", "-all", ("all:x",), id="an-argument-of-all"),
        pytest.param(f"v=spf1 a:{'x' * 600}.cz a", "a", (f"a:{'x' * 600}.cz",), id="endless"),
    ],
)
def test_a_broken_record_is_repaired(record: str, kept: str, lost: tuple[str, ...]) -> None:
    assert read(record).text == f"v=spf1 {kept}".rstrip()
    assert dropped(record) == lost


@pytest.mark.parametrize(
    ("records", "merged"),
    [
        pytest.param(["a -all", "mx ~all"], "a mx ~all", id="the-softer-all-wins"),
        pytest.param(["a +all", "mx -all"], "a mx -all", id="but-plus-all-only-alone"),
        pytest.param(["a -all", "A mx -all"], "a mx -all", id="what-stands-twice-stands-once"),
        pytest.param(["a", "redirect=x.cz"], "a redirect=x.cz", id="a-redirect-is-kept"),
        pytest.param(
            ["a -all", "redirect=x.cz"], "a include:x.cz -all", id="where-all-does-not-end-it"
        ),
        pytest.param(
            ["redirect=x.cz", "redirect=y.cz"], "include:x.cz include:y.cz", id="two-redirects"
        ),
        pytest.param(["exp=a.cz a", "exp=b.cz mx"], "exp=a.cz a mx", id="two-explanations"),
    ],
)
def test_several_records_become_one(records: list[str], merged: str) -> None:
    assert (
        merge_records(tuple(read(f"v=spf1 {text}") for text in records)).text == f"v=spf1 {merged}"
    )


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


PIECES = st.lists(
    st.sampled_from(
        [
            *("a", "mx", "ptr", "ip4", "ip6", "exists", "include", "all", "redirect", "exp", "x"),
            *(":", "=", "/", "//", ".", "-", "~", "+", "?", "%", "%{d}", "%{ir}", "%{l2-}", "%_"),
            *("192.0.2.25", "2001:db8::", "24", "0", "129", "x.cz", "mail", "{", "}", ",", "é"),
        ]
    ),
    max_size=7,
).map("".join)
TERMS = st.one_of(PIECES, st.text(st.characters(codec="latin-1"), max_size=12))


@given(TERMS)
@example("a:x.cz/24//64")
@example("a:x/24.cz")
@example("mx/0//0")
@example("ip6:::ffff:192.0.2.1/96")
@example("exists:%{l1r+-}._spf.x.cz")
@example("ptr:x.cz.")
@example("A:x.1-2")
@example("foo=%{c}")
@example('foo="x"')
def test_what_is_kept_is_what_every_receiver_takes(term: str) -> None:
    written = f"v=spf1 ip4:{ADDRESS} {term}"
    kept = read(written).text

    assert all_take(kept)
    # And what they take is kept to the letter.
    if all_take(written) and "customer.cz" not in term:
        assert kept == " ".join(filter(None, written.split(" ")))


def all_take(record: str) -> bool:
    """Whether no evaluator finds an error; they read what stands behind the match too."""
    data = "".join(f"\\{octet:03}" for octet in record.encode("latin-1"))
    strings = " ".join(f'"{data[cut : cut + 800]}"' for cut in range(0, len(data), 800))
    zone = Zone.parse(f"customer.cz. TXT {strings}")
    ours = evaluate_spf(ADDRESS, "a@customer.cz", HELO, zone).result
    theirs = second_opinion(str(ADDRESS), "a@customer.cz", HELO.name, zone)
    return ours is SpfResult.PASS and theirs == "pass"


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=1000))
def test_strings_fit_and_join_to_the_value(value: str) -> None:
    strings = strings_of(value)

    assert "".join(strings) == value
    assert all(len(string) <= MAX_STRING for string in strings)
