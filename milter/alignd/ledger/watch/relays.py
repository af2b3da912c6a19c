"""Notices relays that share a ledger and write nothing any more."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, select

from alignd.ledger.answer import NO_DOMAIN
from alignd.ledger.batch import DAY, DomainKey
from alignd.ledger.event import Event, EventKind
from alignd.ledger.tables import EVENTS, RELAYS
from alignd.ledger.watch.states import new_event, write_events
from alignd.ledger.writer import Writer

SILENT_SECONDS = 600.0
"""A relay writes every minute, mail or none."""
FORGOTTEN_SECONDS = 7.0 * DAY
"""A relay that was silent for longer before anybody looked is not told of any more."""
_NO_KEY = DomainKey("", NO_DOMAIN)


class Service(NamedTuple):
    """One service of a relay."""

    relay: str
    leg: str


@dataclass(frozen=True, slots=True)
class Said:
    """What was last told of a service, and since when that was so."""

    kind: EventKind
    since: float


@dataclass(frozen=True, slots=True)
class Noticed:
    """A service that fell silent, or is heard again."""

    service: Service
    kind: EventKind
    was_since: float
    since: float


def notice(
    last_seen: Mapping[Service, float], said: Mapping[Service, Said], own: Service, now: float
) -> Iterator[Noticed]:
    """Say which services are to be told of at *now*; the one that asks is alive itself."""
    for service in sorted(last_seen):
        silence = now - last_seen[service]
        before = said.get(service)
        is_said = before is not None and before.kind is EventKind.SILENT_RELAY
        if is_said and (silence < SILENT_SECONDS or service == own):
            assert before is not None
            yield Noticed(service, EventKind.HEARD_RELAY, before.since, last_seen[service])
        elif not is_said and service != own and SILENT_SECONDS <= silence < FORGOTTEN_SECONDS:
            since = last_seen[service]
            yield Noticed(service, EventKind.SILENT_RELAY, since, since)


def note_silence(connection: Connection, writer: Writer, now: float) -> list[Event]:
    """Write the events of the relays in this ledger."""
    relays = connection.execute(select(RELAYS.c.relay, RELAYS.c.leg, RELAYS.c.last_seen))
    last_seen = {Service(row.relay, row.leg): row.last_seen for row in relays}
    own = Service(writer.relay, writer.leg)
    events = [_event(each, writer, now) for each in notice(last_seen, _said(connection), own, now)]
    write_events(connection, events)
    return events


def _event(noticed: Noticed, writer: Writer, now: float) -> Event:
    name = {"relay": noticed.service.relay}
    return new_event(
        noticed.kind,
        {**name, "since": noticed.was_since},
        {**name, "since": noticed.since},
        at=now,
        key=_NO_KEY,
        leg=noticed.service.leg,
        relay=writer.relay,
    )


def _said(connection: Connection) -> dict[Service, Said]:
    kinds = (EventKind.SILENT_RELAY, EventKind.HEARD_RELAY)
    columns = EVENTS.c
    question = (
        select(columns.leg, columns.kind, columns.now)
        .where(columns.domain == NO_DOMAIN, columns.kind.in_([each.value for each in kinds]))
        .order_by(columns.at)
    )
    return dict(_read(tuple(row) for row in connection.execute(question)))


def _read(rows: Iterable[tuple[str, str, str]]) -> Iterator[tuple[Service, Said]]:
    for leg, kind, now in rows:
        try:
            words = json.loads(now)
            yield Service(words["relay"], leg), Said(EventKind(kind), float(words["since"]))
        except (KeyError, TypeError, ValueError):
            continue  # a later version has written it
