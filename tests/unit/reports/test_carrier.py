"""A report counts for whose mail brought it; what anybody could have forged counts for nobody."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from alignd.config.domain_lists import FreemailDomains, SuffixList
from alignd.mail.domain import Domain
from alignd.mail.ip_address import parse_ip_address
from alignd.mail.message import Message, split_message
from alignd.reports.carrier import Carrier, Doubt, Unverified, Verified, judge_carrier
from alignd.reports.identity import identity_of
from alignd.reports.report import Report
from alignd.resolver.zone import Zone
from tests.support.reports import GOOD, read
from tests.support.signing import Draft, new_key, public_key, txt

NOW = 1_700_000_000.0
SUFFIXES, PROVIDERS = SuffixList(), FreemailDomains()
REPORTER = Domain("dmarc.receiver.example")


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return new_key()


@pytest.fixture(scope="module")
def zone(key: rsa.RSAPrivateKey) -> Zone:
    published = f"v=DKIM1; k=rsa; p={public_key(key)}"
    domains = ["receiver.example", "gmail.com", "stranger.example"]
    return Zone.parse(
        "".join(txt(f"s1._domainkey.{each}.", published) for each in domains)
        + txt("dmarc.receiver.example.", "v=spf1 ip4:192.0.2.25 -all")
        + txt("_dmarc.receiver.example.", "v=DMARC1; p=reject")
        + "; SERVFAIL s1._domainkey.gone.example.\n"
    )


def mail(
    key: rsa.RSAPrivateKey, author: str, signer: str = "receiver.example", **tags: str
) -> Message:
    """A signed mail of *author*."""
    header = (
        ("From", f" Reports <{author}>".encode()),
        ("To", b" <dmarc@notifications.example>"),
        ("Subject", b" Report Domain: mycompany.com"),
        ("Date", b" Tue, 14 Nov 2023 22:13:20 +0000"),
        ("Message-ID", b" <1@receiver.example>"),
    )
    draft = replace(Draft().with_tags(d=signer, **tags), header=header, body=b"a report\r\n")
    fields, body = split_message(draft.message(key))
    return Message("", (), fields, body=body)


def judged(message: Message | None, zone: Zone) -> Carrier:
    return judge_carrier(message, zone, SUFFIXES, PROVIDERS, NOW)


def doubt(message: Message | None, zone: Zone) -> Doubt | None:
    carrier = judged(message, zone)
    return carrier.why if isinstance(carrier, Unverified) else None


def test_a_signature_that_aligns_vouches_for_the_domain_of_from(
    key: rsa.RSAPrivateKey, zone: Zone
) -> None:
    assert judged(mail(key, f"noreply@{REPORTER}"), zone) == Verified(REPORTER)


def test_spf_vouches_where_the_client_is_known(key: rsa.RSAPrivateKey, zone: Zone) -> None:
    signed = mail(key, f"noreply@{REPORTER}")
    bare = tuple(each for each in signed.header if each.name != "DKIM-Signature")
    known = replace(signed, envelope_sender=f"noreply@{REPORTER}", header=bare)

    assert doubt(known, zone) is Doubt.FORGEABLE
    for client, wanted in (("192.0.2.25", None), ("192.0.2.26", Doubt.FORGEABLE)):
        assert doubt(replace(known, client=parse_ip_address(client)), zone) is wanted


@pytest.mark.parametrize(
    ("author", "signer", "wanted"),
    [
        pytest.param(
            "d@receiver.example", "stranger.example", Doubt.FORGEABLE, id="of-a-stranger"
        ),
        pytest.param(
            "d@sub.stranger.example", "stranger.example", Doubt.FORGEABLE, id="no-record"
        ),
        pytest.param("d@gmail.com", "gmail.com", Doubt.MAILBOX_PROVIDER, id="mailbox-provider"),
        pytest.param("d@gone.example", "gone.example", Doubt.DNS, id="dns-fails"),
        pytest.param("d@x.example>, <e@y.example", "x.example", Doubt.NO_AUTHOR, id="two-authors"),
        pytest.param("d@nokey.example", "nokey.example", Doubt.FORGEABLE, id="no-key"),
    ],
)
def test_a_signature_vouches_for_nobody_else(
    key: rsa.RSAPrivateKey, zone: Zone, author: str, signer: str, wanted: Doubt
) -> None:
    assert doubt(mail(key, author, signer), zone) is wanted


@pytest.mark.parametrize(
    ("signed", "expires", "wanted"),
    [
        pytest.param(NOW - 90 * 86_400, NOW - 80 * 86_400, None, id="expired-since"),
        pytest.param(NOW - 60, NOW + 7 * 86_400, None, id="in-force"),
        pytest.param(NOW + 86_400, NOW + 7 * 86_400, Doubt.FORGEABLE, id="in-the-future"),
        pytest.param(NOW - 60, NOW - 90, Doubt.FORGEABLE, id="never-in-force"),
    ],
)
def test_a_signature_counts_at_the_time_that_it_was_made(
    key: rsa.RSAPrivateKey, zone: Zone, signed: float, expires: float, wanted: Doubt | None
) -> None:
    times = {"t": str(int(signed)), "x": str(int(expires))}

    assert doubt(mail(key, f"noreply@{REPORTER}", **times), zone) is wanted


def test_a_body_that_was_changed_is_nobodys(key: rsa.RSAPrivateKey, zone: Zone) -> None:
    changed = replace(mail(key, f"noreply@{REPORTER}"), body=b"another report\r\n")

    assert doubt(changed, zone) is Doubt.FORGEABLE


def test_a_file_is_nobodys(zone: Zone) -> None:
    assert doubt(None, zone) is Doubt.NO_MAIL


def report(text: str = GOOD) -> Report:
    found, _ = read(text)
    assert isinstance(found, Report)
    return found


VERIFIED = Verified(REPORTER)


@pytest.mark.parametrize(
    ("text", "carrier"),
    [
        pytest.param(GOOD, VERIFIED, id="the-same"),
        pytest.param(GOOD, Verified(Domain("receiver.example")), id="from-another-of-its-domains"),
        pytest.param(
            GOOD.replace("dmarc@receiver", "dmarc@other"), VERIFIED, id="other-words-of-its-own"
        ),
        pytest.param(GOOD.replace("1700086399", "1700086400"), VERIFIED, id="another-end"),
    ],
)
def test_a_copy_has_the_same_key(text: str, carrier: Carrier) -> None:
    key = identity_of(report(), VERIFIED, SUFFIXES)

    assert identity_of(report(text), carrier, SUFFIXES) == key
    assert key.reporter == "receiver.example"


@pytest.mark.parametrize(
    ("text", "carrier"),
    [
        pytest.param(GOOD.replace("r-1", "r-2"), VERIFIED, id="another-id"),
        pytest.param(GOOD.replace("<begin>17", "<begin>16"), VERIFIED, id="another-time"),
        pytest.param(
            GOOD.replace("mycompany.com</domain><adkim>", "x.example</domain><adkim>"),
            VERIFIED,
            id="another-policy",
        ),
        pytest.param(GOOD, Verified(Domain("other.example")), id="another-reporter"),
        pytest.param(GOOD, Unverified(Doubt.FORGEABLE), id="a-forged-one-in-its-name"),
    ],
)
def test_another_report_has_another_key(text: str, carrier: Carrier) -> None:
    assert identity_of(report(text), carrier, SUFFIXES) != identity_of(
        report(), VERIFIED, SUFFIXES
    )


@pytest.mark.parametrize(
    ("text", "reporter"),
    [
        pytest.param(GOOD, "receiver.example", id="address"),
        pytest.param(GOOD.replace("dmarc@receiver.example", ""), "receiver", id="name"),
    ],
)
def test_an_unverified_report_goes_by_its_own_words(text: str, reporter: str) -> None:
    assert identity_of(report(text), Unverified(Doubt.NO_MAIL), SUFFIXES).reporter == reporter
