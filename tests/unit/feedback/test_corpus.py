"""Replies of every kind in words of our own, after texts that receivers and senders publish.

Each is labelled with what it says of the message; the others say nothing of authentication. The
public texts: the tables of Google, Microsoft, Yahoo and Mimecast, the SMTP Field Manual,
smtp.codes, and the classes of Sisimai and KumoMTA.
"""

import pytest

from alignd.feedback.patterns import Says, classify

OURS = (
    # What large providers say.
    ("550-5.7.1 Unauthenticated email from a.example is not accepted due to domain's 550-5.7.1 "
     "DMARC policy. Please contact the administrator of a.example 550 5.7.1 domain",
     "dmarc-failed"),
    ("550 5.7.26 Unauthenticated email from a.example is not accepted due to domain's DMARC "
     "policy. Contact its administrator", "dmarc-failed"),
    ("421-4.7.26 This mail has been rate limited because it is unauthenticated. 421-4.7.26 It "
     "requires all senders to authenticate with SPF or DKIM", "not-authenticated"),
    ("550-5.7.26 This mail has been blocked because the sender is unauthenticated. 550 5.7.26 "
     "All senders authenticate here", "not-authenticated"),
    ("550-5.7.26 The MAIL FROM domain has an SPF record with a hard fail 550 5.7.26 policy (-all) "
     "but it fails to pass", "spf-failed"),
    ("421 4.7.27 Your email has been rate limited because SPF authentication didn't pass",
     "spf-failed"),
    ("550 5.7.30 Blocked: DKIM authentication didn't pass for this message", "dkim-missing"),
    ("421 4.7.32 The From: header isn't aligned with the authenticated organizational domain",
     "alignment"),
    ("550 5.7.40 The sending domain doesn't have a DMARC record", "no-policy"),
    ("421 4.7.31 This domain has no DMARC record with a policy", "no-policy"),
    ("550 5.7.29 Blocked: this message wasn't sent over a TLS connection", "tls"),
    ("421 4.7.23 The sending address has no PTR record, or its forward DNS entry differs",
     "reverse-dns"),
    ("550 5.7.509 Access denied, sending domain A.EXAMPLE does not pass DMARC verification",
     "dmarc-failed"),
    ("550 5.7.515 Access denied, sending domain A.EXAMPLE doesn't meet the required level",
     "alignment"),
    ("550 5.7.23 Rejected because of Sender Policy Framework violation", "spf-failed"),
    ("554 5.7.9 Message not accepted for policy reasons", "not-authenticated"),
    ("554 5.7.1 Your message was rejected due to a.example's DMARC policy", "dmarc-failed"),
    ("550 5.2.0 DM1 Message rejected due to DMARC", "dmarc-failed"),
    ("554 Transaction failed Reject due to domain's DMARC policy", "dmarc-failed"),
    ("501 5.0.2 Mail rejected: DMARC check failed", "dmarc-failed"),
    ("550 5.7.1 This message was not accepted due to domain owner DMARC policy", "dmarc-failed"),
    ("550 5.7.1 Email rejected per DMARC policy for a.example", "dmarc-failed"),
    ("550 DMARC check failed", "dmarc-failed"),
    ("550 SPF check failed", "spf-failed"),
    ("550 MI:DMA mx12,QMCowEA 1538994358", "dmarc-failed"),
    ("550 MI:SPF mx49,Y8CowAB 1538994358", "spf-failed"),
    # What filters in front of companies say.
    ("550 SPF Sender Invalid - envelope rejected - https://x.example [a]", "spf-failed"),
    ("550 DKIM Sender Invalid - envelope rejected - https://x.example [a]", "dkim-missing"),
    ("550 DMARC Sender Invalid - envelope rejected - https://x.example [a]", "dmarc-failed"),
    ("550 Rejected by header-based Anti-Spoofing policy: ADDRESS", "spoofed"),
    ("550 Anti-Spoofing policy - Inbound not allowed", "spoofed"),
    ("550 rejecting spoofed message", "spoofed"),
    ("550 5.7.1 Message rejected due to sender's DMARC policy", "dmarc-failed"),
    ("550 DmarcRejection", "dmarc-failed"),
    ("550 5.7.0 Message rejected per DMARC policy", "dmarc-failed"),
    ("550 5.7.1 The message failed DMARC evaluation of domain a.example", "dmarc-failed"),
    ("550 5.7.0 SPF Check: fail", "spf-failed"),
    ("550 Sender Policy Framework (SPF) fail", "spf-failed"),
    # What servers say that people run themselves.
    ("550 5.7.1 rejected by DMARC policy for a.example", "dmarc-failed"),
    ("554 5.7.1 rejected by DMARC policy for a.example with invalid ARC result", "dmarc-failed"),
    ("554 5.7.1 Action set by DMARC", "dmarc-failed"),
    ("554 5.7.1 Email rejected per DMARC policy", "dmarc-failed"),
    ("550 5.7.23 ADDRESS: Recipient address rejected: Message rejected due to: SPF fail - not "
     "authorized. Please see http://x.example/Why?s=mfrom", "spf-failed"),
    ("550 5.7.23 ADDRESS: Recipient address rejected: Message rejected due to: Receiver policy "
     "for SPF Softfail", "spf-failed"),
    ("550 5.7.1 ADDRESS: Recipient address rejected: gnomes rejected your message: SPF fail - not "
     "authorized", "spf-failed"),
    ("550 SPF: 192.0.2.25 is not allowed to send mail from a.example", "spf-failed"),
    ("550 failed to meet SPF requirements", "spf-failed"),
    ("550 5.7.20 No passing DKIM signature found", "dkim-missing"),
    ("550 5.7.21 No acceptable DKIM signature found", "dkim-missing"),
    ("550 5.7.22 No valid author-matched DKIM signature found", "dkim-missing"),
    ("451 4.7.24 SPF validation error", "spf-failed"),
    ("550 5.7.25 Reverse DNS validation failed", "reverse-dns"),
    ("550 5.7.26 Multiple authentication checks failed", "not-authenticated"),
    ("450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.25]", "reverse-dns"),
    ("550 5.5.1 Your address [192.0.2.25] does not have a valid reverse DNS entry", "reverse-dns"),
)  # fmt: skip
OTHERS = (
    "550 5.1.1 The email account that you tried to reach does not exist",
    "550 5.1.1 ADDRESS: Recipient address rejected: User unknown in virtual mailbox table",
    "552 5.2.2 The mailbox is over its quota",
    "452 4.2.2 The recipient's inbox is out of storage space",
    "550 5.2.1 This account is disabled",
    "554 5.7.1 Spam message rejected",
    "550 5.7.1 [CS01] Message rejected due to local policy",
    "550 5.7.1 Policy rejection on the target address",
    "421 4.7.0 Too many connections from your address, try again later",
    "550 5.7.1 Service unavailable, client [192.0.2.25] is listed in a blocklist",
    "550 5.4.1 Recipient address rejected: Access denied",
    "550 Administrative prohibition - envelope blocked - https://x.example/dmarc-failed [a]",
    "550 Rejected by header based manually Blocked Senders: ADDRESS",
    "530 5.7.0 Must issue a STARTTLS command first",
    "554 5.7.1 Relay access denied",
    "451 4.7.1 Greylisting in effect, please come back later",
    "550 Mail content denied",
    "550 Sender frequency limited",
    "450 MI:DMC too many messages in this connection",
    "535 5.7.8 Error: authentication failed",
    "552 5.3.4 Message size exceeds fixed limit",
    "550 spam message rejected",
)


@pytest.mark.parametrize(("reply", "says"), OURS)
def test_a_reply_on_authentication_says(reply: str, says: str) -> None:
    found = classify(reply)

    assert found is not None
    assert found.says is Says(says)


@pytest.mark.parametrize("reply", OTHERS)
def test_a_reply_on_something_else_is_none(reply: str) -> None:
    assert classify(reply) is None


def test_there_are_enough_of_them() -> None:
    assert len(OURS) + len(OTHERS) >= 60
    assert {says for _, says in OURS} == {each.value for each in Says}
