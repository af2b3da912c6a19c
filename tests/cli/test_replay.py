"""`alignd replay`: what the milter would do with stored messages, which stay as they are."""

import fcntl
import json
import mailbox
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from alignd.config.domain_lists import FreemailDomains, SuffixList
from alignd.config.file import parse_configuration
from alignd.config.signer import load_signer
from alignd.judgement.review import make_reviewer
from alignd.replay.summary import SenderSource, Submission, judge_stored
from alignd.resolver.zone import Zone
from tests.lab.nameserver import Nameserver
from tests.lab.return_addresses import directory_of
from tests.lab.settings import configuration, world
from tests.support.case import Case, Speed
from tests.support.commandline import (
    GOOD,
    MARKY,
    PROGRAM,
    CommandLine,
    Outcome,
    without_privileges,
)
from tests.support.prefork import Prefork
from tests.support.selection import every_case

SUFFIXES, FREEMAIL = SuffixList(), FreemailDomains()
FREE = b"Return-Path: <ann@gmail.com>\r\nFrom: ann@gmail.com\r\n\r\nHello\r\n"
MESSAGES = (MARKY, GOOD, FREE, MARKY)
TOTALS = {
    "action": {"rewrite": 3, "pass": 1},
    "reason": {"relay-not-authorised": 2, "spf-aligned": 1, "freemail": 1},
    "policy": {"reject": 2, "quarantine": 1, "absent": 1},
}


class Corpus(CommandLine):
    """A directory to put a corpus in, and `alignd replay` of it."""

    def replay(self, *arguments: str, before: tuple[str, ...] = ()) -> Outcome:
        common = ("--zone", "what-if.zone", "--config", "alignd.conf")
        return self.run("replay", *arguments, *common, before=before)

    def mbox(self, messages: Iterable[bytes], name: str = "mail") -> str:
        box = mailbox.mbox(self.directory / name)
        for message in messages:
            box.add(message.replace(b"\r\n", b"\n"))
        box.close()
        return name

    def maildir(self, messages: Iterable[bytes]) -> str:
        box = mailbox.Maildir(self.directory / "Maildir")
        folder = box.add_folder("Sent")
        for number, message in enumerate(messages):
            (folder if number % 2 else box).add(message)
        return "Maildir"

    def files(self, messages: Iterable[bytes]) -> str:
        below = self.directory / "files/2026/11"
        below.mkdir(parents=True)
        for number, message in enumerate(messages):
            (below / f"{number}.eml").write_bytes(message)
        return "files"

    def contents(self) -> dict[Path, tuple[bytes, int]]:
        return {
            path: (path.read_bytes() if path.is_file() else b"", path.stat().st_mtime_ns)
            for path in self.directory.rglob("*")
        }


@pytest.fixture
def corpus(tmp_path: Path, prefork: Prefork) -> Corpus:
    return Corpus(tmp_path, prefork)


@pytest.mark.parametrize("kind", [Corpus.mbox, Corpus.maildir, Corpus.files])
def test_a_corpus_of_any_kind_gives_the_same_summary_and_stays_as_it_is(
    corpus: Corpus, kind: Any
) -> None:
    name = kind(corpus, MESSAGES)
    before = corpus.contents()

    outcome = corpus.replay(name, "--json")

    assert (outcome.status, outcome.stderr) == (1, "")
    assert corpus.contents() == before
    assert outcome.json["totals"] == TOTALS
    assert [(each["author_domain"], each["messages"]) for each in outcome.json["domains"]] == [
        ("mycompany.com", 2),
        ("gmail.com", 1),
        ("good.example", 1),
    ]
    assert outcome.json["domains"][0]["results"] == [
        {"messages": 2, "action": "rewrite", "reason": "relay-not-authorised", "policy": "reject"}
    ]
    assert outcome.json["envelope_senders"] == {
        "option": 0,
        "return-path": 1,
        "author": 3,
        "nothing": 0,
    }
    assert set(outcome.json) == {
        *("messages", "domains", "totals", "envelope_senders", "troubles", "problems")
    }


def test_the_summary_for_people_is_a_table_with_totals(corpus: Corpus) -> None:
    outcome = corpus.replay(corpus.mbox(MESSAGES))

    assert (outcome.status, outcome.stderr) == (1, "")
    lines = [line.split() for line in outcome.stdout.splitlines()]
    assert lines[:4] == [
        ["messages", "action", "reason", "policy", "author", "domain"],
        ["2", "rewrite", "relay-not-authorised", "reject", "mycompany.com"],
        ["1", "rewrite", "freemail", "absent", "gmail.com"],
        ["1", "pass", "spf-aligned", "quarantine", "good.example"],
    ]
    assert "4 messages: 0 skip, 1 pass, 0 envelope, 3 rewrite, 0 refuse\n" in outcome.stdout
    assert "The envelope sender of 3 was assumed to be the author.\n" in outcome.stdout
    assert "The envelope sender of 1 was taken from Return-Path.\n" in outcome.stdout


def test_a_long_author_domain_is_folded(corpus: Corpus) -> None:
    domain = ".".join(["a" * 50] * 4)

    outcome = corpus.replay(corpus.mbox([b"From: a@%s\n\nHello\n" % domain.encode()]))

    assert max(map(len, outcome.stdout.splitlines())) <= 80
    assert domain in "".join(line[55:].strip() for line in outcome.stdout.splitlines()[1:12])


def test_the_status_says_when_nothing_would_be_rewritten(corpus: Corpus) -> None:
    assert corpus.replay(corpus.mbox([GOOD])).status == 0


@pytest.mark.parametrize("name", ["mail", "Maildir", "files"])
def test_a_corpus_without_messages_says_nothing_of_the_future(corpus: Corpus, name: str) -> None:
    for make in (corpus.mbox, corpus.maildir, corpus.files):
        make([])

    outcome = corpus.replay(name)

    assert outcome.status == 2
    assert "0 messages: " in outcome.stdout


def test_a_dry_run_is_named(corpus: Corpus) -> None:
    corpus.write("alignd.conf", configuration("[rules]\ndry_run = true"))

    outcome = corpus.replay(corpus.mbox(MESSAGES))

    assert "3 rewrite" in outcome.stdout
    assert "rules.dry_run is set" in outcome.stdout


def test_options_say_how_the_messages_come_in(corpus: Corpus) -> None:
    name = corpus.mbox(MESSAGES)

    def actions(*arguments: str) -> dict[str, int]:
        found: dict[str, int] = corpus.replay(name, "--json", *arguments).json["totals"]["action"]
        return found

    assert actions("--client", "203.0.113.9") == {"skip": 4}
    assert actions("--client", "203.0.113.9", "--login", "marky") == TOTALS["action"]
    assert actions("--mail-from", "<app@elsewhere.example>") == {"rewrite": 3, "envelope": 1}


def test_an_envelope_sender_in_no_charset_is_judged_as_nobody_s(corpus: Corpus) -> None:
    outcome = corpus.replay(corpus.mbox(MESSAGES), "--json", "--mail-from", "\udcff@\udcff")

    assert (outcome.status, outcome.stderr) == (1, "")
    assert outcome.json["totals"]["action"] == {"rewrite": 3, "envelope": 1}


def test_what_is_no_message_is_named_and_no_more(corpus: Corpus) -> None:
    name = corpus.files([MARKY, b"", b"\n", bytes(range(256)) * 16])
    (corpus.directory / "files/\x1b[31m").write_bytes(b"nothing")
    os.mkfifo(corpus.directory / "files/fifo")
    (corpus.directory / "files/loop").symlink_to(".")

    outcome = corpus.replay(name)

    assert (outcome.status, outcome.stderr) == (1, "")
    assert "4 not counted, as they are no messages:\n" in outcome.stdout
    assert "  files/2026/11/1.eml: not a message: " in outcome.stdout
    assert "  files/?[31m: not a message: " in outcome.stdout
    assert "1 messages: " in outcome.stdout


def test_what_cannot_be_read_is_named_and_is_status_2(corpus: Corpus) -> None:
    name = corpus.files([MARKY, GOOD])
    (corpus.directory / "files/2026/11/1.eml").chmod(0)
    (corpus.directory / "files/locked").mkdir(mode=0)

    outcome = corpus.replay(name, before=without_privileges())

    assert (outcome.status, outcome.stderr) == (2, "")
    assert "2 could not be read:\n" in outcome.stdout
    assert "  files/2026/11/1.eml: Permission denied\n" in outcome.stdout
    assert "  files/locked: Permission denied\n" in outcome.stdout
    assert "1 messages: " in outcome.stdout


def test_a_corpus_that_is_not_there(corpus: Corpus) -> None:
    outcome = corpus.replay("\x1b[31m")

    assert (outcome.status, outcome.stderr) == (2, "")
    assert "  ?[31m: No such file or directory\n" in outcome.stdout


def test_of_many_problems_a_hundred_are_named_and_all_are_counted(corpus: Corpus) -> None:
    name = corpus.files([b""] * 150)
    (corpus.directory / "files/zebra").symlink_to("/proc/self/mem")

    outcome = corpus.replay(name, "--json")

    assert outcome.json["troubles"] == {"unreadable": 1, "broken": 150, "failed": 0}
    assert len(outcome.json["problems"]) == 101
    assert "  and 50 more\n" in corpus.replay(name).stdout


def test_an_mbox_that_another_program_has_locked_is_read(corpus: Corpus) -> None:
    name = corpus.mbox(MESSAGES)
    with (corpus.directory / name).open("rb+") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        corpus.write(f"{name}.lock", "")

        outcome = corpus.replay(name)

    assert "4 messages: " in outcome.stdout


def test_a_from_line_in_a_body_begins_no_message_where_it_is_quoted(corpus: Corpus) -> None:
    name = corpus.mbox([MARKY + b"\r\nFrom here on\r\n"])

    assert corpus.replay(name, "--json").json["messages"] == 1


def test_a_message_that_names_nobody_is_sent_by_nobody(corpus: Corpus) -> None:
    outcome = corpus.replay(corpus.mbox([b"Subject: x\n\nHello\n"]), "--json")

    (domain,) = outcome.json["domains"]
    assert (domain["author_domain"], domain["results"][0]["reason"]) == (None, "rewrite-fails")
    assert outcome.json["envelope_senders"]["nothing"] == 1


@every_case(Speed.PROCESS)
def test_a_case_is_judged_as_the_milter_judges_it(case: Case) -> None:
    parsed = parse_configuration(configuration(case.config), case.name)
    signer, directory = load_signer(parsed.dkim), directory_of(parsed)
    reviewer = make_reviewer(parsed, signer, time.time, SUFFIXES, directory=directory)
    recipients = "".join(f"Delivered-To: {each}\r\n" for each in case.recipients)
    submission = Submission(ip_address(case.client), case.login or "", case.envelope_sender)
    zone = Zone.parse(world(case.zone), case.name)

    # A line that Postfix takes for a mailbox's has to stay on top.
    end = case.message.index(b"\r\n") + 2 if case.message.startswith(b"From ") else 0
    stored = case.message[:end] + recipients.encode() + case.message[end:]
    result, source = judge_stored(stored, submission, reviewer, zone)

    assert (result.action.value, result.reason.value) == (
        case.expected_action,
        case.expected_reason,
    )
    assert source is SenderSource.OPTION


def test_a_question_to_dns_is_asked_once_for_all_messages(
    corpus: Corpus, nameserver: Nameserver
) -> None:
    nameserver.serve(world('$TTL 300\nmycompany.com. TXT "v=spf1 -all"\n'))
    corpus.write("alignd.conf", configuration(nameserver=nameserver.address))
    name = corpus.mbox([MARKY] * 20)

    outcome = corpus.run("replay", name, "--config", "alignd.conf")

    assert (outcome.status, outcome.stderr) == (1, "")
    assert nameserver.questions.count(("mycompany.com.", "TXT")) == 1


def test_without_dns_all_is_unknown(corpus: Corpus) -> None:
    changes = '[dns]\ntimeout = "200ms"'
    corpus.write("alignd.conf", configuration(changes, nameserver="127.0.0.1:9"))
    name = corpus.mbox(MESSAGES)

    outcome = corpus.run("replay", name, "--json", "--config", "alignd.conf")

    assert (outcome.status, outcome.stderr) == (1, "")
    assert outcome.json["totals"]["reason"] == {"dns-unknown": 3, "freemail": 1}


def test_without_its_zone_file_it_cannot_say(corpus: Corpus) -> None:
    arguments = (corpus.mbox(MESSAGES), "--zone", "none.zone", "--config", "alignd.conf")

    outcome = corpus.run("replay", *arguments)

    assert (outcome.status, outcome.stdout) == (2, "")
    assert outcome.stderr == "Error: none.zone: No such file or directory\n"


# The kernel counts what a process had before it became alignd: so no large one may start it.
MEASURED = """\
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(status, used.ru_maxrss, used.ru_utime + used.ru_stime)
"""


def cost_of_a_replay(corpus: Corpus, name: str) -> tuple[int, float]:
    """The memory of a replay at its height, in kilobytes, and its processor time, in seconds."""
    outcome = corpus.replay(name, before=(sys.executable, "-c", MEASURED))
    status, kilobytes, seconds = outcome.stdout.split()
    assert (status, outcome.stderr) == ("1", "")
    return int(kilobytes), float(seconds)


@pytest.mark.parametrize("verify", ["false", "true"], ids=["header-only", "with-bodies"])
def test_a_thousand_messages_take_no_more_memory_than_a_few(corpus: Corpus, verify: str) -> None:
    corpus.write("alignd.conf", configuration(f"[dkim]\nverify = {verify}"))
    body = b"x" * 78 + b"\r\n"
    messages = [
        b"From: agent%d@company%d.example\r\n\r\n" % (number, number % 500) + body * 200
        for number in range(1000)
    ]
    few, _ = cost_of_a_replay(corpus, corpus.mbox([MARKY + body], name="few"))

    for kind in (corpus.mbox, corpus.maildir, corpus.files):
        many, seconds = cost_of_a_replay(corpus, kind(messages))  # 16 MB

        assert many - few < 2_000, kind
        assert seconds < 20, kind


@pytest.mark.parametrize("kind", [Corpus.mbox, Corpus.maildir, Corpus.files])
def test_a_long_line_anywhere_in_a_body_is_seen(corpus: Corpus, kind: Any) -> None:
    corpus.write("alignd.conf", configuration('[dkim]\ntrusted_authserv_ids = ["relay"]\n'))
    passed = b"Authentication-Results: relay; dkim=pass header.d=mycompany.com header.s=s\r\n"
    body = b"x" * 78 + b"\r\n"
    long = passed + MARKY + body * 2_000 + b"x" * 999 + b"\r\n"
    name = kind(corpus, [passed + MARKY + body * 2_000, long])

    totals = json.loads(corpus.replay(name, "--json").stdout)["totals"]

    assert totals["reason"] == {"dkim-aligned": 1, "relay-not-authorised": 1}


def test_progress_is_shown_on_a_terminal_only(corpus: Corpus) -> None:
    name = corpus.mbox(MESSAGES * 50)
    command = [*PROGRAM, "replay", name, "--json", "--zone", "what-if.zone"]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*command, "--config", "alignd.conf"],
        cwd=corpus.directory,
        env=corpus.environment | {"TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal, suppress(OSError):
        while chunk := terminal.read(65536):
            written += chunk
    output, _ = process.communicate(timeout=60)

    assert b"messages" in written
    assert b"100%" in written
    assert output.decode() == corpus.replay(name, "--json").stdout
