"""`alignd reports` stores what it reads, and `alignd reports summary` answers over it."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import func, select

from alignd.cli.render.receivers import joined_lines
from alignd.ledger.batch import DAY
from alignd.ledger.database import open_database
from alignd.ledger.tables import REPORT_ROWS, REPORTS
from alignd.reports.joined import Joined
from alignd.reports.receivers.disagreements import Cause, Disagreement, Kind
from alignd.reports.receivers.shares import Held
from tests.lab.cast import NOTIFICATIONS_DOMAIN, RELAY_IPV4
from tests.lab.ledger_rows import PASSED, REWRITTEN, Mail, new_ledger
from tests.lab.postgresql import PostgreSql
from tests.lab.settings import configuration, world
from tests.support.commandline import CommandLine, Outcome
from tests.support.mailed_reports import (
    GOOD,
    LOST,
    SIGNS,
    published,
    record,
    report,
    report_mail,
)
from tests.support.signing import new_key

KEPT = "good.example"
STORY = (
    Mail(KEPT, PASSED, 40, days_ago=3),
    Mail(KEPT, PASSED, 40, days_ago=20),
    Mail(KEPT, PASSED, 40, days_ago=29),
    Mail("rewritten.example", REWRITTEN, 1, days_ago=29),
    Mail("rewritten.example", REWRITTEN, 30, days_ago=3),
    Mail("mycompany.com", REWRITTEN, 90, days_ago=3),
)
THREE_DAYS_AGO = 3


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return new_key()


Deliver = Callable[..., bytes]


@pytest.fixture
def mailed(cli: CommandLine, key: rsa.RSAPrivateKey) -> Deliver:
    """Mail with a report in it, on a relay with a ledger."""
    url = f"sqlite:///{cli.directory}/ledger.sqlite"
    new_ledger(url, STORY, now=time.time()).dispose()
    cli.write("what-if.zone", world(published(key)))
    cli.write("alignd.conf", configuration(f'{SIGNS}[ledger]\nurl = "{url}"\n'))

    def mail(*records: str, number: int = 1, days_ago: int = THREE_DAYS_AGO) -> bytes:
        begin = int(time.time()) // DAY * DAY - days_ago * DAY
        return report_mail(key, report(*records, number=number, begin=begin))

    return mail


def run(cli: CommandLine, *arguments: str) -> Outcome:
    return cli.run("reports", *arguments, "--zone", "what-if.zone", "--config", "alignd.conf")


def stored(cli: CommandLine) -> tuple[int, int]:
    """Reports, and messages in them."""
    engine = open_database(f"sqlite:///{cli.directory}/ledger.sqlite")
    with engine.connect() as connection:
        reports = connection.execute(select(func.count()).select_from(REPORTS)).scalar_one()
        messages = connection.execute(select(func.sum(REPORT_ROWS.c.messages))).scalar_one()
    engine.dispose()
    return reports, messages or 0


def test_a_report_is_stored_once_however_often_it_comes(cli: CommandLine, mailed: Deliver) -> None:
    cli.write("1.eml", mailed(GOOD, record(KEPT)))
    cli.write("2.eml", mailed(GOOD, number=2))

    first = run(cli, "1.eml", "1.eml")
    second = run(cli, "read", "1.eml", "2.eml", "--json")

    assert first.status == 0
    assert "Stored in the ledger: 1 report." in first.stdout
    assert second.json["stored"] == {"new": 1, "known": 1}
    assert stored(cli) == (2, 9)


def test_reports_are_in_the_database_that_relays_share(
    cli: CommandLine, mailed: Deliver, postgresql: PostgreSql
) -> None:
    name = postgresql.new_database()
    url = postgresql.url(name)
    new_ledger(url, STORY, now=time.time()).dispose()
    cli.write("alignd.conf", configuration(f'{SIGNS}[ledger]\nurl = "{url}"\n'))
    cli.write("1.eml", mailed(GOOD, record(KEPT)))

    first, again = (run(cli, "1.eml", "--json").json["stored"] for _ in range(2))
    told = run(cli, "summary", "--json").json

    assert (first, again) == ({"new": 1, "known": 0}, {"new": 0, "known": 1})
    rows = "SELECT origin, domain, result, messages FROM report_rows ORDER BY origin"
    assert postgresql.sql(rows, name).splitlines() == [
        f"ours|{KEPT}|pass|3",
        f"rewritten|{NOTIFICATIONS_DOMAIN}|pass|3",
    ]
    assert postgresql.sql("SELECT count(*), sum(messages) FROM reports", name) == "1|6"
    assert [each["share"] for each in told["domains"]] == [1.0]
    assert stored(cli) == (0, 0)


def test_one_can_only_look(cli: CommandLine, mailed: Deliver) -> None:
    cli.write("1.eml", mailed(GOOD))

    outcome = run(cli, "1.eml", "--no-store")

    assert outcome.status == 0
    assert "ledger" not in outcome.stdout
    assert run(cli, "1.eml", "--no-store", "--json").json["stored"] is None
    assert stored(cli) == (0, 0)


def test_what_anybody_could_have_written_is_not_stored(cli: CommandLine, mailed: Deliver) -> None:
    cli.write("1.eml", mailed(LOST).replace(b"Report Domain", b"Another"))

    assert run(cli, "1.eml", "--json").json["stored"] == {"new": 0, "known": 0}
    assert stored(cli) == (0, 0)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        pytest.param("", 'ledger.url is ""', id="none-is-wanted"),
        pytest.param(
            "sqlite:////nowhere/x.sqlite", "/nowhere/x.sqlite is not there", id="no-file"
        ),
    ],
)
def test_where_there_is_no_ledger_that_is_said(
    cli: CommandLine, mailed: Deliver, url: str, why: str
) -> None:
    cli.write("1.eml", mailed(GOOD))
    cli.write("alignd.conf", configuration(f'{SIGNS}[ledger]\nurl = "{url}"\n'))

    outcome = run(cli, "1.eml")

    assert outcome.status == 0
    shown = " ".join(outcome.stdout.split())
    assert f"Nothing is stored, as there is no ledger: {why}." in shown.replace("sqlite:///", "")
    assert run(cli, "summary").status == 2


def test_a_ledger_that_cannot_be_written_is_said_after_all_was_told(
    cli: CommandLine, mailed: Deliver
) -> None:
    cli.write("1.eml", mailed(LOST))
    cli.write("ledger.sqlite", b"not a database, and longer than a page has room for" * 100)

    outcome = run(cli, "1.eml")

    assert outcome.status == 2
    assert outcome.stdout.startswith("OUTAGE")
    assert "not all reports are stored" in outcome.stderr


def test_nothing_stored_is_nothing_known(cli: CommandLine, mailed: Deliver) -> None:
    del mailed
    outcome = run(cli, "summary")

    assert outcome.status == 2
    assert "No report of that time is stored: `alignd reports` reads them." in outcome.stdout


def test_where_all_passes_shares_stand_beside_predictions(
    cli: CommandLine, mailed: Deliver
) -> None:
    cli.write("1.eml", mailed(GOOD, record(KEPT)))
    run(cli, "1.eml")

    outcome = run(cli, "summary", "--records", "1")

    assert outcome.status == 0
    assert outcome.stderr == ""
    assert outcome.stdout.startswith("Receivers passed all that was to pass.\n1 report; ")
    assert f"        3  100.0 %    100.0 %  {KEPT}\n" in outcome.stdout
    assert "100.0 % of 3 messages" in outcome.stdout
    assert "mycompany.com: 90 messages rewritten, relay-not-authorised" in outcome.stdout
    assert "      TXT record of mycompany.com\n      v=spf1 " in outcome.stdout
    copied = ("      TXT record", "      v=spf1")
    lines = outcome.stdout.splitlines()
    assert max(len(line) for line in lines if not line.startswith(copied)) <= 80


def failing(header_from: str = NOTIFICATIONS_DOMAIN) -> str:
    return record(header_from, dkim="fail", spf="fail")


@pytest.mark.parametrize(
    ("entry", "status", "first", "why"),
    [
        pytest.param(
            failing(), 1, "OUTAGE: 3 messages of rewritten mail failed DMARC.",
            "the published DKIM key does not verify the signature", id="rewritten-mail-fails",
        ),
        pytest.param(
            failing(KEPT), 1,
            "3 messages that should have passed DMARC in the author's name failed.",
            "the SPF record did not authorise the address of this relay",
            id="a-predicted-pass-fails",
        ),
        pytest.param(
            record(source="203.0.113.77"), 0,
            "3 messages left from addresses that the configuration lacks.",
            "Add it to relay.addresses", id="an-address-is-missing",
        ),
        pytest.param(
            failing("rewritten.example"), 0, "Receivers passed all that was to pass.",
            "the ledger knows nothing of such mail on these days", id="alignd-has-not-sent-it",
        ),
        pytest.param(
            record(KEPT, source="203.0.113.8", selector="helpdesk", spf="fail"), 0,
            "Receivers passed all that was to pass.", "Forwarded by others, which is no fault",
            id="forwarded",
        ),
    ],
)  # fmt: skip
def test_what_contradicts_a_prediction_is_told_first_with_its_reason(
    cli: CommandLine, mailed: Deliver, entry: str, status: int, first: str, why: str
) -> None:
    cli.write("1.eml", mailed(entry))
    run(cli, "1.eml")

    outcome = run(cli, "summary", "--records", "0")

    assert outcome.status == status
    assert outcome.stdout.splitlines()[0] == first
    assert why in " ".join(outcome.stdout.split())


def found(cli: CommandLine, *arguments: str) -> Any:
    return run(cli, "summary", "--json", *arguments).json


def test_scripts_get_all_of_it(cli: CommandLine, mailed: Deliver) -> None:
    cli.write("1.eml", mailed(GOOD, LOST, record(KEPT), failing(KEPT)))
    run(cli, "1.eml")

    whole = found(cli)

    assert whole["reports"] == 1
    assert whole["rewritten"] == [
        {"receiver": "receiver.example", "passed": 3, "failed": 3, "unknown": 0, "share": 0.5,
         "predicted": 1.0}
    ]  # fmt: skip
    assert whole["domains"][0] | {"author_domain": KEPT, "share": 0.5} == whole["domains"][0]
    assert [(each["kind"], each["cause"]) for each in whole["disagreements"]] == [
        ("outage", "key-replaced"),
        ("lost", "address-not-authorised"),
    ]
    assert whole["disagreements"][0]["address"] == RELAY_IPV4
    assert whole["disagreements"][0]["author_domain"] == NOTIFICATIONS_DOMAIN
    assert [each["share"] for each in whole["precision"]] == [0.5]
    assert whole["needless"] == {
        "messages": 0, "is_estimate": True, "rewritten": 121, "while_passing": 0, "without_dns": 0
    }  # fmt: skip
    assert [each["author_domain"] for each in whole["could_stop"]] == [
        *("mycompany.com", "rewritten.example")
    ]
    assert whole["could_stop"][0]["record"]["type"] == "TXT"


@pytest.mark.parametrize(
    ("expected", "share"),
    [(0.5, "50.0 %"), (0.7 * 3, "70.0 %"), (2.9999, "99.9 %"), (3.0, "100.0 %")],
)
def test_of_a_few_messages_the_share_that_was_to_pass_is_exact(
    expected: float, share: str
) -> None:
    told = 1 if expected < 1 else 3
    held = Held("few.example", passed=told, expected=expected)

    lines = [line.text.split() for line in joined_lines(Joined(domains=(held,)), {})]

    assert [str(told), "100.0", "%", *share.split(), "few.example"] in lines


def test_what_a_report_does_not_say_leaves_no_hole_in_the_sentence() -> None:
    row = Disagreement(Kind.UNLISTED, Cause.ADDRESS, "", "big.example", "", "pass", "pass", 7)

    text = "\n".join(line.text for line in joined_lines(Joined(disagreements=(row,)), {}))

    assert "(not said), by big.example: a key of ours" in text


def test_a_span_a_domain_and_a_tenant_narrow_it(cli: CommandLine, mailed: Deliver) -> None:
    cli.write("1.eml", mailed(GOOD, record(KEPT)))
    cli.write("2.eml", mailed(GOOD, record(KEPT), number=2, days_ago=20))
    run(cli, "1.eml", "2.eml")

    def domains(*arguments: str) -> list[tuple[str, int]]:
        rows = found(cli, "--records", "0", *arguments)["domains"]
        return [(row["author_domain"], row["passed"]) for row in rows]

    assert domains() == [(KEPT, 6)]
    assert domains("--since", "7d") == [(KEPT, 3)]
    assert domains("--until", "10d") == [(KEPT, 3)]
    assert domains("--domain", "else.example") == []
    assert domains("--domain", KEPT) == [(KEPT, 6)]
    assert domains("--tenant", "nobody") == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        pytest.param(("--since", "1d", "--until", "2d"), "--since is not before", id="no-time"),
        pytest.param(("--domain", "a b"), "not a domain", id="no-domain"),
        pytest.param(("--records", "1000"), "1000 is not in the range", id="too-many-records"),
    ],
)
def test_a_wrong_question_is_said(
    cli: CommandLine, mailed: Deliver, arguments: tuple[str, ...], problem: str
) -> None:
    del mailed
    outcome = run(cli, "summary", *arguments)

    assert outcome.status == 64
    assert problem in outcome.stderr
