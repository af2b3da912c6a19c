"""Judges stored messages as the milter would, and counts the decisions by author domain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from alignd.judgement.author import read_author
from alignd.judgement.reasons import Action, Reason
from alignd.judgement.review import Judgement, Reviewer
from alignd.mail.domain import Domain
from alignd.mail.ip_address import IpAddress
from alignd.mail.mailbox import envelope_address
from alignd.mail.message import HeaderField, Message, split_message
from alignd.mail_store.messages import ProblemKind, StoreProblem
from alignd.mailauth.dmarc import Policy
from alignd.mailauth.dns import Lookup
from alignd.mta.transaction import as_judged

MAX_NAMED = 100
"""Problems of a kind that are kept by name; the others are only counted."""

_Word = TypeVar("_Word", Action, Reason, Policy)
_RECIPIENT_FIELDS = {"x-original-to", "delivered-to"}


class SenderSource(Enum):
    """Where the envelope sender of a message comes from."""

    OPTION = "option"
    RETURN_PATH = "return-path"
    AUTHOR = "author"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Submission:
    """The SMTP session and the envelope sender assumed for stored messages."""

    client: IpAddress
    login: str = ""
    envelope_sender: str | None = None
    """The envelope sender of every message; None to take each message's own."""

    def sender_of(self, header: tuple[HeaderField, ...]) -> tuple[str, SenderSource]:
        """The envelope sender of a message: its Return-Path, else its author."""
        if self.envelope_sender is not None:
            return self.envelope_sender, SenderSource.OPTION
        for each in header:
            if each.name.lower() == "return-path":
                return _address(each), SenderSource.RETURN_PATH
        mailbox = read_author(Message("", (), header)).mailbox
        if mailbox is None:
            return "", SenderSource.NOTHING
        return mailbox.address, SenderSource.AUTHOR


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """What the messages that are counted together have in common."""

    author_domain: Domain | None
    reason: Reason
    policy: Policy
    """UNKNOWN, too, if DNS was not asked."""

    @classmethod
    def of(cls, judgement: Judgement) -> SummaryRow:
        author, predictions = judgement.circumstances.author, judgement.circumstances.predictions
        policy = predictions.as_sent.policy if predictions else Policy.UNKNOWN
        return cls(author.domain, judgement.reason, policy)

    @property
    def action(self) -> Action:
        return self.reason.action


@dataclass(slots=True)
class Summary:
    """The numbers of messages judged so far, and the problems."""

    rows: Counter[SummaryRow] = field(default_factory=Counter)
    senders: Counter[SenderSource] = field(default_factory=Counter)
    skipped: Counter[ProblemKind] = field(default_factory=Counter)
    problems: list[StoreProblem] = field(default_factory=list)
    """The first MAX_NAMED of each kind."""

    @property
    def messages(self) -> int:
        """The number of messages judged."""
        return self.rows.total()

    def add(self, row: SummaryRow, source: SenderSource) -> None:
        """Count a message, and where its envelope sender comes from."""
        self.rows[row] += 1
        self.senders[source] += 1

    def skip(self, problem: StoreProblem) -> None:
        """Count something that was not judged."""
        self.skipped[problem.kind] += 1
        if self.skipped[problem.kind] <= MAX_NAMED:
            self.problems.append(problem)

    def by_author_domain(self) -> list[tuple[Domain | None, list[tuple[SummaryRow, int]]]]:
        """The rows of each author domain with their counts, both with the largest count first.

        Equal counts are in the order of names, so that two runs print the same.
        """
        groups: dict[Domain | None, list[tuple[SummaryRow, int]]] = {}
        ordered = sorted(self.rows.items(), key=lambda item: (-item[1], _names(item[0])))
        for row, count in ordered:
            groups.setdefault(row.author_domain, []).append((row, count))
        return sorted(
            groups.items(),
            key=lambda item: (-sum(count for _, count in item[1]), str(item[0] or "")),
        )

    def totals(self, word_of: Callable[[SummaryRow], _Word]) -> Counter[_Word]:
        """The number of messages for each word, such as a reason."""
        totals: Counter[_Word] = Counter()
        for row, count in self.rows.items():
            totals[word_of(row)] += count
        return totals


def judge_stored(
    data: bytes, submission: Submission, reviewer: Reviewer, lookup: Lookup
) -> tuple[SummaryRow, SenderSource]:
    """Judge a stored message as the milter would.

    Raises:
        MessageError: *data* is not a message.
    """
    header, body = split_message(data)
    sender, source = submission.sender_of(header)
    message = Message(
        envelope_sender=sender,
        recipients=tuple(_address(each) for each in header if _names_recipient(each)),
        header=header,
        client=submission.client,
        login=submission.login,
        body=body,
    )
    as_seen = as_judged(message, reviewer.configuration)
    return SummaryRow.of(reviewer.judge(as_seen, lookup)), source


def _names_recipient(each: HeaderField) -> bool:
    return each.name.lower() in _RECIPIENT_FIELDS


def _address(each: HeaderField) -> str:
    return envelope_address(each.unfolded.decode(errors="replace"))


def _names(row: SummaryRow) -> tuple[str, ...]:
    domain = row.author_domain.name if row.author_domain else ""
    return domain, row.action.value, row.reason.value, row.policy.value
