"""Reports held against predictions: as shares, and only where nothing changed."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.judgement.reasons import Reason
from alignd.ledger.answer import OTHER
from alignd.ledger.batch import DAY
from alignd.ledger.receivers.rows import PredictedDay, Receivers, ReportKey, Rewriting
from alignd.reports.joined import Forwarded, Joined, join
from alignd.reports.ours import Fault, Origin
from alignd.reports.receivers.disagreements import (
    Cause,
    Disagreement,
    Kind,
    fix_for,
    meaning_of,
)
from alignd.reports.receivers.needless import Candidate, Needless
from alignd.reports.receivers.precision import Month
from alignd.reports.receivers.predicted import Undecided
from alignd.reports.receivers.shares import Held, Open

FIRST = 1_782_864_000
"""2026-07-01."""
SECOND = FIRST + DAY
CUSTOMER, OUR_DOMAIN, RELAY = "mycompany.com", "notifications.example", "192.0.2.25"
ROW = ReportKey(
    *(FIRST, FIRST, "receiver.example", Origin.OURS.value, CUSTOMER, RELAY),
    *("pass", "fail", "pass", "none", False),
)
REWRITTEN = ROW._replace(origin=Origin.REWRITTEN.value, domain=OUR_DOMAIN, dkim="pass")
FAILS = {"result": "fail", "dkim": "none", "spf": "fail"}


def day(
    reason: Reason, messages: int = 10, *, at: int = FIRST, domain: str = CUSTOMER
) -> PredictedDay:
    return PredictedDay(at, domain, reason.action.value, reason.value, messages)


def joined(
    *rows: tuple[ReportKey, int],
    days: Iterable[PredictedDay] = (day(Reason.SPF_ALIGNED),),
    changes: Iterable[tuple[int, str]] = (),
    is_dry: bool = False,
) -> Joined:
    receivers = Receivers(rows=rows, days=tuple(days), changes=frozenset(changes))
    return join(receivers, is_dry=is_dry)


def failed(**words: str) -> ReportKey:
    return ROW._replace(result="fail", **words)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("days", "share"),
    [
        pytest.param([day(Reason.SPF_ALIGNED)], 1.0, id="all-was-to-pass"),
        pytest.param([day(Reason.DKIM_ALIGNED)], 1.0, id="by-dkim"),
        pytest.param([day(Reason.ENVELOPE_ALIGNED)], 1.0, id="with-another-envelope-sender"),
        pytest.param([day(Reason.POLICY_NOT_COVERED)], 0.0, id="a-rule-left-it-alone"),
        pytest.param([day(Reason.EXEMPT)], 0.0, id="an-exempt-domain"),
        pytest.param(
            [day(Reason.SPF_ALIGNED, 30), day(Reason.POLICY_NOT_COVERED, 10)],
            0.75,
            id="a-part-of-it",
        ),
        pytest.param(
            [day(Reason.SPF_ALIGNED), day(Reason.CLIENT_NOT_IN_SCOPE)],
            0.5,
            id="a-part-was-not-looked-at",
        ),
        pytest.param(
            [day(Reason.SPF_ALIGNED), day(Reason.RELAY_NOT_AUTHORISED, 90)],
            1.0,
            id="what-was-rewritten-has-another-name",
        ),
    ],
)
def test_the_share_that_was_to_pass(days: list[PredictedDay], share: float) -> None:
    (held,) = joined((ROW, 4), days=days).domains

    assert (held.name, held.passed, held.share, held.predicted) == (CUSTOMER, 4, 1.0, share)


def test_in_a_dry_run_what_would_be_rewritten_keeps_its_name_and_may_fail() -> None:
    days = [day(Reason.SPF_ALIGNED), day(Reason.RELAY_NOT_AUTHORISED)]
    rows = ((ROW, 1), (failed(spf="fail"), 1))

    found = joined(*rows, days=days, is_dry=True)

    assert not found.has_failure
    assert found.domains[0].predicted == 0.5
    assert joined(*rows, days=days).has_failure


def test_in_a_dry_run_an_envelope_sender_that_would_be_moved_stays_and_may_fail() -> None:
    row = failed(spf="not-aligned"), 3
    days = [day(Reason.ENVELOPE_ALIGNED)]

    assert not joined(row, days=days, is_dry=True).has_failure
    assert joined(row, days=days).has_failure


@pytest.mark.parametrize(
    ("row", "days", "changes", "why"),
    [
        pytest.param(
            ROW, [day(Reason.SPF_ALIGNED)], [(FIRST, CUSTOMER)], Undecided.CHANGED,
            id="its-state-changed-on-that-day",
        ),
        pytest.param(
            ROW._replace(last_day=SECOND),
            [day(Reason.SPF_ALIGNED), day(Reason.SPF_ALIGNED, at=SECOND)],
            [(SECOND, CUSTOMER)],
            Undecided.CHANGED,
            id="its-state-changed-on-the-second-day",
        ),
        pytest.param(
            ROW._replace(last_day=SECOND), [day(Reason.SPF_ALIGNED)], [], Undecided.UNPREDICTED,
            id="the-ledger-lacks-the-second-day",
        ),
        pytest.param(
            ROW, [day(Reason.SPF_ALIGNED, domain="else.example")], [], Undecided.UNPREDICTED,
            id="alignd-has-not-seen-that-domain",
        ),
        pytest.param(
            ROW, [day(Reason.RELAY_NOT_AUTHORISED)], [], Undecided.UNPREDICTED,
            id="all-was-rewritten-so-that-it-is-others-mail",
        ),
        pytest.param(
            ROW._replace(domain=OTHER), [day(Reason.SPF_ALIGNED, domain=OTHER)], [],
            Undecided.UNPREDICTED, id="domains-that-were-not-told-apart",
        ),
        pytest.param(
            ROW._replace(last_day=FIRST + 30 * DAY), [day(Reason.SPF_ALIGNED)], [],
            Undecided.TOO_LONG, id="a-month",
        ),
        pytest.param(
            REWRITTEN, [], [(FIRST, OUR_DOMAIN)], Undecided.CHANGED,
            id="rewritten-while-our-own-records-changed",
        ),
    ],
)  # fmt: skip
def test_it_decides_nothing(
    row: ReportKey,
    days: list[PredictedDay],
    changes: list[tuple[int, str]],
    why: Undecided,
) -> None:
    bad = row._replace(**FAILS)  # type: ignore[arg-type]

    found = joined((row, 3), (bad, 2), days=days, changes=changes)

    assert found.undecided == (Open(row.domain, why, 5, 2),)
    empty = (found.rewritten, found.left_alone, found.domains, found.disagreements, found.months)
    assert not any(empty)


def test_a_domain_may_be_silent_on_one_of_two_days() -> None:
    days = [day(Reason.SPF_ALIGNED), day(Reason.ALWAYS, at=SECOND, domain="else.example")]

    (held,) = joined((ROW._replace(last_day=SECOND), 4), days=days).domains

    assert held.predicted == 1.0


OTHERS = ROW._replace(reporter="other.example", dkim="pass", spf="pass")


@pytest.mark.parametrize(
    ("row", "reason", "others", "cause"),
    [
        pytest.param(
            failed(dkim="fail", spf="fail"), Reason.DKIM_ALIGNED, None, Cause.KEY,
            id="a-signature-fails",
        ),
        pytest.param(
            failed(dkim="none", spf="fail"), Reason.DKIM_ALIGNED, None, Cause.NO_SIGNATURE,
            id="nobody-signed",
        ),
        pytest.param(
            failed(dkim="none", spf="fail"), Reason.SPF_ALIGNED, None, Cause.NOT_AUTHORISED,
            id="spf-fails",
        ),
        pytest.param(
            failed(dkim="none", spf="none"), Reason.SPF_ALIGNED, None, Cause.NOT_AUTHORISED,
            id="there-is-no-record",
        ),
        pytest.param(
            failed(dkim="none", spf="fail"), Reason.SPF_ALIGNED, OTHERS, Cause.ANOTHER_ANSWER,
            id="another-receiver-sees-the-record",
        ),
        pytest.param(
            failed(dkim="fail", spf="fail"), Reason.DKIM_ALIGNED, OTHERS, Cause.ANOTHER_ANSWER,
            id="another-receiver-sees-the-key",
        ),
        pytest.param(
            failed(dkim="none", spf="fail"),
            Reason.SPF_ALIGNED,
            OTHERS._replace(first_day=SECOND, last_day=SECOND),
            Cause.NOT_AUTHORISED,
            id="another-receiver-sees-it-on-another-day",
        ),
        pytest.param(
            failed(dkim="none", spf="dns"), Reason.SPF_ALIGNED, OTHERS, Cause.DNS,
            id="dns-at-the-receiver",
        ),
        pytest.param(
            failed(dkim="none", spf="not-aligned"), Reason.SPF_ALIGNED, None, Cause.ALIGNMENT,
            id="another-envelope-sender",
        ),
        pytest.param(
            failed(dkim="not-aligned", spf="fail"), Reason.DKIM_ALIGNED, None, Cause.ALIGNMENT,
            id="a-signature-of-another-domain",
        ),
    ],
)  # fmt: skip
def test_mail_that_was_to_pass_is_lost_for_a_likely_reason(
    row: ReportKey, reason: Reason, others: ReportKey | None, cause: Cause
) -> None:
    days = [day(reason), day(reason, at=SECOND)]
    rows = [(row, 2)] + ([(others, 5)] if others else [])

    found = joined(*rows, days=days)

    assert found.disagreements == (
        Disagreement(
            *(Kind.LOST, cause, CUSTOMER, "receiver.example", RELAY, row.dkim, row.spf, 2)
        ),
    )
    assert found.has_failure


@pytest.mark.parametrize(
    ("dkim", "spf", "cause"),
    [
        pytest.param("fail", "fail", Cause.KEY, id="a-signature-fails"),
        pytest.param("none", "fail", Cause.NOT_AUTHORISED, id="spf-fails-and-nobody-signs"),
        pytest.param("none", "not-aligned", Cause.ALIGNMENT, id="another-envelope-sender"),
        pytest.param("dns", "fail", Cause.DNS, id="dns-at-the-receiver"),
    ],
)
def test_rewritten_mail_that_fails_is_an_outage_whatever_the_ledger_knows(
    dkim: str, spf: str, cause: Cause
) -> None:
    bad = REWRITTEN._replace(result="fail", dkim=dkim, spf=spf)

    found = joined(
        (REWRITTEN._replace(reporter="x.example", dkim="none", spf="none"), 9), (bad, 1), days=[]
    )

    (outage,) = found.disagreements
    assert (outage.kind, outage.cause, outage.domain) == (Kind.OUTAGE, cause, OUR_DOMAIN)
    assert [held.name for held in found.rewritten] == ["receiver.example", "x.example"]
    assert found.rewritten[0].share == 0.0


def test_a_rewrite_that_was_known_to_fail_is_no_outage() -> None:
    bad = REWRITTEN._replace(**FAILS)  # type: ignore[arg-type]

    assert not joined((bad, 1), days=[day(Reason.REWRITE_FAILS)]).has_failure
    assert joined((bad, 1), days=[day(Reason.RELAY_NOT_AUTHORISED)]).has_failure


@pytest.mark.parametrize(
    ("passes", "fails", "has_failure"),
    [
        pytest.param(50, 50, False, id="as-much-as-was-to"),
        pytest.param(42, 58, False, id="a-little-more"),
        pytest.param(30, 70, True, id="clearly-more"),
        pytest.param(4_700, 5_300, False, id="a-little-more-of-many"),
        pytest.param(0, 1, False, id="one-message-is-chance"),
        pytest.param(3, 7, False, id="so-are-ten"),
        pytest.param(0, 12, True, id="a-dozen-without-one-that-passes-are-not"),
    ],
)
def test_where_a_part_was_to_fail_only_clearly_more_is_a_disagreement(
    passes: int, fails: int, has_failure: bool
) -> None:
    days = [day(Reason.SPF_ALIGNED, 500), day(Reason.POLICY_NOT_COVERED, 500)]

    found = joined((ROW, passes), (failed(spf="fail"), fails), days=days)

    assert found.has_failure is has_failure
    assert not found.months


def test_an_address_that_the_configuration_lacks_is_named_and_no_failure() -> None:
    row = ROW._replace(origin=Origin.UNLISTED.value, address="192.0.2.99", domain=OUR_DOMAIN)

    found = joined((row, 7), days=[])

    (named,) = found.disagreements
    assert (named.kind, named.cause, named.address) == (Kind.UNLISTED, Cause.ADDRESS, "192.0.2.99")
    assert "if you know it" in fix_for(Cause.ADDRESS), "a report may name any address"
    assert not found.has_failure


def test_forwarding_is_told_apart_and_others_mail_is_not_told() -> None:
    forwarded = ROW._replace(origin=Origin.FORWARDED.value, address="", spf="fail")
    foreign = forwarded._replace(origin=Origin.FOREIGN.value, result="fail")

    found = joined((forwarded, 3), (foreign, 1000))

    assert found.forwarded == (Forwarded(CUSTOMER, 3),)
    assert not found.disagreements
    assert not found.undecided


def test_precision_is_told_by_month_with_n() -> None:
    august = FIRST + 31 * DAY
    days = [day(Reason.SPF_ALIGNED), day(Reason.DKIM_ALIGNED, at=august),
            day(Reason.POLICY_NOT_COVERED, domain="left.example")]  # fmt: skip
    rows = [
        (ROW, 99),
        (failed(spf="fail"), 1),
        (ROW._replace(result="unknown"), 50),
        (ROW._replace(first_day=august, last_day=august), 7),
        (failed(domain="left.example"), 1000),
    ]

    months = joined(*rows, days=days).months

    assert months == (Month("2026-08", 7, 7), Month("2026-07", 99, 100))
    assert [month.precision for month in months] == [1.0, 0.99]


def test_what_the_report_does_not_say_has_no_share() -> None:
    (held,) = joined((ROW._replace(result="unknown"), 5)).domains

    assert held == Held(CUSTOMER, unknown=5)
    assert (held.share, held.predicted) == (None, None)


def test_needless_rewriting_is_estimated() -> None:
    rewriting = (
        Rewriting("late.example", "relay-not-authorised", 100, 30, 0, is_over=True),
        Rewriting("late.example", "always", 10, 10, 0, is_over=True),
        Rewriting("silent.example", "dns-unknown", 40, 0, 90, is_over=False),
        Rewriting("silent.example", "relay-not-authorised", 10, 0, 90, is_over=False),
        Rewriting("dead.example", "dns-unknown", 5, 0, 0, is_over=False),
    )

    needless = join(Receivers(rewriting=rewriting)).needless

    assert needless == Needless(165, 30, 36)
    assert needless.messages == 66


def test_domains_that_could_stop_being_rewritten_come_with_most_messages_first() -> None:
    rewriting = (
        Rewriting("a.example", "relay-not-authorised", 5, 0, 0, is_over=False),
        Rewriting("b.example", "unaligned", 4, 0, 0, is_over=False),
        Rewriting("b.example", "relay-partly-authorised", 7, 0, 0, is_over=False),
        Rewriting("freemail.example", "freemail", 1000, 0, 0, is_over=False),
        Rewriting("good.example", "relay-not-authorised", 9, 0, 0, is_over=True),
    )

    assert join(Receivers(rewriting=rewriting)).candidates == (
        Candidate("b.example", 11, "relay-partly-authorised"),
        Candidate("a.example", 5, "relay-not-authorised"),
    )


def test_every_reason_of_a_disagreement_has_a_meaning_and_a_fix() -> None:
    for cause in Cause:
        assert not meaning_of(cause).endswith(".")
        assert fix_for(cause).endswith(".")


_DAYS = st.integers(0, 3).map(lambda number: FIRST + number * DAY)
_DOMAINS = st.sampled_from([CUSTOMER, "good.example", OUR_DOMAIN, "", OTHER])
_FAULTS = st.sampled_from([fault.value for fault in Fault])
_ROWS = st.builds(
    lambda first, length, **words: ReportKey(
        first, first + length * DAY, address=RELAY, disposition="none", is_foretold=False, **words
    ),
    _DAYS,
    st.integers(0, 2),
    reporter=st.sampled_from(["receiver.example", "other.example"]),
    origin=st.sampled_from([origin.value for origin in Origin]),
    domain=_DOMAINS,
    result=st.sampled_from(["pass", "fail", "unknown"]),
    dkim=_FAULTS,
    spf=_FAULTS,
)
_RECEIVERS = st.builds(
    lambda rows, days, changes: Receivers(
        rows=tuple(rows.items()), days=tuple(days), changes=frozenset(changes)
    ),
    st.dictionaries(_ROWS, st.integers(1, 10**6), max_size=12),
    st.lists(
        st.builds(
            lambda reason, messages, at, domain: day(reason, messages, at=at, domain=domain),
            st.sampled_from(list(Reason)),
            st.integers(1, 10**6),
            _DAYS,
            _DOMAINS,
        ),
        max_size=12,
    ),
    st.sets(st.tuples(_DAYS, _DOMAINS), max_size=4),
)


def shares(found: Joined) -> list[tuple[str, float | None, float | None]]:
    """By name: what is worst depends on how much there is."""
    return [
        (held.name, held.share, held.predicted and round(held.predicted, 9))
        for table in (found.rewritten, found.left_alone, found.domains)
        for held in sorted(table, key=lambda held: held.name)
    ]


@given(_RECEIVERS, st.integers(2, 1000))
def test_shares_are_the_same_whatever_part_receivers_report(
    receivers: Receivers, times: int
) -> None:
    more = replace(receivers, rows=tuple((key, times * count) for key, count in receivers.rows))

    few, many = join(receivers), join(more)

    assert shares(few) == shares(many)
    assert few.has_failure == many.has_failure
    assert {(month.month, month.precision) for month in few.months} == {
        (month.month, month.precision) for month in many.months
    }


@given(_RECEIVERS, st.integers(2, 1000))
def test_shares_are_the_same_however_much_the_ledger_counted(
    receivers: Receivers, times: int
) -> None:
    more = tuple(each._replace(messages=each.messages * times) for each in receivers.days)

    assert shares(join(receivers)) == shares(join(replace(receivers, days=more)))


@given(_RECEIVERS, st.booleans())
def test_nothing_of_a_changed_day_decides(receivers: Receivers, is_dry: bool) -> None:
    def is_settled(key: ReportKey) -> bool:
        days = range(key.first_day, key.last_day + DAY, DAY)
        return not any((day, key.domain) in receivers.changes for day in days)

    settled = tuple(row for row in receivers.rows if is_settled(row[0]))

    whole = join(receivers, is_dry=is_dry)
    part = join(replace(receivers, rows=settled), is_dry=is_dry)

    assert (whole.rewritten, whole.left_alone, whole.domains, whole.months) == (
        *(part.rewritten, part.left_alone, part.domains, part.months),
    )
    failures = [each for each in whole.disagreements if each.kind.is_failure]
    assert failures == [each for each in part.disagreements if each.kind.is_failure]


@given(_RECEIVERS)
def test_every_message_of_ours_decides_or_is_named_as_one_that_does_not(
    receivers: Receivers,
) -> None:
    found = join(receivers)

    ours = {Origin.OURS.value, Origin.REWRITTEN.value}
    messages = sum(count for key, count in receivers.rows if key.origin in ours)
    tables = (*found.rewritten, *found.left_alone)
    decided = sum(held.told + held.unknown for held in tables)
    assert decided + sum(each.messages for each in found.undecided) == messages
