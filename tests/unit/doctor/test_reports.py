"""`alignd doctor` on reports: what is asked for, what should be, and the record that mends it."""

import pytest

from alignd.config.domain_lists import SuffixList
from alignd.config.file import parse_configuration
from alignd.doctor.dns.reports import examine_reports
from alignd.doctor.findings import TopicReport
from alignd.resolver.zone import Zone
from tests.lab.settings import configuration, world

SUFFIXES = SuffixList()
OURS = 'reports = { address = "dmarc@easysoftware.com" }\n'
ELSEWHERE = 'reports = { address = "dmarc@easy.example" }\n'
ASKING = "v=DMARC1; p=reject; rua=mailto:dmarc@easysoftware.com"
AT = "notifications.easysoftware.com"


def examined(zone: str, changes: str = OURS) -> TopicReport:
    config = parse_configuration(configuration(changes), "test")
    lookup = Zone.parse(world(zone))
    return examine_reports(config, lambda: lookup, SUFFIXES)


def findings(report: TopicReport) -> list[str]:
    return [f"{each.id.value} {each.fix}" for each in report.findings]


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        pytest.param(
            "",
            [
                f'reports-not-requested _dmarc.{AT}. TXT "{ASKING}"',
                'reports-not-requested _dmarc.easysoftware.com. TXT "v=DMARC1; p=none; '
                'rua=mailto:dmarc@easysoftware.com"',
            ],
            id="none-asks",
        ),
        pytest.param(
            f'_dmarc.{AT}. TXT "{ASKING}"\n',
            [
                'reports-not-requested _dmarc.easysoftware.com. TXT "v=DMARC1; p=none; '
                'rua=mailto:dmarc@easysoftware.com"'
            ],
            id="some-report-by-organizational-domain",
        ),
        pytest.param(
            f'_dmarc.{AT}. TXT "{ASKING}"\n_dmarc.easysoftware.com. TXT "{ASKING}"\n',
            [],
            id="both-ask",
        ),
        pytest.param(
            f'_dmarc.easysoftware.com. TXT "v=DMARC1; p=none; sp=reject"\n{AT}. A 192.0.2.1\n'
            f'_dmarc.{AT}. TXT "no record"\n',
            [
                'reports-not-requested _dmarc.easysoftware.com. TXT "v=DMARC1; p=none; '
                'sp=reject; rua=mailto:dmarc@easysoftware.com"'
            ],
            id="its-record-is-that-of-the-organization",
        ),
        pytest.param(
            f"_dmarc.{AT}. CNAME d.example.\n"
            f'd.example. TXT "v=DMARC1; p=reject"\n_dmarc.easysoftware.com. TXT "{ASKING}"\n',
            [f'reports-not-requested d.example. TXT "{ASKING}"'],
            id="an-alias",
        ),
    ],
)
def test_what_is_missing_is_said_with_its_record(zone: str, expected: list[str]) -> None:
    assert findings(examined(zone)) == expected


def test_an_address_elsewhere_has_to_be_allowed_there() -> None:
    asking = "v=DMARC1; p=reject; rua=mailto:dmarc@easy.example"
    zone = f'_dmarc.{AT}. TXT "{asking}"\n_dmarc.easysoftware.com. TXT "{asking}"\n'

    assert findings(examined(zone, ELSEWHERE)) == [
        f'reports-not-allowed {AT}._report._dmarc.easy.example. TXT "v=DMARC1"',
        'reports-not-allowed easysoftware.com._report._dmarc.easy.example. TXT "v=DMARC1"',
    ]


@pytest.mark.parametrize("changes", [OURS, ELSEWHERE])
@pytest.mark.parametrize("own", ["", f'_dmarc.{AT}. TXT "v=DMARC1; p=none; aspf=s"\n'])
def test_who_publishes_what_is_said_hears_no_more(changes: str, own: str) -> None:
    before = examined(own, changes)
    assert before.findings

    fixed = [each.fix for each in before.findings]
    names = {fix.partition(" ")[0] for fix in fixed}
    kept = "".join(line for line in own.splitlines(keepends=True) if line.split()[0] not in names)
    after = examined(kept + "".join(f"{fix}\n" for fix in fixed), changes)

    assert (after.findings, after.unknown) == ((), ())
    assert len(after.notes) == len(names - {each for each in names if "_report" in each})


def test_without_an_address_it_says_what_is_asked_for_and_finds_nothing() -> None:
    asking = examined(f'_dmarc.{AT}. TXT "{ASKING}"\n', "")
    silent = examined("", "")

    assert asking.findings == silent.findings == ()
    assert "dmarc@easysoftware.com" in asking.notes[0].text
    assert "no reports" in silent.notes[0].text


def test_what_dns_does_not_say_is_unknown() -> None:
    report = examined(f"; TIMEOUT _dmarc.{AT}\n")

    assert len(report.unknown) == 1
    assert not report.findings
