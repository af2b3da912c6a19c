"""The status document: what the running service has in force, for `alignd doctor` and scripts.

The monitor serves it as JSON, read-only. It names files, digests, numbers, nameservers and the
domains of return addresses: no address and no other domain of mail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from pydantic import TypeAdapter, ValidationError

from alignd.telemetry.words import ArchiveState, Input


class StatusError(ValueError):
    """A document is not the status of a service."""


class NameserverState(Enum):
    """What came of the last query that a worker sent to a nameserver."""

    ANSWERS = "answers"
    FAILS = "fails"
    UNKNOWN = "unknown"
    """None was sent yet."""


@dataclass(frozen=True, slots=True)
class Versions:
    """What runs, which may be older than what is installed."""

    alignd: str
    python: str
    public_suffixes: str
    """The date of the list, as `date.isoformat` has it; empty where its package has none."""


@dataclass(frozen=True, slots=True)
class ReturnDomain:
    """A domain of return addresses."""

    domain: str
    keys: Mapping[str, str]
    """The state of each key, by its id; none when they are not there."""
    keys_are_old: bool
    """The file cannot be read now, and these are the keys of before."""


@dataclass(frozen=True, slots=True)
class InForce:
    """What the service loaded last, at a start or a reload."""

    path: str
    """Of the configuration file."""
    digest: str
    """The SHA-256 of its text, in hexadecimal digits."""
    since: float
    """Unix time of the load."""
    tenants: int
    nameservers: tuple[str, ...]
    nameservers_from: str
    """`dns.nameservers`, or the path of resolv.conf(5)."""
    signing_tables: str
    """A digest of OpenDKIM's tables; empty without."""
    signing_entries: int
    leg: str = "outbound"
    """`outbound` or `return`."""
    return_domains: tuple[ReturnDomain, ...] = ()
    """Those of return addresses, of many the first."""
    return_domain_count: int = 0


@dataclass(frozen=True, slots=True)
class SupervisorPart:
    """What the supervisor writes."""

    pid: int
    started: float
    """Unix time."""
    versions: Versions
    in_force: InForce


@dataclass(frozen=True, slots=True)
class WorkerPart:
    """What one worker writes."""

    number: int
    pid: int
    started: float
    """Unix time."""
    digest: str
    """Of the configuration that it judges with."""
    nameservers: Mapping[str, NameserverState]
    """By address."""
    breaker_is_open: bool
    is_troubled: bool
    """Known domains are answered from memory, because DNS fails or is slow."""
    connections: int


@dataclass(frozen=True, slots=True)
class MapPart:
    """What the process writes that tells Postfix whose a return address is."""

    pid: int
    started: float
    """Unix time."""
    digest: str
    """Of the configuration that it answers with."""
    connections: int


@dataclass(frozen=True, slots=True)
class Counted:
    """What the counters say, which outlive the processes."""

    workers_wanted: int
    workers_ready: int
    is_ending: bool
    worker_restarts: int
    reload_was_refused: bool
    refused_inputs: tuple[Input, ...]
    """Those whose last reading was refused: what was read before is in force."""
    archive: ArchiveState
    archive_answers: int
    archive_dropped: int
    log_lines_dropped: int
    background_failures: int


@dataclass(frozen=True, slots=True)
class Status:
    """The whole document."""

    time: float
    """Unix time at which it was put together."""
    supervisor: SupervisorPart
    workers: tuple[WorkerPart, ...]
    counted: Counted
    return_map: MapPart | None = None
    """None where it does not run, as on the outbound leg."""


def status_json(status: Status) -> bytes:
    """The document, for people and programs."""
    return TypeAdapter(Status).dump_json(status, indent=2) + b"\n"


def parse_status(text: bytes) -> Status:
    """Read a document that `status_json` wrote, perhaps of another version.

    What a later version says besides is left out.

    Raises:
        StatusError: it is no such document.
    """
    try:
        return TypeAdapter(Status).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise StatusError(f"not a status document: {place or 'JSON'}: {first['msg']}") from error
