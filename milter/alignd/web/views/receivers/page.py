"""The page on what receivers say of all mail, and what the list says of it."""

from __future__ import annotations

from dataclasses import dataclass

from alignd.feedback.disagreement import Kind as ReplyKind
from alignd.languages.texts import Texts
from alignd.ledger.batch import DAY
from alignd.ledger.window.protocol import Obstacle
from alignd.mail.printable import printable
from alignd.reports.joined import Joined
from alignd.reports.receivers.disagreements import Kind
from alignd.reports.receivers.needless import Candidate, Needless
from alignd.reports.receivers.precision import Month
from alignd.reports.receivers.predicted import Undecided
from alignd.web.heard import RECENT_DAYS, Heard
from alignd.web.views.errors import why_unreadable
from alignd.web.views.receivers.replies import RepliesView, of_kinds, replies_view
from alignd.web.views.receivers.reported import (
    DisagreementView,
    ShareRow,
    disagreement_views,
    percent,
    say_reports,
    share_rows,
)
from alignd.web.views.sentences import why_of_word
from alignd.web.views.times import read_ago

MAX_CANDIDATES = 20
_CONTRADICTING = [kind for kind in ReplyKind if kind.is_disagreement]


@dataclass(frozen=True, slots=True)
class NotHeard:
    """The ledger does not say what receivers said."""

    obstacle: Obstacle
    problem: str
    """In the operator's words."""


@dataclass(frozen=True, slots=True)
class MonthRow:
    """How often alignd was right in a month."""

    month: str
    messages: str
    passed: str
    share: str


@dataclass(frozen=True, slots=True)
class AddressRow:
    """An address of ours that is not in the configuration."""

    address: str
    messages: str


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """An author domain whose mail could stop being rewritten."""

    domain: str
    path: str
    messages: str
    why: str
    """Why it is rewritten; empty where that is not known here."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What receivers said."""

    alert: str
    """That rewritten mail fails; empty where it does not."""
    span: str
    as_of: str
    reports: str
    """Whether reports are read at all."""
    has_reports: bool
    replies: RepliesView
    rewritten: tuple[ShareRow, ...]
    left_alone: tuple[ShareRow, ...]
    disagreements: tuple[DisagreementView, ...]
    left_out: int
    """Disagreements that are not shown."""
    unlisted: tuple[AddressRow, ...]
    notes: tuple[str, ...]
    """What decides nothing."""
    months: tuple[MonthRow, ...]
    needless: str
    """An estimate; empty where nothing is rewritten."""
    candidates: tuple[CandidateRow, ...]


@dataclass(frozen=True, slots=True)
class ReceiversPage:
    """All that the page shows."""

    answers: Answers | None
    """None where the ledger did not say."""
    trouble: str
    """Why it could not be read, or not since; empty where it could."""
    problem: str
    """The same in the operator's words, in English."""


def receivers_page(
    heard: Heard | None, trouble: NotHeard | None, now: float, texts: Texts
) -> ReceiversPage:
    """The page at the Unix time *now*; *trouble* says why there is nothing newer than *heard*."""
    return ReceiversPage(
        _answers(heard, now, texts) if heard else None,
        why_unreadable(trouble.obstacle, texts) if trouble else "",
        trouble.problem if trouble else "",
    )


def contradiction_of(heard: Heard | None, texts: Texts, now: float) -> str:
    """That replies contradict alignd, for the list; empty where they do not."""
    messages = _recent_replies(heard, _CONTRADICTING, now) if heard else 0
    if not messages:
        return ""
    return texts.plural(
        "In the last {days} days receivers refused {n} message that was to pass.",
        "In the last {days} days receivers refused {n} messages that were to pass.",
        messages,
        days=RECENT_DAYS,
    )


def fails_when_rewritten(heard: Heard, now: float) -> bool:
    """Whether receivers say so of the last days."""
    is_refused = _recent_replies(heard, [ReplyKind.OUTAGE], now) > 0
    return is_refused or any(each.kind is Kind.OUTAGE for each in heard.recent.disagreements)


def _recent_replies(heard: Heard, kinds: list[ReplyKind], now: float) -> int:
    return of_kinds(heard.receivers.replies, kinds, now - RECENT_DAYS * DAY)


def _answers(heard: Heard, now: float, texts: Texts) -> Answers:
    joined = heard.joined
    shown = disagreement_views(joined.disagreements, texts)
    return Answers(
        alert=_alert(heard, now, texts),
        span=texts.plural("Of the last day.", "Of the last {n} days.", heard.days),
        as_of=read_ago(heard.age(now), texts),
        reports=say_reports(heard, texts),
        has_reports=joined.reports > 0,
        replies=replies_view(heard.receivers.replies, texts),
        rewritten=share_rows(joined.rewritten, texts),
        left_alone=share_rows(joined.left_alone, texts),
        disagreements=shown,
        left_out=len(joined.disagreements) - len(shown),
        unlisted=_unlisted(joined, texts),
        notes=_notes(joined, texts),
        months=tuple(_month(each, texts) for each in joined.months),
        needless=_needless(joined.needless, texts),
        candidates=tuple(_candidate(each, texts) for each in joined.candidates[:MAX_CANDIDATES]),
    )


def _alert(heard: Heard, now: float, texts: Texts) -> str:
    if not fails_when_rewritten(heard, now):
        return ""
    return texts.text(
        "Rewritten mail fails: receivers have refused it, or reported that it does not pass, in "
        "the last {days} days. Nothing else can help that mail: the operator runs “alignd doctor” "
        "now.",
        days=RECENT_DAYS,
    )


def _unlisted(joined: Joined, texts: Texts) -> tuple[AddressRow, ...]:
    messages: dict[str, int] = {}
    for each in joined.disagreements:
        if each.kind is Kind.UNLISTED and each.address:
            messages[each.address] = messages.get(each.address, 0) + each.messages
    return tuple(
        AddressRow(printable(address), texts.number(number))
        for address, number in sorted(messages.items(), key=lambda each: (-each[1], each[0]))
    )


def _notes(joined: Joined, texts: Texts) -> tuple[str, ...]:
    undecided = {
        why: sum(each.messages for each in joined.undecided if each.why is why)
        for why in Undecided
    }
    changed, unpredicted, long = (
        undecided[why] for why in (Undecided.CHANGED, Undecided.UNPREDICTED, Undecided.TOO_LONG)
    )
    forwarded = sum(each.messages for each in joined.forwarded)
    notes = (
        (changed, texts.plural(
            "{n} message decides nothing: the state of its domain changed on that day.",
            "{n} messages decide nothing: the state of their domain changed on that day.",
            changed,
        )),
        (unpredicted, texts.plural(
            "{n} message decides nothing: the ledger has no prediction for it.",
            "{n} messages decide nothing: the ledger has no prediction for them.",
            unpredicted,
        )),
        (long, texts.plural(
            "{n} message decides nothing: the period of its report is too long.",
            "{n} messages decide nothing: the period of their report is too long.",
            long,
        )),
        (forwarded, texts.plural(
            "{n} message was forwarded by others with our signature intact, which is no fault.",
            "{n} messages were forwarded by others with our signature intact, which is no fault.",
            forwarded,
        )),
    )  # fmt: skip
    return tuple(sentence for number, sentence in notes if number)


def _month(month: Month, texts: Texts) -> MonthRow:
    return MonthRow(
        month.month,
        texts.number(month.messages),
        texts.number(month.passed),
        percent(month.passed, month.messages, texts),
    )


def _needless(needless: Needless, texts: Texts) -> str:
    if not needless.rewritten:
        return ""
    return texts.plural(
        "Of {n} message that was rewritten, about {needless} would have passed as it was: "
        "{passing} of domains whose records were right already, and {without_dns} for which DNS "
        "did not answer at that moment.",
        "Of {n} messages that were rewritten, about {needless} would have passed as they were: "
        "{passing} of domains whose records were right already, and {without_dns} for which DNS "
        "did not answer at that moment.",
        needless.rewritten,
        needless=texts.number(needless.messages),
        passing=texts.number(needless.while_passing),
        without_dns=texts.number(needless.without_dns),
    )


def _candidate(found: Candidate, texts: Texts) -> CandidateRow:
    return CandidateRow(
        printable(found.domain),
        f"/domains/{found.domain}",
        texts.number(found.messages),
        why_of_word(found.reason, found.domain, texts),
    )
