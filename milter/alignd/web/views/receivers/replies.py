"""Says which mail receivers have refused as not authenticated, and what mends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from alignd.feedback.disagreement import Kind
from alignd.feedback.patterns import PATTERNS, Says
from alignd.languages.texts import Texts, msgid
from alignd.ledger.batch import DAY
from alignd.ledger.receivers.rows import ReplyKey
from alignd.mail.printable import printable
from alignd.web.views.badges import Badge
from alignd.web.views.times import instant

MAX_REPLIES = 200
"""Rows that are shown: what contradicts alignd first, then the newest."""
Replies = Sequence[tuple[ReplyKey, int]]

_WORDS = {
    Kind.LOST: msgid("predicted to pass"),
    Kind.OUTAGE: msgid("rewritten"),
    Kind.ENVELOPE: msgid("return path refused"),
    Kind.FORETOLD: msgid("known to fail"),
    Kind.ADVICE: msgid("another demand"),
    Kind.BOUNCE: msgid("bounce"),
    Kind.OUTSIDE: msgid("not looked at"),
    Kind.UNKNOWN: msgid("not known"),
}
_LATER = msgid("something else")
_STYLES = {Kind.LOST: "state-refuse", Kind.OUTAGE: "state-refuse", Kind.ENVELOPE: "state-rewrite"}
_FIXES = {
    Kind.LOST: msgid(
        "Mail was left alone since it would pass, and a receiver refused it. The operator looks "
        "for an address of our mail server that is missing in relay.addresses, and for a DKIM "
        "signature that breaks behind alignd; until it is found, rules.always has the domain's "
        "mail rewritten."
    ),
    Kind.OUTAGE: msgid(
        "Mail from our own address was refused, and no rewriting helps it: the operator runs "
        "“alignd doctor” now, and mends SPF, DKIM and DMARC of the notifications domain."
    ),
    Kind.ENVELOPE: msgid(
        "DMARC is as it was predicted, but the domain of the return path does not authorise our "
        "mail server: its SPF record has to name every address of it."
    ),
    Kind.FORETOLD: msgid(
        "alignd knew that this mail would fail. The configuration has it left alone, and the "
        "operator can change that."
    ),
    Kind.BOUNCE: msgid(
        "A bounce of our mail server was refused, so that an agent never heard of mail that did "
        "not arrive: the HELO name needs an SPF record, and the operator runs “alignd doctor”."
    ),
    Kind.OUTSIDE: msgid(
        "alignd did not look at this mail. If it is that of a helpdesk, the operator adds it to "
        "the options in [helpdesk]."
    ),
    Kind.UNKNOWN: msgid("It is not known what alignd did with this mail: its log was not read."),
}
_DEMANDS = {
    Says.DKIM_MISSING: msgid(
        "Some receivers ask for a DKIM signature too: the page of the domain has the record that "
        "its owner publishes."
    ),
    Says.NO_POLICY: msgid(
        "Some receivers ask that the domain has a DMARC record; one with p=none will do."
    ),
    Says.REVERSE_DNS: msgid(
        "Some receivers ask for a PTR record of our mail server that leads back to it: the "
        "operator runs “alignd doctor”."
    ),
    Says.TLS: msgid(
        "Some receivers ask for TLS: the operator sets smtp_tls_security_level = may in Postfix."
    ),
}
_BY_PATTERN = {each.name: each.says for each in PATTERNS}
_KINDS = {kind.value: kind for kind in Kind}
_PLACES = {kind: place for place, kind in enumerate(Kind)}


@dataclass(frozen=True, slots=True)
class ReplyRow:
    """Messages of one day that one receiver has refused in the same way."""

    date: str
    machine_date: str
    """As programs read it."""
    receiver: str
    domain: str
    path: str
    """Of the page of the domain; empty where it is not known which it is."""
    tenant: str
    badge: Badge
    """What alignd had thought of them."""
    pattern: str
    """The name of the way in which the receiver said it; in English."""
    messages: str


@dataclass(frozen=True, slots=True)
class RepliesView:
    """Replies, and what there is to do."""

    rows: tuple[ReplyRow, ...]
    left_out: int
    """Rows that are not shown."""
    fixes: tuple[str, ...]
    """A sentence for each kind of reply, what contradicts alignd first."""
    has_tenants: bool
    is_public: bool = False
    """Whether it is left out what alignd had thought of them."""


def replies_view(replies: Replies, texts: Texts) -> RepliesView:
    """Show *replies*."""
    counted = Counter[ReplyKey]()
    for key, messages in replies:
        counted[key] += messages
    rows = sorted(counted.items(), key=lambda row: (*_order(row[0]), -row[1], row[0]))
    return RepliesView(
        tuple(_row(key, messages, texts) for key, messages in rows[:MAX_REPLIES]),
        max(0, len(rows) - MAX_REPLIES),
        tuple(_fixes((key for key, _ in rows), texts)),
        any(key.tenant for key in counted),
    )


def of_kinds(replies: Replies, kinds: Iterable[Kind], since: float = 0.0) -> int:
    """The messages of *replies* of these *kinds* from the day of *since*, a Unix time, on."""
    wanted = set(kinds)
    return sum(
        messages
        for key, messages in replies
        if kind_of_reply(key) in wanted and key.day + DAY > since
    )


def select(replies: Replies, wanted: Callable[[ReplyKey], bool]) -> Replies:
    """Those of *replies* that are *wanted*."""
    return tuple(each for each in replies if wanted(each[0]))


def kind_of_reply(key: ReplyKey) -> Kind | None:
    """Its kind; None for one that only a later alignd knows."""
    return _KINDS.get(key.kind)


def _order(key: ReplyKey) -> tuple[int, int]:
    kind = kind_of_reply(key)
    return (0 if kind and kind.is_disagreement else 1), -key.day


def _row(key: ReplyKey, messages: int, texts: Texts) -> ReplyRow:
    kind = kind_of_reply(key)
    word = texts.text(_WORDS[kind] if kind else _LATER)
    style = _STYLES.get(kind, "state-unknown") if kind else "state-unknown"
    return ReplyRow(
        date=texts.date(key.day),
        machine_date=instant(key.day),
        receiver=printable(key.receiver),
        domain=printable(key.domain),
        path=f"/domains/{key.domain}" if key.domain else "",
        tenant=printable(key.tenant),
        badge=Badge(word, style),
        pattern=printable(key.pattern),
        messages=texts.number(messages),
    )


def _fixes(keys: Iterable[ReplyKey], texts: Texts) -> Iterator[str]:
    found: dict[str, Kind] = {}
    for key in keys:
        kind = kind_of_reply(key)
        if kind and (sentence := _fix(kind, key.pattern)):
            found[sentence] = kind
    for sentence in sorted(found, key=lambda each: (_PLACES[found[each]], each)):
        yield texts.text(sentence)


def _fix(kind: Kind, pattern: str) -> str:
    if kind is not Kind.ADVICE:
        return _FIXES[kind]
    says = _BY_PATTERN.get(pattern)
    return _DEMANDS.get(says, "") if says else ""
