"""Replies joined with decisions: what a receiver says against what alignd thought."""

import tracemalloc
from itertools import count

import pytest

from alignd.config.domain_lists import SuffixList
from alignd.feedback.bounded import Bounded
from alignd.feedback.decision import Decision
from alignd.feedback.disagreement import Disagreement, Kind, fix_for, kind_of
from alignd.feedback.entry import Entry
from alignd.feedback.join import HOUR, Alert, Join
from alignd.feedback.patterns import Says
from alignd.feedback.tally import MAX_ROWS, Tally
from alignd.judgement.reasons import Action, Reason

SUFFIXES = SuffixList()
DMARC = "550 5.7.1 rejected by DMARC policy for mycompany.com"
SPF = "550 5.7.23 SPF validation failed"


def decided(queue_id: str, reason: Reason, more: str = "", domain: str = "mycompany.com") -> Entry:
    action = reason.action.value
    text = f"{queue_id}: action={action} domain={domain} reason={reason.value} {more}ms=1.0"
    return Entry(0.0, "alignd", text)


def refused(
    queue_id: str,
    reply: str = DMARC,
    *,
    host: str = "mx.customer.com",
    when: float = 0.0,
    status: str = "bounced",
) -> Entry:
    text = (
        f"{queue_id}: to=<julia@customer.com>, relay={host}[203.0.113.25]:25, delay=1, "
        f"dsn={reply.split()[1]}, status={status} (host {host}[203.0.113.25] said: {reply})"
    )
    return Entry(when, "postfix/smtp", text)


def told(join: Join, *entries: Entry, now: float = 2 * HOUR) -> list[Disagreement | Alert]:
    return [each for entry in entries for each in join.take(entry, now)]


def alerts(told: list[Disagreement | Alert]) -> list[Alert]:
    return [each for each in told if isinstance(each, Alert)]


@pytest.mark.parametrize(
    ("reason", "more", "reply", "kind"),
    [
        pytest.param(Reason.SPF_ALIGNED, "", DMARC, Kind.LOST, id="it-was-to-pass-and-fails"),
        pytest.param(
            Reason.DKIM_ALIGNED, "dry_run=yes ", DMARC, Kind.LOST, id="it-was-to-pass-in-a-dry-run"
        ),
        pytest.param(
            Reason.DKIM_ALIGNED,
            "",
            SPF,
            Kind.ENVELOPE,
            id="it-passes-by-dkim-and-its-sender-fails",
        ),
        pytest.param(
            Reason.ENVELOPE_ALIGNED, "", DMARC, Kind.LOST, id="the-sender-moved-and-it-fails"
        ),
        pytest.param(Reason.ENVELOPE_ALIGNED, "", SPF, Kind.ENVELOPE, id="the-new-sender-fails"),
        pytest.param(
            Reason.ENVELOPE_ALIGNED,
            "dry_run=yes ",
            DMARC,
            Kind.FORETOLD,
            id="the-sender-was-not-moved",
        ),
        pytest.param(
            Reason.EXEMPT_ENVELOPE, "", SPF, Kind.ENVELOPE, id="exempt-and-the-new-sender-fails"
        ),
        pytest.param(Reason.EXEMPT_ENVELOPE, "", DMARC, Kind.FORETOLD, id="exempt-and-from-fails"),
        pytest.param(
            Reason.RELAY_NOT_AUTHORISED, "", DMARC, Kind.OUTAGE, id="rewritten-and-fails"
        ),
        pytest.param(Reason.FREEMAIL, "", SPF, Kind.OUTAGE, id="rewritten-and-its-sender-fails"),
        pytest.param(
            Reason.RELAY_NOT_AUTHORISED,
            "dry_run=yes ",
            DMARC,
            Kind.FORETOLD,
            id="not-rewritten-in-a-dry-run",
        ),
        pytest.param(
            Reason.REWRITE_FAILS, "", DMARC, Kind.FORETOLD, id="the-rewrite-was-known-to-fail"
        ),
        pytest.param(
            Reason.OWN_DOMAIN, "", DMARC, Kind.OUTAGE, id="from-the-notifications-domain-itself"
        ),
        pytest.param(Reason.EXEMPT, "", DMARC, Kind.FORETOLD, id="exempt"),
        pytest.param(Reason.POLICY_NOT_COVERED, "", DMARC, Kind.FORETOLD, id="left-by-a-rule"),
        pytest.param(Reason.CLIENT_NOT_IN_SCOPE, "", DMARC, Kind.OUTSIDE, id="not-looked-at"),
        pytest.param(
            Reason.SPF_ALIGNED,
            "",
            "550 5.7.20 No DKIM signature",
            Kind.ADVICE,
            id="it-passes-by-spf-alone",
        ),
        pytest.param(
            Reason.SPF_ALIGNED, "", "550 5.7.25 Reverse DNS failed", Kind.ADVICE, id="reverse-dns"
        ),
    ],
)
def test_a_reply_means(reason: Reason, more: str, reply: str, kind: Kind) -> None:
    first, *_alerts = told(
        Join(SUFFIXES), decided("4bQx2K1", reason, more), refused("4bQx2K1", reply)
    )

    assert isinstance(first, Disagreement)
    assert first.kind is kind
    assert first.decision is not None
    assert (first.decision.domain, first.receiver) == ("mycompany.com", "customer.com")
    assert "julia" not in repr(first)


def test_every_reason_and_reply_has_a_kind_and_a_fix() -> None:
    for reason in Reason:
        for says in Says:
            for is_dry in (False, True):
                decision = Decision(reason.action.value, reason.value, is_dry=is_dry)
                kind = kind_of(decision, says)
                assert fix_for(kind, says)
                if reason.action is Action.SKIP:
                    assert kind is Kind.OUTSIDE


def test_what_came_back_is_not_predicted() -> None:
    entry = Entry(0.0, "alignd", "4bQx2K1: action=forward reason=return-bounce ms=1")

    (found,) = told(Join(SUFFIXES), entry, refused("4bQx2K1"))
    assert isinstance(found, Disagreement)
    assert found.kind is Kind.OUTSIDE


def test_a_reply_without_a_decision_is_unknown() -> None:
    (found,) = told(Join(SUFFIXES), refused("4bQx2K1"))

    assert isinstance(found, Disagreement)
    assert found.kind is Kind.UNKNOWN


def test_a_bounce_of_this_relay_is_known() -> None:
    text = "4bQx2K1: sender non-delivery notification: 5CRy3L2"
    (found,) = told(Join(SUFFIXES), Entry(0.0, "postfix/bounce", text), refused("5CRy3L2"))

    assert isinstance(found, Disagreement)
    assert found.kind is Kind.BOUNCE


def test_a_message_counts_once_for_a_receiver_whatever_postfix_tries() -> None:
    join = Join(SUFFIXES)
    found = told(
        join,
        decided("4bQx2K1", Reason.SPF_ALIGNED),
        *(refused("4bQx2K1", f"4{DMARC[1:4]}4{DMARC[5:]}", status="deferred") for _ in range(9)),
    )
    assert len(found) == 1
    assert len(told(join, refused("4bQx2K1", host="mx.other.example"))) == 1


def test_a_message_is_known_behind_a_filter_on_this_machine() -> None:
    sent = (
        "4bQx2K1: to=<a@b.example>, relay=127.0.0.1[127.0.0.1]:10025, delay=1, dsn=2.0.0, "
        "status=sent (250 2.0.0 Ok: queued as 5CRy3L2)"
    )
    first, *_alerts = told(
        Join(SUFFIXES),
        decided("4bQx2K1", Reason.SPF_ALIGNED),
        Entry(0.0, "postfix/smtp", sent),
        refused("5CRy3L2"),
    )

    assert isinstance(first, Disagreement)
    assert first.kind is Kind.LOST


@pytest.mark.parametrize(
    ("reason", "times", "number"),
    [
        pytest.param(Reason.SPF_ALIGNED, [0, 1], 0, id="two-of-mail-left-alone-are-none"),
        pytest.param(Reason.SPF_ALIGNED, [0, 1, 2], 1, id="three-are-one"),
        pytest.param(Reason.SPF_ALIGNED, [0, 1, 2, 3, 4, 5], 1, id="more-are-no-second"),
        pytest.param(Reason.SPF_ALIGNED, [0, 1, HOUR + 1], 0, id="three-in-more-than-an-hour"),
        pytest.param(
            Reason.SPF_ALIGNED, [0, 1, 2, HOUR, HOUR + 1, HOUR + 2], 2, id="again-after-an-hour"
        ),
        pytest.param(Reason.RELAY_NOT_AUTHORISED, [0], 1, id="one-that-was-rewritten-is-one"),
        pytest.param(Reason.RELAY_NOT_AUTHORISED, [0, 1, HOUR], 2, id="and-one-an-hour"),
        pytest.param(Reason.EXEMPT, [0, 1, 2], 0, id="what-was-foretold-is-none"),
    ],
)
def test_alerts(reason: Reason, times: list[float], number: int) -> None:
    join, found = Join(SUFFIXES), []
    for each, when in enumerate(times):
        entries = decided(f"4bQx2K{each}", reason), refused(f"4bQx2K{each}", when=when)
        found += told(join, *entries)

    assert len(alerts(found)) == number


def test_neither_a_time_to_come_nor_a_clock_that_is_set_back_silences_alerts() -> None:
    join, found, ids = Join(SUFFIXES), [], count()
    for when, now in [(9e9, 5 * HOUR), (9 * HOUR, 9 * HOUR), (HOUR, HOUR)]:
        queue_id = f"4bQx2K{next(ids)}"
        decision = decided(queue_id, Reason.RELAY_NOT_AUTHORISED)
        found += told(join, decision, refused(queue_id, when=when), now=now)

    assert [alert.when for alert in alerts(found)] == [5 * HOUR, 9 * HOUR, HOUR]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param("action=pass domain=\x00.example reason=spf-aligned", id="nul"),
        pytest.param('action=pass domain="\ud800.example" reason=spf-aligned', id="half-a-letter"),
        pytest.param(f"action=pass domain={'ä' * 300} reason=spf-aligned", id="longer-than-names"),
        pytest.param("action=pass domain=julia@customer.com reason=spf-aligned", id="an-address"),
        pytest.param("action=pass domain=a.example reason=" + "é" * 300, id="a-long-reason"),
        pytest.param('action="x y" domain=a.example reason=spf-aligned', id="no-word-of-alignd"),
        pytest.param('action=pass tenant="\x00" reason=spf-aligned', id="nul-in-a-tenant"),
    ],
)
def test_what_alignd_does_not_write_is_no_decision(fields: str) -> None:
    join = Join(SUFFIXES)

    entry = Entry(0.0, "alignd", f"4bQx2K1: {fields}")
    (found,) = told(join, entry, refused("4bQx2K1"))

    assert isinstance(found, Disagreement)
    assert (found.kind, found.decision) == (Kind.UNKNOWN, None)


def test_each_receiver_and_domain_is_watched_for_itself() -> None:
    join, found, ids = Join(SUFFIXES), [], count()
    for domain, host in [
        ("a.example", "mx.x.example"),
        ("b.example", "mx.x.example"),
        ("a.example", "mx.y.example"),
    ]:
        for _ in range(2):
            queue_id = f"4bQx2K{next(ids)}"
            decision = decided(queue_id, Reason.SPF_ALIGNED, domain=domain)
            found += told(join, decision, refused(queue_id, host=host))

    assert alerts(found) == []


def test_the_oldest_decision_makes_room() -> None:
    join = Join(SUFFIXES, max_decisions=2)
    for queue_id in ("AAAAA1", "AAAAA2", "AAAAA1", "AAAAA3"):
        join.learn(decided(queue_id, Reason.SPF_ALIGNED))

    kinds = [
        each.kind
        for each in told(join, *(refused(f"AAAAA{number}") for number in (1, 2, 3)))
        if isinstance(each, Disagreement)
    ]
    assert kinds == [Kind.LOST, Kind.UNKNOWN, Kind.LOST]


def test_a_decision_takes_less_than_300_octets() -> None:
    tracemalloc.start()
    join = Join(SUFFIXES)
    for number in range(20_000):
        join.learn(
            decided(f"{number:X}AAAAA", Reason.SPF_ALIGNED, domain=f"a{number % 5000}.example")
        )
    used, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert used < 6_000_000


def test_a_bounded_dictionary_keeps_the_last_that_were_set() -> None:
    kept = Bounded[int, str](2)
    for key in (1, 2, 1, 3):
        kept[key] = str(key)

    assert (len(kept), kept.get(1), kept.get(2), kept.get(3)) == (2, "1", None, "3")


def test_counts_are_the_same_after_they_were_kept() -> None:
    tally, join = Tally(), Join(SUFFIXES)
    for number in range(5):
        decision = decided(f"4bQx2K{number}", Reason.SPF_ALIGNED)
        for each in told(join, decision, refused(f"4bQx2K{number}", when=number)):
            if isinstance(each, Disagreement):
                tally.add(each)

    again = Tally.of_values(tally.as_values())
    assert again.rows() == tally.rows()
    ((row, number_of),) = again.rows()
    assert (row.kind, number_of.messages, number_of.last) == (Kind.LOST, 5, 4.0)
    assert again.has_disagreement


def test_rows_beyond_the_limit_are_counted_together() -> None:
    tally, join = Tally(), Join(SUFFIXES)
    for number in range(MAX_ROWS + 7):
        for each in told(join, refused(f"{number:X}AAAAA", host=f"mx.a{number}.example")):
            assert isinstance(each, Disagreement)
            tally.add(each)

    assert (len(tally.rows()), tally.left_out) == (MAX_ROWS, 7)
