"""`alignd whatif`: whose mail would meet something else, before anything is changed."""

import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.lab.ledger_rows import PASSED, REWRITTEN, Mail, new_ledger
from tests.lab.settings import configuration, world
from tests.support.commandline import CommandLine, Outcome

NEW_ADDRESS = "+203.0.113.77"
BY_ADDRESS = [f"customer{number}.example" for number in range(0, 30, 3)]
BY_INCLUDE = [f"customer{number}.example" for number in range(30) if number % 3]


def zone() -> str:
    """Thirty customers, of whom every third wrote the addresses of the relay down."""
    records = [
        *(f'{name}. TXT "v=spf1 ip4:192.0.2.25 ip6:2001:db8::25 -all"' for name in BY_ADDRESS),
        *(f'{name}. TXT "v=spf1 include:spf.mailing.easy.cz -all"' for name in BY_INCLUDE),
        *(f'_dmarc.{name}. TXT "v=DMARC1; p=reject"' for name in (*BY_ADDRESS, *BY_INCLUDE)),
        'spf.mailing.easy.cz. TXT "v=spf1 ip4:192.0.2.25 ip4:203.0.113.77 ip6:2001:db8::25 -all"',
        'mycompany.com. TXT "v=spf1 -all"',
        '_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"',
    ]
    return world("".join(f"{record}\n" for record in records))


class Relay(CommandLine):
    """A relay whose ledger knows thirty customers and mycompany.com."""

    def whatif(self, *arguments: str) -> Outcome:
        common = ("--config", "alignd.conf", "--zone", "customers.zone")
        return self.run("whatif", *arguments, *common)


@pytest.fixture
def relay(tmp_path: Path, prefork: Any) -> Relay:
    relay = Relay(tmp_path, prefork)
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    relay.write("alignd.conf", configuration(f'[ledger]\nurl = "{url}"\n'))
    relay.write("customers.zone", zone())
    customers = [Mail(name, PASSED, 10, days_ago=1) for name in (*BY_ADDRESS, *BY_INCLUDE)]
    mails = [*customers, Mail("mycompany.com", REWRITTEN, 7, days_ago=1)]
    new_ledger(url, mails, now=time.time())
    return relay


def test_a_new_address_breaks_those_who_wrote_addresses_down(relay: Relay) -> None:
    outcome = relay.whatif("--address", NEW_ADDRESS)

    assert outcome.status == 1
    assert outcome.stderr == ""
    assert "Would be rewritten: 10 domains, " in outcome.stdout
    assert "10 of 31 domains would meet something else: 10 would be rewritten, 0 would" in (
        " ".join(outcome.stdout.split())
    )
    for name in BY_ADDRESS:
        assert f" {name}\n" in outcome.stdout
    assert BY_INCLUDE[0] not in outcome.stdout


def test_scripts_get_each_domain_with_what_it_meets_now_and_then(relay: Relay) -> None:
    outcome = relay.whatif("--address", NEW_ADDRESS, "--json")
    rows = {row["domain"]: row for row in map(json.loads, outcome.stdout.splitlines())}
    assert len(rows) == 31
    assert {name for name, row in rows.items() if row["changes"]} == set(BY_ADDRESS)
    first = rows[BY_ADDRESS[0]]
    assert first["messages_30_days"] == 10
    assert (first["now"]["action"], first["then"]["action"]) == ("pass", "rewrite")

    table = csv.DictReader(io.StringIO(relay.whatif("--address", NEW_ADDRESS, "--csv").stdout))
    assert {row["domain"] for row in table if row["changes"] == "yes"} == set(BY_ADDRESS)


def test_a_changed_include_is_tried_before_it_is_published(relay: Relay) -> None:
    relay.write("include.zone", 'spf.mailing.easy.cz. TXT "v=spf1 ip4:198.51.100.1 -all"\n')
    outcome = relay.whatif("--records", "include.zone", "--json")
    rows = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert outcome.status == 1
    assert {row["domain"] for row in rows if row["changes"]} == set(BY_INCLUDE)


def test_a_record_that_a_customer_will_publish_keeps_its_name(relay: Relay) -> None:
    relay.write("new.zone", 'mycompany.com. TXT "v=spf1 include:spf.mailing.easy.cz -all"\n')
    outcome = relay.whatif("--records", "new.zone", "mycompany.com")
    assert outcome.status == 1
    assert "Would no longer be rewritten: 1 domains" in outcome.stdout
    assert "rewrite relay-not-authorised -> pass spf-aligned" in outcome.stdout


def test_another_configuration_is_tried_before_it_is_in_force(relay: Relay) -> None:
    relay.write("new.conf", configuration('[rules]\nexempt = ["mycompany.com"]\n'))
    outcome = relay.whatif("--with", "new.conf", "--json")
    changed = [
        row["domain"] for row in map(json.loads, outcome.stdout.splitlines()) if row["changes"]
    ]
    assert changed == ["mycompany.com"]


def test_nothing_that_changes_ends_with_status_0(relay: Relay) -> None:
    outcome = relay.whatif("--address", NEW_ADDRESS, *BY_INCLUDE)
    assert outcome.status == 0
    assert "0 of 20 domains would meet something else" in outcome.stdout


def test_what_dns_does_not_answer_is_unknown_and_no_change(relay: Relay) -> None:
    relay.write("customers.zone", zone() + "; SERVFAIL silent.example\n")
    outcome = relay.whatif("--address", NEW_ADDRESS, "silent.example")
    assert outcome.status == 2
    assert outcome.stdout.endswith("DNS did not answer for 1.\n")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ((), 64, "name a change: --with, --address or --records"),
        (("--address", "192.0.2.77"), 64, "write '+192.0.2.77' or '-192.0.2.25'"),
        (("--address", "+192.0.2.25"), 2, "192.0.2.25 is already in relay.addresses"),
        (("--address", "-203.0.113.1"), 2, "203.0.113.1 is not in relay.addresses"),
        (
            ("--address", "-192.0.2.25", "--address", "-2001:db8::25"),
            2,
            "no address would be left in relay.addresses",
        ),
        (("--address", NEW_ADDRESS, "--database", "sqlite:////nowhere/x"), 2, "no such ledger"),
        (("--address", NEW_ADDRESS, "no domain"), 2, "no domain"),
        (("--records", "no.zone"), 2, "no.zone: No such file or directory"),
    ],
    ids=[
        "nothing to try",
        "an address without a sign",
        "an address that is there",
        "an address that is not there",
        "no address left",
        "no ledger",
        "no domain",
        "no file of records",
    ],
)
def test_a_mistake_is_named(
    relay: Relay, arguments: tuple[str, ...], status: int, said: str
) -> None:
    outcome = relay.whatif(*arguments)
    assert outcome.status == status
    assert said in outcome.stderr
