"""`alignd feedback`: what receivers answered, from the log of a relay."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from alignd.feedback.outbox import Outbox
from tests.lab.alignd import Notices
from tests.lab.ledger_rows import new_ledger
from tests.lab.postgresql import PostgreSql
from tests.lab.readiness import wait_until
from tests.lab.settings import configuration
from tests.support.commandline import PROGRAM, CommandLine

DMARC = "550 5.7.1 rejected by DMARC policy for good.example"
DEAD = "550 5.1.1 User unknown"
JOURNALCTL = """\
#!/bin/sh
# What a journal of one entry answers, and what is asked of it.
echo "$*" >> asked
case "$*" in
*--after-cursor=s=1*) ;;
*) cat entries ;;
esac
exit $(cat status)
"""


def decision(queue_id: str, words: str = "pass domain=good.example reason=spf-aligned") -> str:
    return f"2026-11-28T11:44:55+00:00 relay alignd[9]: {queue_id}: action={words} ms=1.2\n"


def reply(queue_id: str, said: str = DMARC, when: str = "2026-11-28T11:44:57+00:00") -> str:
    return (
        f"{when} relay postfix/smtp[1]: {queue_id}: to=<julia@customer.com>, "
        f"relay=mx.customer.com[203.0.113.25]:25, delay=0.5, dsn={said.split()[1]}, "
        f"status=bounced (host mx.customer.com[203.0.113.25] said: {said})\n"
    )


def rows(shown: dict[str, Any]) -> list[tuple[str, str, int]]:
    return [(row["kind"], row["domain"], row["messages"]) for row in shown["rows"]]


def test_what_contradicts_alignd_is_told_with_what_to_do(cli: CommandLine) -> None:
    rewritten = "rewrite domain=mycompany.com reason=relay-not-authorised"
    cli.write(
        "log",
        decision("AAAAA1") + reply("AAAAA1") + decision("AAAAA2", rewritten) + reply("AAAAA2"),
    )
    outcome = cli.run("feedback", "log")

    assert outcome.status == 1
    assert "lost      pass             1  2026-11-28" in outcome.stdout
    assert "outage    rewrite          1  2026-11-28" in outcome.stdout
    assert "customer.com: dmarc-failed" in outcome.stdout
    assert "alignd doctor" in outcome.stdout
    assert "julia" not in outcome.stdout


@pytest.mark.parametrize(
    ("log", "status", "text"),
    [
        pytest.param(
            decision("AAAAA1") + reply("AAAAA1", DEAD),
            0,
            "No receiver has refused",
            id="other-bounces-are-none",
        ),
        pytest.param(
            decision("AAAAA1", "pass domain=a.example reason=exempt") + reply("AAAAA1"),
            0,
            "foretold",
            id="alignd-knew",
        ),
        pytest.param(reply("AAAAA1"), 0, "unknown", id="no-decision"),
    ],
)
def test_what_does_not_contradict_alignd_is_no_failure(
    cli: CommandLine, log: str, status: int, text: str
) -> None:
    cli.write("log", log)
    outcome = cli.run("feedback", "log")

    assert outcome.status == status
    assert text in outcome.stdout


def test_scripts_get_one_object(cli: CommandLine) -> None:
    cli.write("log", decision("AAAAA1") + reply("AAAAA1"))
    (row,) = cli.run("feedback", "log", "--json").json["rows"]

    assert row.pop("fix")
    assert row == {
        "kind": "lost",
        "tenant": "",
        "domain": "good.example",
        "action": "pass",
        "reason": "spf-aligned",
        "receiver": "customer.com",
        "pattern": "opendmarc",
        "says": "dmarc-failed",
        "messages": 1,
        "last": 1795866297.0,
    }


def test_only_replies_since_a_time_count(cli: CommandLine) -> None:
    later = reply("AAAAA2", when="2026-11-28T13:00:00+00:00")
    cli.write("log", decision("AAAAA1") + reply("AAAAA1") + decision("AAAAA2") + later)
    outcome = cli.run("feedback", "log", "--json", "--since", "2026-11-28T12:00:00+00:00")

    assert rows(outcome.json) == [("lost", "good.example", 1)]


@pytest.mark.parametrize("since", ["yesterday", "5", "5w", "2026-13-01", ""])
def test_a_time_that_is_none_is_a_wrong_command_line(cli: CommandLine, since: str) -> None:
    assert cli.run("feedback", "log", "--since", since).status == os.EX_USAGE


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        pytest.param(["none"], "none: No such file", id="no-log"),
        pytest.param(["."], ".: not a regular file", id="a-directory"),
        pytest.param(["empty"], "no line of Postfix or alignd in it", id="another-log"),
        pytest.param(["log", "--state", "bad"], "bad: no state", id="no-state"),
        pytest.param(
            ["log", "--state", "other"], "other: the state of another log", id="other-state"
        ),
        pytest.param(["log", "--state", "none/state"], "none/", id="state-cannot-be-written"),
    ],
)
def test_what_cannot_be_used_is_named(
    cli: CommandLine, arguments: list[str], problem: str
) -> None:
    cli.write("log", reply("AAAAA1"))
    cli.write("empty", "Nov 28 11:44:57 relay cron[1]: nothing\n")
    cli.write("bad", '{"version": 1, "log": []}')
    cli.run("feedback", "empty", "--state", "other")
    other = {
        "version": 1,
        "log": "/x",
        "position": None,
        "cursor": "",
        "last": None,
        "tally": {"rows": [], "left_out": 0},
    }
    cli.write("other", json.dumps(other))
    outcome = cli.run("feedback", *arguments)

    assert outcome.status == 2
    assert problem in outcome.stderr


def test_with_a_state_each_line_counts_once_over_a_rotation(cli: CommandLine) -> None:
    log = cli.directory / "log"
    cli.write("log", decision("AAAAA1") + decision("AAAAA2") + reply("AAAAA1"))
    first = cli.run("feedback", "log", "--state", "state", "--json")
    with log.open("a") as stream:
        stream.write(reply("AAAAA2"))
    log.rename(cli.directory / "log.1")
    cli.write("log", decision("AAAAA3") + reply("AAAAA3"))
    second = cli.run("feedback", "log", "--state", "state", "--json")
    third = cli.run("feedback", "log", "--state", "state", "--json")

    counts = [each.json["rows"][0]["messages"] for each in (first, second, third)]
    assert counts == [1, 3, 3]
    assert [path.name for path in cli.directory.glob(".state*")] == []


def test_a_message_that_is_tried_again_counts_once_with_a_state(cli: CommandLine) -> None:
    later = reply("AAAAA1", f"4{DMARC[1:4]}4{DMARC[5:]}").replace("bounced", "deferred")
    cli.write("log", decision("AAAAA1") + later)
    counts = []
    for _ in range(3):
        shown = cli.run("feedback", "log", "--state", "state", "--json").json
        counts.append(shown["rows"][0]["messages"])
        with (cli.directory / "log").open("a") as stream:
            stream.write(later)

    assert counts == [1, 1, 1]


def test_another_log_stays_no_proof_with_a_state(cli: CommandLine) -> None:
    cli.write("empty", "Nov 28 11:44:57 relay cron[1]: nothing\n")

    for _ in range(2):
        assert cli.run("feedback", "empty", "--state", "state").status == 2


@contextmanager
def following(
    cli: CommandLine, *arguments: str, **env: str
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    out = cli.directory / "out"
    with out.open("w") as stream:
        process = subprocess.Popen(
            [*PROGRAM, "feedback", "--follow", *arguments],
            cwd=cli.directory,
            env=cli.environment | env,
            stdout=stream,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process, out
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_log_is_followed_until_it_is_enough(cli: CommandLine, number: int) -> None:
    log = cli.directory / "log"
    cli.write("log", "".join(decision(f"AAAAA{each}") for each in range(3)))
    with following(cli, "log", "--json", "--state", "state") as (process, out):
        with log.open("a") as stream:
            stream.writelines(reply(f"AAAAA{each}") for each in range(3))
        wait_until(lambda: '"alert": "lost"' in out.read_text(), "the alert")
        process.send_signal(number)

        assert process.wait(30) == 1
    told = [json.loads(line) for line in out.read_text().splitlines()]
    assert [each.get("queue_id") for each in told] == ["AAAAA0", "AAAAA1", "AAAAA2", None]
    assert told[-1]["messages"] == 3
    assert rows(cli.run("feedback", "log", "--json", "--state", "state").json) == [
        ("lost", "good.example", 3)
    ]


def test_what_was_not_kept_when_it_was_killed_is_read_again(cli: CommandLine) -> None:
    cli.write("log", decision("AAAAA1") + reply("AAAAA1"))
    with following(cli, "log", "--json", "--state", "state") as (process, out):
        wait_until(lambda: "AAAAA1" in out.read_text(), "the reply")
        process.kill()
        process.wait()
    again = cli.run("feedback", "log", "--json", "--state", "state")

    assert rows(again.json) == [("lost", "good.example", 1)]


def text_of(line: str) -> str:
    return line.partition("]: ")[2].rstrip()


def journal(cli: CommandLine, status: int = 0) -> str:
    """Put a journalctl there that has a decision and a reply."""
    entries = [
        {"__CURSOR": "s=0", "SYSLOG_IDENTIFIER": "alignd", "MESSAGE": text_of(decision("A1A1A1"))},
        {
            "__CURSOR": "s=1",
            "__REALTIME_TIMESTAMP": "1795866297000000",
            "SYSLOG_IDENTIFIER": "postfix/smtp",
            "MESSAGE": text_of(reply("A1A1A1")),
        },
    ]
    cli.write("entries", "".join(json.dumps(entry) + "\n" for entry in entries))
    cli.write("status", str(status))
    cli.write("journalctl", JOURNALCTL)
    (cli.directory / "journalctl").chmod(0o755)
    return f"{cli.directory}:{os.environ['PATH']}"


def test_the_journal_is_read_behind_the_last_entry(cli: CommandLine) -> None:
    path = journal(cli)
    for _ in range(2):
        outcome = cli.run("feedback", "--json", "--state", "state", PATH=path)
        assert (outcome.status, rows(outcome.json)) == (1, [("lost", "good.example", 1)])

    asked = (cli.directory / "asked").read_text().splitlines()
    assert "--output=json" in asked[0]
    assert "--follow" not in asked[0]
    assert any("--after-cursor=s=1" in each for each in asked[1:])


def test_a_followed_journal_is_that_of_all_starts_of_the_machine(cli: CommandLine) -> None:
    with following(cli, "--json", PATH=journal(cli)) as (_, out):
        wait_until(lambda: "A1A1A1" in out.read_text(), "the reply")

    # Else journalctl shows none from before the last one.
    assert "--follow --merge" in (cli.directory / "asked").read_text()


def test_a_journal_that_cannot_be_read_is_named(cli: CommandLine) -> None:
    outcome = cli.run("feedback", PATH=journal(cli, status=3))

    assert outcome.status == 2
    assert "journalctl ended with status 3" in outcome.stderr


def test_without_a_journalctl_it_is_named(cli: CommandLine) -> None:
    outcome = cli.run("feedback", PATH=str(cli.directory))

    assert outcome.status == 2
    assert "journalctl: No such file" in outcome.stderr


@pytest.mark.parametrize(
    ("options", "log"),
    [
        pytest.param('[feedback]\nlog = "{directory}/mail.log"\n', "good.example", id="a-file"),
        pytest.param("", "journal.example", id="the-journal-by-default"),
    ],
)
def test_the_log_of_the_configuration_is_read(cli: CommandLine, options: str, log: str) -> None:
    cli.write("alignd.conf", configuration(options.format(directory=cli.directory)))
    cli.write("mail.log", decision("AAAAA1") + reply("AAAAA1"))
    path = journal(cli)
    entries = (cli.directory / "entries").read_text()
    cli.write("entries", entries.replace("good.example", "journal.example"))
    outcome = cli.run("feedback", "--json", "--config", "alignd.conf", PATH=path)

    assert rows(outcome.json) == [("lost", log, 1)]


@pytest.mark.parametrize("log", ["mail.log", "", "unix:/run/log"])
def test_a_log_that_can_be_none_is_a_wrong_configuration(cli: CommandLine, log: str) -> None:
    cli.write("alignd.conf", configuration(f'[feedback]\nlog = "{log}"\n'))
    outcome = cli.run("feedback", "--config", "alignd.conf")

    assert outcome.status == 2
    assert "write 'journal' or '/var/log/mail.log'" in outcome.stderr


REWRITTEN = "rewrite domain=mycompany.com tenant=mycompany reason=relay-not-authorised"
RECORD = ("log", "--record", "--state", "state", "--config", "alignd.conf")


@pytest.fixture
def ledger(cli: CommandLine) -> Path:
    """A ledger without replies, as the configuration names it."""
    path = cli.directory / "ledger.sqlite"
    cli.write("alignd.conf", configuration(f'[ledger]\nurl = "sqlite:///{path}"\n'))
    cli.write("log", "")
    new_ledger(f"sqlite:///{path}", ())
    return path


def now(seconds: float = 0.0) -> str:
    return datetime.fromtimestamp(time.time() + seconds, UTC).isoformat()


def recorded(ledger: Path) -> list[tuple[str, str, str, str, int]]:
    question = "SELECT kind, tenant, domain, receiver, messages FROM replies ORDER BY kind, domain"
    with closing(sqlite3.connect(ledger)) as database:
        return database.execute(question).fetchall()


def append(cli: CommandLine, *lines: str) -> None:
    with (cli.directory / "log").open("a") as stream:
        stream.writelines(lines)


def await_line(out: Path, text: str) -> None:
    wait_until(lambda: text in out.read_text(), text)


def test_a_wrong_pass_is_in_the_ledger_with_an_event_within_seconds(
    cli: CommandLine, ledger: Path
) -> None:
    notices = Notices(cli.directory / "notify")
    told = str(cli.directory / "notify")
    with closing(notices), following(cli, *RECORD, NOTIFY_SOCKET=told) as (process, out):
        wait_until(lambda: notices.take("READY=1"), "it to be ready")
        begin = time.monotonic()
        append(cli, decision("AAAAA1", REWRITTEN), reply("AAAAA1", when=now()))
        wait_until(lambda: recorded(ledger), "the reply")
        seconds = time.monotonic() - begin
        process.send_signal(signal.SIGTERM)

        assert process.wait(30) == 0
        assert notices.take("STOPPING=1")
    assert seconds < 20.0
    assert recorded(ledger) == [("outage", "mycompany", "mycompany.com", "customer.com", 1)]
    with closing(sqlite3.connect(ledger)) as database:
        (event,) = database.execute("SELECT kind, tenant, domain, was, now FROM events")
    assert event[:4] == ("rejected", "mycompany", "mycompany.com", "")
    assert json.loads(event[4]) == {
        "kind": "outage",
        "receiver": "customer.com",
        "messages": 1,
        "pattern": "opendmarc",
    }
    lines = out.read_text().splitlines()
    assert lines[0].startswith("replies are followed log=")
    assert lines[1].startswith("AAAAA1: reply=outage domain=mycompany.com tenant=mycompany ")
    assert lines[2].startswith("receivers contradict alignd kind=outage domain=mycompany.com ")
    assert lines[3:] == ["replies are followed no longer"]
    assert "julia" not in out.read_text() + (cli.directory / "state").read_text()


def test_a_reply_is_in_the_database_that_relays_share(
    cli: CommandLine, postgresql: PostgreSql
) -> None:
    name = postgresql.new_database()
    new_ledger(postgresql.url(name), ()).dispose()
    cli.write("alignd.conf", configuration(f'[ledger]\nurl = "{postgresql.url(name)}"\n'))
    cli.write("log", "")
    replies = "SELECT kind, tenant, domain, receiver, messages FROM replies ORDER BY kind"
    wrong = decision("AAAAA1", REWRITTEN) + decision("AAAAA2")
    with following(cli, *RECORD) as (process, out):
        await_line(out, "are followed")
        append(cli, wrong, reply("AAAAA1", when=now()), reply("AAAAA2", when=now()))
        wait_until(lambda: "lost" in postgresql.sql(replies, name), "the replies")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0

    with following(cli, *RECORD) as (_, out):  # from its state: nothing counts twice
        await_line(out, "are followed")
        append(cli, decision("AAAAA3"), reply("AAAAA3", when=now()))
        wait_until(lambda: "|2" in postgresql.sql(replies, name), "the third")

    assert postgresql.sql(replies, name).splitlines() == [
        "lost||good.example|customer.com|2",
        "outage|mycompany|mycompany.com|customer.com|1",
    ]
    assert postgresql.sql("SELECT kind, domain FROM events", name) == "rejected|mycompany.com"


def test_one_state_is_of_one_process(cli: CommandLine, ledger: Path) -> None:
    with following(cli, *RECORD) as (_process, out):
        await_line(out, "replies are followed")
        outcome = cli.run("feedback", *RECORD, "--follow")

    assert (outcome.status, recorded(ledger)) == (2, [])
    assert "state: another process records with this state" in outcome.stderr


def test_what_is_no_disagreement_is_recorded_too(cli: CommandLine, ledger: Path) -> None:
    with following(cli, *RECORD) as (_, out):
        await_line(out, "are followed")
        append(
            cli,
            decision("AAAAA1", "pass domain=a.example reason=exempt"),
            reply("AAAAA1", when=now()),
            reply("AAAAA2", when=now()),
        )
        wait_until(lambda: len(recorded(ledger)) == 2, "the replies")

    assert recorded(ledger) == [
        ("foretold", "", "a.example", "customer.com", 1),
        ("unknown", "", "", "customer.com", 1),
    ]


def test_each_reply_counts_once_however_often_it_is_killed(cli: CommandLine, ledger: Path) -> None:
    written = 0
    for life in range(4):
        with following(cli, *RECORD) as (process, out):
            await_line(out, "are followed")
            for _ in range(5):
                append(cli, decision(f"AAAAA{written}"), reply(f"AAAAA{written}", when=now()))
                written += 1
            if life % 2:  # else it dies with what it has read, or has not
                await_line(out, f"AAAAA{written - 1}:")
            process.kill()
    with following(cli, *RECORD):
        wait_until(lambda: sum(row[-1] for row in recorded(ledger)) == written, "all of them")

    assert recorded(ledger) == [("lost", "", "good.example", "customer.com", written)]


def test_while_the_ledger_is_away_it_goes_on_reading(cli: CommandLine, ledger: Path) -> None:
    away = ledger.rename(ledger.with_name("away"))
    with following(cli, *RECORD) as (_, out):
        await_line(out, "are followed")
        for number in range(5):
            append(cli, decision(f"AAAAA{number}"), reply(f"AAAAA{number}", when=now()))
            await_line(out, f"AAAAA{number}:")
        await_line(out, "replies wait for the ledger")
        away.rename(ledger)
        await_line(out, "are in the ledger again")
        wait_until(lambda: sum(row[-1] for row in recorded(ledger)) == 5, "all of them")

    assert out.read_text().count("replies wait for the ledger") == 1


def test_what_came_before_the_first_start_does_not_count(cli: CommandLine, ledger: Path) -> None:
    append(cli, decision("AAAAA1"), reply("AAAAA1", when=now(-60)), decision("AAAAA2"))
    with following(cli, *RECORD) as (_, out):
        await_line(out, "are followed")
        append(cli, reply("AAAAA2", when=now(5)))
        wait_until(lambda: recorded(ledger), "the reply")

    assert recorded(ledger) == [("lost", "", "good.example", "customer.com", 1)]


def test_what_came_before_counts_if_it_is_asked_for(cli: CommandLine, ledger: Path) -> None:
    append(cli, decision("AAAAA1"), reply("AAAAA1", when=now(-60)))
    with following(cli, *RECORD, "--since", "1h"):
        wait_until(lambda: recorded(ledger), "the reply")

    assert recorded(ledger) == [("lost", "", "good.example", "customer.com", 1)]


def test_what_waits_is_kept_where_another_log_is_followed(cli: CommandLine, ledger: Path) -> None:
    outbox = Outbox("feedback-1").as_values()
    row = [0, "", "old.example", "pass", "spf-aligned", "customer.com", "lost", "opendmarc", 7]
    outbox["waiting"]["replies"].append(row)
    left = {
        "version": 1,
        "log": "",
        "position": None,
        "cursor": "s=1",
        "last": None,
        "tally": {"rows": [], "left_out": 0},
        "begun": None,
        "outbox": outbox,
    }
    cli.write("state", json.dumps(left))
    with following(cli, *RECORD):
        wait_until(lambda: recorded(ledger), "the reply")

    assert recorded(ledger) == [("lost", "", "old.example", "customer.com", 7)]


@pytest.mark.parametrize(
    ("arguments", "status", "problem"),
    [
        pytest.param(["--record", "--state", "s"], os.EX_USAGE, "--follow", id="to-the-end"),
        pytest.param(["--record", "--follow"], os.EX_USAGE, "--state", id="without-a-state"),
        pytest.param(
            ["--record", "--follow", "--state", "s", "--json"], os.EX_USAGE, "--json", id="json"
        ),
        pytest.param(
            ["--record", "--follow", "--state", "s", "--config", "none"],
            os.EX_CONFIG,
            "none",
            id="no-configuration",
        ),
        pytest.param(
            ["--record", "--follow", "--state", "s", "--config", "off"],
            os.EX_CONFIG,
            'ledger.url is ""',
            id="no-ledger",
        ),
        pytest.param(
            ["none", "--record", "--follow", "--state", "s", "--config", "alignd.conf"],
            2,
            "none: No such file",
            id="no-log",
        ),
        pytest.param(
            ["log", "--record", "--follow", "--state", "log", "--config", "alignd.conf"],
            2,
            "log: no state",
            id="no-state",
        ),
    ],
)
def test_what_it_cannot_record_with_is_named(
    cli: CommandLine, arguments: list[str], status: int, problem: str
) -> None:
    cli.write("log", reply("AAAAA1"))
    cli.write("off", configuration('[ledger]\nurl = ""\n'))
    outcome = cli.run("feedback", *arguments)

    assert outcome.status == status
    assert problem in outcome.stderr
