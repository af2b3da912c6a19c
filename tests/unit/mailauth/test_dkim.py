"""DKIM: keys, signatures, and upstream results, fact by fact."""

import base64
from ipaddress import ip_address

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from alignd.mail.domain import Domain
from alignd.mail.message import HeaderField, Message
from alignd.mailauth.authentication_results import read_upstream
from alignd.mailauth.dkim import PlannedSignature, check_planned, verify_signatures
from alignd.mailauth.dkim_key import DkimResult, KeyProblem, parse_key
from alignd.mailauth.dkim_signature import (
    CLOCK_MARGIN,
    EXPIRY_MARGIN,
    FIRST_DATE,
    MAX_SIGNATURES,
)
from alignd.mailauth.dns import Answer, LookupFailed, RecordType

PRIVATE = rsa.generate_private_key(65537, 2048)
DER = PRIVATE.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
BARE = PRIVATE.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
P = base64.b64encode(DER).decode()
NOW = 1_800_000_000


class Published:
    """A Lookup with one key for every name."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    def look_up(self, name: str, record_type: RecordType, **_: bool) -> Answer | LookupFailed:
        assert "._domainkey." in name
        assert record_type is RecordType.TXT
        return Answer(tuple(text.encode() for text in self.texts), exists=bool(self.texts))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"v=DKIM1; k=rsa; p={P}", id="usual"),
        pytest.param(f"p={P}", id="version-and-type-have-defaults"),
        pytest.param(f"v=DKIM1;p={P};", id="semicolon-at-the-end"),
        pytest.param(f"k=rsa; h=sha1:sha256; t=s:x; p={P}", id="lists"),
        pytest.param(f"s=*; n=hello; x=y; p={P[:100]} {P[100:]}", id="blanks-in-the-key"),
    ],
)
def test_keys_that_every_receiver_can_use(text: str) -> None:
    assert not isinstance(parse_key(text.encode()), KeyProblem)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("hello", id="no-tags"),
        pytest.param("v=DKIM1", id="no-key"),
        pytest.param("p=", id="revoked"),
        pytest.param("p=AAAA", id="no-such-key"),
        pytest.param("p=!", id="not-base64"),
        pytest.param(f"p={P}; v=DKIM1", id="version-not-first"),
        pytest.param(f"v=DKIM2; p={P}", id="other-version"),
        pytest.param(f"p={P}; p={P}", id="key-twice"),
        pytest.param(f"k=ed25519; p={P}", id="other-type"),
        pytest.param(f"h=sha1; p={P}", id="other-hash"),
        pytest.param(f"s=tlsrpt; p={P}", id="other-service"),
        pytest.param(f"t=s:y; p={P}", id="test-mode"),
    ],
)
def test_keys_that_some_receiver_cannot_use(text: str) -> None:
    assert isinstance(parse_key(text.encode()), KeyProblem)


@given(st.binary(max_size=300))
def test_any_key_record_is_read_or_refused(text: bytes) -> None:
    parse_key(text)


def test_the_published_key_must_be_that_of_the_private_key() -> None:
    other = rsa.generate_private_key(65537, 2048).private_numbers().public_numbers.n
    ours = PRIVATE.private_numbers().public_numbers.n
    domain = Domain("mycompany.com")

    for modulus, result in ((ours, "pass"), (None, "pass"), (other, "fail")):
        planned = PlannedSignature(domain, "easy1", modulus=modulus)
        assert check_planned(planned, Published(f"p={P}")).result.value == result


@pytest.mark.parametrize(
    ("tags", "problem"),
    [
        pytest.param("", "", id="no-times"),
        pytest.param(f"t={NOW}; x={NOW + EXPIRY_MARGIN + 1};", "", id="enough-time-left"),
        pytest.param(f"x={NOW + EXPIRY_MARGIN};", "expires soon", id="may-expire-in-a-queue"),
        pytest.param(f"x={NOW - 1};", "expires soon", id="expired"),
        pytest.param(f"t={NOW + CLOCK_MARGIN + 1};", "from the future", id="from-the-future"),
        pytest.param(f"t={FIRST_DATE - 1};", "from before DKIM", id="from-the-last-century"),
        pytest.param("t=0;", "from before DKIM", id="zero"),
        pytest.param("t=soon;", "malformed", id="no-number"),
        pytest.param(f"t={NOW}; x={NOW};", "expires soon", id="past-when-it-was-made"),
    ],
)
def test_times_of_a_signature(tags: str, problem: str) -> None:
    signature = f"v=1; a=rsa-sha256; d=mycompany.com; s=s1; h=from; {tags} bh=AAAA; b=AAAA"
    header = (HeaderField("DKIM-Signature", signature.encode()), HeaderField("From", b"a@b.cz"))
    message = Message("", (), header, body=b"")

    (dkim,) = verify_signatures(message, Published(f"p={P}"), NOW)

    assert dkim.result is not DkimResult.PASS
    assert (dkim.explanation != "the body is not what was signed") == bool(problem)
    assert problem in dkim.explanation


@given(st.lists(st.binary(max_size=120), max_size=3), st.binary(max_size=50))
def test_any_signature_is_read_or_refused(values: list[bytes], body: bytes) -> None:
    clean = [value.replace(b"\n", b"\n ") for value in values]
    header = tuple(HeaderField("DKIM-Signature", value) for value in clean)

    results = verify_signatures(Message("", (), header, body=body), Published(f"p={P}"), NOW)

    assert len(results) == min(len(values), MAX_SIGNATURES)
    assert all(dkim.result is not DkimResult.PASS for dkim in results)


PIECES = [
    *'();=."\\/ ',
    "smtp2.easyredmine.com",
    "dkim",
    "=pass",
    "header.d",
    "mycompany.com",
    "1",
]
FIELDS = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@given(st.one_of(FIELDS.map(str.encode), st.binary(max_size=100)))
def test_any_upstream_field_is_read_or_says_nothing(value: bytes) -> None:
    header = (HeaderField("Authentication-Results", value.replace(b"\n", b"\n ")),)
    message = Message("", (), header, ip_address("127.0.0.1"))

    for dkim in read_upstream(message, ("smtp2.easyredmine.com",), Published(), NOW):
        assert value.lower().startswith(b"smtp2.easyredmine.com") or b"smtp2" in value.lower()
        assert dkim.domain is not None
