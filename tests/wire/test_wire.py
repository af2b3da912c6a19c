"""The real process: every case over the milter protocol, and abuse of it."""

import re
import struct
from collections.abc import Callable, Iterator
from itertools import islice

import pytest

from tests.lab import cast
from tests.lab.alignd import Alignd, Fleet
from tests.lab.message import normalised
from tests.lab.milter_client import (
    ALL_ACTIONS,
    ALL_PROTOCOL,
    CHANGE_HEADERS,
    CHANGE_SENDER,
    NO_BODY,
    NO_REPLIES,
    MilterConnection,
    Result,
    steps,
)
from tests.lab.nameserver import Nameserver
from tests.lab.protocol import Command, Reply
from tests.lab.settings import world
from tests.support.case import Case, Speed
from tests.support.selection import every_case

pytestmark = pytest.mark.wire

ZONE = world("""\
mycompany.com.        TXT "v=spf1 -all"
_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"
""")
RECIPIENTS = (cast.JULIA,)


@pytest.fixture
def alignd(nameserver: Nameserver, fleet: Fleet) -> Alignd:
    nameserver.serve(ZONE)
    return fleet.alignd()


def message(author: str, more: bytes = b"") -> bytes:
    return b"From: Marky Mark <%s>\r\n%sSubject: Re: printer\r\n\r\nHello\r\n" % (
        author.encode(),
        more,
    )


FORGED = message(cast.MARKY, b"Reply-To: left@over.example\r\n")
STAGES = len(list(steps(cast.MARKY, RECIPIENTS, FORGED)))


def send(mta: MilterConnection, author: str, more: bytes = b"") -> Result:
    return mta.send(author, RECIPIENTS, message(author, more))


def assert_works(mta: MilterConnection) -> None:
    """Show that this connection takes a message to rewrite and one to leave alone."""
    rewritten, passed = send(mta, cast.MARKY), send(mta, cast.NOTIFICATIONS)

    assert rewritten.accepted
    assert rewritten.envelope_sender == cast.BOUNCES
    assert re.search(rb"^Reply-To: .*<marky.mark@mycompany.com>\r$", rewritten.message, re.M)
    assert passed.accepted
    assert passed.answer.modifications == ()


@every_case(Speed.WIRE)
def test_case(case: Case, nameserver: Nameserver, fleet: Fleet, queue_ids: Iterator[str]) -> None:
    nameserver.serve(world(case.zone))
    alignd = fleet.alignd(case.config)
    queue_id = next(queue_ids)

    with MilterConnection(alignd.socket, client=case.client) as mta:
        result = mta.send(
            case.envelope_sender,
            case.recipients,
            case.message,
            login=case.login,
            queue_id=queue_id,
        )

    said = set(alignd.log_line(queue_id).split())
    assert {f"action={case.expected_action}", f"reason={case.expected_reason}"} <= said
    if case.expected_action == "refuse" and "dry_run=yes" not in said:
        assert result.answer.reply is Reply.WITH_CODE
        assert result.answer.text.startswith("554 5.6.0 ")
        assert case.expected_reason in result.answer.text
        return
    decided_to_change = case.expected_action in {"rewrite", "envelope", "refuse"}
    assert ("dry_run=yes" in said) == (decided_to_change and not result.answer.modifications)
    assert result.accepted
    assert result.envelope_sender == case.expected_envelope_sender
    assert normalised(result.message) == normalised(case.expected_message)


def test_one_connection_takes_many_messages(alignd: Alignd) -> None:
    with MilterConnection(alignd.socket) as mta:
        for _ in range(3):
            assert_works(mta)


@pytest.mark.parametrize(
    "abuse",
    [
        pytest.param(lambda mta: mta.write(b"GET / HTTP/1.1\r\n\r\n"), id="another-protocol"),
        pytest.param(lambda mta: mta.write(b"\0\0"), id="half-a-length"),
        pytest.param(lambda mta: mta.write(b"\0\0\0\0"), id="an-empty-packet"),
        pytest.param(lambda mta: mta.packet(b"O", b"\0\0\0\6"), id="a-short-negotiation"),
        pytest.param(lambda mta: mta.packet(b"?", b"what"), id="an-unknown-command"),
        pytest.param(lambda mta: mta.packet(b"C", b"\0\0\0"), id="connect-without-negotiation"),
        pytest.param(lambda mta: mta.packet(b"E"), id="the-end-without-a-beginning"),
    ],
)
def test_a_bad_first_word_harms_nobody_else(
    alignd: Alignd, abuse: Callable[[MilterConnection], None]
) -> None:
    bad = MilterConnection(alignd.socket)
    bad.connect()
    abuse(bad)
    bad.close()

    with MilterConnection(alignd.socket) as mta:
        assert_works(mta)


def test_a_second_mail_begins_a_new_message(alignd: Alignd) -> None:
    with MilterConnection(alignd.socket) as mta:
        mta.tell(Command.MAIL, b"<first@mycompany.com>\0")

        assert_works(mta)


def test_an_mta_that_waits_for_every_answer_gets_them(alignd: Alignd) -> None:
    protocol = ALL_PROTOCOL & ~NO_REPLIES
    with MilterConnection(alignd.socket, protocol=protocol) as mta:
        for _ in range(2):
            assert_works(mta)


@pytest.mark.parametrize("said", range(1, STAGES))
def test_after_an_abort_the_next_message_is_on_its_own(alignd: Alignd, said: int) -> None:
    with MilterConnection(alignd.socket) as mta:
        for command, payload, macros in islice(steps(cast.MARKY, RECIPIENTS, FORGED), said):
            mta.tell(command, payload, macros)
        mta.packet(b"A")

        assert_works(mta)


@pytest.mark.parametrize("said", range(STAGES + 1))
def test_a_hang_up_harms_nobody_else(alignd: Alignd, said: int) -> None:
    with MilterConnection(alignd.socket) as broken:
        for command, payload, macros in islice(steps(cast.MARKY, RECIPIENTS, FORGED), said):
            broken.tell(command, payload, macros)

    with MilterConnection(alignd.socket) as mta:
        assert_works(mta)


def test_a_client_of_no_known_address_is_no_helpdesk(alignd: Alignd) -> None:
    mta = MilterConnection(alignd.socket)
    mta.connect()
    try:
        mta.negotiate()
        mta.tell(Command.CONNECT, b"localhost\0U")
        result = send(mta, cast.MARKY)
    finally:
        mta.close()

    assert result.accepted
    assert result.answer.modifications == ()


@pytest.mark.parametrize("right", [CHANGE_HEADERS, CHANGE_SENDER], ids=["header", "sender"])
def test_without_the_right_to_change_mail_nothing_is_half_changed(
    alignd: Alignd, right: int
) -> None:
    with MilterConnection(alignd.socket, actions=ALL_ACTIONS & ~right) as mta:
        to_rewrite, to_leave = send(mta, cast.MARKY), send(mta, cast.NOTIFICATIONS)

    assert to_rewrite.answer.reply in (Reply.TEMPFAIL, Reply.WITH_CODE)
    assert to_rewrite.answer.text[:1] in ("", "4")
    assert to_rewrite.answer.modifications == ()
    assert to_leave.accepted


def test_the_body_crosses_only_where_a_signature_may_count(
    nameserver: Nameserver, fleet: Fleet
) -> None:
    nameserver.serve(ZONE)
    for config, is_wanted in {"": False, '[dkim]\ntrusted_authserv_ids = ["x"]\n': True}.items():
        with MilterConnection(fleet.alignd(config).socket) as mta:
            assert bool(mta.steps & NO_BODY) is not is_wanted


MACROS = (
    b"\0\0\0\0i\0\0\0\0\1i\0\0\0\0\2{auth_authen}\0\0\0\0\3i\0\0\0\0\4i\0\0\0\0\5i\0\0\0\0\6i\0"
)


@pytest.mark.parametrize(
    ("config", "offered", "chosen"),
    [
        pytest.param("", 0x1FFFFF, 0x18D3D2, id="plain"),
        pytest.param("", 0x7F, 0x52, id="an-mta-that-wants-answers"),
        pytest.param("[dkim]\nverify = true\n", 0x1FFFFF, 0x18D3C2, id="signatures"),
        pytest.param("[dkim]\nverify = true\n", 0x7F, 0x42, id="signatures-and-answers"),
    ],
)
def test_what_leaves_is_negotiated_to_the_octet(
    fleet: Fleet, config: str, offered: int, chosen: int
) -> None:
    mta = MilterConnection(fleet.alignd(config).socket)
    mta.connect()
    try:
        mta.packet(b"O", struct.pack("!III", 6, ALL_ACTIONS, offered))

        assert mta.receive() == (b"O", struct.pack("!III", 6, 0x151, chosen) + MACROS)
    finally:
        mta.close()


def test_a_long_line_is_forgotten_with_its_message(nameserver: Nameserver, fleet: Fleet) -> None:
    nameserver.serve(ZONE)
    alignd = fleet.alignd('[dkim]\ntrusted_authserv_ids = ["relay"]\n')
    passed = b"Authentication-Results: relay;\r\n dkim=pass header.d=mycompany.com header.s=s\r\n"
    short = message(cast.MARKY, passed)
    chunks = b"x" * 60 + b"\r\n"
    with MilterConnection(alignd.socket) as mta:
        for long in (short + chunks * 5_000 + b"x" * 999, short.replace(b"Re:", b"x" * 999)):
            assert mta.send(cast.MARKY, RECIPIENTS, long).envelope_sender == cast.BOUNCES
            left = mta.send(cast.MARKY, RECIPIENTS, short + chunks * 5_000)
            assert left.answer.modifications == ()


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(b"X-Long: " + b"x" * 70_000 + b"\r\n", id="a-field-over-65535-bytes"),
        pytest.param(b"Subject: \r\n x" * 2_000 + b"\r\n", id="a-field-of-many-folds"),
        pytest.param(b"X-Filler: y\r\n" * 10_000, id="ten-thousand-fields"),
        pytest.param(b"Reply-To: a@b.example\r\n" * 10_000, id="ten-thousand-reply-tos"),
    ],
)
def test_a_vast_header_is_rewritten_like_any_other(alignd: Alignd, more: bytes) -> None:
    with MilterConnection(alignd.socket) as mta:
        result = send(mta, cast.MARKY, more)

    assert result.accepted
    assert result.envelope_sender == cast.BOUNCES
    assert more in result.message
