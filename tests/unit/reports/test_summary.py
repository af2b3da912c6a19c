"""The summary tells mail of ours from others', and what fails there from what is no fault."""

import tracemalloc
from dataclasses import replace

import pytest

from alignd.config.file import parse_configuration
from alignd.config.opendkim import parse_tables
from alignd.mail.domain import Domain
from alignd.mail.ip_address import parse_ip_address
from alignd.reports.carrier import Carrier, Doubt, Unverified, Verified
from alignd.reports.identity import ReportIdentity
from alignd.reports.ours import Fault, Origin, Ours, dkim_fault, passes, spf_fault
from alignd.reports.problem import ProblemKind, ReportProblem
from alignd.reports.report import (
    Disposition,
    DkimResult,
    Outcome,
    PublishedPolicy,
    Report,
    Row,
    SpfResult,
)
from alignd.reports.summary import MAX_NAMES, MAX_PROBLEMS, Failure, Summary, Tally
from tests.support.configtext import BASE

RELAY, ELSEWHERE = parse_ip_address("192.0.2.25"), parse_ip_address("203.0.113.9")
OUR_DOMAIN, CUSTOMER = Domain("notifications.example"), Domain("mycompany.example")
FORWARDER = Domain("forwarder.example")
OURS = Ours(
    frozenset({RELAY}),
    frozenset({OUR_DOMAIN}),
    frozenset({(OUR_DOMAIN.name, "n1"), ("", "helpdesk")}),
    exempt=frozenset({Domain("exempt.example")}),
    leaves_monitored=True,
)
PASS, FAIL, UNKNOWN = Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN
SIGNED = DkimResult(OUR_DOMAIN, "n1", "pass")
AUTHORISED = SpfResult(OUR_DOMAIN, "mfrom", "pass")
ROW = Row(
    RELAY, 3, Disposition.NONE, PASS, PASS, (), OUR_DOMAIN, OUR_DOMAIN, (SIGNED,), (AUTHORISED,)
)
FAILING = replace(ROW, dkim=FAIL, spf=FAIL, dkim_results=(), spf_results=())
POLICY = PublishedPolicy(CUSTOMER, "r", "r", "reject", "", "", "", "", "")
REPORT = Report("Receiver", None, "r-1", 1_700_000_000, 1_700_086_399, POLICY, 1, 3, 0)
RECEIVER = Verified(Domain("receiver.example"))


def summed(
    *rows: Row,
    report: Report = REPORT,
    carrier: Carrier = RECEIVER,
    ours: Ours = OURS,
    into: Summary | None = None,
) -> Summary:
    summary = into or Summary()
    tally = Tally(ours)
    for row in rows:
        tally.add(row)
    is_verified = isinstance(carrier, Verified)
    name = carrier.domain.name if isinstance(carrier, Verified) else "somebody"
    key = ReportIdentity(name, is_verified, report.report_id, report.policy.domain, report.begin)
    summary.add(replace(report, messages=sum(row.count for row in rows)), carrier, key, tally)
    return summary


@pytest.mark.parametrize(
    ("row", "origin"),
    [
        pytest.param(ROW, Origin.REWRITTEN, id="of-the-notifications-domain"),
        pytest.param(FAILING, Origin.REWRITTEN, id="even-if-it-fails"),
        pytest.param(replace(ROW, header_from=CUSTOMER), Origin.OURS, id="of-an-author-domain"),
        pytest.param(replace(ROW, header_from=None), Origin.OURS, id="of-a-domain-not-said"),
        pytest.param(
            replace(ROW, source=ELSEWHERE), Origin.UNLISTED, id="our-key-and-spf-elsewhere"
        ),
        pytest.param(
            replace(
                ROW,
                source=ELSEWHERE,
                header_from=CUSTOMER,
                dkim_results=(DkimResult(CUSTOMER, "helpdesk", "pass"),),
                spf_results=(SpfResult(CUSTOMER, "mfrom", "pass"),),
            ),
            Origin.UNLISTED,
            id="a-key-that-a-customer-delegated",
        ),
        pytest.param(
            replace(ROW, source=ELSEWHERE, spf=FAIL, spf_results=()),
            Origin.FORWARDED,
            id="our-key-but-no-spf-elsewhere",
        ),
        pytest.param(
            replace(
                ROW,
                source=ELSEWHERE,
                spf=FAIL,
                spf_results=(SpfResult(FORWARDER, "mfrom", "pass"),),
            ),
            Origin.FORWARDED,
            id="a-forwarder-with-its-own-envelope-sender",
        ),
        pytest.param(replace(FAILING, source=ELSEWHERE), Origin.FOREIGN, id="forged"),
        pytest.param(
            replace(ROW, source=ELSEWHERE, dkim_results=(replace(SIGNED, selector="mailing"),)),
            Origin.FOREIGN,
            id="another-service-with-its-own-key-in-our-domain",
        ),
        pytest.param(
            replace(ROW, source=ELSEWHERE, dkim_results=(replace(SIGNED, selector=""),)),
            Origin.UNLISTED,
            id="a-signature-of-our-domain-without-the-selector",
        ),
        pytest.param(
            replace(ROW, source=ELSEWHERE, dkim_results=(replace(SIGNED, result="fail"),)),
            Origin.FOREIGN,
            id="a-signature-with-our-names-that-fails",
        ),
    ],
)
def test_a_row_is_of(row: Row, origin: Origin) -> None:
    assert OURS.origin_of(row) is origin


def test_where_no_key_is_named_every_signature_of_our_domain_is_ours() -> None:
    ours = replace(OURS, keys=frozenset())

    assert ours.origin_of(replace(ROW, source=ELSEWHERE)) is Origin.UNLISTED


def test_what_is_ours_is_told_by_the_configuration() -> None:
    options = (
        '[rules]\nrewrite_on = "enforced"\nexempt = ["exempt.example"]\n'
        '[dkim]\nsigns = [{ domain = "own.example", selector = "S1" }]\n'
        'delegate = { selector = "d1", target = "d1.own.example" }\n'
        '[[tenant]]\nmatch = { X-Host = "a" }\nrelay = { addresses = ["192.0.2.77"] }\n'
        'notifications = { address = "a@tenant.example" }\n'
    )
    configuration = parse_configuration(BASE + options, "x")
    keys = b"k1 own.example:T1:/k\nk2 %:t2:/k\n"
    tables = parse_tables(b"*@own.example k1\n", keys)

    ours = Ours.of(configuration, tables)

    assert {str(each) for each in ours.addresses} >= {"192.0.2.77"}
    assert len(ours.addresses) == 1 + len(configuration.relay.addresses)
    assert ours.domains == {configuration.notifications.domain, Domain("tenant.example")}
    assert ours.keys == {("own.example", "s1"), ("", "d1"), ("own.example", "t1"), ("", "t2")}
    assert ours.exempt == {Domain("exempt.example")}
    assert ours.leaves_monitored


@pytest.mark.parametrize(
    ("dkim", "spf", "outcome"),
    [
        pytest.param(PASS, FAIL, PASS, id="dkim-is-enough"),
        pytest.param(FAIL, PASS, PASS, id="spf-is-enough"),
        pytest.param(PASS, UNKNOWN, PASS, id="one-that-is-known-is-enough"),
        pytest.param(FAIL, FAIL, FAIL, id="neither"),
        pytest.param(FAIL, UNKNOWN, UNKNOWN, id="unknown-is-no-failure"),
        pytest.param(UNKNOWN, UNKNOWN, UNKNOWN, id="nothing-is-said"),
    ],
)
def test_dmarc_passes_by_one_of_two(dkim: Outcome, spf: Outcome, outcome: Outcome) -> None:
    assert passes(replace(ROW, dkim=dkim, spf=spf)) is outcome


@pytest.mark.parametrize(
    ("outcome", "results", "fault"),
    [
        pytest.param(PASS, ["fail", "pass"], Fault.PASS, id="passes"),
        pytest.param(FAIL, [], Fault.NONE, id="nothing-is-there"),
        pytest.param(FAIL, ["none"], Fault.NONE, id="it-says-that-nothing-is-there"),
        pytest.param(FAIL, ["fail", "pass"], Fault.NOT_ALIGNED, id="another-domain"),
        pytest.param(FAIL, ["temperror"], Fault.DNS, id="dns"),
        pytest.param(FAIL, ["softfail"], Fault.FAIL, id="fails"),
        pytest.param(FAIL, ["permerror"], Fault.FAIL, id="cannot-be-read"),
    ],
)
def test_why_a_mechanism_did_not_help(outcome: Outcome, results: list[str], fault: Fault) -> None:
    row = replace(
        ROW,
        dkim=outcome,
        spf=outcome,
        dkim_results=tuple(DkimResult(OUR_DOMAIN, "n1", each) for each in results),
        spf_results=tuple(SpfResult(OUR_DOMAIN, "mfrom", each) for each in results),
    )

    assert (dkim_fault(row), spf_fault(row)) == (fault, fault)


def test_rewritten_mail_is_counted_by_receiver() -> None:
    summary = summed(ROW, FAILING)
    other = Verified(Domain("other.example"))
    summed(ROW, carrier=other, report=replace(REPORT, report_id="r-2"), into=summary)

    found = [(key, each.messages, each.passed) for key, each in summary.rewritten.rows()]
    assert found == [("receiver.example", 6, 3), ("other.example", 3, 3)]
    assert summary.has_outage
    ((failure, figures),) = summary.failures.rows()
    assert failure == Failure(Origin.REWRITTEN, OUR_DOMAIN, RELAY, Fault.NONE, Fault.NONE)
    assert figures.faults == 3


def test_mail_that_kept_its_from_is_counted_by_author_domain() -> None:
    rejected = replace(FAILING, header_from=CUSTOMER, disposition=Disposition.REJECT)
    other = replace(ROW, header_from=Domain("good.example"), count=9, spf=UNKNOWN, dkim=UNKNOWN)

    summary = summed(rejected, other)

    (worst, bad), (_, good) = summary.domains.rows()
    assert (worst, bad.messages, bad.failed, bad.rejected) == (CUSTOMER, 3, 3, 3)
    assert (good.messages, good.passed, good.unknown) == (9, 0, 9)
    assert summary.has_fault
    assert not summary.has_outage


@pytest.mark.parametrize(
    ("domain", "policy", "is_fault"),
    [
        pytest.param(CUSTOMER, POLICY, True, id="that-should-pass"),
        pytest.param(Domain("a.exempt.example"), POLICY, False, id="of-an-exempt-domain"),
        pytest.param(CUSTOMER, replace(POLICY, p="none"), False, id="of-a-monitored-domain"),
        pytest.param(
            CUSTOMER, replace(POLICY, p="none", sp="reject"), True, id="of-half-a-monitored-domain"
        ),
        pytest.param(OUR_DOMAIN, replace(POLICY, p="none"), True, id="rewritten-in-any-case"),
    ],
)
def test_mail_that_fails_is_a_fault(
    domain: Domain, policy: PublishedPolicy, is_fault: bool
) -> None:
    summary = summed(replace(FAILING, header_from=domain), report=replace(REPORT, policy=policy))

    assert summary.has_fault is is_fault
    assert sum(each.failed for _, each in summary.failures.rows()) == 3


def test_without_that_rule_a_monitored_domain_is_a_fault_too() -> None:
    report = replace(REPORT, policy=replace(POLICY, p="none"))
    row = replace(FAILING, header_from=CUSTOMER)

    assert summed(row, report=report, ours=replace(OURS, leaves_monitored=False)).has_fault


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(replace(ROW, source=ELSEWHERE, spf=FAIL, spf_results=()), id="forwarded"),
        pytest.param(replace(FAILING, source=ELSEWHERE), id="forged-by-others"),
        pytest.param(replace(ROW, source=ELSEWHERE), id="from-an-address-we-lack"),
        pytest.param(replace(ROW, spf=FAIL, spf_results=()), id="with-one-of-two"),
    ],
)
def test_it_is_no_fault(row: Row) -> None:
    assert not summed(row).has_fault


def test_a_report_of_nobody_decides_nothing() -> None:
    carrier = Unverified(Doubt.FORGEABLE, "no signature")

    summary = summed(FAILING, carrier=carrier)

    assert not summary.has_fault
    assert summary.counted == 0
    assert summary.begin is None
    ((nobody, figures),) = summary.unverified.rows()
    assert (nobody.organization, nobody.why) == ("Receiver", Doubt.FORGEABLE)
    assert (figures.reports, figures.messages, figures.failed) == (1, 3, 3)


def test_a_copy_counts_once_and_a_forged_one_does_not_hide_it() -> None:
    summary = summed(ROW, carrier=Unverified(Doubt.NO_MAIL))
    for _ in range(3):
        summed(ROW, into=summary)

    assert (summary.counted, summary.reports, summary.duplicates) == (1, 2, 2)
    assert summary.rewritten.total().messages == 3


def test_the_time_is_that_of_all_reports() -> None:
    summary = summed(ROW)
    later = replace(REPORT, report_id="r-2", begin=1_700_086_400, end=1_700_172_799)
    summed(ROW, report=later, into=summary)

    assert (summary.begin, summary.end) == (1_700_000_000, 1_700_172_799)


@pytest.mark.parametrize(
    ("kind", "is_incomplete"),
    [
        pytest.param(ProblemKind.DAMAGED, True, id="a-broken-report"),
        pytest.param(ProblemKind.UNREADABLE, True, id="a-file-that-cannot-be-read"),
        pytest.param(ProblemKind.NO_REPORT, False, id="mail-of-another-kind"),
    ],
)
def test_what_is_missing_is_told_from_what_is_none(kind: ProblemKind, is_incomplete: bool) -> None:
    summary = summed(ROW)
    summary.skip("x", ReportProblem(kind, "why"))

    assert summary.is_incomplete is is_incomplete


def test_what_dns_failed_for_is_incomplete() -> None:
    assert not Summary().is_incomplete
    assert summed(ROW, into=summed(ROW), carrier=Unverified(Doubt.DNS)).is_incomplete
    assert not summed(ROW).is_incomplete


def test_memory_is_bounded_whatever_reports_say() -> None:
    summary = Summary()
    tracemalloc.start()
    try:
        for number in range(8):
            report = replace(REPORT, report_id=f"r-{number}")
            rows = (
                replace(
                    FAILING if place % 2 else ROW,
                    source=parse_ip_address(f"2001:db8::{number:x}:{place:x}")
                    if place % 3
                    else RELAY,
                    header_from=Domain(f"d{number}-{place}.example"),
                )
                for place in range(500)
            )
            summed(*rows, report=report, into=summary)
            carrier = Unverified(Doubt.FORGEABLE, "x" * 1_000_000)
            claims = replace(report, organization=f"{number}" + "y" * 1_000)
            summed(ROW, report=claims, carrier=carrier, into=summary)
            for _ in range(100):
                summary.skip(f"file {number}", ReportProblem(ProblemKind.DAMAGED, "it is cut off"))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert used < 4_000_000
    assert len(summary.domains.rows()) == MAX_NAMES
    assert (
        summary.domains.total().messages
        + summary.foreign.messages
        + (summary.unlisted.total().messages)
        == 8 * 500 * 3
    )
    assert len(summary.problems) == MAX_PROBLEMS
    assert summary.skipped[ProblemKind.DAMAGED] == 800
