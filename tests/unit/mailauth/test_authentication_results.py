"""Authentication-Results: the form that counts, and what is left of it for the cache."""

import random

import pytest
from cryptography.hazmat.primitives.serialization import PublicFormat
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alignd.mail.message import HeaderField, Message
from alignd.mailauth.authentication_results import read_upstream, reduced_upstream
from alignd.mailauth.dkim_key import DkimResult
from alignd.mailauth.dkim_signature import hides_all_signatures
from alignd.mailauth.dns import Answer, LookupFailed, RecordType
from tests.support.signing import new_key, public_key

KEY = new_key()
GOOD, PKCS1 = (
    f"p={public_key(KEY, form)}"
    for form in (PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1)
)
NOW = 1_800_000_000
PASS = "dkim=pass header.d=mycompany.com"
SIGNATURE = "v=1; a=rsa-sha256; d=mycompany.com; s=s1; h=from; bh=AAAA; b=AAAA"
OTHER = SIGNATURE.replace("mycompany.com", "other.com")


class Published:
    """A Lookup with one key for every name."""

    def __init__(self, text: str = GOOD) -> None:
        self.text = text

    def look_up(self, name: str, record_type: RecordType, **_: bool) -> Answer | LookupFailed:
        assert "._domainkey." in name
        assert record_type is RecordType.TXT
        return Answer((self.text.encode(),))


def message(results: str | list[str], *signatures: str) -> Message:
    written = [results] if isinstance(results, str) else results
    fields = [("Authentication-Results", each) for each in written]
    fields += [("DKIM-Signature", each) for each in signatures]
    fields.append(("From", "Marky <marky@mycompany.com>"))
    return Message("", (), tuple(HeaderField(n, v.encode("latin-1")) for n, v in fields))


def passes(what: Message, key: str = GOOD) -> bool:
    checked = read_upstream(what, ("relay",), Published(key), NOW)
    return any(each.result is DkimResult.PASS for each in checked)


@pytest.mark.parametrize(
    "results",
    [
        pytest.param(f"relay; {PASS}", id="bare"),
        pytest.param(f"RELAY 1; {PASS} header.a=rsa-sha256 header.s=s1;", id="version-1"),
        pytest.param(
            "relay;\n\tdkim=pass (2048-bit key; unprotected) header.d=mycompany.com"
            " header.i=@mycompany.com header.a=rsa-sha256 header.s=s1 header.b=AbCd12/x;"
            "\n\tdkim-atps=neutral",
            id="opendkim",
        ),
        pytest.param(f"relay; iprev=pass (x) policy.iprev=2001:db8::1; {PASS}", id="iprev-v6"),
        pytest.param(
            "relay;\n\tdkim=pass header.d=mycompany.com header.s=s1 header.b=AbCd12/x;\n\tspf=pass"
            " (relay: domain of a@b.com designates 1.2.3.4 as permitted sender)"
            " smtp.mailfrom=a@b.com;\n\tdmarc=pass (policy=reject) header.from=mycompany.com",
            id="rspamd",
        ),
        pytest.param(f'relay; dmarc=none; {PASS} header.x="a; b"', id="a-quoted-value"),
        pytest.param(
            ["relay; dmarc=pass header.from=x.com", f"relay; {PASS}"], id="below-one-of-dmarc"
        ),
        pytest.param(["mx.elsewhere; dkim=none", f"relay; {PASS}"], id="below-one-of-others"),
    ],
)
def test_the_form_that_verifiers_write(results: str) -> None:
    assert passes(message(results))


@pytest.mark.parametrize(
    "results",
    [
        pytest.param("relay; dkim/1=pass header.d=mycompany.com", id="version-of-the-method"),
        pytest.param("relay; dkim=pass foo.bar=x header.d=mycompany.com", id="unknown-ptype"),
        pytest.param(f"relay; {'spf=pass smtp.helo=a;' * 16} {PASS}", id="seventeen-results"),
        pytest.param(f"relay; {PASS}{' header.x=y' * 8}", id="nine-properties"),
        pytest.param(f"relay; spf=none smtp.mailfrom=; {PASS}", id="no-value"),
        pytest.param(f"relay; spf=none smtp.mailfrom=a..b; {PASS}", id="two-dots"),
        pytest.param(f"relay 2; {PASS}", id="version-2"),
        pytest.param(f"relay; none; {PASS}", id="none"),
        pytest.param("relay; dkim=pass Header.d=mycompany.com", id="capitals"),
        pytest.param(f"relay; x=pass (a (b) c); {PASS}", id="comment-in-a-comment"),
        pytest.param(f'relay; x=pass (a " b); {PASS}', id="quote-in-a-comment"),
        pytest.param(f"relay; x=pass smtp.x=a\\b; {PASS}", id="backslash"),
        pytest.param(f"relay; x=pass smtp.x=\xe9; {PASS}", id="8-bit"),
        pytest.param(f"relay; {PASS} header.d=other.com", id="two-domains"),
        pytest.param('relay; dkim=pass header.x="a header.d=mycompany.com"', id="in-a-value"),
        pytest.param(["relay; dkim=none", f"relay; {PASS}"], id="below-one-of-dkim"),
        pytest.param(["relay; dkim!", f"relay; {PASS}"], id="below-what-may-be-one"),
        pytest.param(f"relay; {PASS}" + " " * 2048, id="too-long"),
    ],
)
def test_another_form_says_nothing(results: str) -> None:
    assert not passes(message(results))


@pytest.mark.parametrize(
    ("signatures", "key", "is_pass"),
    [
        pytest.param([SIGNATURE], GOOD, True, id="the-signature"),
        pytest.param([OTHER, SIGNATURE], GOOD, True, id="second"),
        pytest.param([OTHER, OTHER, SIGNATURE], GOOD, False, id="third-behind-the-signer-s"),
        pytest.param([SIGNATURE, OTHER, SIGNATURE], GOOD, False, id="which-one-is-not-known"),
        pytest.param([OTHER], GOOD, False, id="no-such-signature"),
        pytest.param([SIGNATURE], PKCS1, False, id="its-key-is-not-for-all"),
        pytest.param([SIGNATURE + "; x=1700000000"], GOOD, False, id="past"),
        pytest.param([SIGNATURE.replace("from", "from:received")], GOOD, False, id="oversigned"),
        pytest.param([SIGNATURE.replace("from", "from:x-any")], GOOD, True, id="may-be-there"),
        pytest.param([SIGNATURE, "hello"], GOOD, False, id="a-malformed-one-beside"),
        pytest.param([SIGNATURE + "; t=soon"], GOOD, False, id="malformed-itself"),
        pytest.param(
            [SIGNATURE, OTHER + "; i=a=3B@other.com"], GOOD, False, id="one-that-may-be-echoed"
        ),
    ],
)
def test_the_signature_on_the_message_has_its_say(
    signatures: list[str], key: str, is_pass: bool
) -> None:
    assert passes(message(f"relay; {PASS} header.s=s1", *signatures), key) == is_pass


def test_a_from_that_opendkim_cannot_read_hides_what_it_removes() -> None:
    header = (
        HeaderField("Authentication-Results", f"relay; {PASS}".encode()),
        HeaderField("From", b"Ann \\( <ann@mycompany.com>"),
    )

    assert not passes(Message("", (), header))


TAGS = ["v=1", "a=rsa-sha256", "a=rsa-sha1", "d=mycompany.com", "d=other.com", "s=s1", "s=s2"]
TAGS += ["h=from", "h=from:received", "bh=AAAA", "b=AAAA", "b=AAA", "x=1700000000", "t=soon"]
TAGS += ["t=1700000001", "t=1900000000", "i=@mycompany.com", "i=a=3D@mycompany.com", "c=x", ""]
SIGNATURES = st.one_of(
    st.lists(st.sampled_from(TAGS), max_size=9).map("; ".join),
    st.sampled_from([SIGNATURE, SIGNATURE, OTHER, SIGNATURE.replace("s1", "s2")]),
)
RESULTS = [f"relay; {PASS}", f"relay; {PASS} header.s=s1", f"relay; {PASS}; {PASS} header.s=s2"]
RESULTS += [
    "relay; dkim=none",
    "relay; dkim=pass header.d=other.com header.a=rsa-sha1",
    "relay; x",
]
RESULTS += [
    "second; dkim=pass header.d=other.com header.s=s1",
    "elsewhere; dkim=pass",
    "relay; dkim",
]


@settings(max_examples=400)
@example(RESULTS[2:3], [], GOOD)
@given(
    st.lists(st.sampled_from(RESULTS), max_size=4),
    st.lists(SIGNATURES, max_size=4),
    st.sampled_from([GOOD, PKCS1]),
)
def test_what_is_left_for_the_cache_says_the_same(
    results: list[str], signatures: list[str], key: str
) -> None:
    whole, trusted = message(results, *signatures), ("relay", "second")
    left = [HeaderField(*each) for each in reduced_upstream(whole, trusted, NOW)]
    reduced = Message("", (), (*left, HeaderField("From", b"Marky <marky@mycompany.com>")))

    assert read_upstream(reduced, trusted, Published(key), NOW) == read_upstream(
        whole, trusted, Published(key), NOW
    )
    assert hides_all_signatures(reduced) == hides_all_signatures(whole)
    assert len(reduced.fields("DKIM-Signature")) == len(signatures)


def test_two_messages_of_one_author_leave_the_same() -> None:
    source = random.Random(1)
    left = set()
    for at in range(20):
        octets = "".join(source.choices("ABCDEFGH", k=16))
        tag = f"; t={NOW - at}; x={NOW + 90_000 + at}"
        one = message(
            f"relay; {PASS} header.s=s1 header.b={octets[:8]}",
            SIGNATURE.replace("b=AAAA", f"b={octets}") + tag,
        )
        left.add(reduced_upstream(one, ("relay",), NOW))

    assert len(left) == 1
