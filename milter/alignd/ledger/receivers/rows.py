"""What a ledger keeps of what receivers said: no address of a person, and no text of theirs.

Words are kept as `alignd feedback` and `alignd reports` spell them; the ledger only counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class ReplyKey(NamedTuple):
    """What replies that refuse a message as not authenticated are counted by."""

    day: int
    """The Unix time at which the day of the reply begins, UTC."""
    tenant: str
    domain: str
    """The author domain; empty where it is not known."""
    action: str
    reason: str
    """What alignd did with the message; both are empty where that is not known."""
    receiver: str
    """The organizational domain of the host that replied."""
    kind: str
    """What the reply is beside the prediction, such as "lost"."""
    pattern: str
    """The name of the way in which the receiver said it."""


class ReportKey(NamedTuple):
    """What the messages in reports that somebody answers for are counted by."""

    first_day: int
    """The Unix time at which the day begins, UTC, in which the period of the report begins."""
    last_day: int
    """The same of the last second of the period; two days where it is not a day of UTC."""
    reporter: str
    """The organizational domain of whose mail has brought the report."""
    origin: str
    """Whose mail it is, such as "rewritten"."""
    domain: str
    """Of From; empty where the report does not say."""
    address: str
    """The source: one of the relay's, or one that a key of ours vouches for; else empty."""
    result: str
    """What DMARC made of it: "pass", "fail" or "unknown"."""
    dkim: str
    spf: str
    """What the mechanisms did, such as "not-aligned"."""
    disposition: str
    is_foretold: bool
    """Whether rules leave such mail alone although it fails."""


@dataclass(frozen=True, slots=True)
class KnownReport:
    """A report that was read, so that it counts once, however often it comes."""

    id: str
    """A digest of what it has in common with its copies alone."""
    reporter: str
    policy_domain: str
    begin: int
    """Unix time."""
    end: int
    messages: int
    """All in it, also those of others."""
    discovery: str = ""
    """How its reporter finds a policy, in the words of RFC 9990: "treewalk", "psl" or none."""


class PredictedDay(NamedTuple):
    """What was done with the messages of an author domain on one day, by all tenants together."""

    day: int
    domain: str
    """`answer.OTHER` for all domains together that receivers said nothing of; no name has it."""
    action: str
    reason: str
    messages: int


class Rewriting(NamedTuple):
    """Messages of an author domain that were rewritten for one reason."""

    domain: str
    reason: str
    messages: int
    while_passing: int
    """Those on days that began after the watch had found that its mail aligns."""
    aligned: int
    """Messages of the domain that were left alone in the same time, since they aligned."""
    is_over: bool
    """Whether the watch finds now that its mail aligns."""


@dataclass(frozen=True, slots=True)
class Receivers:
    """All that receivers said in a span of time, and what was predicted for it."""

    replies: tuple[tuple[ReplyKey, int], ...] = ()
    """Messages by key."""
    rows: tuple[tuple[ReportKey, int], ...] = ()
    reports: int = 0
    """Reports whose period ends in that time."""
    newest: float = 0.0
    """The end of the latest of them; 0 for none."""
    days: tuple[PredictedDay, ...] = ()
    """Of all author domains: `rows` has rewritten mail under the notifications domain."""
    changes: frozenset[tuple[int, str]] = frozenset()
    """Days on which the state of a domain changed, by day and domain: they decide nothing. Of the
    domains that receivers said something of."""
    rewriting: tuple[Rewriting, ...] = ()
    """Most messages first, and bounded: of all author domains, whatever receivers said."""
