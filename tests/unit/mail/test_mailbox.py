"""Mailboxes: strict reading, proven writing."""

from email import message_from_string, policy
from email.header import decode_header, make_header
from email.headerregistry import Address, AddressHeader
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.mail.domain import Domain
from alignd.mail.mailbox import (
    Mailbox,
    MailboxError,
    envelope_address,
    format_mailbox,
    parse_mailboxes,
)


def addresses(value: str) -> tuple[Address, ...]:
    """What the standard library reads in a From field."""
    field = message_from_string(f"From: {value}\n\n", policy=policy.default)["From"]
    return tuple(cast("AddressHeader", field).addresses)


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        pytest.param("a@b.cz", "", "a@b.cz", id="bare-address"),
        pytest.param("<a@b.cz>", "", "a@b.cz", id="angle-address"),
        pytest.param("Ann <a@b.cz>", "Ann", "a@b.cz", id="one-word"),
        pytest.param("Ann  Lee<a@b.cz>", "Ann Lee", "a@b.cz", id="words-without-a-last-space"),
        pytest.param('"Lee, Ann" <a@b.cz>', "Lee, Ann", "a@b.cz", id="quoted-comma"),
        pytest.param(r'"a \"b\" \\ c" <a@b.cz>', r'a "b" \ c', "a@b.cz", id="quoted-pairs"),
        pytest.param("Dr. Ann B. Lee <a@b.cz>", "Dr. Ann B. Lee", "a@b.cz", id="dots-in-a-name"),
        pytest.param("Róbert <a@b.cz>", "Róbert", "a@b.cz", id="raw-utf-8"),
        pytest.param("a@b.cz (Ann (the) Lee)", "Ann (the) Lee", "a@b.cz", id="name-in-comment"),
        pytest.param("Ann (x\\)y) <a@b.cz>", "Ann", "a@b.cz", id="comment-with-quoted-pair"),
        pytest.param('"a b"@c.cz', "", '"a b"@c.cz', id="quoted-local-part"),
        pytest.param("ř@Příklad.cz", "", "ř@xn--pklad-zsa96e.cz", id="internationalised"),
        pytest.param("=?utf-8?Q?a=2Cb?= <a@b.cz>", "=?utf-8?Q?a=2Cb?=", "a@b.cz", id="encoded"),
    ],
)
def test_one_mailbox(text: str, name: str, address: str) -> None:
    (mailbox,) = parse_mailboxes(text)

    assert (mailbox.display_name, mailbox.address) == (name, address)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("Ann", id="a-name-alone"),
        pytest.param("Ann <>", id="empty-angle-address"),
        pytest.param("Lee, Ann <a@b.cz>", id="unquoted-comma"),
        pytest.param("evil@x.cz <a@b.cz>", id="address-in-front-of-address"),
        pytest.param("A <a@b.cz> <c@d.cz>", id="two-angle-addresses"),
        pytest.param("A <a@b.cz> B", id="words-behind-the-address"),
        pytest.param("Team: a@b.cz, c@d.cz;", id="group"),
        pytest.param("undisclosed:;", id="empty-group"),
        pytest.param("<@x.cz:a@b.cz>", id="route"),
        pytest.param("a@[192.0.2.1]", id="address-literal"),
        pytest.param("a@b.cz.", id="trailing-dot"),
        pytest.param("a@b..cz", id="empty-label"),
        pytest.param(".a@b.cz", id="leading-dot"),
        pytest.param("a@b@c.cz", id="two-at-signs"),
        pytest.param("a @b.cz", id="space-before-at"),
        pytest.param("a@ b.cz", id="space-behind-at"),
        pytest.param("a@b .cz", id="space-in-domain"),
        pytest.param("a(x)@b.cz", id="comment-in-address"),
        pytest.param("a@b.cz,", id="comma-at-the-end"),
        pytest.param("a@b.cz; c@d.cz", id="semicolon-as-separator"),
        pytest.param('"Ann <a@b.cz>', id="unclosed-quote"),
        pytest.param("(Ann <a@b.cz>", id="unclosed-comment"),
        pytest.param("Ann) <a@b.cz>", id="closing-without-opening"),
        pytest.param("Ann\r\nBcc: x <a@b.cz>", id="line-end"),
        pytest.param("Ann\x00 <a@b.cz>", id="nul"),
        pytest.param("a\\b@c.cz", id="backslash-outside-quotes"),
        pytest.param("a@-b.cz", id="no-host-name"),
    ],
)
def test_what_is_not_predictable(text: str) -> None:
    with pytest.raises(MailboxError):
        parse_mailboxes(text)


@pytest.mark.parametrize(
    "text",
    ['"' * 2048, "(" * 2048, "((\\" * 700, '"\\' * 1024, "<" * 2048, "a." * 1024, "=?" * 1024],
    ids=repr,
)
def test_hostile_text_is_refused(text: str) -> None:
    with pytest.raises(MailboxError):
        parse_mailboxes(text)


@given(st.text(alphabet=st.sampled_from(list('ab.@<>,;:()"\\ \t[]=?')), max_size=30))
def test_what_is_read_is_what_the_standard_library_reads_without_a_defect(text: str) -> None:
    try:
        mailboxes = parse_mailboxes(text)
    except MailboxError:
        return
    read = [mailbox.address for mailbox in mailboxes]
    assert read == [address.addr_spec for address in addresses(text)]


NAMES = st.text(
    alphabet=st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=64
).filter(lambda name: name == " ".join(name.split()))


@given(NAMES)
def test_what_is_written_reads_back(name: str) -> None:
    value = format_mailbox(name, "helpdesk@notifications.example", "From")

    assert value.isascii()
    assert all(len(line) <= 998 for line in value.split("\n"))
    (address,) = addresses(value)
    assert address.addr_spec == "helpdesk@notifications.example"
    if name.isascii():
        assert address.display_name == name
    else:
        # The address parser of Python 3.11 puts a blank between encoded words that it folds.
        assert str(make_header(decode_header(value))) == f"{name} <{address.addr_spec}>"


def test_an_envelope_address_is_bare() -> None:
    assert Mailbox.from_address("a@B.cz") == Mailbox("a", Domain("b.cz"))
    for text in ("", "<a@b.cz>", "Ann <a@b.cz>", "a@b.cz (Ann)", "a@b.cz, c@d.cz", "a", "a@"):
        with pytest.raises(MailboxError):
            Mailbox.from_address(text)


@pytest.mark.parametrize(
    ("path", "address"),
    [
        pytest.param("<a@b.cz>", "a@b.cz", id="a-path"),
        pytest.param("a@b.cz", "a@b.cz", id="without-brackets"),
        pytest.param(" <a@b.cz> ", "a@b.cz", id="blanks-around"),
        pytest.param("<>", "", id="the-null-path"),
        pytest.param("< >", "", id="a-blank-in-the-null-path"),
        pytest.param("", "", id="nothing"),
        pytest.param("(old) <a@b.cz> (bounces)", "a@b.cz", id="comments-around"),
        pytest.param('<"a>b"@c.cz>', '"a>b"@c.cz', id="a-bracket-in-a-quoted-local-part"),
        pytest.param('"<a>"@c.cz', '"<a>"@c.cz', id="brackets-in-quotes-alone"),
        pytest.param("<a@b.cz", "<a@b.cz", id="a-bracket-that-is-never-closed"),
        pytest.param("a@b.cz>", "a@b.cz>", id="a-bracket-that-was-never-opened"),
    ],
)
def test_an_envelope_address_is_what_the_angle_brackets_hold(path: str, address: str) -> None:
    assert envelope_address(path) == address
