"""Signatures and keys, sound and odd, and whether alignd counts them.

`tests/unit/mailauth/test_dkim.py` says which count, and `tests/relay/test_signatures.py` has real
verifiers say which verify.
"""

import base64
import time
from dataclasses import replace

from cryptography.hazmat.primitives.serialization import PublicFormat

from alignd.mail.message import Message, split_message
from alignd.mailauth.dkim import verify_signatures
from alignd.mailauth.dkim_key import DkimResult
from alignd.resolver.zone import Zone
from tests.support.signing import (
    BODY,
    DOMAIN,
    HEADER,
    NAMES,
    RELAXED,
    SIMPLE,
    Draft,
    Header,
    new_key,
    public_key,
    txt,
)

NOW = int(time.time())

KEY = new_key()
P = public_key(KEY)
SMALL, LARGE = new_key(1024), new_key(4096)
PLAIN = Draft()
ON_THE_WAY: Header = (
    ("DKIM-Signature", b" v=1; a=rsa-sha256; d=relay.example; s=s; h=from; bh=AAAA; b=AAAA"),
    ("Received", b" from helpdesk by relay; Fri, 27 Nov 2026 10:00:01 +0100"),
)
JUNK = ("DKIM-Signature", b" v=1; a=rsa-sha256; d=junk.example; s=s; h=from; bh=AAAA; b=AAAA")


def with_field(value: bytes, canonicalization: str = RELAXED) -> Draft:
    """A signature of a field with this value."""
    return replace(
        signing(*NAMES, "x-h", canonicalization=canonicalization), header=(*HEADER, ("X-H", value))
    )


def signing(*names: str, canonicalization: str = RELAXED) -> Draft:
    draft = replace(PLAIN, names=names, canonicalization=canonicalization)
    return draft.with_tags(h=":".join(names), c=canonicalization)


def of_body(body: bytes, canonicalization: str = RELAXED, octets: int | None = None) -> Draft:
    draft = replace(PLAIN, body=body, canonicalization=canonicalization, hashed_octets=octets)
    return draft.with_tags(c=canonicalization)


def of_tag(name: str, value: str | None) -> Draft:
    return PLAIN.with_tags(**{name: value})


# What all verifiers take.
SOUND: dict[str, Draft] = {
    "plain": PLAIN,
    "simple": signing(*NAMES, canonicalization=SIMPLE),
    "simple-body": of_body(BODY, "relaxed/simple"),
    "canonicalization-left-out": replace(PLAIN, canonicalization=SIMPLE).with_tags(c=None),
    "received-as-often-as-it-is": signing("from", "received"),
    "from-oversigned": signing("from", "to", "from"),
    "absent-fields-of-authors": signing("from", "cc", "reply-to", "list-unsubscribe"),
    "blanks-in-h": of_tag("h", "from : to\r\n : Subject"),
    "colon-at-the-end-of-h": of_tag("h", "from:to:subject:"),
    "version-last": replace(PLAIN, tags=(*PLAIN.tags[1:], PLAIN.tags[0])),
    "domain-in-capitals": of_tag("d", "X.EXAMPLE"),
    "l-of-the-body": PLAIN.with_tags(l=str(len(BODY))),
    "l-with-zeros": PLAIN.with_tags(l=f"00{len(BODY)}"),
    "signed-in-the-past": PLAIN.with_tags(t=str(NOW - 100)),
    "expires-in-a-year": PLAIN.with_tags(t=str(NOW - 100), x=str(NOW + 31_000_000)),
    "i-of-the-domain": PLAIN.with_tags(i="@x.example"),
    "i-below-the-domain": PLAIN.with_tags(i="ann@eu.x.example"),
    "i-quoted-equals": PLAIN.with_tags(i="a=3Dnn@x.example"),
    "i-quoted-letter": PLAIN.with_tags(i="=61nn@x.example"),
    "i-quoted-plus": PLAIN.with_tags(i="ann=2Btag@x.example"),
    "i-quoted-semicolon": PLAIN.with_tags(i="a=3Bb@x.example"),
    "i-folded": PLAIN.with_tags(i="ann\r\n @x.example"),
    "unknown-tags": PLAIN.with_tags(y="a=b==", Z="1", x_y="1"),
    "semicolon-at-the-end": replace(PLAIN, end="; "),
    "no-blanks": replace(PLAIN, between=";"),
    "folded": replace(PLAIN, between=";\r\n\t"),
    "folded-before-values": of_tag("d", "\r\n x.example"),
    "body-empty": of_body(b""),
    "body-of-empty-lines": of_body(b"\r\n\r\n\r\n"),
    "body-ends-in-empty-lines": of_body(b"a \t b \r\n \r\n\r\n", "simple/relaxed"),
    "body-with-a-vertical-tab": of_body(b"a\vb\r\n"),
    "body-of-8-bit": of_body(b"\xc3\xa9\xa0\r\n"),
    "field-folded": with_field(b" a \r\n\tb\r\n  c "),
    "field-empty": with_field(b""),
    "field-of-8-bit": with_field(b" \xc5\xbe", SIMPLE),
    "field-ends-in-nbsp-simple": with_field(b" a\xa0", SIMPLE),
}

# What some verifier does not take, or takes otherwise.
ODD: dict[str, Draft] = {
    "received-oftener": signing("from", "received", "received"),
    "empty-name-in-h": of_tag("h", "from::to:subject"),
    "empty-name-first-in-h": of_tag("h", ":from:to:subject"),
    "blank-in-a-name-of-h": of_tag("h", "from:to:sub ject"),
    "8-bit-in-h": of_tag("h", "from:to:subject:x\xe9"),
    "from-not-signed": signing("to", "subject"),
    "signs-its-own-kind": signing("from", "dkim-signature"),
    "version-left-out": of_tag("v", None),
    "version-2": of_tag("v", "2"),
    "version-01": of_tag("v", "01"),
    "algorithm-in-capitals": of_tag("a", "RSA-SHA256"),
    "algorithm-left-out": of_tag("a", None),
    "canonicalization-in-capitals": of_tag("c", "Relaxed/Relaxed"),
    "canonicalization-with-blanks": of_tag("c", "relaxed / relaxed"),
    "canonicalization-unknown": of_tag("c", "nowsp"),
    "domain-with-a-blank": of_tag("d", "x. example"),
    "domain-with-a-fold": of_tag("d", "x.\r\n example"),
    "domain-with-a-dot-in-front": of_tag("d", ".x.example"),
    "selector-with-a-dot-behind": of_tag("s", "s1."),
    "selector-with-a-blank": of_tag("s", "s 1"),
    "l-above-the-body": PLAIN.with_tags(l=str(len(BODY) + 1)),
    "l-of-nothing": replace(PLAIN, hashed_octets=0).with_tags(l="0"),
    "l-no-number": PLAIN.with_tags(l="+13"),
    "l-empty": PLAIN.with_tags(l=""),
    "signed-at-zero": PLAIN.with_tags(t="0"),
    "signed-at-one": PLAIN.with_tags(t="1"),
    "signed-in-the-future": PLAIN.with_tags(t=str(NOW + 3600)),
    "signed-at-no-number": PLAIN.with_tags(t="soon"),
    "signed-with-a-plus": PLAIN.with_tags(t=f"+{NOW - 100}"),
    "expired-some-minutes-ago": PLAIN.with_tags(x=str(NOW - 100)),
    "expires-at-once": PLAIN.with_tags(t=str(NOW - 100), x=str(NOW - 100)),
    "expires-never-that-fits": PLAIN.with_tags(x="9" * 20),
    "i-quoted-in-small-letters": PLAIN.with_tags(i="a=3dnn@x.example"),
    "i-quoted-badly": PLAIN.with_tags(i="a=ZZ@x.example"),
    "i-of-srs": PLAIN.with_tags(i="SRS0=a=b@x.example"),
    "i-quoted-at": PLAIN.with_tags(i="ann=40x.example"),
    "i-with-two-ats": PLAIN.with_tags(i="a@b@x.example"),
    "i-without-an-at": PLAIN.with_tags(i="eu.x.example"),
    "i-elsewhere": PLAIN.with_tags(i="@y.example"),
    "i-of-8-bit": PLAIN.with_tags(i="\xe9@x.example"),
    "i-empty": PLAIN.with_tags(i=""),
    "q-list": PLAIN.with_tags(q="dns/txt:http"),
    "q-in-capitals": PLAIN.with_tags(q="DNS/TXT"),
    "q-other": PLAIN.with_tags(q="http"),
    "domain-twice": replace(PLAIN, tags=(*PLAIN.tags, ("d", DOMAIN))),
    "tag-without-value": PLAIN.with_tags(y=""),
    "tag-that-ends-in-b": PLAIN.with_tags(ab="1"),
    "last-tag-ends-in-b": replace(PLAIN, tags=(*PLAIN.tags, ("ab", "1"))),
    "tag-with-a-blank": PLAIN.with_tags(**{"y z": "1"}),
    "tag-with-a-digit-in-front": PLAIN.with_tags(**{"9": "1"}),
    "tag-of-8-bit": PLAIN.with_tags(y="\xe9"),
    "blank-behind-b": replace(PLAIN, tags=(*PLAIN.tags[:-1], ("b ", "{b}"))),
    "two-semicolons-at-the-end": replace(PLAIN, end=";;"),
    "vertical-tab": PLAIN.with_tags(y="a\vb"),
    "form-feed-before-the-domain": of_tag("d", "\fx.example"),
    "bh-with-an-equals-too-many": of_tag("bh", "{bh}="),
    "bh-with-four-equals-too-many": of_tag("bh", "{bh}===="),
    "bh-goes-on": of_tag("bh", "{bh}AAAA"),
    "b-with-an-equals-too-many": of_tag("b", "{b}="),
    "b-goes-on": of_tag("b", "{b}AAAA"),
    "body-with-a-bare-cr": of_body(b"a\rb\r\n"),
    "body-with-a-bare-cr-simple": of_body(b"a\rb\r\n", SIMPLE),
    "body-ends-in-a-cr": of_body(b"a\r\r\n"),
    "body-of-blanks": of_body(b" \r\n\t\r\n"),
    "body-with-a-form-feed": of_body(b"a \f\r\n"),
    "field-with-a-bare-cr": with_field(b" a\rb"),
    "field-with-a-bare-cr-simple": with_field(b" a\rb", SIMPLE),
    "field-with-a-vertical-tab": with_field(b" a \vb"),
    "field-with-a-form-feed": with_field(b" a\f b"),
}
# Key records: p= is {p}, of the key of `PLAIN`, where nothing else is said.
SOUND_RECORDS = {
    "usual": "v=DKIM1; k=rsa; p={p}",
    "no-version": "k=rsa; p={p}",
    "semicolon-at-the-end": "v=DKIM1; p={p}; ",
    "blanks-in-p": "v=DKIM1; p=" + " ".join(P[at : at + 60] for at in range(0, len(P), 60)),
    "tab-in-p": f"v=DKIM1; p={P[:50]}\t{P[50:]}",
    "for-mail": "v=DKIM1; s=email; t=s; p={p}",
    "for-both-hashes": "v=DKIM1; h=sha1:sha256; p={p}",
    "notes": 'v=DKIM1; n=a=20note "here"; g=; x=; p={p}',
    "1024-bits": "v=DKIM1; p=" + public_key(SMALL),
    "4096-bits": "v=DKIM1; p=" + public_key(LARGE),
    "1024-octets": ("v=DKIM1; p={p}; n=" + "a" * 1024)[: 1024 - len(P) + len("{p}")],
}
ODD_RECORDS = {
    "pkcs1": "v=DKIM1; p=" + public_key(KEY, PublicFormat.PKCS1),
    "for-a-list-of-services": "v=DKIM1; s=tlsrpt:email; p={p}",
    "for-email-in-capitals": "v=DKIM1; s=EMAIL; p={p}",
    "for-no-service": "v=DKIM1; s=; p={p}",
    "for-sha1": "v=DKIM1; h=sha1; p={p}",
    "for-no-hash": "v=DKIM1; h=; p={p}",
    "for-any-hash": "v=DKIM1; h=*; p={p}",
    "version-in-small-letters": "v=dkim1; p={p}",
    "type-in-capitals": "v=DKIM1; k=RSA; p={p}",
    "type-empty": "v=DKIM1; k=; p={p}",
    "p-twice": "v=DKIM1; p={p}; p={p}",
    "p-in-capitals": "v=DKIM1; P={p}",
    "semicolon-in-front": "; v=DKIM1; p={p}",
    "two-semicolons": "v=DKIM1;; p={p}",
    "no-equals": "v=DKIM1; note; p={p}",
    "8-bit-note": "v=DKIM1; n=\xe9; p={p}",
    "control-in-a-note": "v=DKIM1; n=a\x01b; p={p}",
    "backslashes": "v=DKIM1\\; p={p}",
    "equals-too-many": "v=DKIM1; p={p}=",
    "four-equals-too-many": "v=DKIM1; p={p}====",
    "8-bit-in-p": f"v=DKIM1; p={P[:50]}\xa0{P[50:]}",
    "over-1024-octets": "v=DKIM1; n=" + "a" * 1100 + "; p={p}",
    "no-null-behind-the-algorithm": "v=DKIM1; p="
    + base64.b64encode(
        b"\x30\x82\x01\x20"
        + base64.b64decode(P)[4:6].replace(b"\x30\x0d", b"\x30\x0b")
        + base64.b64decode(P)[6:17]
        + base64.b64decode(P)[19:]
    ).decode(),
}
KEYS = {"1024-bits": SMALL, "4096-bits": LARGE}

# Beside a sound signature: a field that makes OpenDKIM verify none, above it or below.
WELL_FORMED = "v=1; a=rsa-sha256; d=bad.example; s=s1; h=from; bh=AAAA; b=AAAA"
NEIGHBOURS = {
    "empty": "",
    "no-tag-list": "hello",
    "encoded-word": "=?UTF-8?Q?v=3D1;_a=3Drsa-sha256?=",
    "no-version": WELL_FORMED.replace("v=1; ", ""),
    "no-algorithm": WELL_FORMED.replace("a=rsa-sha256; ", ""),
    "8-bit": f"{WELL_FORMED}; y=\xe9",
    "two-semicolons": f"{WELL_FORMED};;",
    "signed-at-no-number": f"{WELL_FORMED}; t=soon",
    "expires-at-nothing": f"{WELL_FORMED}; x=",
}


def neighbour(value: str, *, below: bool = False) -> bytes:
    field = ("DKIM-Signature", f" {value}".encode("latin-1"))
    if below:
        return replace(PLAIN, header=(field, *HEADER)).message(KEY)
    return PLAIN.message(KEY, above=(field,))


def selector(record: str) -> str:
    return f"{record}-record"


def all_records() -> dict[str, str]:
    """The text of each key record."""
    return {name: text.replace("{p}", P) for name, text in (SOUND_RECORDS | ODD_RECORDS).items()}


ZONE = txt(f"{'s1'}._domainkey.{DOMAIN}.", f"v=DKIM1; k=rsa; p={P}") + "".join(
    txt(f"{selector(name)}._domainkey.{DOMAIN}.", text) for name, text in all_records().items()
)
DNS = Zone.parse(ZONE)


def counts(message: bytes) -> bool:
    """Whether alignd counts a signature of the domain."""
    header, body = split_message(message)
    checked = verify_signatures(Message("", (), header, body=body), DNS, time.time())
    return any(
        each.result is DkimResult.PASS and each.domain is not None and each.domain.name == DOMAIN
        for each in checked
    )


def messages() -> dict[str, bytes]:
    """Every message, by its name; the names of records and neighbours say what they are of."""
    found = {name: draft.message(KEY) for name, draft in (SOUND | ODD).items()}
    for name in all_records():
        found[selector(name)] = of_tag("s", selector(name)).message(KEYS.get(name, KEY))
    for name, value in NEIGHBOURS.items():
        found[f"below-{name}"] = neighbour(value)
        found[f"above-{name}"] = neighbour(value, below=True)
    for count in range(1, 4):
        found[f"below-{count}-others"] = PLAIN.message(KEY, above=(JUNK,) * count)
    return found


COUNTED = [*SOUND, *map(selector, SOUND_RECORDS), "below-1-others"]
"""What all verifiers take."""
NOT_COUNTED = [*ODD, *map(selector, ODD_RECORDS), *(f"above-{each}" for each in NEIGHBOURS)]
"""What one of them does not, at least."""
