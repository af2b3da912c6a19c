"""`alignd feedback`: what receivers answered, from the log of a relay."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.readiness import wait_until
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
def following(cli: CommandLine, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    out = cli.directory / "out"
    with out.open("w") as stream:
        process = subprocess.Popen(
            [*PROGRAM, "feedback", "--follow", *arguments],
            cwd=cli.directory,
            env=cli.environment,
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
    assert any("--after-cursor=s=1" in each for each in asked[1:])


def test_a_journal_that_cannot_be_read_is_named(cli: CommandLine) -> None:
    outcome = cli.run("feedback", PATH=journal(cli, status=3))

    assert outcome.status == 2
    assert "journalctl ended with status 3" in outcome.stderr


def test_without_a_journalctl_it_is_named(cli: CommandLine) -> None:
    outcome = cli.run("feedback", PATH=str(cli.directory))

    assert outcome.status == 2
    assert "journalctl: No such file" in outcome.stderr
