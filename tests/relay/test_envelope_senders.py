"""The envelope moves only to an address that a strict Postfix takes, and takes for what it is."""

import smtplib
import string
from collections.abc import Callable, Iterator

import pytest

from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from tests.lab import cast
from tests.lab.postfix import Postfix, obstacle, run_relay
from tests.lab.sink import Inbox, run_inbox
from tests.lab.submission import submit

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
]

STRICT = """\
strict_rfc821_envelopes = yes
smtpd_sender_restrictions = reject_non_fqdn_sender
smtpd_reject_unlisted_sender = yes
smtpd_hard_error_limit = 10000
smtpd_soft_error_limit = 10000
smtpd_junk_command_limit = 10000
"""
PRINTABLE = [chr(each) for each in range(0x20, 0x7F)]
ATEXT_SPECIALS = "!#$%&'*+-/=?^_`{|}~"
PLACES: list[Callable[[str], str]] = [
    lambda odd: odd,
    lambda odd: f"{odd}ann",
    lambda odd: f"a{odd}nn",
    lambda odd: f"ann{odd}",
    lambda odd: f"a.{odd}b",
    lambda odd: f"a{odd}.b",
    lambda odd: f"a{odd}{odd}b",
    lambda odd: f'"a{odd}b"',
]


@pytest.fixture(scope="module")
def inbox() -> Iterator[Inbox]:
    with run_inbox() as inbox:
        yield inbox


@pytest.fixture(scope="module")
def postfix(inbox: Inbox) -> Iterator[Postfix]:
    with run_relay({"in": ""}, inbox.port, settings=STRICT) as postfix:
        yield postfix


def suits(local_part: str) -> bool:
    return Mailbox(local_part, Domain.parse("authorised.example")).suits_envelope


def test_postfix_takes_all_that_the_envelope_moves_to(postfix: Postfix) -> None:
    with smtplib.SMTP("127.0.0.1", postfix.ports["in"], "helpdesk.example") as smtp:
        smtp.ehlo()
        for place in PLACES:
            for odd in PRINTABLE:
                local_part = place(odd)
                code, answer = smtp.docmd("MAIL", f"FROM:<{local_part}@authorised.example>")
                smtp.docmd("RSET")
                assert code == 250 or not suits(local_part), answer


@pytest.mark.parametrize("odd", ATEXT_SPECIALS)
def test_what_it_moves_to_arrives_unchanged(postfix: Postfix, inbox: Inbox, odd: str) -> None:
    local_part = f"a{odd}b.{odd}c{odd}"
    sender = f"{local_part}@authorised.example"
    assert suits(local_part)

    reply = submit(postfix.ports["in"], sender, [cast.JULIA], b"From: a@b.example\r\n\r\nHi\r\n")

    arrival = inbox.wait_for(lambda arrival: arrival.came_as(reply.queue_id))
    assert arrival.envelope_sender == sender


@pytest.mark.parametrize(
    ("local_part", "is_suited"),
    [
        pytest.param("ann", True, id="plain"),
        pytest.param(string.ascii_letters, True, id="letters"),
        pytest.param("a" * 64, True, id="as-long-as-may-be"),
        pytest.param("a" * 65, False, id="too-long"),
        pytest.param("-ann", False, id="a-dash-in-front"),
        pytest.param("-", False, id="a-dash"),
        pytest.param("a.-b", True, id="a-dash-behind-a-dot"),
        pytest.param('"ann"', False, id="quoted-for-nothing"),
        pytest.param('"a b"', False, id="quoted"),
        pytest.param(".ann", False, id="a-dot-in-front"),
        pytest.param("ann.", False, id="a-dot-behind"),
        pytest.param("a..b", False, id="two-dots"),
        pytest.param("", False, id="nothing"),
        pytest.param("änn", False, id="not-ascii"),
        pytest.param("ann\n", False, id="a-line-end"),
    ],
)
def test_where_the_envelope_may_move(local_part: str, is_suited: bool) -> None:
    assert suits(local_part) is is_suited
