"""`alignd whatif`: what would happen to author domains if something were different."""

import csv
import json
import os
import shutil
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cast import RELAY_IPV4, RELAY_IPV6, SPF_INCLUDE
from tests.lab.ledger_rows import PASSED, REWRITTEN, Mail, new_ledger
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.places import SNAPSHOTS
from tests.lab.settings import configuration, world
from tests.support.commandline import CommandLine, Outcome

WHATIF_SNAPSHOTS = sorted(SNAPSHOTS.glob("whatif-*.txt"))
NEW = "192.0.2.77"
STORY = (
    Mail("good.example", PASSED, 400),
    Mail("addresses.example", PASSED, 90, days_ago=3),
    Mail("addresses.example", PASSED, 7, days_ago=40),
    Mail("addresses.example", PASSED, 1200, tenant="easy"),
    Mail("mycompany.com", REWRITTEN, 30),
    Mail("partly.example", REWRITTEN, 5),
    Mail("silent.example", PASSED, 3, days_ago=35),
)
"""One that includes the relay's record, one that wrote its addresses down, two that are rewritten,
and one without mail for a month."""
ZONE = world(f"""\
good.example. TXT "v=spf1 include:{SPF_INCLUDE} -all"
addresses.example. TXT "v=spf1 ip4:{RELAY_IPV4} ip6:{RELAY_IPV6} -all"
mycompany.com. TXT "v=spf1 -all"
partly.example. TXT "v=spf1 ip4:{RELAY_IPV4} -all"
silent.example. TXT "v=spf1 include:{SPF_INCLUDE} -all"
slow.example. TXT "v=spf1 include:slow.slow.example -all"
; TIMEOUT slow.slow.example
""")
INCLUDE = f'{SPF_INCLUDE}. TXT "v=spf1 ip4:{RELAY_IPV4} ip4:{NEW} ip6:{RELAY_IPV6} -all"\n'
REPAIRED = f'mycompany.com. TXT "v=spf1 include:{SPF_INCLUDE} -all"\n'
EASY = '[[tenant]]\nname = "easy"\nmatch = { X-Tenant = "easy" }\n'


class Relay(CommandLine):
    """A relay with a ledger and a zone, and what could be different."""

    @property
    def url(self) -> str:
        return f"sqlite:///{self.directory}/told.sqlite"

    def configure(self, changes: str = EASY, name: str = "alignd.conf", url: str = "") -> None:
        ledger = f'[ledger]\nurl = "{url or self.url}"\n'
        self.write(name, configuration(f"{ledger}{changes}"))

    def whatif(self, *arguments: str, zone: bool = True) -> Outcome:
        dns = ("--zone", "what-if.zone") if zone else ()
        return self.run("whatif", *arguments, *dns, "--config", "alignd.conf")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a ledger with the story."""
    path = tmp_path_factory.mktemp("told") / "ledger.sqlite"
    new_ledger(f"sqlite:///{path}", STORY, now=time.time())
    return path


@pytest.fixture
def relay(tmp_path: Path, prefork: Any, told: Path) -> Relay:
    relay = Relay(tmp_path, prefork)
    shutil.copy(told, tmp_path / "told.sqlite")
    relay.configure()
    relay.write("what-if.zone", ZONE)
    relay.write("include.zone", INCLUDE)
    relay.write("repaired.zone", REPAIRED)
    relay.write("broken.zone", "; SERVFAIL good.example\n")
    relay.configure(f'{EASY}[rules]\nexempt = ["mycompany.com"]\n', "exempt.conf")
    relay.configure('[relay]\nhostname = "other.example"\n', "without.conf")
    return relay


@pytest.mark.parametrize("path", WHATIF_SNAPSHOTS, ids=lambda path: path.stem)
def test_what_people_read(relay: Relay, path: Path) -> None:
    """A snapshot is a command behind "$", and what it prints.

    Run with ALIGND_SNAPSHOTS=write to keep what it prints now; then look at the difference.
    """
    arguments, _, expected = path.read_text().removeprefix("$ alignd whatif ").partition("\n")

    outcome = relay.whatif(*arguments.split())

    assert outcome.stderr == ""
    assert max(map(len, outcome.stdout.splitlines())) <= 80
    if os.environ.get("ALIGND_SNAPSHOTS") == "write":
        path.write_text(f"$ alignd whatif {arguments}\n{outcome.stdout}")
        return
    assert outcome.stdout == expected, "see the docstring of this test"


def test_there_is_a_snapshot_of_each_kind_of_difference() -> None:
    assert len(WHATIF_SNAPSHOTS) >= 6


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        pytest.param(("--records", "repaired.zone"), 1, id="something-changes"),
        pytest.param(("--with", "alignd.conf"), 0, id="nothing-does"),
        pytest.param(("--records", "repaired.zone", "good.example"), 0, id="not-for-this-one"),
        pytest.param(("--records", "broken.zone"), 2, id="dns-would-not-say"),
        pytest.param(("--with", "exempt.conf", "good.example", "a..b"), 2, id="one-is-no-domain"),
    ],
)
def test_the_exit_status(relay: Relay, arguments: tuple[str, ...], status: int) -> None:
    assert relay.whatif(*arguments).status == status


def objects(outcome: Outcome) -> list[dict[str, Any]]:
    return [json.loads(line) for line in outcome.stdout.splitlines()]


def changes(outcome: Outcome) -> list[tuple[str, str, int | None, str]]:
    return [
        (each["domain"], each["tenant"], each["messages_30_days"], each["then"]["reason"])
        for each in objects(outcome)
        if each["changes"]
    ]


@pytest.fixture
def ledger(relay: Relay, ledger_url: str) -> Relay:
    """The same with its ledger in either of the databases."""
    new_ledger(ledger_url, STORY, now=time.time())
    relay.configure(url=ledger_url)
    return relay


def test_who_wrote_addresses_down_is_found_with_its_messages(ledger: Relay) -> None:
    outcome = ledger.whatif("--address", f"+{NEW}", "--records", "include.zone", "--json")

    assert changes(outcome) == [
        ("addresses.example", "easy", 1200, "relay-partly-authorised"),
        ("addresses.example", "", 90, "relay-partly-authorised"),
    ]
    assert len(objects(outcome)) == 6


def test_an_address_that_goes_may_be_all_that_was_missing(relay: Relay) -> None:
    outcome = relay.whatif("--address", f"-{RELAY_IPV6}", "--json")

    assert changes(outcome) == [("partly.example", "", 5, "spf-aligned")]


def test_mail_that_would_be_left_to_fail_is_a_change(relay: Relay) -> None:
    outcome = relay.whatif("--address", f"+{NEW}", "--json", "good.example")

    assert (outcome.status, changes(outcome)) == (
        1,
        [("good.example", "", None, "rewrite-would-fail")],
    )
    assert "notifications domain" in objects(outcome)[0]["fix"]


def test_each_tenant_gets_its_own_options_of_the_other_file(relay: Relay) -> None:
    relay.configure(f'{EASY}rules = {{ always = ["addresses.example"] }}\n', "easy.conf")
    address = ("--address", f"+{NEW}", "--records", "include.zone")

    outcome = relay.whatif("--with", "easy.conf", *address, "--json")

    assert [(tenant, reason) for _, tenant, _, reason in changes(outcome)] == [
        ("easy", "always"),
        ("", "relay-partly-authorised"),
    ]


def test_scripts_get_the_same_as_csv(relay: Relay) -> None:
    arguments = ("--address", f"+{NEW}", "--records", "both.zone")
    relay.write("both.zone", f"{INCLUDE}; SERVFAIL good.example\n")
    found = objects(relay.whatif(*arguments, "--json"))
    rows = list(csv.DictReader(StringIO(relay.whatif(*arguments, "--csv").stdout)))

    assert [(row["domain"], row["changes"]) for row in rows[:2]] == [
        ("addresses.example", "yes"),
        ("good.example", "unknown"),
    ]
    assert rows == [
        {
            **{name: str(each[name]) for name in ("domain", "tenant", "messages_30_days")},
            "changes": {True: "yes", False: "no", None: "unknown"}[each["changes"]],
            **{f"{name}_now": value for name, value in each["now"].items()},
            **{f"{name}_then": value for name, value in each["then"].items()},
            "fix": each["fix"] or "",
        }
        for each in found
    ]


def test_names_and_files_are_judged_without_a_ledger(relay: Relay) -> None:
    (relay.directory / "told.sqlite").unlink()
    relay.write("names.txt", "mycompany.com\nMARKY@mycompany.com # the same\ngood.example\n")

    outcome = relay.whatif("--records", "repaired.zone", "--json", "--file", "names.txt")

    assert changes(outcome) == [("mycompany.com", "", None, "spf-aligned")]
    assert [each["domain"] for each in objects(outcome)] == ["mycompany.com", "good.example"]


@pytest.fixture(scope="module")
def nameserver() -> Iterator[Nameserver]:
    with run_nameserver() as server:
        yield server


def test_a_domain_of_which_dns_is_silent_takes_no_other_with_it(
    relay: Relay, nameserver: Nameserver
) -> None:
    nameserver.serve(ZONE)
    dns = f'[dns]\nnameservers = ["{nameserver.address}"]\ntimeout = "1s"\n'
    relay.configure(dns)

    names = ("slow.example", "mycompany.com", "good.example")
    outcome = relay.whatif(*names, "--records", "repaired.zone", "--json", zone=False)

    assert (outcome.status, outcome.stderr) == (2, "")
    assert [each["changes"] for each in objects(outcome)] == [None, True, False]
    assert changes(outcome) == [("mycompany.com", "", None, "spf-aligned")]
    asked = [name for name, kind in nameserver.questions if name == "good.example."]
    assert len(asked) == 1, "both judgements have the same answers"


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        pytest.param((), 64, "say what would be different: --with", id="no-difference"),
        pytest.param(("--address", NEW), 64, f"write '+{NEW}' to add it", id="no-sign"),
        pytest.param(("--address", "+mx"), 64, "not an IP address: 'mx'", id="no-address"),
        pytest.param(("--address", "+0.0.0.0"), 64, "mail cannot leave from", id="nobodys"),
        pytest.param(("--address", f"-{NEW}"), 2, f"does not leave from {NEW}", id="not-there"),
        pytest.param(("--with", "none.conf"), 2, "none.conf", id="no-such-file"),
        pytest.param(("--records", "none.zone"), 2, "none.zone: No such", id="no-such-records"),
        pytest.param(("--records", "alignd.conf"), 2, "not a zone file", id="no-zone-file"),
        pytest.param(
            ("--records", "repaired.zone", "--domain", "*.no"),
            *(2, "the ledger has no such author domain"),
            id="nobody-is-like-that",
        ),
        pytest.param(
            ("--records", "repaired.zone", "--domain", "*.no", "a.example"),
            *(64, "--domain is for the domains of the ledger"),
            id="names-and-a-pattern",
        ),
        pytest.param(
            ("--records", "repaired.zone", "--database", "sqlite:////nowhere/l.sqlite"),
            *(2, "/nowhere/l.sqlite: there is no such ledger"),
            id="no-ledger",
        ),
    ],
)
def test_what_cannot_be_used_is_named(
    relay: Relay, arguments: tuple[str, ...], status: int, complaint: str
) -> None:
    outcome = relay.whatif(*arguments)

    assert (outcome.status, outcome.stdout) == (status, "")
    assert complaint in outcome.stderr
