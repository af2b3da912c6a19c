"""What can happen to an author domain, its mail or a relay, that somebody should know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class EventKind(Enum):
    """The kind of an event."""

    BEGAN = "began"
    """Mail of the domain began to be rewritten."""
    STOPPED = "stopped"
    """Mail of the domain is no longer rewritten: its agents keep their names."""
    PARTLY = "partly"
    """Some of the relay's addresses are authorised by SPF, and others are not."""
    POLICY = "policy"
    """The domain has another DMARC policy."""
    UNKNOWN = "unknown"
    """DNS has not answered for hours."""
    KNOWN = "known"
    """DNS answers again after that, and says what it said before."""
    ANOTHER_TENANT = "another-tenant"
    """A second tenant began to send as the domain."""
    FLAPPING = "flapping"
    """What is found of the domain changes again and again: no more is told for a day."""
    REJECTED = "rejected"
    """A receiver refuses mail as not authenticated, against what was predicted. `was` is empty,
    and `now` a `Rejection`."""
    SILENT_RELAY = "silent-relay"
    """A relay that shares the ledger writes nothing any more; there is no domain."""
    HEARD_RELAY = "heard-relay"
    """It writes again."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event; its fields are those of the table `events`."""

    id: str
    at: float
    """Unix time."""
    leg: str
    tenant: str
    domain: str
    kind: EventKind
    was: str
    """JSON of what it was: a `Finding` as an object, with `since`; what else the kind has to say,
    such as `tenant`. Empty if there was nothing."""
    now: str
    """JSON of what it is, in the same way."""
    relay: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """What an event of the kind REJECTED says."""

    kind: str
    """What the reply is beside the prediction: "lost", "outage" or "envelope"."""
    receiver: str
    """The organizational domain of the host that refuses."""
    messages: int
    """Within an hour, as far as they were counted."""
    pattern: str
    """The name of the way in which it says so."""

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Rejection:
        """Read `now` of an event, whatever a later alignd may have written there."""
        messages = said.get("messages")
        return cls(
            str(said.get("kind", "")),
            str(said.get("receiver", "")),
            messages if type(messages) is int else 0,
            str(said.get("pattern", "")),
        )


def object_in(text: str) -> Mapping[str, Any]:
    """The object in a column; empty where there is none, as a later alignd may have written."""
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
