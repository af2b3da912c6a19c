"""The records that pages show are those that `alignd domain` proves, of customers of all kinds."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from alignd.config.file import load_configuration
from alignd.config.nameservers import nameservers_of
from alignd.config.signer import load_signer
from alignd.mail.domain import Domain
from alignd.mailauth.spf_record import strings_of
from alignd.return_path.directory import NO_DIRECTORY
from alignd.web.desk.assembly import Tuning, make_checker
from alignd.web.desk.checker import Checker, Limits
from alignd.web.desk.examined import Checked, CheckProblem, Examined
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.places import CASES
from tests.lab.settings import configuration, world
from tests.support.commandline import CommandLine
from tests.support.customers import SHARED, customers

DELEGATE = '[dkim]\ndelegate = { selector = "easy1", target = "easy1.dkim.easy.cz" }\n'
KEY = next(
    line
    for line in (CASES / "signer-delegated-selector.case").read_text().splitlines()
    if line.startswith("easy1.dkim.easy.cz.")
)
# Of those whose DNS is silent, less is said the sooner time is over.
CUSTOMERS = tuple(each for each in customers(each=1) if not each.failures)
NAMES = tuple(dict.fromkeys((*(each.domain for each in CUSTOMERS), "gmail.com")))
OFTEN = Limits(seconds=30.0, burst_of_all=1000)


@pytest.fixture(scope="module")
def dns() -> Iterator[Nameserver]:
    with run_nameserver() as nameserver:
        nameserver.serve(world(f"{KEY}\n{SHARED}{''.join(each.zone for each in CUSTOMERS)}"))
        yield nameserver


@pytest.fixture
def checker(cli: CommandLine, dns: Nameserver) -> Checker:
    cli.write("alignd.conf", configuration(DELEGATE, nameserver=dns.address))
    settings = load_configuration(cli.directory / "alignd.conf")
    signer = load_signer(settings.dkim)
    nameservers = nameservers_of(settings.dns)
    return make_checker(
        settings, signer, NO_DIRECTORY, nameservers, _fail, Tuning(limits=OFTEN, port=dns.port)
    )


def _fail(domain: Domain, error: Exception) -> None:
    raise AssertionError(domain) from error


def shown(examined: Examined) -> dict[str, Any]:
    """What a page shows, in the words of `alignd domain --json`."""
    publications = [each.publication for each in examined.advice.alternatives]
    return {
        "domain": examined.domain.name,
        "reason": examined.reason.value,
        "dmarc": examined.policy.value,
        "records": [[each.name, each.kind.value, each.value] for each in publications],
        "strings": ["".join(strings_of(each.value)) for each in publications],
        "replaces": [len(each.replaces) for each in publications],
        "cannot": examined.advice.cannot,
    }


def proven(printed: dict[str, Any]) -> dict[str, Any]:
    records = [record for alternative in printed["publish"] for record in alternative]
    return {
        "domain": printed["domain"],
        "reason": printed["reason"],
        "dmarc": printed["dmarc"]["policy"],
        "records": [[each["name"], each["type"], each["value"]] for each in records],
        "strings": [each["value"] for each in records],
        "replaces": [len(each["replaces"]) for each in records],
        "cannot": printed["cannot"],
    }


def test_the_records_that_pages_show_are_those_that_the_command_proves(
    cli: CommandLine, checker: Checker
) -> None:
    cli.write("names", "\n".join(NAMES))
    outcome = cli.run("domain", "--file", "names", "--json", "--config", "alignd.conf")
    printed = [proven(json.loads(line)) for line in outcome.stdout.splitlines()]
    assert outcome.stderr == ""
    assert len(printed) == len(NAMES)

    for expected in printed:
        found = checker.examine(Domain(expected["domain"]))
        if isinstance(found, CheckProblem):
            assert expected["reason"] == "dns-unknown"
            assert found.found is not None
            found = found.found
        assert shown(found) == expected
        assert len(found.hostings) == len(found.advice.alternatives)


def test_a_check_proves_the_same_records(checker: Checker) -> None:
    for each in CUSTOMERS[::4]:
        domain = Domain(each.domain)
        looked, checked = checker.examine(domain), checker.check_now(domain)
        if isinstance(looked, Examined):
            assert isinstance(checked, Checked)
            assert shown(checked.now) == shown(looked)
            assert checked.changes == ()
