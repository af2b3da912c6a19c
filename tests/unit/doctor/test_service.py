"""Findings about the running service: what differs from the files, and what it sees."""

from dataclasses import replace

import pytest

from alignd.doctor.facts import Files, RunningService
from alignd.doctor.findings import FindingId, Note, Remark, Skipped, Unknown
from alignd.doctor.service import examine_service
from alignd.telemetry.status import (
    Counted,
    InForce,
    NameserverState,
    Status,
    SupervisorPart,
    Versions,
    WorkerPart,
)
from alignd.telemetry.words import ArchiveState, Input
from tests.unit.doctor.test_machine import said

VERSIONS = Versions("0.1.0", "3.11.2", "2026-10-23")
IN_FORCE = InForce(
    path="/etc/alignd/alignd.conf",
    digest="ab12",
    since=1.0,
    tenants=0,
    nameservers=("127.0.0.1",),
    nameservers_from="/etc/resolv.conf",
    signing_tables="",
    signing_entries=0,
)
FILES = Files(IN_FORCE, VERSIONS)
WORKER = WorkerPart(
    number=0,
    pid=101,
    started=1.0,
    digest="ab12",
    nameservers={"127.0.0.1": NameserverState.ANSWERS},
    breaker_is_open=False,
    is_troubled=False,
    connections=3,
)
COUNTED = Counted(
    workers_wanted=1,
    workers_ready=1,
    is_ending=False,
    worker_restarts=0,
    reload_was_refused=False,
    refused_inputs=(),
    archive=ArchiveState.OFF,
    archive_answers=0,
    archive_dropped=0,
    log_lines_dropped=0,
    background_failures=0,
)
RUNNING = Status(2.0, SupervisorPart(100, 1.0, VERSIONS, IN_FORCE), (WORKER,), COUNTED)


def counted(**changes: object) -> Status:
    return replace(RUNNING, counted=replace(COUNTED, **changes))  # type: ignore[arg-type]


def worker(**changes: object) -> Status:
    return replace(RUNNING, workers=(replace(WORKER, **changes),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("running", "expected"),
    [
        pytest.param(RUNNING, [Note], id="all-is-as-on-the-disk"),
        pytest.param(Skipped("off"), [Skipped], id="does-not-say"),
        pytest.param(Unknown("?"), [Unknown], id="cannot-be-asked"),
        pytest.param(
            counted(workers_wanted=2), [FindingId.WORKERS_MISSING], id="a-worker-is-missing"
        ),
        pytest.param(
            counted(reload_was_refused=True), [Note, FindingId.RELOAD_REFUSED], id="reload-refused"
        ),
        pytest.param(
            counted(refused_inputs=(Input.NAMESERVERS,)),
            [Note, FindingId.NAMESERVERS_NOT_IN_FORCE],
            id="resolv-conf-refused",
        ),
        pytest.param(
            counted(archive=ArchiveState.FAILING),
            [Note, FindingId.ARCHIVE_FAILS],
            id="archive-fails",
        ),
        pytest.param(
            counted(archive=ArchiveState.GOOD, archive_answers=9), [Note, Note], id="archive-good"
        ),
        pytest.param(
            counted(log_lines_dropped=7),
            [Note, FindingId.LOG_LINES_DROPPED],
            id="lines-were-dropped",
        ),
        pytest.param(counted(background_failures=1), [Note, Note], id="a-bug-was-survived"),
        pytest.param(
            worker(breaker_is_open=True, is_troubled=True),
            [Note, FindingId.DNS_IS_DOWN],
            id="dns-is-down",
        ),
        pytest.param(
            worker(is_troubled=True), [Note, FindingId.DNS_IS_DOWN], id="dns-is-in-trouble"
        ),
        pytest.param(
            worker(nameservers={"127.0.0.1": NameserverState.FAILS}),
            [Note, FindingId.NAMESERVER_FAILS],
            id="a-nameserver-fails-in-the-sandbox",
        ),
    ],
)
def test_what_the_service_sees(
    running: RunningService, expected: list[FindingId | type[Remark]]
) -> None:
    assert [said(each) for each in examine_service(running, FILES)] == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param(
            replace(FILES, in_force=replace(IN_FORCE, digest="cd34", since=9.0)),
            FindingId.CONFIGURATION_NOT_IN_FORCE,
            id="the-configuration-was-changed",
        ),
        pytest.param(
            replace(FILES, in_force=replace(IN_FORCE, nameservers=("192.0.2.53",))),
            FindingId.NAMESERVERS_NOT_IN_FORCE,
            id="resolv-conf-was-changed",
        ),
        pytest.param(
            replace(FILES, in_force=replace(IN_FORCE, signing_tables="cd34")),
            FindingId.SIGNING_TABLES_NOT_IN_FORCE,
            id="the-signing-tables-were-changed",
        ),
        pytest.param(
            replace(FILES, versions=replace(VERSIONS, alignd="0.2.0")),
            FindingId.VERSION_NOT_IN_FORCE,
            id="alignd-was-upgraded",
        ),
        pytest.param(
            replace(FILES, versions=replace(VERSIONS, public_suffixes="")),
            FindingId.VERSION_NOT_IN_FORCE,
            id="the-list-was-upgraded",
        ),
        pytest.param(
            replace(FILES, in_force=replace(IN_FORCE, path="/tmp/other.conf", digest="cd34")),
            Skipped,
            id="another-file-is-examined",
        ),
    ],
)
def test_what_differs_from_the_files(files: Files, expected: FindingId | type[Remark]) -> None:
    assert [said(each) for each in examine_service(RUNNING, files)] == [Note, expected]


def test_a_resolv_conf_without_nameservers_is_the_other_topics() -> None:
    files = replace(FILES, in_force=replace(IN_FORCE, nameservers=()))

    assert [said(each) for each in examine_service(RUNNING, files)] == [Note]
