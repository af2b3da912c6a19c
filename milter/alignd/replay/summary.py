"""A corpus of messages through the predictor: what would become of each, and how many of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

from alignd.judgement.author import read_author
from alignd.judgement.reasons import Action, Reason
from alignd.judgement.review import Judgement, Reviewer
from alignd.mail.domain import Domain
from alignd.mail.ip_address import IpAddress
from alignd.mail.mailbox import envelope_address
from alignd.mail.message import HeaderField, Message, split_message
from alignd.mailauth.dmarc import Policy
from alignd.mailauth.dns import Lookup
from alignd.mta.transaction import as_judged
from alignd.replay.mail_store import Problem, Trouble

MAX_NAMED = 100
"""Problems of a kind that are kept with their names; the rest is counted."""

_Word = TypeVar("_Word", Action, Reason, Policy)
_RECIPIENT_FIELDS = {"x-original-to", "delivered-to"}


class SenderSource(Enum):
    """Where the envelope sender of a message was taken from."""

    OPTION = "option"
    RETURN_PATH = "return-path"
    AUTHOR = "author"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Submission:
    """How the messages of a corpus are taken to come in."""

    client: IpAddress
    login: str = ""
    envelope_sender: str | None = None
    """Of all of them; None to take each message's own."""

    def sender_of(self, header: tuple[HeaderField, ...]) -> tuple[str, SenderSource]:
        """The envelope sender of a message: what its Return-Path says, else its author's."""
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
class Result:
    """What would become of one message."""

    author_domain: Domain | None
    action: Action
    reason: Reason
    policy: Policy
    """UNKNOWN, too, where it was not asked for."""

    @classmethod
    def of(cls, judgement: Judgement) -> Result:
        """What *judgement* says."""
        author, predictions = judgement.circumstances.author, judgement.circumstances.predictions
        policy = predictions.as_sent.policy if predictions else Policy.UNKNOWN
        return cls(author.domain, judgement.reason.action, judgement.reason, policy)


@dataclass(slots=True)
class Summary:
    """What became of the messages so far."""

    results: Counter[Result] = field(default_factory=Counter)
    senders: Counter[SenderSource] = field(default_factory=Counter)
    troubles: Counter[Trouble] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    """The first MAX_NAMED of each kind."""

    @property
    def messages(self) -> int:
        """How many messages were judged."""
        return self.results.total()

    def actions(self) -> Counter[Action]:
        """How many messages meet each action."""
        return self._totals(lambda result: result.action)

    def note(self, problem: Problem) -> None:
        """Count something that was not judged."""
        self.troubles[problem.trouble] += 1
        if self.troubles[problem.trouble] <= MAX_NAMED:
            self.problems.append(problem)

    def by_author_domain(self) -> list[tuple[Domain | None, list[tuple[Result, int]]]]:
        """The results of each author domain, both with the largest number first."""
        results: dict[Domain | None, list[tuple[Result, int]]] = {}
        # Those of one number in the order of their names, so that two runs say the same.
        ordered = sorted(self.results.items(), key=lambda item: (-item[1], _sort_key(item[0])))
        for result, count in ordered:
            results.setdefault(result.author_domain, []).append((result, count))
        return sorted(
            results.items(),
            key=lambda item: (-sum(count for _, count in item[1]), str(item[0] or "")),
        )

    def as_json(self) -> dict[str, Any]:
        """The summary in the shape that the man page promises to scripts."""
        return {
            "messages": self.messages,
            "domains": [
                {
                    "author_domain": domain.name if domain else None,
                    "messages": sum(count for _, count in results),
                    "results": [
                        {
                            "messages": count,
                            "action": result.action.value,
                            "reason": result.reason.value,
                            "policy": result.policy.value,
                        }
                        for result, count in results
                    ],
                }
                for domain, results in self.by_author_domain()
            ],
            "totals": {
                "action": _spelled(self._totals(lambda result: result.action)),
                "reason": _spelled(self._totals(lambda result: result.reason)),
                "policy": _spelled(self._totals(lambda result: result.policy)),
            },
            "envelope_senders": {source.value: self.senders[source] for source in SenderSource},
            "troubles": {trouble.value: self.troubles[trouble] for trouble in Trouble},
            "problems": [
                {"name": each.name, "trouble": each.trouble.value, "problem": each.text}
                for each in self.problems
            ],
        }

    def _totals(self, word_of: Callable[[Result], _Word]) -> Counter[_Word]:
        totals: Counter[_Word] = Counter()
        for result, count in self.results.items():
            totals[word_of(result)] += count
        return totals


def _spelled(totals: Counter[_Word]) -> dict[str, int]:
    return {word.value: count for word, count in totals.most_common()}


def judge(
    data: bytes, submission: Submission, reviewer: Reviewer, lookup: Lookup
) -> tuple[Result, SenderSource]:
    """Judge one message, which is seen as the milter would see it.

    Raises:
        MessageError: *data* is no message.
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
    seen = as_judged(message, reviewer.configuration)
    return Result.of(reviewer.judge(seen, lookup)), source


def _names_recipient(each: HeaderField) -> bool:
    return each.name.lower() in _RECIPIENT_FIELDS


def _address(each: HeaderField) -> str:
    return envelope_address(each.unfolded.decode(errors="replace"))


def _sort_key(result: Result) -> tuple[str, ...]:
    domain = result.author_domain.name if result.author_domain else ""
    return domain, result.action.value, result.reason.value, result.policy.value
