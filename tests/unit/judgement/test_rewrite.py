"""Names and edits: whatever mail says, what leaves is safe and whole."""

import base64
import time
from email import message_from_bytes, policy
from email.headerregistry import AddressHeader
from ipaddress import ip_address
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alignd.config.file import parse_configuration
from alignd.config.signer import load_signer
from alignd.judgement.reasons import Action, Reason
from alignd.judgement.review import Judgement, add_trace_field, make_reviewer
from alignd.judgement.rewrite import ORIGINAL_FIELD, UnsafeEditError
from alignd.mail import display_name
from alignd.mail.message import DeleteField, Edits, HeaderField, Message
from alignd.resolver.zone import Zone
from tests.lab.settings import configuration, world
from tests.support.edits import apply_edits

ADDRESS = "helpdesk@notifications.easysoftware.com"
CONFIG = parse_configuration(configuration(), "test")
SIGNER = load_signer(CONFIG.dkim)
REVIEWER = make_reviewer(CONFIG, SIGNER, time.time)
NOBODY = Zone.parse(world(""))


def message_of(
    fields: list[tuple[str, bytes]], envelope_sender: str = "a@mycompany.com"
) -> Message:
    header = tuple(HeaderField(name, value) for name, value in fields)
    client = ip_address("127.0.0.1")
    return Message(envelope_sender, ("julia@customer.example",), header, client)


def edits_of(message: Message, judgement: Judgement | None = None) -> Edits:
    """The edits, with which it leaves whole: one From, ours, and lines that every server takes."""
    judgement = judgement or REVIEWER.judge(message, NOBODY)
    edits = add_trace_field(judgement)
    assert judgement.reason.action is Action.REWRITE
    after = apply_edits(message.header, edits.header)
    names = [field.name.lower() for field in after]
    assert names.count("from") == names.count("alignd") == 1
    assert not {"sender", "dkim-signature"} & set(names)
    for edit in edits.header:
        lines = [] if isinstance(edit, DeleteField) else edit.value.split("\n")
        for number, line in enumerate(lines):
            assert not {"\r", "\0"} & set(line)
            assert len(line.encode()) < 998
            assert not number or line.startswith(" ")
    for edit in edits.header:
        assert edit.name != ORIGINAL_FIELD or isinstance(edit, DeleteField) or edit.value.isascii()
    (new_from,) = (field.value for field in after if field.name.lower() == "from")
    assert new_from.isascii()
    parsed = message_from_bytes(b"From: %s\n\n" % new_from, policy=policy.default)
    (address,) = cast("AddressHeader", parsed["From"]).addresses
    assert address.addr_spec == ADDRESS
    assert "@" not in address.display_name
    return edits


# No line ends but folds: that much the milter protocol promises.
VALUES = st.binary(max_size=200).map(lambda value: value.replace(b"\n", b"\n "))
CHARSETS = ["windows-874", "gb2312", "shift_jis", "iso-2022-jp", "euc-jp", "utf-7", "utf-16", "x"]
TOKENS = [
    *'ab.@<>,;:()"\\ =?Qq_0D\r\t',
    "utf-8",
    "=0D=0A",
    "=?utf-8?q?",
    "ř",
    "\u202e",
    "\udce9",
    "=?\udce9?q?",
    "=?utf-7?q?+2AA-",
    "?=",
]
MAILISH = st.lists(st.sampled_from(TOKENS), max_size=60).map(
    lambda parts: "".join(parts).encode(errors="surrogateescape")
)


@given(st.one_of(VALUES, MAILISH))
@example(b"=?idna?q?xn--a?= <a@b.cz>")
@example(b"=?undefined?q?x?= <a@b.cz>")
@example(b"=?unicode_escape?q?=5CuD800?= <a@b.cz>")
@example(b"=?hex?q?zz?= <a@b.cz>")
@example(b"=?utf-8?b?x?= <a@b.cz>")
@example(b"=?utf-7?q?+2AA-?= <a@b.cz>")
@example(b"=?\xe9?q?x?= a@b.cz")
@example(b"=?utf-8?q?=3D=3Futf-8=3Fq=3F+2AA-=3F=3D?= =?utf-7?q?+2AA-?= a@b.cz")
@example(b"\xff" * 3000)
@example(b'"' * 2048)
@example(b"(" * 64000)
def test_any_from_leaves_whole(value: bytes) -> None:
    edits_of(message_of([("From", value)]))


@given(VALUES, st.sampled_from(CHARSETS))
def test_any_octets_in_any_charset_leave_whole(value: bytes, charset: str) -> None:
    word = b"=?%s?b?%s?= <a@mycompany.com>" % (charset.encode(), base64.b64encode(value))
    declared = ("Content-Type", b"text/plain; charset=%s" % charset.encode())

    edits_of(message_of([("From", word)]))
    edits_of(message_of([("From", value + b" <a@mycompany.com>"), declared]))


@given(
    st.lists(st.tuples(st.sampled_from(["From", "FROM", "Sender", "Reply-To", "Alignd"]), VALUES))
)
def test_any_header_leaves_whole(fields: list[tuple[str, bytes]]) -> None:
    edits_of(message_of([*fields, ("X-Original-From", b"forged")]))


@given(st.text(max_size=40))
def test_any_envelope_sender_leaves_whole(envelope_sender: str) -> None:
    edits = edits_of(message_of([], envelope_sender))

    if not envelope_sender:
        assert edits.envelope_sender is None


@given(st.text(max_size=200))
def test_a_name_is_fit_to_be_seen(name: str) -> None:
    cleaned = display_name.author_name(name, "{name} via X")

    assert len(cleaned) <= display_name.MAX_LENGTH
    assert "@" not in cleaned
    assert cleaned == cleaned.strip(" ")
    assert all(
        character.isprintable() or character.isspace() or character in "\u200c\u200d"
        for character in cleaned
    )
    for joiner in "\u200c\u200d":
        assert not cleaned.startswith(joiner)
        assert not cleaned.endswith(joiner)
        assert f" {joiner}" not in cleaned


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        pytest.param("Marky  Mark ", "Marky Mark", id="blanks-are-folded"),
        pytest.param("山田\u3000太郎", "山田\u3000太郎", id="the-wide-space-stays"),
        pytest.param("e\u0301va", "éva", id="composed"),
        pytest.param("Marky\x00\x1b[31mMark", "Marky [31mMark", id="control-characters-go"),
        pytest.param("a\u200bb\u202ec\u2066d\ufeff", "abcd", id="invisible-characters-go"),
        pytest.param("marky@mycompany.com", "marky", id="an-address-is-its-local-part"),
        pytest.param("Marky <m@x.cz> Mark", "Marky Mark", id="an-address-inside"),
        pytest.param("Muster, Max max@x.cz", "Muster, Max", id="an-address-behind"),
        pytest.param("marky\uff20x.cz", "marky", id="a-wide-at-sign-too"),
        pytest.param("Support mycompany.com", "Support mycompany com", id="a-domain"),
        pytest.param("BOOKING.COM", "BOOKING COM", id="a-domain-in-capitals"),
        pytest.param("J.R.R. Tolkien", "J.R.R. Tolkien", id="initials-stay"),
        pytest.param("Dr.Novak v1.20", "Dr Novak v1.20", id="versions-stay"),
        pytest.param(
            "paypal.Com paypal\uff0ecom", "paypal Com paypal com", id="disguised-domains"
        ),
        pytest.param(
            "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627",
            "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627",
            id="a-persian-half-space-stays",
        ),
        pytest.param("ශ්\u200dරී", "ශ්\u200dරී", id="a-sinhala-joiner-stays"),
        pytest.param("क्\u200dष", "क्\u200dष", id="a-devanagari-joiner-stays"),
        pytest.param("a\u200cb\u200dc", "abc", id="joiners-of-nothing-go"),
        pytest.param(
            "\u0639\u0644\u06cc\u200c\u200c\u0631\u0636\u0627\u200c",
            "\u0639\u0644\u06cc\u0631\u0636\u0627",
            id="joiners-in-a-row-go",
        ),
    ],
)
def test_cleaned_names(name: str, cleaned: str) -> None:
    assert display_name.clean(name) == cleaned


def test_a_colon_of_the_author_goes_and_that_of_the_template_stays() -> None:
    name = display_name.author_name("Team: Billing", "X: {name}")

    assert display_name.compose("X: {name}", name) == "X: Team Billing"


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        pytest.param("x" * 100, "x" * 64, id="anywhere"),
        pytest.param("x" * 63 + "q\u0323\u0323", "x" * 63, id="before-a-combined-letter"),
    ],
)
def test_long_names_are_cut(name: str, cut: str) -> None:
    assert display_name.author_name(name, "{name}") == cut


@pytest.mark.parametrize(
    ("template", "name", "composed"),
    [
        pytest.param("{name} via X", "Ann", "Ann via X", id="plain"),
        pytest.param("{name} via X", "Ann via X", "Ann via X", id="said-already"),
        pytest.param("{name} via X", "Ann via x via X", "Ann via X", id="said-twice"),
        pytest.param("{name} via X", "Olivia X", "Olivia X via X", id="the-end-of-a-word-stays"),
        pytest.param("{name} via X", "n" * 62 + " via X", "n" * 62 + " via X", id="cut-behind-it"),
        pytest.param("X: {name}", "x: Ann", "X: Ann", id="in-front"),
        pytest.param("{name}", "Ann", "Ann", id="nothing-around-it"),
        pytest.param("{name} via X", "via X", "via X", id="nothing-but-the-phrase"),
    ],
)
def test_composed_names(template: str, name: str, composed: str) -> None:
    assert display_name.compose(template, display_name.author_name(name, template)) == composed


@pytest.mark.parametrize(
    ("local_part", "name"),
    [
        pytest.param("marky.mark", "marky.mark", id="as-it-is"),
        pytest.param('"marky mark"', "marky mark", id="without-quotes"),
        pytest.param(r'"a\"b"', 'a"b', id="without-backslashes"),
        pytest.param('"ceo@bank.com"', "ceo", id="no-address"),
        pytest.param("=?utf-8?q?ceo=40bank.com?=", "ceo", id="no-hidden-address"),
    ],
)
def test_names_from_local_parts(local_part: str, name: str) -> None:
    assert display_name.local_name(local_part) == name


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("=?utf-8?q?=3D=3Futf-8=3Fq=3Fceo=3D40bank=2Ecom=3F=3D?=", id="encoded-twice"),
        pytest.param('"=\u200b?utf-8?q?ceo=40bank.com?="', id="joined-by-cleaning"),
        pytest.param('"x =?utf-8?q?=40"', id="unclosed"),
        pytest.param('"=?utf-8?b?Y?="', id="undecodable"),
        pytest.param('"===??utf-8?q?=40?="', id="doubled"),
    ],
)
def test_no_encoded_word_is_left_to_come_to_light(name: str) -> None:
    edits = edits_of(message_of([("From", f"{name} <marky@mycompany.com>".encode())]))

    for edit in edits.header:
        if edit.name in {"From", "Reply-To"} and not isinstance(edit, DeleteField):
            message = message_from_bytes(f"From: {edit.value}\n\n".encode(), policy=policy.default)
            (address,) = cast("AddressHeader", message["From"]).addresses
            assert "=?" not in address.display_name
            assert "@" not in address.display_name


@pytest.mark.parametrize(
    ("fields", "envelope_sender"),
    [
        pytest.param([("From", b"a" * 1500 + b"@mycompany.com")], "a@b.cz", id="in-from"),
        pytest.param([], "a" * 1200 + "@mycompany.com", id="in-the-envelope"),
    ],
)
def test_an_endless_local_part_is_no_address(
    fields: list[tuple[str, bytes]], envelope_sender: str
) -> None:
    edits_of(message_of(fields, envelope_sender))


@pytest.mark.parametrize("queue_id", ["4bQx\r\nBcc: x@y.example", "\0", "é", "x" * 2000, "a b"])
def test_a_queue_id_that_would_break_the_message_is_left_out(queue_id: str) -> None:
    judgement = REVIEWER.judge(message_of([("From", b"Marky <marky@mycompany.com>")]), NOBODY)

    assert add_trace_field(judgement, queue_id) == add_trace_field(judgement)


def unwritable(*_: object) -> str:
    raise UnsafeEditError("planted")


@pytest.mark.parametrize(
    "where", ["rewrite.format_mailbox", "rewrite._answered", "review.read_author"]
)
def test_what_cannot_be_written_down_leaves_without_its_author(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    module, name = where.split(".")
    header = [("From", b"Marky <marky@mycompany.com>"), ("FROM", b"x"), ("Sender", b"x")]
    message = message_of(header)
    monkeypatch.setattr(f"alignd.judgement.{module}.{name}", unwritable)

    judgement = REVIEWER.rewrite_unjudged(message)

    assert judgement.reason is Reason.INTERNAL_ERROR
    assert not any(edit.name == "Reply-To" for edit in edits_of(message, judgement).header)


def test_a_message_that_cannot_be_judged_is_rewritten_all_the_same() -> None:
    message = message_of([("From", b"Marky <marky@mycompany.com>")])

    judgement = REVIEWER.rewrite_unjudged(message)

    assert judgement.reason is Reason.INTERNAL_ERROR
    assert any(edit.name == "Reply-To" for edit in edits_of(message, judgement).header)
