"""Who publishes what is advised has reports sent, and nothing else changed."""

import pytest

from alignd.advice.publication import Impossible, Publication
from alignd.advice.report_request import ReportRequest, advise_reports
from alignd.config.domain_lists import SuffixList
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.mailauth.dns import Answer, Lookup, LookupFailed, RecordType
from alignd.resolver.zone import Zone
from tests.support.customers import SHARED, customers

OURS = Mailbox("dmarc", Domain("easysoftware.com"))
SUFFIXES = SuffixList()
ASKED = "v=DMARC1; p=reject; rua=mailto:dmarc@easysoftware.com"
PERMIT = 'mycompany.com._report._dmarc.easysoftware.com. TXT "v=DMARC1"\n'


def advised(
    zone: str, domain: str = "mycompany.com", address: Mailbox = OURS
) -> ReportRequest | Impossible:
    return advise_reports(Domain(domain), address, Zone.parse(zone), SUFFIXES)


def request(zone: str, domain: str = "mycompany.com", address: Mailbox = OURS) -> ReportRequest:
    found = advised(zone, domain, address)
    assert isinstance(found, ReportRequest), found
    return found


def shown(publication: Publication | None) -> str | None:
    return f"{publication.name} {publication.value}" if publication else None


def test_both_records_are_said_and_the_customers_keeps_its_other_tags() -> None:
    found = request('_dmarc.mycompany.com. TXT "v=DMARC1; p=reject; sp=none; adkim=s"')

    wanted = "v=DMARC1; p=reject; sp=none; adkim=s; rua=mailto:dmarc@easysoftware.com"
    assert shown(found.publication) == f"_dmarc.mycompany.com {wanted}"
    allowing = "mycompany.com._report._dmarc.easysoftware.com v=DMARC1"
    assert shown(found.permission) == allowing
    assert found.publication is not None
    assert found.publication.replaces == (b"v=DMARC1; p=reject; sp=none; adkim=s",)


@pytest.mark.parametrize(
    ("zone", "domain", "publication", "permission"),
    [
        pytest.param(
            f'_dmarc.mycompany.com. TXT "{ASKED}"\n',
            "mycompany.com",
            None,
            "mycompany.com._report._dmarc.easysoftware.com v=DMARC1",
            id="asked-and-not-allowed",
        ),
        pytest.param(
            f'_dmarc.mycompany.com. TXT "{ASKED}"\n{PERMIT}',
            "mycompany.com",
            None,
            None,
            id="nothing-is-missing",
        ),
        pytest.param(
            f'_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"\n{PERMIT}',
            "helpdesk.mycompany.com",
            f"_dmarc.mycompany.com {ASKED}",
            None,
            id="of-a-subdomain-the-record-above",
        ),
        pytest.param(
            '_dmarc.easysoftware.com. TXT "v=DMARC1; p=reject"',
            "shop.easysoftware.com",
            f"_dmarc.easysoftware.com {ASKED}",
            None,
            id="our-own-needs-no-permission",
        ),
        pytest.param(
            '*.mycompany.com. TXT "v=DMARC1; p=reject"\n*.mycompany.com. MX 10 m.mycompany.com.\n'
            + PERMIT,
            "mycompany.com",
            f"*.mycompany.com {ASKED}",
            None,
            id="a-wildcard",
        ),
    ],
)
def test_no_more_is_advised_than_is_missing(
    zone: str, domain: str, publication: str | None, permission: str | None
) -> None:
    found = request(zone, domain)

    assert shown(found.publication) == publication
    assert shown(found.permission) == permission


def test_who_publishes_both_needs_nothing_more() -> None:
    zone: Lookup = Zone.parse('_dmarc.mycompany.com. TXT "v=DMARC1; p=quarantine"')
    first = advise_reports(Domain("mycompany.com"), OURS, zone, SUFFIXES)
    assert isinstance(first, ReportRequest)
    assert first.publication is not None
    assert first.permission is not None

    then = first.permission.over(first.publication.over(zone))

    assert advise_reports(Domain("mycompany.com"), OURS, then, SUFFIXES) == ReportRequest(
        OURS, first.policy, None, None
    )


def test_a_third_address_is_one_that_some_leave_out() -> None:
    two = "rua=mailto:a@mycompany.com,mailto:b@mycompany.com"

    (note,) = request(f'_dmarc.mycompany.com. TXT "v=DMARC1; p=none; {two}"').notes

    assert "number 3" in note


@pytest.mark.parametrize(
    ("zone", "reason"),
    [
        ("mycompany.com. A 192.0.2.1", "no DMARC record"),
        ("; TIMEOUT _dmarc.mycompany.com", "DNS did not say"),
        (
            "_dmarc.mycompany.com. CNAME dmarc.provider.example.\n"
            'dmarc.provider.example. TXT "v=DMARC1; p=none"\n',
            "is an alias (CNAME) of dmarc.provider.example",
        ),
        (
            '_dmarc.mycompany.com. TXT "v=DMARC1; p=none; rua=mailto:a@b.example;'
            ' rua=mailto:b@b.example"',
            "in one way",
        ),
        (
            '_dmarc.mycompany.com. TXT "v=DMARC1; p=none"\n'
            '_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"\n',
            "do not agree",
        ),
        (
            '_dmarc.mycompany.com. TXT "v=DMARC1; p=none"\n'
            "; SERVFAIL mycompany.com._report._dmarc.easysoftware.com\n",
            "DNS did not say whether easysoftware.com allows it",
        ),
    ],
)
def test_what_cannot_be_asked_for_is_said_with_the_reason(zone: str, reason: str) -> None:
    found = advised(zone)

    assert isinstance(found, Impossible)
    assert reason in found.reason


class Vanishing:
    """A DMARC record that is deleted after so many questions."""

    def __init__(self, questions: int) -> None:
        self._left = questions
        self._zone = Zone.parse('_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"')

    def look_up(
        self, name: str, record_type: RecordType, *, is_private: bool = False
    ) -> Answer | LookupFailed:
        del is_private
        if name == "_dmarc.mycompany.com":
            self._left -= 1
            if self._left < 0:
                return Answer(())
        return self._zone.look_up(name, record_type)


@pytest.mark.parametrize("questions", range(12))
def test_a_record_that_is_deleted_meanwhile_is_no_exception(questions: int) -> None:
    found = advise_reports(Domain("mycompany.com"), OURS, Vanishing(questions), SUFFIXES)

    assert isinstance(found, Impossible | ReportRequest)


def test_customers_with_all_kinds_of_dns_are_advised_or_told_why_not() -> None:
    each = list(customers(each=3))
    zone = Zone.parse(SHARED + "".join(customer.zone for customer in each))

    found = [advise_reports(Domain(each.domain), OURS, zone, SUFFIXES) for each in each]

    assert sum(isinstance(each, ReportRequest) for each in found) > 90
    assert sum(isinstance(each, Impossible) for each in found) > 5
