"""Generates messages with their DNS: mostly ordinary, with the oddities that receivers differ on.

The same seed gives the same messages, but for keys. Each is there twice: as it is, and under
`dry_run`, so that the receivers judge it as it was sent.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import dkim
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.lab import cast
from tests.verifiers.sending import Sending

AS_SENT = "/as-sent"
"""Behind the name of a message that alignd only looks at."""

_RELAY = f"include:{cast.SPF_INCLUDE}"
_OTHERS = """\
elsewhere.example. TXT "v=spf1 ip4:192.0.2.25 ip6:2001:db8::25 -all"
world.example. TXT "v=spf1 +all"
wide.example. TXT "v=spf1 ip4:192.0.0.0/5 ip6:2000::/5 -all"
nothing.example. TXT "v=spf1 -all"
"""

# In front: what is ordinary, and so drawn more often.
_SPF_PASSES = (f"v=spf1 {_RELAY} -all", f"v=spf1 mx {_RELAY} ~all")
_SPF_FAILS = ("v=spf1 -all", "v=spf1 mx ~all", "")
_SPF_ODD = (
    "v=spf1 ip4:192.0.2.25 -all",
    "v=spf1 ip6:2001:db8::25 ?all",
    "v=spf1 redirect=elsewhere.example",
    "v=spf1 +all",
    "v=spf1 include:world.example -all",
    "v=spf1 redirect=world.example",
    "v=spf1 include:wide.example -all",
    "v=spf1 ip4:0.0.0.0/0 ip6:::/0 -all",
    "v=spf1 ip4:192.0.0.0/8 ip6:2001::/16 -all",
    f"v=spf1 ?{_RELAY} -all",
    f"v=spf1 -include:nothing.example {_RELAY} -all",
    f"v=spf1 {_RELAY} foo -all",
    f"v=spf1 {_RELAY} exp= -all",
    f"v=spf1 {_RELAY} a:nowhere.example. -all",
    f"v=spf1 {_RELAY} \tmx -all",
    f"V=SPF1 {_RELAY.upper()} -ALL",
    f"v=spf1 a:x1.example a:x2.example a:x3.example {_RELAY} -all",
    f"v=spf1 exists:%{{i}}.nowhere.example {_RELAY} -all",
    f"v=spf1 {_RELAY} include:missing.example -all",
    f"v=spf1 {_RELAY} exists:{'a.' * 300}example -all",
    f"v=spf1 {_RELAY}{' ip4:198.51.100.7' * 300} -all",
)
_DMARC = (
    "v=DMARC1; p=reject",
    "v=DMARC1; p=quarantine; rua=mailto:dmarc@reports.example",
    "v=DMARC1; p=reject; adkim=s; aspf=s",
    "v=DMARC1; p=none",
    "",
)
_DMARC_ODD = (
    "v=DMARC1; p=reject; aspf=strict",
    "v=DMARC1; p=reject; adkim=strict; aspf=r",
    "v=DMARC1; p=reject; aspf=s,",
    "v=DMARC1; p=reject; aspf=",
    "v=DMARC1; p=reject; aspf=R; adkim=S",
    "v=DMARC1; p=reject; aspf=r; aspf=s",
    "v=DMARC1; p=reject; rf=iodef",
    "v=DMARC1; p=reject; sp=",
    "v=DMARC1; p=reject; sp=bogus",
    "v=DMARC1; p=reject; sp=none",
    "v=DMARC1; p=r",
    "v=DMARC1; p=rej; rua=mailto:dmarc@reports.example",
    "v=DMARC1 p=reject",
    "v=DMARC1;p=reject;;",
    " v=DMARC1; p=reject",
    "p=reject; v=DMARC1",
    "v=DMARC1; p=reject; p=none",
    "v=DMARC1; p=none; p=reject",
    "v=dmarc1; p=reject",
    "V=DMARC1; P=REJECT",
    "v = DMARC1 ; p = reject ; aspf = s",
    "v=DMARC1; p=reject; pct=0",
    "v=DMARC1; p=none; sp=reject; t=y",
    "v=DMARC1; p=quarantine; psd=y",
    "v=DMARC1; p=reject; fo=1:d:s; ri=86400; rf=afrf",
    "v=DMARC1; rua=mailto:dmarc@reports.example",
    "v=DMARC1; p=reject\t; aspf=s\t",
    "v=DMARC1: p=reject",
)
_FROM = (
    "Ann Lee <{address}>",
    "{address}",
    '"Lee, Ann" <{address}>',
    "=?utf-8?q?Ann_Le=C3=A9?= <{address}>",
    "<{address}>",
    "Ann Lee\r\n <{address}>",
)
_FROM_ODD = (
    "Ann (support) Lee <{address}>",
    "{address} (Ann Lee)",
    "(a \\) <bob@{decoy}>) <{address}>",
    "Ann <{address} (x)>",
    "<(x){address}>",
    'Ann <"x <bob@{decoy}>"@{domain}>',
    '"bob@{decoy}"@{domain}',
    'Ann <"ann lee"@{domain}>',
    "Ann bob@{decoy} <{address}>",
    "bob@{decoy} <{address}>",
    '"bob@{decoy}" <{address}>',
    "{address} <{address}>",
    "Ann <{address}>,",
    "Ann <{address}>, Bob <bob@{decoy}>",
    "Ann [{address}]",
    "Ann <{address}",
    "Ann {address}",
    "Ann [Support] <{address}>",
    "Novak, Jan <{address}>",
    "Team: {address};",
    "<@{decoy}:{address}>",
    "Ann <ann@{domain}.>",
    "Ann <ann @{domain}>",
    "Ann <-ann@{domain}>",
    "Ann <ann..lee@{domain}>",
    "Ann <" + "a" * 70 + "@{domain}>",
    "Ann <ann+tag=x!y%z@{domain}>",
    "Ann =?utf-8?q?=3Cbob=40{decoy}=3E?= <{address}>",
    "_=3E{address}()(bob@{decoy})",
    "Ann\x00Lee <{address}>",
    "Ann\tLee <{address}>",
    "<{address}> Ann",
    "Ann <<{address}>>",
    "",
)
_LONG = "word " * 260
_BODIES = ("Hello Julia,\r\n\r\nit works again.\r\n", "<p>Yes.</p>\r\n")
_BODIES_ODD = (
    "",
    "\r\n\r\n\r\n",
    f"{_LONG}\r\n",
    f"Hello\r\n{'x' * 998}\r\n",
    f"Hello\r\n{'x' * 999}\r\n",
    f"Hello\r\n{'x' * 70_000}\r\nend",
    ".\r\n..\r\nFrom me\r\n",
    "Sch\xf6ne Gr\xfc\xdfe\r\n",
    "no line end",
    "blanks  \t \r\n\r\n \r\n\r\n",
)
_FIELDS = ("", "X-Redmine-Host: mycompany.easyredmine.com\r\n")
_FIELDS_ODD = (
    f"References: {' '.join(f'<{n}.redmine.12345@mycompany.easyredmine.com>' for n in range(30))}"
    "\r\n",
    f"X-Long: {'y' * 1_200}\r\n",
    f"X-Long: {'y' * (998 - len('X-Long: '))}\r\n",
    f"X-Long: {'y' * (999 - len('X-Long: '))}\r\n",
    "Sender: bounces@elsewhere.example\r\n",
    "Reply-To: a@elsewhere.example\r\nReply-To: b@elsewhere.example\r\n",
    "Received: from nowhere by here; Mon, 2 Nov 2026 10:00:00 +0000\r\n",
)
_SENDERS = ("{address}", "{address}", "bounces@elsewhere.example")
_SENDERS_ODD = (
    "",
    "ann@mail.{domain}",
    '"ann lee"@{domain}',
    "ann@nowhere.invalid",
    f"bounces@{cast.NOTIFICATIONS_DOMAIN}",
    "ANN@{domain}",
)

_VERIFY = "[dkim]\nverify = true\n"
_ENFORCED = '[rules]\nrewrite_on = "enforced"\nalign_envelope = false\n'
_DRY = "dry_run = true\n"


@dataclass(frozen=True, slots=True)
class Key:
    """The customers' own key: the vendor's is in the hands of the relay."""

    private: bytes
    public: str
    pkcs1: str

    @classmethod
    def make(cls) -> Key:
        """Make a new one."""
        key: RSAPrivateKey = generate_private_key(65537, 2048)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        public = key.public_key()
        return cls(
            private,
            base64.b64encode(
                public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            ).decode(),
            base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.PKCS1)).decode(),
        )

    def records(self) -> tuple[str, ...]:
        """Records that publish it; only the first two are what everybody has."""
        return (
            f"v=DKIM1; k=rsa; p={self.public}",
            f"p={self.public}",
            f"v=DKIM1; k=rsa; p={self.pkcs1}",
            f"v=DKIM1; k=rsa; p={self.public}=",
            f"v=DKIM1; k=rsa; t=s; p={self.public}",
            f"v=DKIM1; k=rsa; t=y; p={self.public}",
            f"v=DKIM1; k=rsa; s=email; p={self.public}",
            f"v=DKIM1; k=rsa; s=tlsrpt; p={self.public}",
            f"v=DKIM1; k=rsa; h=sha1; p={self.public}",
            f"v=DKIM1; k=RSA; p={self.public}",
            f"k=rsa; v=DKIM1; p={self.public}",
            f"v=DKIM1; k=rsa; n=\xe9; p={self.public}",
            f"v=DKIM1; k=rsa; p={self.public[:100]} {self.public[100:]}",
            "v=DKIM1; k=rsa; p=",
        )


def generate(count: int, seed: int) -> Iterator[Sending]:
    """Make *count* messages, each of an author domain of its own, twice."""
    draw = random.Random(seed)
    key = Key.make()
    drawn = [_Message.draw(number, draw, key) for number in range(count)]
    zone = _OTHERS + "".join(message.zone for message in drawn)
    signs = "".join(
        f'[[dkim.signs]]\ndomain = "{message.domain}"\nselector = "{cast.SELECTOR}"\n'
        for message in drawn
        if message.is_signed_here
    )
    for message in drawn:
        config = signs if message.is_signed_here else message.config
        sending = replace(message.sending, zone=zone, config=config)
        yield sending
        yield replace(sending, name=f"{sending.name}{AS_SENT}", config=_dry(config))


def _dry(config: str) -> str:
    if "[rules]\n" in config:
        return config.replace("[rules]\n", f"[rules]\n{_DRY}")
    return f"[rules]\n{_DRY}{config}"


@dataclass(frozen=True, slots=True)
class _Message:
    """One message, and what stands in DNS for it."""

    domain: str
    zone: str
    config: str
    is_signed_here: bool
    sending: Sending

    @classmethod
    def draw(cls, number: int, draw: random.Random, key: Key) -> _Message:
        """Draw one: two thirds of its parts are ordinary."""

        def pick(ordinary: tuple[str, ...], odd: tuple[str, ...], odds: float = 0.25) -> str:
            return draw.choice(odd if draw.random() < odds else ordinary)

        domain, decoy = f"a{number}.example", f"b{number}.example"
        names = {"address": f"ann@{domain}", "domain": domain, "decoy": decoy}
        spf = pick(_SPF_PASSES if draw.random() < 0.6 else _SPF_FAILS, _SPF_ODD, 0.3)
        zone = _txt(domain, spf) + _txt(f"_dmarc.{domain}", pick(_DMARC, _DMARC_ODD, 0.3))
        zone += f'{decoy}. TXT "v=spf1 -all"\n_dmarc.{decoy}. TXT "v=DMARC1; p=reject"\n'
        zone += f"{domain}. MX 5 mx.{domain}.\nmx.{domain}. A 198.51.100.99\n"
        message = (
            f"From: {pick(_FROM, _FROM_ODD).format(**names)}\r\n"
            f"To: {cast.JULIA}\r\nSubject: Re: your ticket\r\n"
            f"Date: Fri, 27 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{number}@{domain}>\r\n"
            f"{pick(_FIELDS, _FIELDS_ODD, 0.15)}\r\n{pick(_BODIES, _BODIES_ODD)}"
        ).encode("latin-1")
        road = draw.choice(["plain", "plain", "here", "verify", "verify", "enforced"])
        config = {"verify": _VERIFY, "enforced": _ENFORCED}.get(road, "")
        if road == "here":
            # The relay's key: its record is filled in when the zone is served.
            zone += f'{cast.SELECTOR}._domainkey.{domain}. TXT "v=DKIM1; k=rsa; p=MI"\n'
        if road == "verify":
            zone += _txt(f"own._domainkey.{domain}", pick(key.records()[:2], key.records()[2:]))
            message = _signed(message, domain, draw, key)
        return cls(
            domain,
            zone,
            config,
            road == "here",
            Sending(
                name=f"m{number}",
                zone="",
                config="",
                client="127.0.0.1",
                login=None,
                envelope_sender=pick(_SENDERS, _SENDERS_ODD, 0.2).format(**names),
                recipients=(cast.JULIA,),
                message=message,
            ),
        )


def _signed(message: bytes, domain: str, draw: random.Random, key: Key) -> bytes:
    """The message with a signature of its author domain, in one of many ways."""
    sign: Callable[..., bytes] = dkim.sign
    way = draw.choice((*_WAYS, *_SPOILT)) if draw.random() < 0.5 else ""
    options = {"include_headers": _SIGNED} | _WAYS.get(way, {})
    if draw.random() < 0.5:
        options["canonicalize"] = (b"relaxed", b"relaxed")
    if way == "subdomain":
        options["identity"] = f"ann@x.{domain}".encode()
    try:
        field = sign(message, b"own", domain.encode(), key.private, **options)
    except Exception:  # dkimpy does not sign just anything
        return message
    old, new = _SPOILT.get(way, (b"", b""))
    field = field.replace(old, new, 1) if old else field
    return b"".join([_OTHER_SIGNATURE * (4 if way == "several" else 0), field, message])


_SIGNED = [b"from", b"to", b"subject", b"date", b"message-id"]
_WAYS: dict[str, dict[str, Any]] = {
    "oversigned": {"include_headers": [*_SIGNED, b"from", b"subject", b"reply-to"]},
    "received": {"include_headers": [*_SIGNED, b"received"]},
    "results": {"include_headers": [*_SIGNED, b"authentication-results"]},
    "length": {"length": True},
    "subdomain": {},
    "several": {},
}
_SPOILT = {
    "broken": (b"b=", b"b=AAAA"),
    "folded": (b" bh=", b"\r\n\tbh\r\n =\r\n "),
    "two d=": (b" d=", b" d=x.example; d="),
}
_OTHER_SIGNATURE = b"DKIM-Signature: v=1; a=rsa-sha256; d=x.example; s=x; h=from; bh=A; b=A\r\n"


def _txt(name: str, text: str) -> str:
    if not text:
        return ""
    data = [text[cut : cut + 200] for cut in range(0, len(text), 200)]
    quoted = " ".join('"' + _escaped(each) + '"' for each in data)
    return f"{name}. TXT {quoted}\n"


def _escaped(text: str) -> str:
    return "".join(
        f"\\{octet:03}" if octet < 32 or octet > 126 or octet in b'"\\' else chr(octet)
        for octet in text.encode("latin-1")
    )
