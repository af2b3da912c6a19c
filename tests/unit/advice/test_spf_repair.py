"""Repaired SPF records are valid to every evaluator, and open the domain to nobody."""

import os
import re
from ipaddress import ip_address

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alignd.advice.spf_repair import repair_records
from alignd.mail.domain import Domain
from alignd.mailauth.spf import SpfResult, evaluate_spf
from alignd.mailauth.spf_record import (
    SpfRecord,
)
from alignd.resolver.zone import Zone
from tests.support.spftrace import second_opinion

CUSTOMER = Domain("customer.cz")
HELO = Domain("relay.cz")
ADDRESS = ip_address("192.0.2.25")


def read(text: str) -> SpfRecord:
    return repair_records((text.encode("latin-1"),), CUSTOMER).record


def dropped(text: str) -> tuple[str, ...]:
    return repair_records((text.encode("latin-1"),), CUSTOMER).dropped


@pytest.mark.parametrize(
    ("record", "kept", "lost"),
    [
        pytest.param("v=spf1 a foo mx -all", "a mx ~all", ("foo",), id="an-unknown-mechanism"),
        pytest.param("v=spf1 ip4:1.2.3 -all", "~all", ("ip4:1.2.3",), id="half-an-address"),
        pytest.param("v=spf1 ip4:192.0.2.1/33 ~all", "~all", ("ip4:192.0.2.1/33",), id="length"),
        pytest.param("v=spf1 ip4:192.0.2.01 ?all", "?all", ("ip4:192.0.2.01",), id="octal"),
        pytest.param("v=spf1 ip6:fe80::1%eth0 ~all", "~all", ("ip6:fe80::1%eth0",), id="scope"),
        pytest.param("v=spf1 a:%{d -all", "~all", ("a:%{d",), id="an-open-macro"),
        pytest.param("v=spf1 a:%{d02}.x.cz", "a:%{d02}.x.cz", (), id="a-zero-in-front-of-digits"),
        pytest.param("v=spf1 a:%{d0} -all", "~all", ("a:%{d0}",), id="no-labels-of-a-macro"),
        pytest.param("v=spf1 a:%{c} -all", "~all", ("a:%{c}",), id="a-macro-for-exp-alone"),
        pytest.param("v=spf1 include: mx", "mx", ("include:",), id="an-include-of-nothing"),
        pytest.param("v=spf1 a,mx -all", "~all", ("a,mx",), id="commas-between"),
        pytest.param("v=spf1 a, mx; -all", "a mx -all", (), id="commas-behind"),
        pytest.param(
            "v=spf1 ip4:192.0.2.0/24, -all", "ip4:192.0.2.0/24 -all", (), id="all-digits"
        ),
        pytest.param("v=spf1 ip4:192.0.2.0/2, a", "a", ("ip4:192.0.2.0/2,",), id="a-lost-digit"),
        pytest.param("v=spf1 ip4:192.0.2.1-all", "ip4:192.0.2.1 -all", (), id="a-lost-blank"),
        pytest.param("v=spf1 ip4:192.0.2.1, a", "a", ("ip4:192.0.2.1,",), id="or-a-digit"),
        pytest.param("v=spf1 a+all", "", ("a+all",), id="a-lost-blank-before-plus-all"),
        pytest.param("v=spf1 ip4:192.0.2.0/2-all", "", ("ip4:192.0.2.0/2-all",), id="two-lost"),
        pytest.param("v=spf1\ta\tmx", "a mx", (), id="tabs"),
        pytest.param('"v=spf1 a -all"', "a -all", (), id="quotes"),
        pytest.param('v=spf1 "a" -all', "a -all", (), id="quotes-around-a-term"),
        pytest.param('v=spf1 a "mx -all', "a ~all", ('"mx',), id="a-quote-for-a-sign"),
        pytest.param("v=spf1-all", "-all", (), id="no-blank-behind-the-version"),
        pytest.param("v=spf1a mx", "mx", ("a",), id="nothing-behind-the-version"),
        pytest.param("v=spf1;a", "a", (), id="no-blank-but-a-semicolon"),
        pytest.param("v=spf1 mx a\xc2\xa0-all", "mx", ("a?-all",), id="blanks-that-are-not-ascii"),
        pytest.param("v=spf1 a \xe2\x80\x93all", "a", ("–all",), id="a-typographic-dash"),  # noqa: RUF001
        pytest.param("v=spf1 a - all", "a", ("-", "all"), id="a-lone-sign"),
        pytest.param("v=spf1 foo +all", "", ("foo", "+all"), id="plus-all-of-a-broken-record"),
        pytest.param("v=spf1 a +all", "a +all", (), id="plus-all-of-one-that-is-not"),
        pytest.param(
            "v=spf1 redirect=x.cz redirect=y.cz",
            "include:x.cz ~all",
            ("redirect=y.cz",),
            id="a-second-redirect",
        ),
        pytest.param(
            "v=spf1 include:customer.cz -all",
            "~all",
            ("include:customer.cz",),
            id="include-of-itself",
        ),
        pytest.param("v=spf1 redirect=%{d}", "", ("redirect=%{d}",), id="itself"),
        pytest.param("v=spf1 all:x -all", "~all", ("all:x",), id="an-argument-of-all"),
        pytest.param(f"v=spf1 a:{'x' * 600}.cz a", "a", (f"a:{'x' * 600}.cz",), id="endless"),
    ],
)
def test_a_broken_record_is_repaired(record: str, kept: str, lost: tuple[str, ...]) -> None:
    assert read(record).text == f"v=spf1 {kept}".rstrip()
    assert dropped(record) == lost


@pytest.mark.parametrize(
    ("record", "doubt"),
    [
        pytest.param("ip4:192.0.2.0/2 4 -all", "ip4:192.0.2.0/2 4", id="a-blank-in-a-length"),
        pytest.param("ip4:192.0.2.0/2 \xe2\x80\x934", "ip4:192.0.2.0/2 –4", id="and-a-dash"),  # noqa: RUF001
        pytest.param("ip4:192.0.2.1 2 -all", "ip4:192.0.2.1 2", id="a-blank-in-an-address"),
        pytest.param("mx /24 -all", "mx /24", id="a-blank-in-front-of-a-length"),
        pytest.param("include:spf.x cz.example", "include:spf.x cz.example", id="in-a-domain"),
        pytest.param("- ip4:192.0.2.1 a", "- ip4:192.0.2.1", id="a-sign-for-what-follows"),
        pytest.param("-ip4:192.0.2.l ip4:192.0.2.0/24", "-ip4:192.0.2.l", id="an-exception"),
        pytest.param("re direct=x.cz", "re direct=x.cz", id="a-blank-in-a-modifier"),
    ],
)
def test_what_may_mean_two_things_is_not_repaired(record: str, doubt: str) -> None:
    text = f"v=spf1 {record}".encode("latin-1")

    assert repair_records((text,), CUSTOMER).doubtful[0] == doubt


@pytest.mark.parametrize(
    ("records", "merged"),
    [
        pytest.param(["a -all", "mx ~all"], "a mx ~all", id="the-softer-all-wins"),
        pytest.param(["a +all", "mx -all"], "a mx ~all", id="plus-all-is-left-out"),
        pytest.param(["a +all", "mx +all"], "a mx", id="even-twice"),
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
    texts = [f"v=spf1 {text}".encode() for text in records]

    assert repair_records(texts, CUSTOMER).record.text == f"v=spf1 {merged}"


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


OWN, PARTNER, BRANCH = "192.0.2.25", "198.51.100.8", "2001:db8::25"
WORLD = f"""
customer.cz. A {OWN}
customer.cz. MX 5 mail.customer.cz.
mail.customer.cz. A 192.0.2.77
spf.partner.cz. TXT "v=spf1 ip4:{PARTNER} -all"
spf.all.cz. TXT "v=spf1 ip4:203.0.113.77 -all"
"""
PROBES = [
    *("192.0.2.25", "192.0.2.77", "192.0.2.1", "192.0.2.2", "192.0.2.200", "192.0.2.20"),
    *("198.51.100.8", "198.51.100.9", "203.0.113.77", "203.0.113.5", "203.0.113.55"),
    *("9.9.9.9", "131.1.1.1", "160.1.1.1", "193.0.0.1", "223.1.1.1", "127.0.0.1"),
    *("2001:db8::25", "2001:db8:1::1", "2001:db8:ffff::1", "2a00::1", "fe80::1"),
]
WORDS = [
    *("a", "mx", "a/24", "mx/28", "ip4:192.0.2.25", "ip4:192.0.2.200/28", "ip4:192.0.2.0/24"),
    *("ip4:203.0.113.0/24", "-ip4:203.0.113.5", "~ip4:203.0.113.55", "ip6:2001:db8::/48"),
    *("ip6:2001:db8:0:0:0:0:0:25/128", "include:spf.partner.cz", "?include:spf.all.cz"),
    *("-a:mail.customer.cz", "exists:%{i}.list.cz", "exp=why.customer.cz"),
]
ENDS = ["-all", "~all", "?all", "", "redirect=spf.partner.cz"]
ODD = [*"-–—−‑~?+_.,;:=/\\|'\"“”‘’„«»` \t\xa0\u200b\ufeff()[]{}%0123456789abcdefxlO"]  # noqa: RUF001
EXAMPLES = int(os.environ.get("ALIGND_EXAMPLES", "200"))
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["insert", "replace"]),
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(ODD),
    ),
    min_size=1,
    max_size=2,
)


@settings(max_examples=EXAMPLES)
@given(st.lists(st.sampled_from(WORDS), max_size=5, unique=True), st.sampled_from(ENDS), CHANGES)
@example(["ip4:192.0.2.25"], "-all", [("replace", 0.85, "–")])  # noqa: RUF001
@example(["ip4:192.0.2.0/24"], "-all", [("insert", 0.8, " ")])
@example(["ip4:192.0.2.0/24"], "-all", [("replace", 0.81, ",")])
def test_a_repair_opens_the_domain_to_nobody(
    words: list[str], end: str, changes: list[tuple[str, float, str]]
) -> None:
    meant = " ".join(filter(None, ["v=spf1", *words, end]))
    published = meant
    for kind, where, odd in changes:
        place = len("v=spf1") + int(where * (len(published) - len("v=spf1") + 1))
        published = published[:place] + odd + published[place + (kind == "replace") :]
    repaired = repair_records((published.encode(),), CUSTOMER)
    if repaired.doubtful:
        return
    untouched = {word for word in words_of(published) if word in words}
    named = [word for word in untouched if word[0].isalnum() and "=" not in word]
    terms = repaired.record.text.split()
    shut = [term[1:] for term in terms if term[0] in "-~?" and term[1:] != "all"]

    before, after = result_of(published), result_of(repaired.record.text)
    intent, plain = result_of(meant), result_of(" ".join(["v=spf1", *sorted(named)]))
    # The owner may have shut out some of those whom another term passes, in whichever order.
    doors = result_of(" ".join(["v=spf1", *shut]))
    for address in PROBES:
        was, is_ = before[address], after[address]
        if is_ is SpfResult.PERMERROR:  # a domain that is not there: what is advised is checked
            continue
        passes = is_ is SpfResult.PASS
        if passes and SpfResult.PASS not in {was, intent[address]}:
            assert is_named(address, published), f"a stranger: {address}"
        if plain[address] is SpfResult.PASS and doors[address] is not SpfResult.PASS:
            assert passes, f"lost: {address}"
        if repaired.dropped and doors[address] is not SpfResult.PASS:
            assert is_ is not SpfResult.FAIL, f"refused: {address}"


def words_of(record: str) -> list[str]:
    return re.findall(r"[^ \t]+", record.removeprefix("v=spf1"))


def is_named(address: str, record: str) -> bool:
    """Whether a word of *record* passes *address*, as it stands, and not half of the world too."""
    words = [word for word in words_of(record) if not re.search(r"all$|/\d$|/12$", word)]
    return any(result_of(f"v=spf1 {word}")[address] is SpfResult.PASS for word in words)


def result_of(record: str) -> dict[str, SpfResult]:
    octets = record.encode()
    data = "".join(f"\\{octet:03}" for octet in octets)
    strings = " ".join(f'"{data[cut : cut + 800]}"' for cut in range(0, len(data), 800))
    zone = Zone.parse(f"{WORLD}customer.cz. TXT {strings}")
    return {
        address: evaluate_spf(ip_address(address), "a@customer.cz", HELO, zone).result
        for address in PROBES
    }
