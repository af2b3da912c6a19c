"""What `alignd doctor` prints, on whatever it meets."""

import ctypes.util
import json
import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from alignd.cli.render.examination import examination_lines
from alignd.config.endpoint import UnixEndpoint
from alignd.doctor.findings import (
    FindingId,
    Remark,
    Skipped,
    Topic,
    Unknown,
    error,
    one_line,
    topic_report,
)
from alignd.doctor.report.document import SavedReport
from alignd.doctor.report.file import load_report
from tests.lab.alignd import Fleet
from tests.lab.places import ROOT
from tests.lab.postfix import obstacle
from tests.lab.readiness import open_directory
from tests.support.commandline import CommandLine
from tests.support.relay import QUEUE_FIRST, Fault, Relay

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
]

SPF = 'notifications.easysoftware.com. TXT "v=spf1 include:spf.mailing.easy.cz -all"\n'
ON_A_TERMINAL = (sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])")
DRIVING = "\x1b]0;hello\x07"  # sets the title of a terminal


@pytest.fixture
def relay(fleet: Fleet) -> Iterator[Relay]:
    path = fleet.alignd().socket.removeprefix("unix:")
    with open_directory() as directory:
        yield Relay(directory, UnixEndpoint(path), f"unix:{path}")


REPORT = """\
✗ notifications: DMARC of rewritten mail, from every relay address
  error notifications-domain-fails
    rewritten mail, from helpdesk@notifications.easysoftware.com with the
    envelope sender bounces@notifications.easysoftware.com, fails DMARC: SPF
    from 192.0.2.25: none (no SPF record), from 2001:db8::25: none (no SPF
    record)
    why: every rewritten message fails DMARC, and receivers block it silently: a
    complete outage that nobody notices
    fix:
      notifications.easysoftware.com. TXT "v=spf1 include:spf.mailing.easy.cz -all"
✓ reports: the reports about rewritten mail that receivers are asked for
    _dmarc.notifications.easysoftware.com asks receivers for no reports (rua);
    with reports.address, this shows the record that does
✓ helo: the HELO name and the names of the relay addresses
- application: the application's own address
    not checked: give the address that the application itself sends from
    (--application-address): it must not be
    helpdesk@notifications.easysoftware.com
✓ outbound: the addresses and the HELO name that Postfix uses
✗ chain: alignd's position among the milters
  warning sendmail-escapes
    non_smtpd_milters does not name alignd
    why: mail that this machine sends with sendmail(1) is not rewritten
    fix:
      postconf -e 'non_smtpd_milters = $smtpd_milters'
✓ failure: what Postfix does when alignd fails
✓ behind: what Postfix changes behind alignd
- signer: what the DKIM signer signs, and for which clients
    not checked: dkim.signs and dkim.opendkim are not set: alignd counts on no
    signer
✓ socket: the connections from Postfix to alignd and the other milters
    Postfix reaches unix:opendkim/opendkim.sock
- service: what the running service has in force, and what it sees
    not checked: the service does not say what it has in force: metrics.listen
    is ""
- resolver: the nameservers: whether they answer, how fast, from where
    not checked: --zone answers instead of 127.0.0.1
✓ limits: enough connections and descriptors for Postfix
✓ versions: versions with known bugs, and the age of the public suffix list

14 topics checked: 1 error, 1 warning, 0 could not be checked.
"""


def test_the_report_is_read_in_80_columns_and_without_colour(relay: Relay) -> None:
    fault = Fault(zone={SPF: ""}, main={"non_smtpd_milters = $smtpd_milters": ""})

    outcome = relay.examine(fault)

    assert (outcome.status, outcome.stdout) == (1, REPORT)


def test_colour_is_for_a_terminal(relay: Relay) -> None:
    plain = relay.examine(Fault(zone={SPF: ""}, before=("env",)))
    terminal = relay.examine(Fault(zone={SPF: ""}, before=ON_A_TERMINAL))

    assert "\x1b" not in plain.stdout
    assert "\x1b[31m" in terminal.stdout


def test_json_has_all_that_was_found_and_all_that_was_checked(relay: Relay) -> None:
    found = relay.examine(Fault(zone={SPF: ""}, layout=QUEUE_FIRST), "--json").json

    assert list(found) == ["findings", "checked"]
    (finding,) = found["findings"]
    assert list(finding) == ["id", "severity", "topic", "what", "why", "fix"]
    assert (finding["id"], finding["severity"]) == ("notifications-domain-fails", "error")
    assert finding["fix"] == SPF.strip()
    assert {each["topic"]: each["findings"] for each in found["checked"]} == {
        # Without return addresses there is no way back.
        topic.value: int(topic is Topic.NOTIFICATIONS)
        for topic in Topic
        if topic is not Topic.RETURN
    }


def test_the_report_is_saved_beside_what_is_printed(relay: Relay) -> None:
    path = relay.directory / "report.json"
    fault = Fault(zone={SPF: ""})

    printed = relay.examine(fault, f"--save={path}")
    as_json = relay.examine(fault, "--json", f"--save={path}")

    assert (printed.status, as_json.status) == (1, 1)
    assert "14 topics checked: 1 error" in printed.stdout
    saved = json.loads(path.read_text())
    assert saved.pop("time") == pytest.approx(time.time(), abs=60)
    assert (saved.pop("version"), saved.pop("exit_status")) == (1, 1)
    assert saved.pop("relay") == "smtp2.easyredmine.com"
    assert saved == as_json.json
    report = load_report(str(path))
    assert isinstance(report, SavedReport)
    assert {each.topic for each in report.topics} == {
        topic.value for topic in Topic if topic not in {Topic.RETURN, Topic.QUEUE_FIRST}
    }


def test_a_report_that_cannot_be_saved_is_printed_and_told(relay: Relay) -> None:
    outcome = relay.examine(Fault(), "--save=/nowhere/report.json")

    assert outcome.status == 2
    assert "14 topics checked: 0 errors" in outcome.stdout
    assert outcome.stderr == (
        "Error: /nowhere/report.json: not saved: No such file or directory\n"
    )


UNIT = ROOT / "systemd/alignd-doctor.service"


@pytest.mark.skipif(
    not (shutil.which("systemd-analyze") and ctypes.util.find_library("seccomp")),
    reason="systemd-analyze or libseccomp is not installed",
)
def test_with_no_more_rights_than_its_unit_gives_it_finds_the_same(relay: Relay) -> None:
    (kept,) = re.findall(r"^CapabilityBoundingSet=(.*)$", UNIT.read_text(), re.MULTILINE)
    names = (name.removeprefix("CAP_").lower() for name in kept.split())
    rights = ",".join(("-all", *(f"+{name}" for name in names)))
    under = (
        *("setpriv", f"--bounding-set={rights}", "--no-new-privs", "--"),
        *(sys.executable, "-m", "tests.support.syscallfilter", str(UNIT)),
    )
    fault = Fault(zone={SPF: ""})
    path = relay.directory / "report.json"

    free = relay.examine(replace(fault, before=("env",)), "--json")
    confined = relay.examine(replace(fault, before=under), "--json", f"--save={path}")

    assert confined.json == free.json
    assert isinstance(load_report(str(path)), SavedReport)


def test_what_is_hostile_does_not_drive_the_terminal(relay: Relay) -> None:
    hostile = 'notifications.easysoftware.com. TXT "v=spf1 \\027]0;hello\\007 -all"\n'
    fault = Fault(
        zone={SPF: hostile},
        main={"smtp_bind_address = 192.0.2.25": f"smtp_helo_name = {DRIVING}"},
    )

    outcome = relay.examine(fault, color=True)

    assert outcome.status == 1
    assert "\x1b[31m" in outcome.stdout
    assert "\x07" not in outcome.stdout
    assert "\x1b]" not in outcome.stdout


@pytest.mark.parametrize("topic", Topic)
def test_every_topic_has_a_title_and_a_mark(topic: Topic) -> None:
    finding = error(FindingId.HELO_UNRESOLVED, "what", "why", "fix")
    remarks: list[list[Remark]] = [[finding], [Unknown("why")], [Skipped("why")], []]

    marks = [next(examination_lines((topic_report(topic, each),))).text for each in remarks]

    assert [mark.partition(": ")[0] for mark in marks] == [
        f"{each} {topic.value}" for each in "✗?-✓"
    ]


def test_a_finding_is_one_line_of_a_log() -> None:
    finding = error(FindingId.HELO_UNRESOLVED, f"a\nb{DRIVING}", "why", "one\n  two")

    assert one_line(finding) == "helo-unresolved: a?b?]0;hello?; fix: one; two"


WITHOUT_POSTCONF = (
    *("unshare", "--mount", "--", "sh", "-ec"),
    'mount --bind /dev/null "$(command -v postconf)"; exec "$@"',
    "sh",
)


@pytest.mark.parametrize(
    ("fault", "options", "complaint"),
    [
        pytest.param(
            Fault(),
            ("--postfix-config", "none"),
            "Postfix: open none/main.cf: No such file or directory",
            id="no-configuration-of-postfix",
        ),
        pytest.param(
            Fault(),
            ("--postfix-config", "relay.zone"),
            "Postfix: open relay.zone/main.cf: Not a directory",
            id="a-file-in-the-place-of-a-directory",
        ),
        pytest.param(
            Fault(main={"myhostname = smtp2.easyredmine.com": "x = $y\ny = $x\nmyhostname = $x"}),
            (),
            "Postfix: dictionary mail_dict: macro processing error",
            id="parameters-that-go-round",
        ),
        pytest.param(
            Fault(before=WITHOUT_POSTCONF),
            (),
            "Postfix: there is no postconf: is Postfix installed on this machine?",
            id="no-postconf",
        ),
    ],
)
def test_what_could_not_be_checked_is_listed_with_its_reason(
    relay: Relay,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    options: tuple[str, ...],
    complaint: str,
) -> None:
    monkeypatch.chdir(relay.directory)

    outcome = relay.examine(fault, *options, "--json")

    assert (outcome.status, outcome.json["findings"]) == (2, [])
    unknown = {each["topic"]: each["could_not_check"] for each in outcome.json["checked"]}
    assert unknown.pop("chain") == unknown.pop("outbound") == [complaint]
    assert not any(unknown.values())


def test_something_that_is_wrong_is_worse_than_something_unknown(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(relay.directory)

    outcome = relay.examine(Fault(zone={SPF: ""}), "--postfix-config", "none")

    assert outcome.status == 1
    assert "1 error, 0 warnings, 2 could not be checked." in outcome.stdout


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        pytest.param(("--config", "none.conf"), "none.conf:1: cannot be read", id="no-conf"),
        pytest.param(("--zone", "none.zone"), "none.zone: No such file", id="no-zone"),
        pytest.param(("--zone", "."), ".: Is a directory", id="a-directory-as-zone"),
        pytest.param(("--socket", "8899"), "--socket: not a milter", id="no-socket"),
        pytest.param(("--application-address", "x"), "--application-address: not", id="no-at"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_status_2(
    cli: CommandLine, options: tuple[str, ...], complaint: str
) -> None:
    outcome = cli.run("doctor", "--config", "alignd.conf", *options)

    assert (outcome.status, outcome.stdout) == (2, "")
    (line,) = outcome.stderr.splitlines()
    assert complaint in line
