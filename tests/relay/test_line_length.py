"""What is said of the lines of a message, held against what Postfix does to them."""

import random
from functools import partial

import pytest

from alignd.config.file import parse_configuration
from alignd.mail.message import Message, split_message
from alignd.mta.transaction import as_judged
from tests.lab.message import broken, normalised
from tests.lab.postfix import obstacle, run_relay
from tests.lab.settings import configuration
from tests.lab.sink import Arrival, run_inbox
from tests.lab.submission import submit

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
]

SENDER, RECIPIENT = "marky.mark@mycompany.com", "julia@customer.example"
FIXED = (
    f"From: <{SENDER}>\r\nTo: <{RECIPIENT}>\r\nDate: Fri, 27 Nov 2026 10:00:00 +0100\r\n"
    "Message-ID: <1@mycompany.com>\r\n"
).encode()
LENGTHS = (1, 76, 500, 990, 996, 997, 998, 998, 998, 999, 1000, 1001, 1996, 1997, 2047, 2048, 5000)
LETTERS = (b"x", b"y z", "č".encode(), b". ", b"\t")
SIGNS = parse_configuration(
    configuration('[dkim]\nsigns = [{ domain = "mycompany.com", selector = "s" }]\n'), "test"
)


def text(chance: random.Random, length: int) -> bytes:
    """Text of *length* octets."""
    letter = chance.choice(LETTERS)
    return (letter * (length // len(letter) + 1))[: max(length - 1, 0)] + b"x" * min(length, 1)


def length(chance: random.Random, *, long: bool) -> int:
    return chance.choice([each for each in LENGTHS if long or each <= 998])


def odd_message(chance: random.Random) -> bytes:
    """A message with lines about as long as Postfix leaves them, in one of its parts."""
    part = chance.choice(("short", "subject", "fold", "body", "end", "part"))
    subject = b"Subject: " + text(chance, length(chance, long=part == "subject") - 9)
    folds = b"".join(
        b"\r\n " + text(chance, length(chance, long=part == "fold") - 1) for _ in range(3)
    )
    lines = [
        text(chance, length(chance, long=part == "body")) for _ in range(chance.randrange(99))
    ]
    mime = b"--q\r\nContent-Description: "
    mime += text(chance, length(chance, long=part == "part") - 21) + b"\r\n\r\nx\r\n--q--\r\n"
    declared = b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="q"\r\n'
    end = text(chance, length(chance, long=part == "end"))
    return b"\r\n".join([FIXED + declared + subject + folds, b"", *lines, mime + end, b""])


def came_as(queue_id: str, arrival: Arrival) -> bool:
    return arrival.came_as(queue_id)


def test_postfix_breaks_what_is_said_to_be_long() -> None:
    chance = random.Random(998)
    seen = set()
    with run_inbox() as inbox, run_relay({"in": ""}, inbox.port) as postfix:
        for _ in range(150):
            message = odd_message(chance)
            header, body = split_message(message)
            judged = as_judged(Message(SENDER, (RECIPIENT,), header, body=body), SIGNS)

            reply = submit(postfix.ports["in"], SENDER, [RECIPIENT], message)
            left = inbox.wait_for(partial(came_as, reply.queue_id)).message

            before, after = normalised(message), normalised(left)
            assert judged.has_long_line is (before != after)
            assert after == broken(before)
            seen.add(judged.has_long_line)
    assert seen == {True, False}
