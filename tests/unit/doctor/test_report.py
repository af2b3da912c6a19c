"""The report of `alignd doctor` in a file: what is saved is loaded, and nothing else is."""

import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.doctor.findings import (
    Finding,
    FindingId,
    Note,
    Severity,
    Skipped,
    Topic,
    TopicReport,
    Unknown,
)
from alignd.doctor.report.document import (
    MAX_OCTETS,
    STALE_SECONDS,
    ReportProblem,
    ReportTrouble,
    SavedReport,
    examination_json,
    parse_report,
    report_text,
)
from alignd.doctor.report.file import SaveError, load_report, save_report
from alignd.mail.printable import printable

NOW = 1_790_000_000.0
FINDING = Finding(
    FindingId.HELO_UNRESOLVED, Severity.ERROR, "it has no address", "mail is refused", "one\n  two"
)
TOPICS = (
    TopicReport(Topic.HELO, (FINDING,), (), (), ()),
    TopicReport(Topic.CHAIN, (), (Unknown("Postfix"),), (Skipped("x"),), (Note("y"), Note("z"))),
)

texts = st.text(max_size=60)
findings = st.builds(
    Finding, st.sampled_from(FindingId), st.sampled_from(Severity), texts, texts, texts
)


def some_of(kind: Callable[[str], Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.builds(kind, texts), max_size=3).map(tuple)


examinations = st.lists(
    st.builds(
        TopicReport,
        st.sampled_from(Topic),
        st.lists(findings, max_size=3).map(tuple),
        some_of(Unknown),
        some_of(Skipped),
        some_of(Note),
    ),
    unique_by=lambda report: report.topic,
).map(tuple)


def read(text: str) -> SavedReport:
    found = parse_report(text.encode())
    assert isinstance(found, SavedReport), found
    return found


def shown(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


@given(examinations, st.sampled_from([0, 1, 2]), st.floats(1, 1e10))
def test_what_is_saved_is_what_is_read(
    topics: tuple[TopicReport, ...], status: int, time: float
) -> None:
    report = read(report_text(topics, "smtp2.easyredmine.com", status, time))

    assert (report.relay, report.status, report.time) == ("smtp2.easyredmine.com", status, time)
    assert [each.topic for each in report.topics] == [each.topic.value for each in topics]
    for saved, topic in zip(report.topics, topics, strict=True):
        assert [(each.id, each.severity) for each in saved.findings] == [
            (each.id.value, each.severity) for each in topic.findings
        ]
        assert [(each.what, each.why, each.fix) for each in saved.findings] == [
            (shown(each.what), shown(each.why), shown(each.fix)) for each in topic.findings
        ]
        assert saved.unknown == tuple(shown(each.text) for each in topic.unknown)
        assert saved.skipped == tuple(shown(each.text) for each in topic.skipped)
        assert saved.notes == tuple(shown(each.text) for each in topic.notes)


def test_the_document_is_that_of_the_command_with_what_says_whose_it_is() -> None:
    document = json.loads(report_text(TOPICS, "relay.example", 1, NOW))

    head = {"version": 1, "time": NOW, "relay": "relay.example", "exit_status": 1}
    assert document == head | examination_json(TOPICS)


def changed(**changes: Any) -> bytes:
    return json.dumps(json.loads(report_text(TOPICS, "r", 1, NOW)) | changes).encode()


def topic(**changes: Any) -> list[dict[str, Any]]:
    one: dict[str, Any] = {
        "topic": "helo",
        "findings": 1,
        "could_not_check": [],
        "left_out": [],
        "notes": [],
    }
    return [one | changes]


def finding(**changes: Any) -> list[dict[str, Any]]:
    one = {"id": "x", "severity": "error", "topic": "helo", "what": "", "why": "", "fix": ""}
    return [one | changes]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(b"\0" * 1000, "not JSON", id="zeros"),
        pytest.param(b"\xff\xfe{}", "not JSON", id="no-text"),
        pytest.param(b"[" * 500_000, "not JSON", id="deep"),
        pytest.param(b'{"version":' * 80_000, "not JSON", id="deep-objects"),
        pytest.param(b"[1]", "not an object", id="a-list"),
        pytest.param(b"{}", "version: not a whole number", id="no-version"),
        pytest.param(changed(version="1"), "version: not a whole number", id="version-in-words"),
        pytest.param(changed(version=True), "version: not a whole number", id="version-true"),
        pytest.param(b'{"version": ' + b"9" * 5000 + b"}", "not JSON", id="endless-number"),
        pytest.param(b'{"version": 1, "time": NaN}', "NaN is no number", id="no-number"),
        pytest.param(changed(time="soon"), "time: not a number", id="time-in-words"),
        pytest.param(changed(time=0), "time: not a Unix time", id="no-time"),
        pytest.param(changed(time=1e300), "time: not a Unix time", id="end-of-time"),
        pytest.param(changed(time=10**400), "not JSON", id="beyond-all-numbers"),
        pytest.param(changed(exit_status=64), "exit_status: not one of doctor", id="status"),
        pytest.param(changed(relay=None), "relay: not a text", id="no-relay"),
        pytest.param(changed(relay="x" * 65_537), "relay: not a text of at most", id="long"),
        pytest.param(changed(checked={}), "checked: not a list", id="no-list"),
        pytest.param(changed(checked=[1]), "checked: not a list of objects", id="no-objects"),
        pytest.param(changed(checked=[{}] * 5001), "checked: not a list of at most", id="many"),
        pytest.param(changed(findings=[]), "findings: not as many as", id="miscounted"),
        pytest.param(changed(checked=[]), "findings: of a topic that was not", id="unchecked"),
        pytest.param(
            changed(checked=topic(notes=["x", 1])), "notes: not a text", id="a-note-of-no-text"
        ),
        pytest.param(
            changed(findings=finding(severity="fatal"), checked=topic()),
            "severity: neither error nor warning",
            id="severity",
        ),
    ],
)
def test_what_is_no_report_is_told_and_not_quoted(content: bytes, problem: str) -> None:
    found = parse_report(content)

    assert isinstance(found, ReportProblem)
    assert found.trouble is ReportTrouble.MALFORMED
    assert found.text.startswith(problem)


@given(
    st.binary(max_size=200) | st.recursive(st.none() | texts, st.lists).map(str).map(str.encode)
)
def test_no_content_ends_the_page(content: bytes) -> None:
    assert isinstance(parse_report(content), ReportProblem)


def test_another_version_is_not_guessed_at() -> None:
    found = parse_report(changed(version=2, checked="anything"))

    assert found == ReportProblem(ReportTrouble.VERSION, "not of version 1")


def test_what_a_later_alignd_adds_is_read_past() -> None:
    content = changed(
        findings=finding(id="a-new-one", since=3), checked=topic(), added={"more": []}
    )

    report = read(content.decode())

    assert [each.id for each in report.topics[0].findings] == ["a-new-one"]


def test_half_of_a_pair_and_what_controls_a_terminal_are_not_shown() -> None:
    report = read(changed(relay="a\ud800b\x1b\u202ec", findings=[], checked=[]).decode())

    assert report.relay == "a?b??c"


@pytest.mark.parametrize(
    ("time", "age", "is_stale"),
    [
        pytest.param(NOW, 0, False, id="now"),
        pytest.param(NOW - STALE_SECONDS, STALE_SECONDS, False, id="three-hours"),
        pytest.param(NOW - STALE_SECONDS - 1, STALE_SECONDS + 1, True, id="longer"),
        pytest.param(NOW + 299, 0, False, id="a-clock-that-differs"),
        pytest.param(NOW + 86_400, 0, True, id="tomorrow"),
    ],
)
def test_a_report_grows_old(time: float, age: float, is_stale: bool) -> None:
    report = SavedReport(time, "r", 0, ())

    assert (report.age(NOW), report.is_stale(NOW)) == (age, is_stale)


def test_a_saved_report_is_loaded_and_not_everybody_s_to_read(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("the one before")
    path.chmod(0o666)

    save_report(path, report_text(TOPICS, "r", 1, NOW))

    assert load_report(str(path)) == read(report_text(TOPICS, "r", 1, NOW))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["report.json"]


def test_the_group_of_the_directory_may_read_it(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root gives a directory away")
    group = 54_321
    os.chown(tmp_path, 0, group)
    tmp_path.chmod(0o2750)  # as alignd-doctor.service has it

    save_report(tmp_path / "report.json", "{}")

    assert (tmp_path / "report.json").stat().st_gid == group


def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "report.json"
    victim.write_text("precious")
    path.symlink_to(victim)

    save_report(path, report_text(TOPICS, "r", 1, NOW))

    assert victim.read_text() == "precious"
    assert not path.is_symlink()


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        pytest.param("none/report.json", "{}", "No such file or directory", id="no-directory"),
        pytest.param("file/report.json", "{}", "Not a directory", id="a-file-as-directory"),
        pytest.param("directory", "{}", "Is a directory", id="a-directory-in-its-place"),
        pytest.param("x\0y", "{}", "embedded null byte", id="no-path"),
        pytest.param("x", "x" * (MAX_OCTETS + 1), "more than 1048576 octets", id="too-large"),
    ],
)
def test_what_cannot_be_saved_is_told_and_leaves_nothing(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()

    with pytest.raises(SaveError, match=problem):
        save_report(tmp_path / name, text)

    assert sorted(os.listdir(tmp_path)) == ["directory", "file"]


def gigabyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def link(path: Path) -> None:
    target = path.with_name("target")
    target.write_text(report_text(TOPICS, "r", 1, NOW))
    path.symlink_to(target)


@pytest.mark.parametrize(
    ("make", "trouble", "problem"),
    [
        pytest.param(lambda _: None, ReportTrouble.ABSENT, "", id="none"),
        pytest.param(
            gigabyte, ReportTrouble.MALFORMED, ": more than 1048576 octets", id="gigabyte"
        ),
        pytest.param(os.mkfifo, ReportTrouble.UNREADABLE, ": not a file", id="fifo"),
        pytest.param(Path.mkdir, ReportTrouble.UNREADABLE, ": Is a directory", id="directory"),
        pytest.param(
            listening, ReportTrouble.UNREADABLE, ": No such device or address", id="socket"
        ),
        pytest.param(link, ReportTrouble.UNREADABLE, ": a symbolic link", id="link"),
        pytest.param(
            lambda path: path.symlink_to("/dev/zero"),
            ReportTrouble.UNREADABLE,
            ": a symbolic link",
            id="link-without-end",
        ),
    ],
)
def test_what_is_hostile_where_the_report_should_be_is_told(
    tmp_path: Path, make: Callable[[Path], Any], trouble: ReportTrouble, problem: str
) -> None:
    path = tmp_path / "r"
    make(path)

    assert load_report(str(path)) == ReportProblem(trouble, f"{path}{problem}")


def test_no_path_and_a_path_that_is_none() -> None:
    assert load_report("") == ReportProblem(ReportTrouble.OFF, "")
    assert load_report("a\0b") == ReportProblem(ReportTrouble.UNREADABLE, "a\0b: not a path")
    assert load_report("/dev/zero") == ReportProblem(
        ReportTrouble.UNREADABLE, "/dev/zero: not a file"
    )
