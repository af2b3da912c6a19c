"""Odd messages: what mail should not look like, and does."""

from __future__ import annotations

import random

VAST = 50_000_000
"""Octets of a vast message."""

_ODD_FIELDS = (
    b"Subject: \xc3\xa9t\xc3\xa9 in raw UTF-8\r\n",
    b"Subject: \xe9t\xe9 in Latin-1\r\n",
    b"Subject: " + b"long " * 500 + b"\r\n",
    b"Subject:no blank\r\n",
    b"Subject:    many blanks   \r\n",
    b"Subject : a blank before the colon\r\n",
    b"Subject: folded\r\n\tand\r\n   folded again\r\n",
    b"Subject: folded with nothing\r\n \r\n more\r\n",
    b"Subject: bare line feed\n and on\n",
    b"Subject: bare\rcarriage\rreturn\r\n",
    b"Subject: a NUL \0 in it\r\n",
    b"Subject: bell \x07 and escape \x1b[31m\r\n",
    b"Subject:\r\n",
    b"X-Empty:\r\nX-Empty: \r\nX-Empty:\r\n",
    b"Bcc: hidden@customer.example\r\nReturn-Path: <x@y.example>\r\nContent-Length: 7\r\n",
    b"Reply-To: one@helpdesk.example\r\n",
    b"Reply-To: one@helpdesk.example\r\nReply-To: two@helpdesk.example\r\n",
    b"Sender: app@helpdesk.example\r\nSENDER: again@helpdesk.example\r\n",
    b"DKIM-Signature: v=1; a=rsa-sha256; d=x.example; s=y; h=from;\r\n\tbh=AA==; b=AA==\r\n",
    b"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=x.example; s=y; b=AA==\r\n",
    b"X-Original-From: forged@x.example\r\nAlignd: action=pass; forged\r\n",
    b"Received: from nowhere by nobody\r\n" * 3,
    b"List-Id: <a.b.example>\r\nAuto-Submitted: auto-generated\r\n",
    b"X-Many: x\r\n" * 200,
    b"X_Odd-N@me!: printable is enough\r\n",
    b'Content-Type: multipart/mixed; boundary="\r\n"\r\nMIME-Version: 1.0\r\n',
    b"Content-Transfer-Encoding: 8bit\r\nContent-Type: text/plain; charset=utf-8\r\n",
)
_ODD_AUTHORS = (
    b"From: %s\r\n",
    b"From: <%s>\r\n",
    b"from: Marky Mark <%s>\r\n",
    b"FROM:Marky<%s>\r\n",
    b"From: =?utf-8?q?Mark=C3=BD?=\r\n =?utf-8?q?_Mark?= <%s>\r\n",
    b'From: "Mark, M." <%s>\r\n',
    b"From: %s (Marky (Mark))\r\n",
    b"From: Mark\xc3\xbd <%s>\r\n",
    b"From: Marky\r\n\t<%s>\r\n",
    b"From: Marky <%s>, Harriet <harriet@x.example>\r\n",
    b"From: Marky <%s>\r\nFrom: Harriet <harriet@x.example>\r\n",
    b"From : Marky <%s>\r\n",
    b"X-From: Marky <%s>\r\n",
)
_ODD_BODIES = (
    b"",
    b"\r\n",
    b"\r\n\r\n\r\n",
    b"\r\nno line end at the end",
    b"\r\n.\r\n..\r\n.dots\r\n",
    b"\r\n" + b"x" * 998 + b"\r\n",
    b"\r\n" + b"y" * 5_000 + b"\r\n",
    b"\r\nbare\nline\nfeeds\n",
    b"\r\nbare\rcarriage\rreturns\r\n",
    b"\r\nmixed\n\r\n\r\r\n\n\r",
    b"\r\n8-bit: \xff\xfe\xe9\xc3\xa9\r\n",
    b"\r\nNUL: \0\0\r\n",
    b"\r\nFrom somebody\r\n>From somebody\r\n",
    b"\r\n \r\n\t\r\ntrailing   \r\n",
    b"not a header field, so the body begins here\r\n\r\nmore\r\n",
)
_BEGINNINGS = (b"From marky Mon Nov  2 10:00:00 2026\r\n", b"\r\n", b" begins with a fold\r\n")
_MOST_ODD_FIELDS = 5
_RARELY = 0.05


def odd_message(author: str, chance: random.Random) -> bytes:
    """A message of *author* that is odd in several ways."""
    fields = [chance.choice(_ODD_AUTHORS) % author.encode()]
    fields += chance.sample(_ODD_FIELDS, chance.randrange(_MOST_ODD_FIELDS + 1))
    chance.shuffle(fields)
    begins = chance.choice(_BEGINNINGS) if chance.random() < _RARELY else b""
    return begins + b"".join(fields) + chance.choice(_ODD_BODIES)


def vast_message(author: str) -> bytes:
    """A message of fifty megabytes."""
    line = b"0123456789" * 7 + b"\r\n"
    return b"From: Marky <%s>\r\n\r\n" % author.encode() + line * (VAST // len(line))
