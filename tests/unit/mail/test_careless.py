"""Careless text: the one address that a person reads in it, or none."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.mail import careless


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        pytest.param("Lee, Ann <a@b.cz>", "Lee, Ann", "a@b.cz", id="unquoted-comma"),
        pytest.param("[foo] Ann <a@b.cz>", "[foo] Ann", "a@b.cz", id="brackets-in-the-name"),
        pytest.param("Ann <a@b.cz>,", "Ann", "a@b.cz", id="comma-at-the-end"),
        pytest.param("Ann <a@b.cz>; Ann <a@b.cz>", "Ann", "a@b.cz", id="the-same-twice"),
        pytest.param("Ann <a@b.cz.>", "Ann", "a@b.cz", id="a-dot-behind-the-domain"),
        pytest.param('"Felix\\" <a@b.cz>', "Felix", "a@b.cz", id="a-quote-swallowed"),
        pytest.param("Ann Lee a@b.cz", "Ann Lee", "a@b.cz", id="bare-behind-a-name"),
        pytest.param("Lee, Ann a@b.cz", "Lee, Ann", "a@b.cz", id="comma-and-bare"),
        pytest.param("a@b.cz,", "", "a@b.cz", id="bare-with-a-comma"),
        pytest.param("Ann [a@b.cz]", "Ann", "a@b.cz", id="square-brackets"),
        pytest.param("Ann <a@b.cz", "Ann", "a@b.cz", id="bracket-not-closed"),
        pytest.param("a@b.cz>", "", "a@b.cz", id="bracket-not-opened"),
        pytest.param('"Ann" <>a@b.cz', "Ann", "a@b.cz", id="behind-empty-brackets"),
        pytest.param("Ann <a@ b.cz>", "Ann", "a@b.cz", id="blank-behind-at"),
        pytest.param("a @b.cz,", "", "a@b.cz", id="blank-before-at"),
        pytest.param("Pete <p(his account)@s.cz(his host)>", "Pete", "p@s.cz", id="rfc-5322-a-5"),
        pytest.param("Team: a@b.cz;", "Team", "a@b.cz", id="a-group-of-one"),
        pytest.param("<@x.cz,@y.cz:a@b.cz>", "", "a@b.cz", id="a-route"),
        pytest.param("mailto:a@b.cz", "", "a@b.cz", id="a-link"),
        pytest.param("Support @ Acme a@b.cz", "", "a@b.cz", id="no-domain-at-acme"),
        pytest.param('"Ann a@b.cz"', "Ann", "a@b.cz", id="all-in-quotes"),
        pytest.param("Ann (a@b.cz)", "Ann", "a@b.cz", id="in-a-comment"),
        pytest.param('"Ann a@b.cz', "Ann", "a@b.cz", id="quote-not-closed"),
        pytest.param("=?utf-8?q?Ann_=3Ca=40b.cz=3E?=", "Ann", "a@b.cz", id="all-encoded"),
        pytest.param(f"{'x' * 80}@b.cz,", "", f"{'x' * 80}@b.cz", id="a-long-local-part"),
    ],
)
def test_one_address_is_found(text: str, name: str, address: str) -> None:
    mailbox = careless.find_mailbox(text)

    assert mailbox is not None
    assert (mailbox.display_name, mailbox.address) == (name, address)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("Ann", id="a-name"),
        pytest.param("Ann <a@b.cz> <c@d.cz>", id="two-in-brackets"),
        pytest.param("a@b.cz or c@d.cz", id="two-bare"),
        pytest.param("a@b@c.cz", id="two-at-signs"),
        pytest.param("a@b@c.cz, d@e.cz", id="one-of-two-cannot-be-read"),
        pytest.param("a\udce1b@c.cz", id="an-octet-that-is-no-utf-8"),
        pytest.param("Ann <a\udce1b@c.cz>", id="such-an-octet-in-brackets"),
        pytest.param("a\ufffdb@c.cz,", id="a-character-that-was-lost"),
        pytest.param("Ann <a@[192.0.2.1]>", id="a-domain-literal"),
        pytest.param("Support @ Acme", id="no-domain"),
        pytest.param("a\\b@c.cz", id="a-backslash"),
        pytest.param('an"n@c.cz', id="a-quote-inside"),
        pytest.param("Ann <=?utf-8?q?x=40y.cz=3E?=@b.cz>", id="an-encoded-word-in-it"),
        pytest.param(f"{'x' * 250}@b.cz,", id="an-address-that-is-too-long"),
    ],
)
def test_otherwise_none_is(text: str) -> None:
    assert careless.find_mailbox(text) is None


@given(st.text(alphabet=st.sampled_from(list('ab.@<>,;:()"\\ \t[]=?_Qq\udce1')), max_size=40))
def test_what_is_found_is_an_address(text: str) -> None:
    mailbox = careless.find_mailbox(text)

    if mailbox is not None:
        assert mailbox.address.count("@") == 1 or '"' in mailbox.address
        assert "\udce1" not in mailbox.address


@pytest.mark.parametrize("text", ["<a", " ", "(", '"', "@", "a@", "\\(", "=?", "a@b.cz ", "[ @"])
def test_time_is_linear(text: str) -> None:
    hostile = text * (64_000 // len(text))
    start = time.process_time()

    careless.find_mailbox(hostile)
    careless.phrase_of(hostile)

    assert time.process_time() - start < 1
