"""Replies of receivers, as Postfix logs them: what each says of the message."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.feedback.patterns import PATTERNS, Says, classify

REPLIES = [
    pytest.param(
        "550-5.7.26 Unauthenticated email from mycompany.com is not accepted due to 550-5.7.26 "
        "domain's DMARC policy. Please contact the administrator of 550-5.7.26 mycompany.com "
        "domain if this was a legitimate mail. To learn about the 550-5.7.26 DMARC initiative, "
        "go to 550 5.7.26 https://support.google.com/mail/?p=DmarcRejection x-1 - gsmtp",
        "5.7.26",
        Says.DMARC_FAILED,
        id="google-on-the-policy",
    ),
    pytest.param(
        "421-4.7.26 Your email has been rate limited because it is unauthenticated. Gmail "
        "421-4.7.26 requires all senders to authenticate with either SPF or DKIM. 421-4.7.26 "
        "Authentication results: DKIM = did not pass SPF [mycompany.com] with ip: [192.0.2.25] "
        "421 4.7.26 = did not pass - gsmtp",
        "4.7.26",
        Says.NOT_AUTHENTICATED,
        id="google-on-all-senders-later",
    ),
    pytest.param(
        "550-5.7.26 Your email has been blocked because the sender is unauthenticated. "
        "550-5.7.26 Gmail requires all senders to authenticate with either SPF or DKIM.",
        "5.7.26",
        Says.NOT_AUTHENTICATED,
        id="google-on-all-senders",
    ),
    pytest.param(
        "550-5.7.26 This message fails to pass SPF checks for an SPF record with a hard "
        "550-5.7.26 fail policy (-all). To best protect our users from spam and phishing, "
        "550 5.7.26 the message has been blocked. - gsmtp",
        "5.7.26",
        Says.SPF_FAILED,
        id="google-on-a-hard-fail-in-two-lines",
    ),
    pytest.param(
        "550-5.7.27 Your email has been blocked because SPF authentication did not pass for this "
        "550 5.7.27 message. - gsmtp",
        "5.7.27",
        Says.SPF_FAILED,
        id="google-on-spf",
    ),
    pytest.param(
        "421-4.7.30 Your email has been rate limited because DKIM does not pass. "
        "421 4.7.30 - gsmtp",
        "4.7.30",
        Says.DKIM_MISSING,
        id="google-on-dkim",
    ),
    pytest.param(
        "421-4.7.40 Your email has been rate limited because the sending domain does not have a "
        "DMARC record, or the DMARC record does not specify a DMARC policy. - gsmtp",
        "4.7.40",
        Says.NO_POLICY,
        id="google-on-no-policy",
    ),
    pytest.param(
        "421-4.7.32 Your email has been rate limited because the From: header (RFC5322) in this "
        "421-4.7.32 message isn't aligned with either the authenticated SPF or DKIM 421 4.7.32 "
        "organizational domain. - gsmtp",
        "4.7.32",
        Says.ALIGNMENT,
        id="google-on-alignment",
    ),
    pytest.param(
        "421-4.7.29 Your email has been rate limited because this message wasn't sent over a "
        "421 4.7.29 TLS connection. - gsmtp",
        "4.7.29",
        Says.TLS,
        id="google-on-tls",
    ),
    pytest.param(
        "550-5.7.25 The IP address sending this message does not have a PTR record setup, or "
        "550-5.7.25 the corresponding forward DNS entry does not match the sending IP. - gsmtp",
        "5.7.25",
        Says.REVERSE_DNS,
        id="google-on-ptr",
    ),
    pytest.param(
        "554 5.7.9 Message not accepted for policy reasons. See "
        "https://senders.yahooinc.com/error-codes",
        "5.7.9",
        Says.NOT_AUTHENTICATED,
        id="yahoo",
    ),
    pytest.param(
        "550 5.7.509 Access denied, sending domain [MYCOMPANY.COM] does not pass DMARC "
        "verification and has a DMARC policy of reject. [x.prod.outlook.com 2026-11-28T14:40Z]",
        "5.7.509",
        Says.DMARC_FAILED,
        id="microsoft-on-dmarc",
    ),
    pytest.param(
        "550 5.7.515 Access denied, sending domain MYCOMPANY.COM does not meet the required "
        "authentication level. The sender's domain in the 5322.From address doesn't meet the "
        "authentication requirements defined for the sender.",
        "5.7.515",
        Says.ALIGNMENT,
        id="microsoft-on-the-required-level",
    ),
    pytest.param(
        "550 5.7.23 The message was rejected because of Sender Policy Framework violation",
        "5.7.23",
        Says.SPF_FAILED,
        id="microsoft-on-spf",
    ),
    pytest.param(
        "554 5.7.1 Your message was rejected due to mycompany.com's DMARC policy. See "
        "https://support.apple.com/en-us/HT204137",
        "5.7.1",
        Says.DMARC_FAILED,
        id="apple",
    ),
    pytest.param(
        "550 5.2.0 xyz Message rejected due to DMARC. Please see https://example.net/x",
        "5.2.0",
        Says.DMARC_FAILED,
        id="comcast",
    ),
    pytest.param(
        "554-Transaction failed 554-Reject due to domain's DMARC policy. 554 For explanation "
        "visit https://postmaster.gmx.net/en/case?c=r2001",
        "5.0.0",
        Says.DMARC_FAILED,
        id="gmx",
    ),
    pytest.param(
        "501 5.0.2 Mail rejected. DMARC check failed. OFR_x [x]",
        "5.0.2",
        Says.DMARC_FAILED,
        id="orange",
    ),
    pytest.param(
        "550 5.7.1 This message was not accepted due to domain owner DMARC policy (RFC 7489)",
        "5.7.1",
        Says.DMARC_FAILED,
        id="mail-ru",
    ),
    pytest.param(
        "550 DMARC Sender Invalid - envelope rejected - https://community.example/docs [x]",
        "5.0.0",
        Says.DMARC_FAILED,
        id="mimecast",
    ),
    pytest.param(
        "550 5.7.1 rejected by DMARC policy for mycompany.com",
        "5.7.1",
        Says.DMARC_FAILED,
        id="opendmarc",
    ),
    pytest.param(
        "550 Rejected by header based Anti-Spoofing policy: ADDRESS - https://x.example [x]",
        "5.0.0",
        Says.SPOOFED,
        id="mimecast-on-its-own-domain",
    ),
    pytest.param("550 rejecting spoofed message", "5.0.0", Says.SPOOFED, id="barracuda"),
    pytest.param(
        "550 5.7.1 Your message was rejected due to my-company.com\u2019s DMARC policy.",
        "5.7.1",
        Says.DMARC_FAILED,
        id="apple-with-a-typographer",
    ),
    pytest.param(
        "550 5.7.1 Connections not accepted from servers without a valid sender domain. "
        "Fix reverse DNS for 192.0.2.25",
        "5.7.1",
        Says.REVERSE_DNS,
        id="at-and-t",
    ),
    pytest.param("554 5.7.1 Action set by DMARC", "5.7.1", Says.DMARC_FAILED, id="rspamd"),
    pytest.param(
        "550 5.7.1 Email rejected per DMARC policy for mycompany.com",
        "5.7.1",
        Says.DMARC_FAILED,
        id="zoho",
    ),
    pytest.param("550 DMARC check failed", "5.0.0", Says.DMARC_FAILED, id="qq"),
    pytest.param(
        "550 5.7.23 Message rejected due to: SPF fail - not authorized. Please see "
        "http://www.open-spf.org/Why?s=mfrom",
        "5.7.23",
        Says.SPF_FAILED,
        id="policyd-spf",
    ),
    pytest.param(
        "550 SPF check failed [192.0.2.25]", "5.0.0", Says.SPF_FAILED, id="spf-without-a-code"
    ),
    pytest.param(
        "550 5.7.20 No passing DKIM signature found",
        "5.7.20",
        Says.DKIM_MISSING,
        id="rfc-7372-on-dkim",
    ),
    pytest.param(
        "550 5.7.26 Multiple authentication checks failed",
        "5.7.26",
        Says.NOT_AUTHENTICATED,
        id="rfc-7372-on-several",
    ),
    pytest.param(
        "550 5.7.25 Reverse DNS validation failed",
        "5.7.25",
        Says.REVERSE_DNS,
        id="rfc-7372-on-reverse-dns",
    ),
    pytest.param(
        "450 4.7.25 Client host rejected: cannot find your hostname",
        "4.7.25",
        Says.REVERSE_DNS,
        id="postfix-on-its-client",
    ),
]
OTHERS = [
    pytest.param("550 5.1.1 User unknown", "5.1.1", id="nobody"),
    pytest.param("452 4.2.2 Mailbox full", "4.2.2", id="mailbox-full"),
    pytest.param("530 5.7.0 Authentication required", "5.7.0", id="a-login"),
    pytest.param("535 5.7.8 Error: authentication failed", "5.7.8", id="a-wrong-password"),
    pytest.param(
        "550 5.7.1 Message rejected as spam, see https://help.example/spf-dkim-dmarc-failed",
        "5.7.1",
        id="only-a-link-has-the-word",
    ),
    pytest.param(
        "554 5.7.1 Service unavailable; Client host [192.0.2.25] blocked using zen.spamhaus.org",
        "5.7.1",
        id="a-list-of-bad-senders",
    ),
    pytest.param(
        "556 5.7.27 Sender address has null MX", "5.7.27", id="the-registered-meaning-of-7-27"
    ),
    pytest.param(
        "550 5.7.30 REQUIRETLS support required", "5.7.30", id="the-registered-meaning-of-7-30"
    ),
    pytest.param(
        "421-4.7.28 Gmail has detected an unusual rate of unsolicited mail. - gsmtp",
        "4.7.28",
        id="too-much-spam",
    ),
    pytest.param(
        "550 5.7.1 [192.0.2.25] Our system has detected that this message is likely suspicious "
        "due to the very low reputation of the sending domain. - gsmtp",
        "5.7.1",
        id="a-bad-reputation",
    ),
    pytest.param(
        "554 Message not allowed - [PH01] Email not accepted for policy reasons.",
        "5.0.0",
        id="yahoo-takes-it-for-phishing",
    ),
    pytest.param(
        "550 5.7.1 [CS01] Message rejected due to local policy.", "5.7.1", id="apple-by-its-policy"
    ),
    pytest.param(
        "550 5.7.1 Policy rejection on the target address", "5.7.1", id="yandex-by-its-policy"
    ),
    pytest.param(
        "550 5.4.1 Recipient address rejected: Access denied", "5.4.1", id="microsoft-on-nobody"
    ),
    pytest.param(
        "550 5.7.1 Service unavailable, MailFrom domain is listed in Spamhaus. (S8002)",
        "5.7.1",
        id="a-listed-domain",
    ),
    pytest.param(
        "554 Email rejected due to security policies - https://community.example/dmarc [x]",
        "5.0.0",
        id="mimecast-by-its-policy",
    ),
    pytest.param(
        "421 4.7.0 [TSS04] Messages from 192.0.2.25 temporarily deferred due to complaints",
        "4.7.0",
        id="complaints",
    ),
    pytest.param(
        "550 Administrative prohibition - envelope blocked", "5.0.0", id="a-blocked-sender"
    ),
    pytest.param(
        "454 4.7.0 TLS not available due to local problem", "4.7.0", id="tls-is-broken-there"
    ),
    pytest.param("550 5.7.1 Relay access denied", "5.7.1", id="no-relay"),
    pytest.param("", "", id="nothing"),
]


@pytest.mark.parametrize(("reply", "code", "says"), REPLIES)
def test_a_reply_says(reply: str, code: str, says: Says) -> None:
    found = classify(reply, code)

    assert found is not None
    assert found.says is says


@pytest.mark.parametrize(("reply", "code"), OTHERS)
def test_other_replies_say_nothing_of_it(reply: str, code: str) -> None:
    assert classify(reply, code) is None


@pytest.mark.parametrize("reply", [each.values[0] for each in REPLIES])
def test_the_code_is_read_in_the_reply_where_nobody_gives_it(reply: str) -> None:
    code = re.split("[ -]", reply)[1]

    assert classify(reply) == classify(reply, code)


def test_every_pattern_is_told_apart_and_has_its_source() -> None:
    names = [pattern.name for pattern in PATTERNS]

    assert len(set(names)) == len(names)
    assert all(pattern.source.startswith("https://") for pattern in PATTERNS)
    assert all(re.fullmatch(r"20\d\d(-\d\d)?", pattern.seen) for pattern in PATTERNS)
    assert all(pattern.expression or pattern.codes for pattern in PATTERNS)


def test_every_thing_that_is_said_has_a_reply_here() -> None:
    assert {each.values[2] for each in REPLIES} == set(Says)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        " ",
        "dmarc ",
        "fail ",
        "no dkim",
        "unauthenticated mail from ",
        "spf-",
        "550-5.7.26 ",
        "https://",
        "dmarc record ",
        "not permitted ",
        "rejected due to x",
        "\n",
        "<a@b> ",
        "mail rejected",
    ],
)
def test_every_expression_takes_linear_time(piece: str) -> None:
    def seconds(length: int) -> float:
        reply = (piece * length)[:length] + "!"
        begin = time.process_time()
        for pattern in PATTERNS:
            if pattern.expression is not None:
                pattern.expression.search(reply)
        return time.process_time() - begin

    # Ten times the length may take some thirty times as long on a busy machine, not a hundred.
    short = min(seconds(10_000) for _ in range(3))
    assert min(seconds(100_000) for _ in range(2)) < max(30 * short, 0.1)


@pytest.mark.parametrize("piece", ["dmarc ", "a", "5.7.26 ", "https://", "reject "])
def test_a_reply_of_100_kilobytes_costs_no_more_than_its_beginning(piece: str) -> None:
    reply = (piece * 100_000)[:100_000]
    begin = time.process_time()
    for _ in range(20):
        classify(reply, "5.7.1")

    assert (time.process_time() - begin) / 20 < 0.02


@given(st.text(), st.text())
def test_no_reply_is_an_error(reply: str, code: str) -> None:
    classify(reply, code)
