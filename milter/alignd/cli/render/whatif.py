"""Renders what would happen to mail of author domains if something were different."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from alignd.advice.whatif import Outcome, Subject, Total, by_tenant
from alignd.cli.render.ledger import plural
from alignd.cli.text import (
    BLANK,
    GOOD_HEADING,
    HEADING,
    WARNING_HEADING,
    Line,
    Span,
    fold,
)
from alignd.judgement.reasons import Reason
from alignd.ledger.queries.json import fix_for, is_unwanted

_FINDING = ("action", "reason", "policy", "spf", "dkim")
COLUMNS = (
    *("domain", "tenant", "messages_30_days", "changes"),
    *(f"{name}_now" for name in _FINDING),
    *(f"{name}_then" for name in _FINDING),
    "fix",
)
_CHANGES = {True: "yes", False: "no", None: "unknown"}
_MAX_SHOWN = 20
"""Domains of which DNS says nothing, and tenants that are missing, that people are shown."""
_WORSE, _BETTER, _OTHERWISE = "for the worse", "for the better", "otherwise"
_FAILING = frozenset({Reason.REWRITE_FAILS.value, Reason.REWRITE_WOULD_FAIL.value})
_FAILING_FIX = (
    "Rewritten mail would fail DMARC as well: the records of the notifications domain have to "
    "authorise what would be different. Give those that it will have with --records."
)


@dataclass(frozen=True, slots=True)
class Failed:
    """A domain that could not be judged, which is a bug; *problem* says how."""

    subject: Subject
    problem: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that was judged."""

    judged: Sequence[Outcome | Failed]
    strangers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The labels of tenants that a configuration does not have, by the path of its file."""

    @property
    def outcomes(self) -> list[Outcome]:
        return [each for each in self.judged if isinstance(each, Outcome)]

    @property
    def failed(self) -> list[Failed]:
        return [each for each in self.judged if isinstance(each, Failed)]

    @property
    def changes(self) -> list[Outcome]:
        return [each for each in self.outcomes if each.is_change]

    @property
    def unknown(self) -> list[Outcome]:
        return [each for each in self.outcomes if each.is_unknown]


def whatif_lines(compared: Comparison) -> Iterator[Line]:
    """What would change, by what it is and what it would be; then the sums."""
    changes = compared.changes
    for states, some in _by_states(changes).items():
        yield from _section(*states, some)
        yield BLANK
    if compared.unknown:
        yield from _unknown(compared.unknown)
        yield BLANK
    totals = by_tenant(changes)
    if any(totals):  # not only the general options
        yield from _tenants(totals)
        yield BLANK
    yield from _sums(compared)


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """What happens to mail of one domain, and what would."""
    now, then, subject = outcome.now, outcome.then, outcome.subject
    return {
        "domain": subject.domain.name,
        "tenant": subject.tenant,
        "messages_30_days": subject.messages,
        "changes": None if outcome.is_unknown else outcome.is_change,
        "now": asdict(now),
        "then": asdict(then),
        "fix": _fix(then.action, then.reason),
    }


def outcome_cells(outcome: Outcome) -> list[str]:
    """A row of CSV, see COLUMNS."""
    found = outcome_json(outcome)
    now, then = found.pop("now"), found.pop("then")
    cells = {
        **found,
        **{f"{name}_now": value for name, value in now.items()},
        **{f"{name}_then": value for name, value in then.items()},
        "changes": _CHANGES[found["changes"]],
    }
    return ["" if cells[name] is None else str(cells[name]) for name in COLUMNS]


_States = tuple[str, str, str, str]
"""Action and reason as they are, and as they would be."""


def _by_states(changes: Iterable[Outcome]) -> dict[_States, list[Outcome]]:
    """What changes in the same way: first what would be unwanted, then by messages."""
    found: dict[_States, list[Outcome]] = {}
    for each in changes:
        states = (each.now.action, each.now.reason, each.then.action, each.then.reason)
        found.setdefault(states, []).append(each)

    def place(states: _States) -> tuple[bool, int, int, _States]:
        total = Total.of(found[states])
        return not is_unwanted(*states[2:]), -total.messages, -total.domains, states

    return {states: found[states] for states in sorted(found, key=place)}


def _section(
    action: str, reason: str, then_action: str, then_reason: str, changes: Sequence[Outcome]
) -> Iterator[Line]:
    style = WARNING_HEADING if is_unwanted(then_action, then_reason) else GOOD_HEADING
    change = f"{action} {reason} -> {then_action} {then_reason}"
    yield from fold(f"{change}: {_total(changes)}", style=style)
    if fix := _fix(then_action, then_reason):
        yield from fold(fix, "  ", "  ")
    yield Line.of(_row("30 days", "author domain"))
    for each in changes:
        yield _of(each.subject)


def _unknown(outcomes: Sequence[Outcome]) -> Iterator[Line]:
    yield from fold(f"DNS does not say: {_total(outcomes)}", style=WARNING_HEADING)
    yield from (_of(each.subject) for each in outcomes[:_MAX_SHOWN])
    if len(outcomes) > _MAX_SHOWN:
        yield from fold(f"and {len(outcomes) - _MAX_SHOWN:,} more: --json has them", "  ", "  ")


def _tenants(totals: Mapping[str, Total]) -> Iterator[Line]:
    yield Line.of(Span("What changes by tenant", HEADING))
    layout = "  {:>9}  {:>7}  {}"
    yield Line.of(layout.format("30 days", "domains", "tenant"))
    for label, total in totals.items():
        # Not folded: it is to be copied.
        shown = label or "(general options)"
        yield Line.of(layout.format(f"{total.messages:,}", f"{total.domains:,}", shown))


def _sums(compared: Comparison) -> Iterator[Line]:
    yield from fold(_sentence(compared), style=HEADING)
    for count, text in (
        (len(compared.unknown), "DNS does not say of {}."),
        (len(compared.failed), "{} could not be judged, which is a bug: please report it."),
    ):
        if count:
            yield from fold(text.format(f"{count:,}"))
    for path, labels in compared.strangers.items():
        some = ", ".join(labels[:_MAX_SHOWN]) + (", ..." if len(labels) > _MAX_SHOWN else "")
        yield from fold(f"{path} has no such tenant, so its general options count: {some}")


def _sentence(compared: Comparison) -> str:
    changes, judged = compared.changes, plural(len(compared.judged), "domain")
    if not changes:
        known = " of what is known" if compared.unknown or compared.failed else ""
        return f"{judged} judged: nothing changes{known}."
    to = Counter(map(_direction, changes))
    counts = ", ".join(
        f"{to[each]:,} {each}" for each in (_WORSE, _BETTER, _OTHERWISE) if to[each]
    )
    messages = f"; {_messages(changes)}" if _is_counted(changes) else ""
    return f"{judged} judged: {len(changes):,} would change ({counts}){messages}."


def _direction(change: Outcome) -> str:
    now, then = change.now, change.then
    was_unwanted = is_unwanted(now.action, now.reason)
    if is_unwanted(then.action, then.reason) == was_unwanted:
        return _OTHERWISE
    return _BETTER if was_unwanted else _WORSE


def _fix(action: str, reason: str) -> str | None:
    return _FAILING_FIX if reason in _FAILING else fix_for(action, reason)


def _total(outcomes: Sequence[Outcome]) -> str:
    domains = plural(len(outcomes), "domain")
    return f"{domains}, {_messages(outcomes)}" if _is_counted(outcomes) else domains


def _messages(outcomes: Sequence[Outcome]) -> str:
    return f"{plural(Total.of(outcomes).messages, 'message')} in 30 days"


def _is_counted(outcomes: Sequence[Outcome]) -> bool:
    return any(each.subject.messages is not None for each in outcomes)


def _of(subject: Subject) -> Line:
    messages = "-" if subject.messages is None else f"{subject.messages:,}"
    tenant = f"  ({subject.tenant})" if subject.tenant else ""
    # Not folded: it is to be copied.
    return Line.of(_row(messages, subject.domain.name), tenant)


def _row(messages: str, domain: str) -> str:
    return f"  {messages:>9}  {domain}"
