"""Compares what the running service has in force with the files, and tells what it sees.

What doctor finds with its own eyes may be fine while the service, which read the files earlier and
runs in a sandbox as another user, fares badly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from alignd.doctor.facts import Files, RunningService
from alignd.doctor.findings import FindingId, Note, Remark, Skipped, Unknown, error, warning
from alignd.telemetry.status import NameserverState, Status
from alignd.telemetry.words import ArchiveState, Input


@dataclass(frozen=True, slots=True)
class ServiceOf:
    """One of the services, for the text of findings."""

    unit: str
    """As systemd knows it."""
    fate: str
    """What becomes of mail of whose domain nobody knows anything."""


SERVE = ServiceOf("alignd", "rewritten")
RETURN = ServiceOf("alignd-return", "deferred")


def examine_service(
    running: RunningService, files: Files, service: ServiceOf = SERVE
) -> Iterator[Remark]:
    """Examine the service that runs."""
    if isinstance(running, Unknown | Skipped):
        yield running
        return
    yield from _workers(running, service)
    if running.supervisor.in_force.path == files.in_force.path:
        yield from _not_in_force(running, files, service)
    else:
        yield Skipped(
            f"the service that runs reads {running.supervisor.in_force.path}, which was not "
            "compared (--config)"
        )
    yield from _dns(running, service)
    yield from _versions(running, files, service)
    yield from _archive(running, service)
    yield from _log(running)


def _workers(running: Status, service: ServiceOf) -> Iterator[Remark]:
    counted = running.counted
    if counted.workers_ready < counted.workers_wanted:
        yield warning(
            FindingId.WORKERS_MISSING,
            f"{counted.workers_ready} of {counted.workers_wanted} workers are ready",
            "what they would serve waits for the others",
            f"journalctl -u {service.unit} -n 50",
        )
    else:
        since = datetime.fromtimestamp(running.supervisor.started, tz=UTC)
        yield Note(
            f"{counted.workers_ready} workers are ready; it runs since {since:%Y-%m-%d %H:%M} UTC"
        )
    if counted.background_failures:
        yield Note(
            f"{counted.background_failures} exceptions in the background were survived: report "
            "the lines of the log"
        )


def _not_in_force(running: Status, files: Files, service: ServiceOf) -> Iterator[Remark]:
    ours, now = running.supervisor.in_force, files.in_force
    if ours.return_domains != now.return_domains:
        yield warning(
            FindingId.RETURN_KEYS_NOT_IN_FORCE,
            "the keys of return addresses have changed since the service read them",
            "it makes or takes other return addresses than the file says",
            f"systemctl reload {service.unit}",
        )
    if running.counted.reload_was_refused:
        yield warning(
            FindingId.RELOAD_REFUSED,
            "the last reload was refused",
            "the configuration before is in force, and a restart may fail",
            f"alignd check-config --config {ours.path}\nsystemctl reload {service.unit}",
        )
    elif ours.digest != now.digest:
        read = datetime.fromtimestamp(ours.since, tz=UTC)
        yield warning(
            FindingId.CONFIGURATION_NOT_IN_FORCE,
            f"{ours.path} has changed since the service read it, {read:%Y-%m-%d %H:%M} UTC",
            "what is written there does not hold yet",
            f"alignd check-config --config {ours.path}\nsystemctl reload {service.unit}",
        )
    if ours.signing_tables != now.signing_tables:
        yield warning(
            FindingId.SIGNING_TABLES_NOT_IN_FORCE,
            "the signing tables have changed since the service read them",
            "it predicts signatures that are not made, or does not know those that are",
            f"systemctl reload {service.unit}",
        )
    if now.nameservers and ours.nameservers != now.nameservers:
        yield warning(
            FindingId.NAMESERVERS_NOT_IN_FORCE,
            f"the service asks {', '.join(ours.nameservers)}; {now.nameservers_from} says "
            f"{', '.join(now.nameservers)}",
            f"what it asks may be gone: without an answer, mail that would pass is {service.fate}",
            f"systemctl reload {service.unit}",
        )
    if Input.NAMESERVERS in running.counted.refused_inputs:
        yield warning(
            FindingId.NAMESERVERS_NOT_IN_FORCE,
            f"the service could not use {now.nameservers_from} when it read it last",
            "it goes on with the nameservers that it knows, and would not start again",
            f"journalctl -u {service.unit} -n 50, and mend the file",
        )


def _dns(running: Status, service: ServiceOf) -> Iterator[Remark]:
    workers = running.workers
    if down := sum(worker.breaker_is_open for worker in workers):
        yield error(
            FindingId.DNS_IS_DOWN,
            f"DNS is down for {down} of {len(workers)} workers",
            f"known domains are judged by what was known last, all others are {service.fate}",
            "dig . NS as the user of the service; look for a firewall in its way",
        )
    elif troubled := sum(worker.is_troubled for worker in workers):
        yield warning(
            FindingId.DNS_IS_DOWN,
            f"DNS fails or is slow for {troubled} of {len(workers)} workers",
            "known domains are judged by what was known last, others wait and may be "
            f"{service.fate}",
            "dig . NS, and the log of the resolver",
        )
    source = running.supervisor.in_force.nameservers_from
    failing = {
        address
        for worker in workers
        for address, state in worker.nameservers.items()
        if state is NameserverState.FAILS
    }
    for address in sorted(failing):
        yield warning(
            FindingId.NAMESERVER_FAILS,
            f"the nameserver {address} does not answer the service",
            "the others are asked in its place; if none is left, mail is "
            f"{service.fate} needlessly",
            f"dig @{address} . NS\nor leave it out of {source}",
        )


def _versions(running: Status, files: Files, service: ServiceOf) -> Iterator[Remark]:
    runs, installed = running.supervisor.versions, files.versions
    for name, ours, now in (
        ("alignd", runs.alignd, installed.alignd),
        ("Python", runs.python, installed.python),
        ("public suffix list", runs.public_suffixes, installed.public_suffixes),
    ):
        if ours != now:
            yield warning(
                FindingId.VERSION_NOT_IN_FORCE,
                f"{name} {ours or 'without a date'} runs, {now or 'one without a date'} is "
                "installed",
                "what was installed is not in force",
                f"systemctl restart {service.unit}",
            )


def _archive(running: Status, service: ServiceOf) -> Iterator[Remark]:
    counted = running.counted
    if counted.archive is ArchiveState.FAILING:
        yield warning(
            FindingId.ARCHIVE_FAILS,
            "the archive of DNS answers cannot be read or written",
            "after a restart during an outage of DNS, mail of known domains is rewritten",
            f"journalctl -u {service.unit}; look at the file of dns.archive: its owner, room on "
            "disk",
        )
    elif counted.archive is ArchiveState.GOOD:
        yield Note(f"{counted.archive_answers} DNS answers are archived")


def _log(running: Status) -> Iterator[Remark]:
    if lines := running.counted.log_lines_dropped:
        yield warning(
            FindingId.LOG_LINES_DROPPED,
            f"{lines} lines of the log were dropped since the start",
            "nobody took them in time, and mail does not wait for its log",
            "systemctl status systemd-journald",
        )
