"""What a stored message is taken for: its envelope, and what is no message at all."""

import time
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.config.file import parse_configuration
from alignd.config.signer import load_signer
from alignd.judgement.reasons import Action
from alignd.judgement.review import make_reviewer
from alignd.mail.message import MessageError, split_message
from alignd.replay.summary import SenderSource, Submission, SummaryRow, judge_stored
from alignd.resolver.zone import Zone
from tests.lab.settings import configuration, world

CONFIG = parse_configuration(configuration('[rules]\nrewrite_on = "enforced"'), "")
REVIEWER = make_reviewer(CONFIG, load_signer(CONFIG.dkim), time.time)
ZONE = Zone.parse(world('mycompany.com. TXT "v=spf1 -all"\n'))
LOCAL = Submission(ip_address("127.0.0.1"))


@pytest.mark.parametrize(
    ("header", "sender", "source"),
    [
        pytest.param(
            "Return-Path: <app@a.example>\nFrom: x@b.example",
            "app@a.example",
            SenderSource.RETURN_PATH,
            id="return-path-in-brackets",
        ),
        pytest.param(
            "From: x@b.example\nreturn-path: app@a.example",
            "app@a.example",
            SenderSource.RETURN_PATH,
            id="return-path-without-brackets",
        ),
        pytest.param(
            "Return-Path: <>\nFrom: x@b.example", "", SenderSource.RETURN_PATH, id="null"
        ),
        pytest.param(
            "Return-Path: <new@a.example>\nReturn-Path: <old@b.example>\nFrom: x@b.example",
            "new@a.example",
            SenderSource.RETURN_PATH,
            id="the-topmost-return-path",
        ),
        pytest.param("From: X <x@b.example>", "x@b.example", SenderSource.AUTHOR, id="author"),
        pytest.param(
            "From: x@b.example, y@c.example", "x@b.example", SenderSource.AUTHOR, id="first-of-two"
        ),
        pytest.param("From: nobody", "", SenderSource.NOTHING, id="no-author"),
    ],
)
def test_the_envelope_sender_of_a_stored_message(
    header: str, sender: str, source: SenderSource
) -> None:
    fields, _ = split_message(header.encode())

    assert LOCAL.sender_of(fields) == (sender, source)


@pytest.mark.parametrize("field", ["Delivered-To", "x-original-to"])
def test_a_recipient_is_where_it_was_delivered(field: str) -> None:
    message = f"{field}: <Julia@MyCompany.com>\nFrom: marky@mycompany.com\n\n"

    result, _ = judge_stored(message.encode(), LOCAL, REVIEWER, ZONE)

    assert (result.action, result.reason.value) == (Action.REWRITE, "recipient-domain")


@given(st.binary(max_size=300), st.sampled_from([b"", b"From: ", b"Return-Path: ", b"From x\n"]))
def test_any_bytes_are_judged_or_are_no_message(data: bytes, start: bytes) -> None:
    try:
        result, _ = judge_stored(start + data, LOCAL, REVIEWER, ZONE)
    except MessageError:
        return
    assert isinstance(result, SummaryRow)
