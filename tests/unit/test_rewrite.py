"""Names and edits: whatever mail says, what leaves is safe and whole."""

from email import message_from_bytes, policy
from email.headerregistry import AddressHeader
from ipaddress import ip_address
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alignd import configfile, displayname
from alignd.decision import Action
from alignd.message import DeleteField, HeaderField, Message, apply_edits
from alignd.review import Review, Reviewer
from alignd.suffixes import SuffixList
from alignd.zone import Zone
from tests.support.settings import configuration, world

ADDRESS = "helpdesk@notifications.easysoftware.com"
REVIEWER = Reviewer(configfile.parse(configuration(), "test"), SuffixList())
NOBODY = Zone.parse(world(""))


def review(fields: list[tuple[str, bytes]], envelope_sender: str = "a@mycompany.com") -> Review:
    header = tuple(HeaderField(name, value) for name, value in fields)
    client = ip_address("127.0.0.1")
    message = Message(envelope_sender, ("julia@customer.example",), header, client)
    return REVIEWER.review(message, NOBODY)


def assert_whole(reviewed: Review) -> None:
    """What leaves has one From, ours, and lines that every server takes."""
    assert reviewed.decision.action is Action.REWRITE
    after = apply_edits(reviewed.message.header, reviewed.edits.header)
    names = [field.name.lower() for field in after]
    assert names.count("from") == names.count("alignd") == 1
    assert not {"sender", "dkim-signature"} & set(names)
    for edit in reviewed.edits.header:
        lines = [] if isinstance(edit, DeleteField) else edit.value.split("\n")
        for number, line in enumerate(lines):
            assert not {"\r", "\0"} & set(line)
            assert len(line.encode()) < 998
            assert not number or line.startswith(" ")
    (new_from,) = (field.value for field in after if field.name.lower() == "from")
    assert new_from.isascii()
    message = message_from_bytes(b"From: %s\n\n" % new_from, policy=policy.default)
    (address,) = cast("AddressHeader", message["From"]).addresses
    assert address.addr_spec == ADDRESS


# No line ends but folds: that much the milter protocol promises.
VALUES = st.binary(max_size=200).map(lambda value: value.replace(b"\n", b"\n "))
TOKENS = [*'ab.@<>,;:()"\\ =?Qq_0D\r\t', "utf-8", "=0D=0A", "=?utf-8?q?", "ř", "\u202e"]
MAILISH = st.lists(st.sampled_from(TOKENS), max_size=60).map(lambda parts: "".join(parts).encode())


@given(st.one_of(VALUES, MAILISH))
@example(b"=?idna?q?xn--a?= <a@b.cz>")
@example(b"=?undefined?q?x?= <a@b.cz>")
@example(b"=?unicode_escape?q?=5CuD800?= <a@b.cz>")
@example(b"=?hex?q?zz?= <a@b.cz>")
@example(b"=?utf-8?b?x?= <a@b.cz>")
@example(b"=?utf-7?q?+2AA-?= <a@b.cz>")
@example(b"\xff" * 3000)
@example(b'"' * 2048)
@example(b"(" * 64000)
def test_any_from_leaves_whole(value: bytes) -> None:
    assert_whole(review([("From", value)]))


@given(
    st.lists(st.tuples(st.sampled_from(["From", "FROM", "Sender", "Reply-To", "Alignd"]), VALUES))
)
def test_any_header_leaves_whole(fields: list[tuple[str, bytes]]) -> None:
    assert_whole(review([*fields, ("X-Original-From", b"forged")]))


@given(st.text(max_size=40))
def test_any_envelope_sender_leaves_whole(envelope_sender: str) -> None:
    reviewed = review([], envelope_sender)

    assert_whole(reviewed)
    if not envelope_sender:
        assert reviewed.envelope_sender == ""


@given(st.text(max_size=200))
def test_a_cleaned_name_is_fit_to_be_seen(name: str) -> None:
    cleaned = displayname.clean(displayname.decode(name))

    assert len(cleaned) <= displayname.MAX_LENGTH
    assert "@" not in cleaned
    assert cleaned == cleaned.strip(" ")
    assert all(
        character.isprintable() or character == "\u3000" or character.isspace()
        for character in cleaned
    )


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        pytest.param("Marky  Mark ", "Marky Mark", id="blanks-are-folded"),
        pytest.param("山田\u3000太郎", "山田\u3000太郎", id="the-wide-space-stays"),
        pytest.param("e\u0301va", "éva", id="composed"),
        pytest.param("Marky\x00\x1b[31mMark", "Marky [31mMark", id="control-characters-go"),
        pytest.param("a\u200bb\u202ec\u2066d\ufeff", "abcd", id="invisible-characters-go"),
        pytest.param("marky@mycompany.com", "marky", id="an-address-is-its-local-part"),
        pytest.param("Marky <m@x.cz> Mark", "Marky m Mark", id="an-address-inside"),
        pytest.param("marky\uff20x.cz", "marky", id="a-wide-at-sign-too"),
        pytest.param("Support mycompany.com", "Support mycompany com", id="a-domain"),
        pytest.param("BOOKING.COM", "BOOKING COM", id="a-domain-in-capitals"),
        pytest.param("J.R.R. Tolkien", "J.R.R. Tolkien", id="initials-stay"),
        pytest.param("Dr.Novak v1.20", "Dr.Novak v1.20", id="titles-and-versions-stay"),
        pytest.param("x" * 100, "x" * 64, id="cut"),
        pytest.param("x" * 63 + "q\u0323\u0323", "x" * 63, id="cut-before-a-combined-letter"),
    ],
)
def test_cleaned_names(name: str, cleaned: str) -> None:
    assert displayname.clean(name) == cleaned


@pytest.mark.parametrize(
    ("template", "name", "composed"),
    [
        pytest.param("{name} via X", "Ann", "Ann via X", id="plain"),
        pytest.param("{name} via X", "Ann via X", "Ann via X", id="said-already"),
        pytest.param("{name} via X", "Ann via x via X", "Ann via X", id="said-twice"),
        pytest.param("X: {name}", "x: Ann", "X: Ann", id="in-front"),
        pytest.param("{name}", "Ann", "Ann", id="nothing-around-it"),
        pytest.param("{name} via X", "via X", "local via X", id="nothing-but-the-phrase"),
    ],
)
def test_composed_names(template: str, name: str, composed: str) -> None:
    stripped = displayname.without_template(template, name)

    assert displayname.compose(template, stripped, "local") == composed
