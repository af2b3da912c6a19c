"""What a real receiver, rspamd, reports of mail that alignd decided on is what was predicted."""

import json
import re
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from alignd.cli.main import main
from alignd.config.domain_lists import SuffixList
from alignd.config.file import parse_configuration
from alignd.doctor.dns.reports import examine_reports
from alignd.ledger.apply import OUTBOUND
from alignd.ledger.batch import DAY, DomainKey
from alignd.ledger.database import open_existing
from alignd.ledger.event import EventKind
from alignd.ledger.watch.states import new_event, write_events
from alignd.resolver.zone import Zone
from tests.lab import cast
from tests.lab.postfix import obstacle
from tests.lab.processes import missing_programs
from tests.lab.settings import configuration, world
from tests.support.program import run_program
from tests.support.signing import new_key, public_key, txt
from tests.verifiers.reporting import FORWARDED, FORWARDER, REPORTS, UNLISTED, Decided
from tests.verifiers.sending import Sending

NEEDED = ("ip", "opendkim", "opendkim-genkey", "postfix", "redis-server", "rspamd", "rspamadm")
MISSING = missing_programs(NEEDED)
pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
    pytest.mark.skipif(bool(MISSING), reason=f"needs {MISSING}"),
]

CONFIG = f"""\
[dkim]
signs = [
    {{ domain = "{cast.NOTIFICATIONS_DOMAIN}", selector = "{cast.SELECTOR}" }},
    {{ domain = "replaced.cz", selector = "easy2" }},
    {{ domain = "delegated.cz", selector = "easy2" }},
]
[rules]
exempt = ["exempt.example"]
[reports]
address = "{REPORTS}"
[[tenant]]
match = {{ X-Helpdesk = "other" }}
notifications.address = "helpdesk@mail.other.example"
notifications.envelope_sender = "bounces@mail.other.example"
[[tenant]]
match = {{ X-Helpdesk = "replaced" }}
notifications.address = "helpdesk@replaced.cz"
notifications.envelope_sender = "bounces@replaced.cz"
"""
# Two of them, good.example and wild.cz, do not ask before they are advised to. The wildcard allows
# wild.cz; single names below "example" hide it there, so that forbidden.example is not allowed.
ZONE = f"""\
{cast.SPF_INCLUDE}. TXT "v=spf1 ip4:192.0.2.25 ip4:{UNLISTED} ip6:2001:db8::25 -all"
good.example. TXT "v=spf1 include:spf.mailing.easy.cz -all"
_dmarc.good.example. TXT "v=DMARC1; p=reject; adkim=s"
wild.cz. TXT "v=spf1 include:spf.mailing.easy.cz -all"
_dmarc.wild.cz. TXT "v=DMARC1; p=quarantine; rua=mailto:postmaster@wild.cz"
forbidden.example. TXT "v=spf1 include:spf.mailing.easy.cz -all"
_dmarc.forbidden.example. TXT "v=DMARC1; p=reject; rua=mailto:{REPORTS}"
exempt.example. TXT "v=spf1 -all"
_dmarc.exempt.example. TXT "v=DMARC1; p=reject; rua=mailto:{REPORTS}"
exempt.example._report._dmarc.easysoftware.com. TXT "v=DMARC1"
*._report._dmarc.easysoftware.com. TXT "v=DMARC1"
mycompany.com. TXT "v=spf1 -all"
_dmarc.mycompany.com. TXT "v=DMARC1; p=reject; rua=mailto:{REPORTS}"
mail.other.example. TXT "v=spf1 include:spf.mailing.easy.cz -all"
_dmarc.mail.other.example. TXT "v=DMARC1; p=reject; rua=mailto:{REPORTS}"
mail.other.example._report._dmarc.easysoftware.com. TXT "v=DMARC1"
other.example._report._dmarc.easysoftware.com. TXT "v=DMARC1"
_dmarc.replaced.cz. TXT "v=DMARC1; p=reject; rua=mailto:{REPORTS}"
replaced.cz. TXT "v=spf1 -all"
_dmarc.delegated.cz. TXT "v=DMARC1; p=reject; rua=mailto:{REPORTS}"
delegated.cz. TXT "v=spf1 -all"
_dmarc.removed.cz. TXT "v=DMARC1; p=reject; rua=mailto:{REPORTS}"
removed.cz. 300 TXT "v=spf1 include:spf.mailing.easy.cz -all"
_dmarc.noticed.cz. TXT "v=DMARC1; p=reject; rua=mailto:{REPORTS}"
noticed.cz. 300 TXT "v=spf1 include:spf.mailing.easy.cz -all"
"""
# At noon; alignd has the old records for as long as their TTL says.
REMOVED = ('removed.cz. TXT "v=spf1 -all"', 'noticed.cz. TXT "v=spf1 -all"')
FAULTY = {"replaced.cz", "delegated.cz", "removed.cz", "noticed.cz"}
"""Domains whose reports tell of faults."""
ADDRESSES = len(cast.RELAY_ADDRESSES)
SUBJECT = re.compile(rb"^Subject: Report Domain: (\S+)", re.MULTILINE)


def sending(
    name: str, author: str, *, sender: str | None = None, to: str = cast.JULIA, more: str = ""
) -> Sending:
    message = f"From: {author}\r\n{more}Subject: {name}\r\n\r\nHello\r\n".encode()
    envelope = author if sender is None else sender
    return Sending(name, "", "", "127.0.0.1", None, envelope, (to,), message)


SENDINGS = [
    *(sending(f"rewritten-{number}", cast.MARKY) for number in range(3)),
    sending("rewritten-auto-reply", cast.MARKY, sender=""),
    sending("rewritten-and-forwarded", cast.MARKY, to=FORWARDED),
    sending("unlisted-rewritten", cast.MARKY),
    *(sending(f"left-alone-{number}", "ann@good.example") for number in range(2)),
    sending("left-alone-and-forwarded", "ann@good.example", to=FORWARDED),
    sending("left-alone-wild", "ann@wild.cz"),
    sending("exempt", "ann@exempt.example"),
    sending("forbidden", "ann@forbidden.example"),
    sending("rewritten-for-another", cast.MARKY, more="X-Helpdesk: other\r\n"),
    sending("replaced-ours", cast.MARKY, more="X-Helpdesk: replaced\r\n"),
    sending("replaced-theirs", "ann@delegated.cz"),
    sending("removed-before", "ann@removed.cz"),
    sending("noticed-before", "ann@noticed.cz"),
]
AFTER_NOON = [
    sending("removed-after", "ann@removed.cz"),
    sending("noticed-after", "ann@noticed.cz"),
]


@dataclass(frozen=True, slots=True)
class Reported:
    """What there is when the reports have come."""

    directory: Path
    decided: tuple[Decided, ...]

    def read(self, *arguments: str) -> Result:
        """`alignd reports` on what has come."""
        files = ("--zone", str(self.directory / "zone"))
        return CliRunner().invoke(main, ["reports", *arguments, *files, "--config", self.config])

    @property
    def config(self) -> str:
        """That of the run, which has its ledger."""
        return str(self.directory / "alignd.conf")

    @property
    def reports(self) -> Path:
        """Those of domains that have no fault."""
        return self.directory / "reports"

    @property
    def faulty(self) -> Path:
        """The others."""
        return self.directory / "faulty"

    def summary(self, reports: Path, directory: Path) -> Any:
        """What `alignd reports summary` says of *reports* and a ledger a week later.

        On its first day a domain's state has just changed, which decides nothing. The watch has
        seen one of the two records that were removed go.
        """
        shutil.copy(self.directory / "ledger.sqlite", directory / "ledger.sqlite")
        with closing(sqlite3.connect(directory / "ledger.sqlite")) as ledger, ledger:
            ledger.execute("UPDATE states SET since = since - ?", (7 * DAY,))
        url = f"sqlite:///{directory}/ledger.sqlite"
        # The watch confirms what it has found minutes later, for which no test waits.
        key = DomainKey("", "noticed.cz")
        noticed = new_event(
            EventKind.BEGAN, {}, {}, at=time.time(), key=key, leg=OUTBOUND, relay=cast.RELAY
        )
        with open_existing(url).begin() as connection:
            write_events(connection, [noticed])
        database = ("--database", url)
        self.read(str(reports), *database)
        tomorrow = time.strftime("%Y-%m-%d", time.gmtime(time.time() + DAY))
        asked = ("summary", "--json", "--until", tomorrow, *database)
        return json.loads(self.read(*asked).stdout)


def advised(directory: Path) -> str:
    """The zone with all that `alignd domain` and `alignd doctor` say, so that reports come.

    But for one record: that of the organizational domain of a tenant's notifications.
    """
    # Of a key that is not the one of the signer.
    key = f"v=DKIM1; k=rsa; p={public_key(new_key())}"
    keys = (txt(f"easy2._domainkey.{name}.", key) for name in ("replaced.cz", "delegated.cz"))
    zone = world(ZONE + "".join(keys))
    (directory / "zone").write_text(zone)
    (directory / "advised.conf").write_text(configuration(CONFIG))
    paths = ("--zone", str(directory / "zone"), "--config", str(directory / "advised.conf"))
    said = CliRunner().invoke(main, ["domain", "--json", "good.example", "wild.cz", *paths])
    requests = [json.loads(line)["reports"] for line in said.stdout.splitlines()]
    records = [
        f'{record["name"]}. TXT "{record["value"]}"'
        for request in requests
        for record in (request["publish"], request["allow"])
        if record
    ]
    lookup, settings = Zone.parse(zone), parse_configuration(configuration(CONFIG), "test")
    examined = examine_reports(settings, lambda: lookup, SuffixList())
    records += [each.fix for each in examined.findings if "_dmarc.other.example" not in each.fix]
    return published(zone, records)


def published(zone: str, records: Iterable[str]) -> str:
    """*zone* with *records* in place of what their names had."""
    names = {record.split()[0] for record in records}
    kept = [line for line in zone.splitlines() if line.split()[0] not in names]
    return "\n".join([*kept, *records, ""])


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    directory = tmp_path_factory.mktemp("reported")
    zone = advised(directory)
    config = f'{CONFIG}[ledger]\nurl = "sqlite:///{directory}/ledger.sqlite"\n'
    worlds = [
        replace(each, zone=at_the_time, config=config).to_json()
        for sendings, at_the_time in ((SENDINGS, zone), (AFTER_NOON, published(zone, REMOVED)))
        for each in sendings
    ]
    lines = run_program("tests.verifiers.reporting", str(directory), lines=worlds, timeout=240)
    reported = Reported(directory, tuple(map(Decided.from_json, lines)))
    reported.faulty.mkdir()
    for path in list(reported.reports.iterdir()):
        if about(path) in FAULTY:
            path.rename(reported.faulty / path.name)
    return reported


def about(path: Path) -> str:
    """The domain that a report is about."""
    found = SUBJECT.search(path.read_bytes())
    assert found is not None
    return str(found[1], "ascii")


def figures(rows: Iterable[Mapping[str, Any]], name: str) -> dict[str, tuple[int, int, int, int]]:
    """By *name*: messages, and those that passed, that failed, and that a rule leaves alone."""
    words = ("messages", "passed", "failed", "foretold")
    return {row[name]: tuple(row[word] for word in words) for row in rows}


def test_mail_is_decided_on_as_it_is_meant_to_be(reported: Reported) -> None:
    actions = Counter((each.name.partition("-")[0], each.action) for each in reported.decided)

    assert actions == {
        ("rewritten", "rewrite"): 6 * ADDRESSES,
        ("unlisted", "rewrite"): 1,
        ("left", "pass"): 4 * ADDRESSES,
        ("forbidden", "pass"): ADDRESSES,
        ("exempt", "envelope"): ADDRESSES,
        ("replaced", "rewrite"): ADDRESSES,
        ("replaced", "pass"): ADDRESSES,
        ("removed", "pass"): 2 * ADDRESSES,
        ("noticed", "pass"): 2 * ADDRESSES,
    }


def test_reports_say_of_every_message_what_was_predicted(reported: Reported) -> None:
    done = reported.read(str(reported.reports), "--json", "--no-store")

    said = json.loads(done.stdout)
    assert figures(said["rewritten"]["rows"], "receiver") == {cast.RECEIVER_DOMAIN: (10, 10, 0, 0)}
    assert figures(said["domains"]["rows"], "author_domain") == {
        "good.example": (6, 6, 0, 0),
        "wild.cz": (2, 2, 0, 0),
        "exempt.example": (2, 0, 2, 2),
    }
    assert figures(said["unlisted"]["rows"], "address") == {UNLISTED: (1, 1, 0, 0)}
    # What was rewritten is signed by us, and passes wherever it goes. SPF alone does not go along.
    assert figures(said["forwarded"]["rows"], "address") == {FORWARDER: (2, 2, 0, 0)}
    assert (said["foreign"]["messages"], said["foreign"]["failed"]) == (2, 2)
    reported_at_all = {"receiver": cast.RECEIVER_DOMAIN, "reports": 4, "messages": 25}
    assert said["receivers"]["rows"] == [reported_at_all]
    assert said["unverified"]["rows"] == said["problems"] == []
    assert done.exit_code == 0


def test_reports_are_of_the_day_on_which_the_mail_came(reported: Reported) -> None:
    said = json.loads(reported.read(str(reported.reports), "--json", "--no-store").stdout)[
        "reports"
    ]

    assert said["end"] - said["begin"] == DAY
    assert said["begin"] % DAY == 0


def test_they_come_about_who_was_advised_to_ask_and_is_allowed_to(reported: Reported) -> None:
    told_of = {about(path) for path in reported.reports.iterdir()}

    # Of mail.other.example there is none, which asks and is allowed to: other.example does not.
    assert told_of == {"easysoftware.com", "good.example", "wild.cz", "exempt.example"}


def test_without_their_signature_they_decide_nothing(reported: Reported, tmp_path: Path) -> None:
    for path in reported.reports.iterdir():
        _, _, unsigned = path.read_bytes().partition(b"\r\nReceived:")
        (tmp_path / path.name).write_bytes(b"Received:" + unsigned)

    done = reported.read(str(tmp_path), "--json", "--no-store")

    said = json.loads(done.stdout)
    whole = [(row["why"], row["reports"], row["messages"]) for row in said["unverified"]["rows"]]
    assert whole == [("forgeable", 4, 25)]
    assert said["receivers"]["rows"] == []


def test_the_ledger_of_the_same_run_has_every_message(reported: Reported) -> None:
    done = CliRunner().invoke(main, ["ledger", "--json", "--config", reported.config])

    states = map(json.loads, done.stdout.splitlines())
    assert {(each["domain"], each["tenant"]): each["messages_30_days"] for each in states} == {
        ("mycompany.com", ""): 5 * ADDRESSES + 1,
        ("mycompany.com", "X-Helpdesk=other"): ADDRESSES,
        ("mycompany.com", "X-Helpdesk=replaced"): ADDRESSES,
        ("delegated.cz", ""): ADDRESSES,
        ("removed.cz", ""): 2 * ADDRESSES,
        ("noticed.cz", ""): 2 * ADDRESSES,
        ("good.example", ""): 3 * ADDRESSES,
        ("wild.cz", ""): ADDRESSES,
        ("exempt.example", ""): ADDRESSES,
        ("forbidden.example", ""): ADDRESSES,
    }


def test_held_against_the_ledger_every_prediction_was_right(
    reported: Reported, tmp_path: Path
) -> None:
    said = reported.summary(reported.reports, tmp_path)

    assert shares(said["rewritten"], "receiver") == {cast.RECEIVER_DOMAIN: (10, 0, 1.0)}
    assert shares(said["domains"], "author_domain") == {
        "good.example": (6, 0, 1.0),
        "wild.cz": (2, 0, 1.0),
        "exempt.example": (0, 2, 0.0),
    }
    assert [(each["messages"], each["share"]) for each in said["precision"]] == [(8, 1.0)]
    # What is wrong is the configuration, in which an address was left out.
    found = [(each["cause"], each["address"], each["messages"]) for each in said["disagreements"]]
    assert found == [("address-not-listed", UNLISTED, 1)]
    assert [each["messages"] for each in said["forwarded"]] == [2]
    assert said["undecided"] == []


def test_a_key_that_was_replaced_is_named(reported: Reported, tmp_path: Path) -> None:
    said = reported.summary(reported.faulty, tmp_path)

    found = Counter[tuple[str, ...]]()
    for each in said["disagreements"]:
        what = (each[word] for word in ("kind", "author_domain", "cause", "dkim"))
        found[tuple(what)] += each["messages"]
    assert found["outage", "replaced.cz", "key-replaced", "fail"] == ADDRESSES
    assert found["lost", "delegated.cz", "key-replaced", "fail"] == ADDRESSES


def test_a_record_that_was_removed_at_noon_is_named_or_decides_nothing(
    reported: Reported, tmp_path: Path
) -> None:
    """It decides nothing where the watch has seen it go; else receivers tell of it."""
    said = reported.summary(reported.faulty, tmp_path)

    found = [each for each in said["disagreements"] if each["author_domain"] == "removed.cz"]
    assert {(each["kind"], each["cause"]) for each in found} == {
        ("lost", "address-not-authorised")
    }
    assert sum(each["messages"] for each in found) == ADDRESSES
    undecided = [
        (each["author_domain"], each["why"], each["messages"], each["failed"])
        for each in said["undecided"]
    ]
    assert undecided == [("noticed.cz", "changed", 2 * ADDRESSES, ADDRESSES)]


def shares(rows: Iterable[Mapping[str, Any]], name: str) -> dict[str, tuple[int, int, float]]:
    """By *name*: messages that passed, that failed, and the share that was predicted to pass."""
    assert all(row["share"] == row["predicted"] for row in rows)
    return {row[name]: (row["passed"], row["failed"], row["predicted"]) for row in rows}
