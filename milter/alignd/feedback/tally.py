"""Counts disagreements for a table, and reads and writes the counts as JSON values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from alignd.feedback.disagreement import Disagreement, Kind
from alignd.feedback.patterns import PATTERNS, Pattern

MAX_ROWS = 10_000
_BY_NAME = {pattern.name: pattern for pattern in PATTERNS}


@dataclass(frozen=True, slots=True)
class Row:
    """What one receiver says of the mail of one author domain with one decision."""

    kind: Kind
    tenant: str
    domain: str
    action: str
    reason: str
    receiver: str
    pattern: Pattern


@dataclass(frozen=True, slots=True)
class Count:
    """How many messages, and the time of the last one; None where the log has no times."""

    messages: int = 0
    last: float | None = None


class Tally:
    """Counts by row; more than MAX_ROWS are counted together."""

    def __init__(self) -> None:
        self._counts: dict[Row, Count] = {}
        self.left_out = 0
        """Messages without a row, since there were too many."""

    def add(self, each: Disagreement) -> None:
        decision = each.decision
        words = (
            (decision.tenant, decision.domain, decision.action, decision.reason)
            if decision
            else ("", "", "", "")
        )
        row = Row(each.kind, *words, each.receiver, each.pattern)
        self._add(row, Count(1, each.when))

    def rows(self) -> list[tuple[Row, Count]]:
        """What contradicts alignd first, most messages first."""
        kinds = list(Kind)
        return sorted(
            self._counts.items(),
            key=lambda item: (kinds.index(item[0].kind), -item[1].messages, item[0].domain),
        )

    @property
    def has_disagreement(self) -> bool:
        return any(row.kind.is_disagreement for row in self._counts)

    def as_values(self) -> dict[str, Any]:
        rows = [
            {
                "kind": row.kind.value,
                "tenant": row.tenant,
                "domain": row.domain,
                "action": row.action,
                "reason": row.reason,
                "receiver": row.receiver,
                "pattern": row.pattern.name,
                "messages": count.messages,
                "last": count.last,
            }
            for row, count in self.rows()
        ]
        return {"rows": rows, "left_out": self.left_out}

    @classmethod
    def of_values(cls, values: dict[str, Any]) -> Tally:
        """Restore a tally; a pattern that is no longer known has no row.

        Raises:
            KeyError, TypeError, ValueError: *values* are not what `as_values` returns.
        """
        tally = cls()
        tally.left_out = int(values["left_out"])
        for each in _objects(values["rows"]):
            pattern = _BY_NAME.get(each["pattern"])
            if pattern is None:
                tally.left_out += int(each["messages"])
                continue
            row = Row(
                Kind(each["kind"]),
                str(each["tenant"]),
                str(each["domain"]),
                str(each["action"]),
                str(each["reason"]),
                str(each["receiver"]),
                pattern,
            )
            last = None if each["last"] is None else float(each["last"])
            tally._add(row, Count(int(each["messages"]), last))
        return tally

    def _add(self, row: Row, count: Count) -> None:
        old = self._counts.get(row)
        if old is None:
            if len(self._counts) >= MAX_ROWS:
                self.left_out += count.messages
                return
            self._counts[row] = count
            return
        times = [time for time in (old.last, count.last) if time is not None]
        last = max(times, default=None)
        self._counts[row] = replace(old, messages=old.messages + count.messages, last=last)


def _objects(values: Any) -> Iterable[dict[str, Any]]:
    if not isinstance(values, list):
        raise TypeError("no list")
    return values
