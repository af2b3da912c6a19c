"""`alignd ledger`: what happened to author domains, for people and for scripts."""

import csv
import json
import os
import pty
import re
import shutil
import subprocess
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from alignd.cli.render.ledger import sparkline
from alignd.ledger.batch import DAY, DomainKey
from alignd.ledger.database import open_database
from alignd.ledger.event import EventKind
from alignd.ledger.fleet import outbox
from alignd.ledger.migration import newest_version
from alignd.ledger.queries.opening import open_ledger
from alignd.ledger.queries.overview import Selection, overview
from alignd.ledger.tables import STATES
from alignd.ledger.watch.states import new_event, write_events
from alignd.ledger.writer import Writer
from tests.lab.ledger_rows import NOW, PASSED, REWRITTEN, STORY, Mail, new_ledger, write
from tests.lab.places import SNAPSHOTS
from tests.lab.postgresql import PostgreSql
from tests.lab.settings import configuration
from tests.support.commandline import PROGRAM, CommandLine, Outcome, without_privileges
from tests.support.receivers import fill

LEDGER_SNAPSHOTS = sorted(SNAPSHOTS.glob("ledger-*.txt"))
BARS = set("▁▂▃▄▅▆▇█")


class Relay(CommandLine):
    """A relay with a ledger, in which a story ends now."""

    @property
    def url(self) -> str:
        return f"sqlite:///{self.directory}/ledger.sqlite"

    def configure(self, url: str, more: str = "") -> None:
        options = f'[ledger]\nurl = "{url}"\n{more}'
        self.write("alignd.conf", configuration(options))

    def ledger(self, *arguments: str, before: tuple[str, ...] = ()) -> Outcome:
        return self.run("ledger", *arguments, "--config", "alignd.conf", before=before)


@pytest.fixture
def relay(tmp_path: Path, prefork: Any) -> Relay:
    return Relay(tmp_path, prefork)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a ledger with the story."""
    path = tmp_path_factory.mktemp("told") / "ledger.sqlite"
    new_ledger(f"sqlite:///{path}", now=time.time())
    return path


@pytest.fixture
def engine(relay: Relay, told: Path) -> Engine:
    """The ledger of *relay*, in which the story has just ended."""
    shutil.copy(told, relay.directory / "ledger.sqlite")
    relay.configure(relay.url)
    return open_database(relay.url)


@pytest.fixture
def story(relay: Relay, engine: Engine) -> Relay:
    del engine
    return relay


def dateless(shown: str) -> str:
    return re.sub(
        r"\d{4}-\d\d-\d\d( \d\d:\d\d)?", lambda found: re.sub(r"\d", "0", found[0]), shown
    )


@pytest.mark.parametrize("path", LEDGER_SNAPSHOTS, ids=lambda path: path.stem)
def test_what_people_read(story: Relay, path: Path) -> None:
    """A snapshot is a command behind "$", and what it prints, with zeros for dates.

    Run with ALIGND_SNAPSHOTS=write to keep what it prints now; then look at the difference.
    """
    arguments, _, expected = path.read_text().removeprefix("$ alignd ledger").partition("\n")

    outcome = story.ledger(*arguments.split())

    assert outcome.stderr == ""
    assert max(map(len, outcome.stdout.splitlines())) <= 80
    if os.environ.get("ALIGND_SNAPSHOTS") == "write":
        path.write_text(f"$ alignd ledger{arguments}\n{dateless(outcome.stdout)}")
        return
    assert dateless(outcome.stdout) == expected, "see the docstring of this test"


def test_there_is_a_snapshot_of_each_table() -> None:
    assert len(LEDGER_SNAPSHOTS) >= 5


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        pytest.param((), 1, id="one-is-rewritten"),
        pytest.param(("--state", "pass"), 0, id="none-of-these-is"),
        pytest.param(("mycompany.com",), 1, id="it-is"),
        pytest.param(("good.example",), 0, id="it-is-not"),
        pytest.param(("--domain", "*.NO"), 0, id="nobody-is-like-that"),
        pytest.param(("relays",), 0, id="all-relays-write"),
    ],
)
def test_the_exit_status_says_whether_one_is_rewritten(
    relay: Relay, engine: Engine, arguments: tuple[str, ...], status: int
) -> None:
    write(engine, [Mail("good.example", PASSED, 1)], now=time.time())

    outcome = relay.ledger(*arguments)

    assert (outcome.status, outcome.stderr) == (status, "")


def objects(outcome: Outcome) -> list[Any]:
    return [json.loads(line) for line in outcome.stdout.splitlines()]


def rows(outcome: Outcome) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(outcome.stdout)))


def test_scripts_get_the_same_as_json_and_as_csv(story: Relay) -> None:
    found, listed = objects(story.ledger("--json")), rows(story.ledger("--csv"))

    good, mine, *_ = found
    assert (good["domain"], good["messages_30_days"], good["fix"]) == ("good.example", 400, None)
    assert mine | {"since": "", "first_seen": "", "last_seen": "", "per_day": []} == {
        "domain": "mycompany.com",
        "tenant": "",
        "leg": "outbound",
        "action": "rewrite",
        "reason": "relay-not-authorised",
        "policy": "reject",
        "spf": "fail",
        "dkim": "none",
        "since": "",
        "first_seen": "",
        "last_seen": "",
        "looked": None,
        "unknown_since": None,
        "messages_day": 3,
        "messages_30_days": 30,
        "rewritten_30_days": 23,
        "per_day": [],
        "fix": mine["fix"],
    }
    assert "`alignd domain` prints the SPF record" in mine["fix"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", mine["since"])
    assert (len(mine["per_day"]), sum(mine["per_day"])) == (30, 30)
    assert listed == [
        {name: "" if each[name] is None else str(each[name]) for name in listed[0]}
        for each in found
    ]


def test_the_history_of_a_domain_is_one_object(story: Relay) -> None:
    found = story.ledger("good.example", "--json").json

    assert [state["tenant"] for state in found["states"]] == ["", "easy"]
    ((event,), days) = (found["events"], found["days"])
    assert (event["kind"], event["now"]) == ("another-tenant", {"tenant": "easy"})
    assert [day["messages"] for day in days] == [1, 400]
    assert [int(day["messages"]) for day in rows(story.ledger("good.example", "--csv"))] == [
        1,
        400,
    ]


def test_days_of_a_history_begin_where_they_are_asked_to(story: Relay) -> None:
    since = [
        sum(day["messages"] for day in story.ledger("mycompany.com", "--json", *more).json["days"])
        for more in ((), ("--since", "1d"), ("--since", "50d"), ("--since", "2026-01-01"))
    ]

    assert since == [130, 103, 135, 135]


def test_what_receivers_said_is_shown_and_exported(story: Relay, engine: Engine) -> None:
    fill(engine)
    said = {"kind": "lost", "receiver": "google.com", "messages": 3, "pattern": "google-5.7.26"}
    key = DomainKey("", "mycompany.com")
    event = new_event(
        EventKind.REJECTED, {}, said, at=time.time(), key=key, leg="outbound", relay="smtp1"
    )
    with engine.begin() as connection:
        write_events(connection, [event])
    shown = story.ledger("mycompany.com").stdout
    (told, *_) = story.ledger("mycompany.com", "--json").json["events"]
    replies = rows(story.ledger("export", "replies"))
    reports = objects(story.ledger("export", "reports", "--json"))
    (row, *_) = objects(story.ledger("export", "report-rows", "--json"))

    assert "rejected kind: lost, receiver: google.com, messages: 3," in " ".join(shown.split())
    assert (told["kind"], told["was"], told["now"]) == ("rejected", {}, said)
    assert {each["receiver"] for each in replies} == {"google.com"}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", each["day"]) for each in replies)
    assert {each["id"]: each["end"] for each in reports}["r2"] == "2026-07-01T00:00:00Z"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", row["first_day"])
    assert (row["is_foretold"], row["messages"]) == (False, 5)


def test_an_export_has_all_rows(story: Relay) -> None:
    days = rows(story.ledger("export"))
    known = rows(story.ledger("export", "states"))
    events = objects(story.ledger("export", "events", "--json"))
    hours = objects(story.ledger("export", "hours", "--since", "2d", "--json"))

    assert sum(int(row["messages"]) for row in days) == sum(mail.messages for mail in STORY)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", row["day"]) for row in days)
    assert {row["domain"] for row in known} == {
        *("mycompany.com", "good.example", "old_one.example"),
    }
    assert {row["looked"] for row in known} == {""}
    assert [event["kind"] for event in events] == ["another-tenant"]
    assert [set(event["was"]) for event in events] == [{"tenants"}]
    assert {hour["domain"] for hour in hours} == {"mycompany.com", "good.example", "(other)", ""}


def test_a_silent_relay_is_seen(relay: Relay, engine: Engine) -> None:
    write(engine, STORY[:1], Writer("smtp2", "outbound", "0.9"), now=time.time())
    write(open_database(relay.url), [Mail("a.example", PASSED, 1)], now=time.time())

    outcome = relay.ledger("relays")

    assert outcome.status == 1
    assert [line.split()[-1] for line in outcome.stdout.splitlines()] == [
        "relay",
        "smtp1",
        "silent",
    ]
    assert [row["silent"] for row in rows(relay.ledger("relays", "--csv"))] == ["False", "True"]


def on_terminal(relay: Relay, *arguments: str) -> str:
    """What the command prints to a terminal."""
    ours, theirs = pty.openpty()
    command = [*PROGRAM, "ledger", *arguments, "--config", "alignd.conf"]
    with subprocess.Popen(
        command, cwd=relay.directory, env=relay.environment, stdout=theirs, stderr=theirs
    ):
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 10_000):
                shown += piece
        except OSError:  # the end, on Linux
            pass
    os.close(ours)
    return shown.decode()


def test_on_a_terminal_there_are_bars_and_elsewhere_none(story: Relay) -> None:
    assert BARS & set(on_terminal(story))
    assert not BARS & set(story.ledger().stdout)


@pytest.mark.parametrize(
    ("numbers", "bars"),
    [
        pytest.param((), "", id="nothing"),
        pytest.param((0, 0), "  ", id="no-mail"),
        pytest.param((0, 1, 8), " ▁█", id="the-highest-is-full"),
        pytest.param((5, 5), "██", id="all-alike"),
        pytest.param((1, 10**9), "▁█", id="little-is-more-than-nothing"),
    ],
)
def test_a_bar_is_as_high_as_its_number(numbers: tuple[int, ...], bars: str) -> None:
    assert sparkline(numbers) == bars


def test_a_domain_whose_dns_is_silent_is_marked(relay: Relay, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(STATES.update().values(unknown_since=NOW))

    assert "DNS does not answer since 2026-07-01 10:00" in relay.ledger("--state", "pass").stdout
    assert "DNS does not answer since 2026-07-01 10:00" in relay.ledger("good.example").stdout


def test_what_a_ledger_holds_cannot_drive_the_terminal(relay: Relay, engine: Engine) -> None:
    write(engine, [Mail("a.example", REWRITTEN, 1, tenant="\x1b[31m")], now=time.time())

    for arguments in ((), ("a.example",), ("--csv",), ("--json",), ("export",)):
        assert "\x1b" not in relay.ledger(*arguments).stdout


def test_a_domain_is_forgotten_both_ways(story: Relay, told: Path) -> None:
    shutil.copy(told, story.directory / "ledger-return.sqlite")

    first, second = (
        story.ledger("forget", "MyCompany.COM."),
        story.ledger("forget", "mycompany.com"),
    )

    assert (first.status, second.status) == (0, 0)
    assert first.stdout.startswith("Removed 22 rows of mycompany.com.\n")
    assert second.stdout == "There was nothing of mycompany.com.\n"
    assert story.ledger("mycompany.com").status == 2
    assert story.ledger("good.example").status == 0


def test_in_a_fleet_it_is_forgotten_in_the_shared_database_and_in_what_waits_for_it(
    relay: Relay, postgresql: PostgreSql
) -> None:
    shared = postgresql.url(postgresql.new_database())
    new_ledger(shared, now=time.time())
    with new_ledger(relay.url, ()).begin() as local:
        outbox.put(local, Mail("mycompany.com", REWRITTEN, 7).batch(), NOW)
        outbox.put(local, Mail("good.example", PASSED, 2).batch(), NOW)
    relay.configure(shared, f'spool = "{relay.directory}/ledger.sqlite"\n')
    assert relay.ledger("mycompany.com").status == 1

    assert "Removed 13 rows" in relay.ledger("forget", "mycompany.com").stdout

    assert relay.ledger("mycompany.com").status == 2
    assert relay.ledger("--state", "pass").status == 0
    with open_database(relay.url).begin() as local:
        assert outbox.waiting(local).messages == 2


def test_a_shared_database_is_read_and_brought_to_its_schema(
    relay: Relay, postgresql: PostgreSql
) -> None:
    url = postgresql.url(postgresql.new_database())
    refused = relay.ledger("--database", url)
    done, again = (relay.ledger("migrate", "--database", url) for _ in range(2))
    new_ledger(url, now=time.time())

    assert (refused.status, done.status, again.status) == (2, 0, 0)
    assert "has no tables yet" in refused.stderr
    assert done.stdout == f"The ledger has schema {newest_version()}; it had none.\n"
    assert again.stdout == f"The ledger has schema {newest_version()} already.\n"
    assert len(rows(relay.ledger("--database", url, "--csv"))) == 4


def test_a_newer_schema_is_told_with_both_numbers(relay: Relay, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    for arguments in ((), ("migrate",), ("forget", "a.example"), ("relays",)):
        outcome = relay.ledger(*arguments)
        assert (outcome.status, outcome.stdout) == (2, "")
        assert re.fullmatch(
            rf"Error: .*ledger.sqlite: .*9999.*{newest_version()}.*upgrade alignd\n",
            outcome.stderr,
        )


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        pytest.param("", 'alignd.conf: there is no ledger: ledger.url is ""', id="switched-off"),
        pytest.param(
            "sqlite:////nowhere/a.sqlite",
            "/nowhere/a.sqlite: there is no such ledger; the service makes it",
            id="no-such-file",
        ),
        pytest.param(
            "postgresql://alignd:secret@127.0.0.1:1/alignd",
            "postgresql://alignd:***@127.0.0.1:1/alignd: connection",
            id="no-server",
        ),
    ],
)
def test_a_ledger_that_cannot_be_read_is_named_with_what_to_do(
    relay: Relay, url: str, complaint: str
) -> None:
    relay.configure(url)

    for command in ((), ("mycompany.com",), ("export",), ("relays",), ("migrate",)):
        outcome = relay.ledger(*command)
        assert (outcome.status, outcome.stdout) == (2, "")
        assert outcome.stderr.startswith(f"Error: {complaint}")
        assert "secret" not in outcome.stderr
    assert relay.ledger("forget", "a.example").status == 2


def test_a_file_that_is_no_ledger_or_is_locked_is_named(story: Relay) -> None:
    story.write("none.sqlite", b"Dear ledger, " * 1000)
    url = f"sqlite:///{story.directory}/none.sqlite"
    (story.directory / "ledger.sqlite").chmod(0)

    no_ledger = story.ledger("--database", url)
    locked = story.ledger(before=without_privileges())

    assert (no_ledger.status, locked.status) == (2, 2)
    assert "none.sqlite: file is not a database; run this as" in no_ledger.stderr
    assert "ledger.sqlite: unable to open database file; run this as root" in locked.stderr


@pytest.mark.parametrize(
    "url", ["mysql://secret@h/d", "postgresql://a:secret@:x:y/d", "ledger.sqlite"]
)
def test_a_wrong_url_is_refused_without_its_password(relay: Relay, url: str) -> None:
    outcome = relay.ledger("--database", url)

    assert outcome.status == 2
    assert "--database" in outcome.stderr
    assert ":secret" not in outcome.stderr


def test_without_a_url_it_is_in_the_state_directory(relay: Relay) -> None:
    new_ledger(relay.url)
    relay.write("alignd.conf", configuration())

    outcome = relay.run(
        *("ledger", "--csv", "--config", "alignd.conf"), STATE_DIRECTORY=str(relay.directory)
    )

    assert len(rows(outcome)) == 4


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(("--leg", "return", "export"), "write the options behind", id="in-front"),
        pytest.param(("exprot",), "No such command 'exprot'", id="no-such-command"),
        pytest.param(("a..b",), "not a domain", id="no-domain"),
        pytest.param(("forget", "a b"), "not a domain", id="nothing-to-forget"),
        pytest.param(("--since", "yesterday"), "not a time: 'yesterday'; write", id="no-time"),
        pytest.param(("--state", "skip"), "'skip' is not one of", id="no-state"),
    ],
)
def test_a_mistake_on_the_command_line_is_told(
    story: Relay, arguments: tuple[str, ...], complaint: str
) -> None:
    outcome = story.run("ledger", *arguments)

    assert (outcome.status, outcome.stdout) == (64, "")
    assert complaint in outcome.stderr


def test_a_command_that_asks_is_in_nobodys_way(relay: Relay, engine: Engine) -> None:
    with engine.begin() as connection:  # a relay that writes
        connection.execute(STATES.update().values(policy="none"))

        outcome = relay.ledger("--json")

    assert {each["policy"] for each in objects(outcome)} == {"reject", "quarantine"}
    with open_ledger(relay.url) as connection:
        (row,) = overview(connection, Selection(pattern="mycompany.com"), time.time())
    assert (row.finding.policy, row.last_seen > time.time() - DAY) == ("none", True)
