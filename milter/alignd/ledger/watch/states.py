"""Reads and writes what looks have found, one domain in a transaction."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

from sqlalchemy import Connection, Row, case, select, update
from sqlalchemy.sql.elements import ColumnElement

from alignd.ledger.answer import Finding
from alignd.ledger.batch import DAY, DomainKey
from alignd.ledger.database import insert as upsert
from alignd.ledger.event import Event, EventKind
from alignd.ledger.tables import EVENTS, STATES
from alignd.ledger.watch.looking import Looked, State, Told
from alignd.ledger.writer import Writer

_WORDS = ("action", "reason", "policy", "spf", "dkim")
_KINDS = {each.value: each for each in EventKind}


@dataclass(frozen=True, slots=True)
class Due:
    """A domain that is to be looked at."""

    key: DomainKey
    is_second: bool
    """Whether what a look has found waits for this one."""


def due_domains(
    connection: Connection, leg: str, now: float, latest: float, most: int
) -> list[Due]:
    """The domains that are due at *now*, those first that have been for longest.

    One that is to be looked at after *latest* was planned by a clock that was put back since.
    """
    columns = STATES.c
    question = select(columns.tenant, columns.domain, columns.pending).where(columns.leg == leg)
    rows = connection.execute(
        question.where(columns.look_at <= now).order_by(columns.look_at).limit(most)
    ).all()
    if not rows:
        rows = connection.execute(question.where(columns.look_at > latest).limit(most)).all()
    return [Due(DomainKey(row.tenant, row.domain), bool(row.pending)) for row in rows]


def due_since(connection: Connection, leg: str, now: float) -> float:
    """Since when the domain has been due that is looked at next; *now* if none is."""
    columns = STATES.c
    # One that was never looked at has been due since its first message.
    since = case((columns.look_at > 0, columns.look_at), else_=columns.first_seen)
    question = select(since).where(columns.leg == leg, columns.look_at <= now)
    found = connection.execute(question.order_by(columns.look_at).limit(1)).scalar()
    return now if found is None else min(now, float(found))


def record(
    connection: Connection,
    key: DomainKey,
    writer: Writer,
    now: float,
    judge: Callable[[State, Sequence[Told]], Looked],
) -> tuple[Looked, list[Event]] | None:
    """Write what *judge* makes of a state as it is by now; None if it is there no more."""
    question = select(STATES).where(_is(key, writer.leg)).with_for_update()
    row = connection.execute(question).first()
    if row is None:
        return None  # it was forgotten while DNS was asked
    state = _state_of(row)
    looked = judge(state, _told(connection, key, writer.leg, now, state))
    connection.execute(update(STATES).where(_is(key, writer.leg)).values(_written(looked.state)))
    events = [
        new_event(
            each.kind, each.was, each.now, at=now, key=key, leg=writer.leg, relay=writer.relay
        )
        for each in looked.changes
    ]
    write_events(connection, events)
    return looked, events


def postpone(connection: Connection, key: DomainKey, leg: str, look_at: float) -> None:
    """Look at a domain later, whatever is known of it."""
    connection.execute(update(STATES).where(_is(key, leg)).values(look_at=look_at))


def write_events(connection: Connection, events: Sequence[Event]) -> None:
    """Write those that are not there: who sends a batch twice tells of no event twice."""
    if events:
        rows = [{**asdict(each), "kind": each.kind.value} for each in events]
        connection.execute(upsert(connection, EVENTS).on_conflict_do_nothing(), rows)


def new_event(
    kind: EventKind,
    was: Mapping[str, object],
    now: Mapping[str, object],
    *,
    at: float,
    key: DomainKey,
    leg: str,
    relay: str,
) -> Event:
    return Event(
        id=str(uuid.uuid4()),
        at=at,
        leg=leg,
        tenant=key.tenant,
        domain=key.domain,
        kind=kind,
        was=json.dumps(was),
        now=json.dumps(now),
        relay=relay,
    )


def _is(key: DomainKey, leg: str) -> ColumnElement[bool]:
    columns = STATES.c
    return (columns.leg == leg) & (columns.tenant == key.tenant) & (columns.domain == key.domain)


def _state_of(row: Row[Any]) -> State:
    return State(
        finding=Finding(*(getattr(row, word) for word in _WORDS)),
        since=row.since,
        last_seen=row.last_seen,
        looked=row.looked,
        look_at=row.look_at,
        pending=_finding_in(row.pending),
        pending_since=row.pending_since,
        unknown_since=row.unknown_since,
    )


def _finding_in(text: str) -> Finding | None:
    """What is pending; None, too, where another version has written it in another way."""
    if not text:
        return None
    try:
        return Finding(**json.loads(text))
    except (TypeError, ValueError):
        return None


def _written(state: State) -> dict[str, object]:
    """The columns that a look may change."""
    return {
        **dict(zip(_WORDS, astuple(state.finding), strict=True)),
        "since": state.since,
        "looked": state.looked,
        "look_at": state.look_at,
        "pending": json.dumps(asdict(state.pending)) if state.pending else "",
        "pending_since": state.pending_since,
        "unknown_since": state.unknown_since,
    }


def _told(
    connection: Connection, key: DomainKey, leg: str, now: float, state: State
) -> list[Told]:
    """The domain's events of the last day, and those since DNS does not answer."""
    columns = EVENTS.c
    since = min(now - DAY, state.unknown_since or now)
    question = select(columns.at, columns.kind).where(
        columns.domain == key.domain,
        columns.at >= since,
        columns.leg == leg,
        columns.tenant == key.tenant,
    )
    return [
        Told(row.at, _KINDS[row.kind])
        for row in connection.execute(question)
        if row.kind in _KINDS  # a later version may have others
    ]
