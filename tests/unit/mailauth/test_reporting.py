"""What a DMARC record asks for is read as receivers do, and extended without changing the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.config.domain_lists import SuffixList
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.mailauth.dmarc import DmarcRecord, Tags
from alignd.mailauth.dns import LookupFailed
from alignd.mailauth.reporting.destination import (
    Permission,
    permission_for,
    permission_name,
    wildcard_name,
)
from alignd.mailauth.reporting.rua import asks, report_addresses, with_address
from alignd.resolver.zone import Zone

OURS = Mailbox("dmarc", Domain("easysoftware.com"))
SUFFIXES = SuffixList()


@pytest.mark.parametrize(
    ("record", "addresses"),
    [
        ("v=DMARC1; p=reject", ()),
        ("v=DMARC1; p=reject; rua=mailto:a@x.example", ("a@x.example",)),
        ("v=DMARC1;p=none;RUA=MAILTO:A@X.example!10m,mailto:b@y.example", None),
        ("v=DMARC1; rua = mailto:a@x.example", ("a@x.example",)),
        ("v=DMARC1; rua=https://x.example/r,mailto:a@x.example", ("a@x.example",)),
        # rspamd ends the value at the blank.
        ("v=DMARC1; rua=mailto:a@x.example, mailto:b@y.example", ("a@x.example",)),
        ("v=DMARC1; rua=a@x.example", ()),
        ("v=DMARC1; rua=", ()),
    ],
)
def test_addresses_are_those_that_every_receiver_finds(
    record: str, addresses: tuple[str, ...] | None
) -> None:
    expected = ("a@x.example", "b@y.example") if addresses is None else addresses
    assert report_addresses(Tags.parse(record)) == expected


@pytest.mark.parametrize(
    ("record", "extended"),
    [
        ("v=DMARC1; p=reject", "v=DMARC1; p=reject; rua=mailto:dmarc@easysoftware.com"),
        ("v=DMARC1; p=reject; ", "v=DMARC1; p=reject; rua=mailto:dmarc@easysoftware.com;"),
        (
            "v=DMARC1; rua=mailto:a@x.example!1m; sp=none;pct=50;x-odd=1",
            "v=DMARC1; rua=mailto:a@x.example!1m,mailto:dmarc@easysoftware.com; "
            "sp=none;pct=50;x-odd=1",
        ),
        (
            "v=DMARC1; p=none; rua=mailto:a@x.example, mailto:b@y.example; fo=1",
            "v=DMARC1; p=none; "
            "rua=mailto:a@x.example,mailto:b@y.example,mailto:dmarc@easysoftware.com; fo=1",
        ),
        (
            "v=DMARC1; p=none; rua=mailto:a@x.example, mailto:dmarc@easysoftware.com",
            "v=DMARC1; p=none; rua=mailto:a@x.example,mailto:dmarc@easysoftware.com",
        ),
        ("v=DMARC1; p=none; rua=;", "v=DMARC1; p=none; rua=mailto:dmarc@easysoftware.com;"),
        # Of these, receivers make different things.
        ("v=DMARC1; rua=mailto:a@x.example; rua=mailto:b@x.example", None),
        (f"v=DMARC1; p=none; x={'y' * 4050}", None),
    ],
)
def test_an_address_is_added_and_all_else_stays(record: str, extended: str | None) -> None:
    assert with_address(record, OURS) == extended
    if extended is not None:
        assert asks(extended, OURS)
        assert with_address(extended, OURS) == extended


_TAGS = st.sampled_from(
    [
        *("p=reject", "p=none", "p=", "p=rej", "sp=quarantine", "np=reject", "adkim=s", "aspf=s"),
        *("pct=5", "rf=iodef", "fo=1:d", "psd=n", "t=y", "ri=86400", "x", "=", "", "\\"),
        *("rua=mailto:a@x.example", "rua=mailto:a@x.example , mailto:b@y.example", "rua=b@x"),
        *("ruf=mailto:a@x.example", " rua =mailto:a@x.example!5k", "rua=https://x.example/a"),
    ]
)


@given(tags=st.lists(_TAGS, max_size=6), separator=st.sampled_from([";", "; ", " ;", ";;"]))
def test_no_record_changes_what_it_asks_of_mail(tags: list[str], separator: str) -> None:
    record = separator.join(["v=DMARC1", *tags])

    extended = with_address(record, OURS)

    if extended is not None:
        old, new = Tags.parse(record), Tags.parse(extended)
        assert DmarcRecord.from_tags(old) == DmarcRecord.from_tags(new)
        assert old.values("psd") == new.values("psd")
        assert set(report_addresses(old)) < {*report_addresses(new), "another"}
        assert asks(extended, OURS)


ALLOWED = """\
good.example._report._dmarc.easysoftware.com. TXT "v=DMARC1"
odd.example._report._dmarc.easysoftware.com. TXT "v=spf1 -all"
*._report._dmarc.easysoftware.com. TXT "v=DMARC1;"
; TIMEOUT down.example._report._dmarc.easysoftware.com
"""


@pytest.mark.parametrize(
    ("domain", "permission"),
    [
        ("easysoftware.com", Permission.NOT_NEEDED),
        ("good.example", Permission.GIVEN),
        ("odd.example", Permission.MISSING),
        ("down.example", LookupFailed("timeout")),
        # RFC 4592, section 3.3.1: names below "example" hide the wildcard from this one.
        ("mycompany.example", Permission.MISSING),
        ("mycompany.com", Permission.GIVEN),
    ],
)
def test_another_organization_has_to_allow_it(
    domain: str, permission: Permission | LookupFailed
) -> None:
    zone = Zone.parse(ALLOWED)

    assert permission_for(Domain(domain), OURS.domain, zone, SUFFIXES) == permission


@pytest.mark.parametrize(
    ("zone", "permission"),
    [
        ('_dmarc.easysoftware.com. TXT "v=DMARC1; p=none"\n', Permission.NOT_NEEDED),
        # RFC 9989, section 4.10.2: the record below makes an organization of its own.
        ("", Permission.MISSING),
    ],
)
def test_one_organization_is_one_by_both_rfcs(zone: str, permission: Permission) -> None:
    below = Domain("notifications.easysoftware.com")
    lookup = Zone.parse(f'{zone}_dmarc.{below}. TXT "v=DMARC1; p=reject"\n')

    assert permission_for(below, OURS.domain, lookup, SUFFIXES) == permission


def test_a_wildcard_stands_where_a_single_name_would() -> None:
    single = permission_name(Domain("x.example"), OURS.domain).name

    assert single == wildcard_name(OURS.domain).replace("*", "x.example")
