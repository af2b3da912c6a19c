"""Adds a batch to the tables of a ledger, within the transaction of whoever calls."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, case, func, select
from sqlalchemy.sql.elements import ColumnElement

from alignd.ledger.batch import DAY, Batch, DomainKey, Seen
from alignd.ledger.database import add_up, execute_each, insert
from alignd.ledger.event import EventKind
from alignd.ledger.tables import DAYS, EVENTS, HOURS, RELAY_HOURS, RELAYS, STATES
from alignd.ledger.writer import Writer

LOOK_AGAIN_SECONDS = 600.0
"""How long after a look a message may have its domain looked at again, at the earliest."""
MOST_SECOND_TENANTS = 20
"""Events of one tenant in a day: a stolen account that sends as everybody is told of, not each
domain."""
OUTBOUND = "outbound"
"""The leg whose author domains are customers': the others' are not looked at."""
_REWRITE = "rewrite"
_FREEMAIL = "freemail"  # everybody's, so another tenant that sends as one says nothing
_MANY = 500  # values in one question


def apply_batch(connection: Connection, batch: Batch, writer: Writer, now: float) -> list[str]:
    """Add *batch*; the kinds of the events that came of it.

    All rows are written in the order of their keys, table after table, by everybody.
    """
    leg = writer.leg
    hours = [{**key._asdict(), "leg": leg, "messages": n} for key, n in batch.counts.items()]
    add_up(connection, HOURS, hours, "messages")
    add_up(connection, DAYS, list(_by_day(batch, leg)), "messages")
    add_up(connection, RELAY_HOURS, list(_by_relay(batch, writer)), "messages")
    events = _note_second_tenants(connection, batch.seen, writer, now) if leg == OUTBOUND else []
    _note_states(connection, batch.seen, leg, now)
    return events


def note_relay(connection: Connection, writer: Writer, now: float) -> None:
    """Note that a relay is alive, mail or none."""
    row = {
        "relay": writer.relay,
        "leg": writer.leg,
        "first_seen": now,
        "last_seen": now,
        "version": writer.version,
        "digest": writer.digest,
        "dry_run": writer.is_dry_run,
    }
    statement = insert(connection, RELAYS).values(row)
    changed = {name: statement.excluded[name] for name in ("version", "digest", "dry_run")}
    changed["last_seen"] = statement.excluded.last_seen
    keys = ["relay", "leg"]
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))


def _by_day(batch: Batch, leg: str) -> Iterable[dict[str, Any]]:
    days: Counter[tuple[Any, ...]] = Counter()
    for key, messages in batch.counts.items():
        days[key.hour // DAY * DAY, *key[1:]] += messages
    for (day, tenant, domain, action, reason), messages in days.items():
        words = {"tenant": tenant, "domain": domain, "action": action, "reason": reason}
        yield {"day": day, "leg": leg, **words, "messages": messages}


def _by_relay(batch: Batch, writer: Writer) -> Iterable[dict[str, Any]]:
    hours: Counter[tuple[int, str]] = Counter()
    for key, messages in batch.counts.items():
        hours[key.hour, key.action] += messages
    for (hour, action), messages in hours.items():
        place = {"hour": hour, "relay": writer.relay, "leg": writer.leg}
        yield {**place, "action": action, "messages": messages}


def _note_states(
    connection: Connection, seen: Mapping[DomainKey, Seen], leg: str, now: float
) -> None:
    """Have each domain that was seen have a state, and be looked at if its mail says otherwise."""
    if not seen:
        return
    rows = [_state_row(key, seen[key], leg) for key in sorted(seen)]
    statement = insert(connection, STATES)
    new, old = statement.excluded, STATES.c
    # What a relay sends late, after its database was away, says nothing of what came since.
    is_newer = new.last_seen >= old.last_seen
    is_told = (old.looked == 0) & is_newer
    is_same = (old.action == new.action) & (old.reason == new.reason)
    differs = case((old.action == _REWRITE, 1), else_=0) != case(
        (new.action == _REWRITE, 1), else_=0
    )
    has_looked = (old.looked > 0) & (old.looked < new.last_seen)
    may_look = has_looked & (old.looked < now - LOOK_AGAIN_SECONDS) & (old.look_at > now)
    changed: dict[str, ColumnElement[Any]] = {
        name: case((is_told, new[name]), else_=old[name])
        for name in ("action", "reason", "policy", "spf", "dkim")
    }
    changed["since"] = case((is_told & ~is_same, new.since), else_=old.since)
    changed["first_seen"] = _least(old.first_seen, new.first_seen)
    changed["last_seen"] = _greatest(old.last_seen, new.last_seen)
    changed["look_at"] = case((may_look & differs, now), else_=old.look_at)
    keys = ["leg", "tenant", "domain"]
    statement = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    execute_each(connection, statement, rows)


def _state_row(key: DomainKey, seen: Seen, leg: str) -> dict[str, Any]:
    finding = seen.finding
    return {
        "leg": leg,
        "tenant": key.tenant,
        "domain": key.domain,
        "action": finding.action,
        "reason": finding.reason,
        "policy": finding.policy,
        "spf": finding.spf,
        "dkim": finding.dkim,
        "since": seen.first,
        "first_seen": seen.first,
        "last_seen": seen.last,
    }


def _note_second_tenants(
    connection: Connection, seen: Mapping[DomainKey, Seen], writer: Writer, now: float
) -> list[str]:
    """Make an event of each tenant that sends as a domain which was another's alone."""
    known = _tenants_of(connection, sorted({key.domain for key in seen}), writer.leg)
    rows: list[dict[str, Any]] = []
    for key in sorted(seen, key=lambda each: (seen[each].first, each)):
        others = known.setdefault(key.domain, [])
        if others and key.tenant not in others and seen[key].finding.reason != _FREEMAIL:
            rows.append(_second_tenant(key, others, writer, now))
        if key.tenant not in others:
            others.append(key.tenant)
    kind = EventKind.ANOTHER_TENANT.value
    return [kind for row in _few(connection, rows, now) if _is_new(connection, row)]


def _second_tenant(
    key: DomainKey, others: Sequence[str], writer: Writer, now: float
) -> dict[str, Any]:
    kind = EventKind.ANOTHER_TENANT.value
    # Relays that see the tenant at once make one event, since it has one id.
    name = json.dumps([kind, writer.leg, key.tenant, key.domain])
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, name)),
        "at": now,
        "leg": writer.leg,
        "tenant": key.tenant,
        "domain": key.domain,
        "kind": kind,
        "was": json.dumps({"tenants": sorted(others)}),
        "now": json.dumps({"tenant": key.tenant}),
        "relay": writer.relay,
    }


def _few(
    connection: Connection, rows: Sequence[dict[str, Any]], now: float
) -> list[dict[str, Any]]:
    """As many of these events as each tenant may still make today, in the order of their keys."""
    room: dict[str, int] = {}
    chosen = []
    for row in rows:
        tenant = row["tenant"]
        if tenant not in room:
            told = select(func.count()).where(
                EVENTS.c.at > now - DAY, EVENTS.c.kind == row["kind"], EVENTS.c.tenant == tenant
            )
            room[tenant] = MOST_SECOND_TENANTS - connection.execute(told).scalar_one()
        if room[tenant] > 0:
            room[tenant] -= 1
            chosen.append(row)
    return sorted(chosen, key=lambda row: str(row["id"]))


def _is_new(connection: Connection, event: Mapping[str, Any]) -> bool:
    statement = insert(connection, EVENTS).values(event).on_conflict_do_nothing()
    return connection.execute(statement.returning(EVENTS.c.id)).first() is not None


def _tenants_of(connection: Connection, domains: Sequence[str], leg: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for start in range(0, len(domains), _MANY):
        some = domains[start : start + _MANY]
        question = select(STATES.c.domain, STATES.c.tenant).where(
            STATES.c.leg == leg, STATES.c.domain.in_(some)
        )
        for domain, tenant in connection.execute(question):
            found.setdefault(domain, []).append(tenant)
    return found


def _least(one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((one < other, one), else_=other)


def _greatest(one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((one > other, one), else_=other)
