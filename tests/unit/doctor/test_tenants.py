"""Thousands of tenants cost the examination of DNS no more than what differs in them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from alignd.config.domain_lists import SuffixList
from alignd.config.file import parse_configuration
from alignd.config.settings import Configuration
from alignd.config.signer import load_signer
from alignd.doctor.dns.relay import examine_helo, examine_notifications
from alignd.doctor.findings import TopicReport
from alignd.mailauth.dns import Answer, LookupFailed, RecordType
from alignd.resolver.zone import Zone
from tests.lab.settings import configuration, world

SUFFIXES = SuffixList()


@dataclass
class Counting:
    """A zone that counts its questions."""

    zone: Zone = field(default_factory=lambda: Zone.parse(world("")))
    questions: int = 0

    def look_up(
        self, name: str, record_type: RecordType, *, is_private: bool = False
    ) -> Answer | LookupFailed:
        self.questions += 1
        return self.zone.look_up(name, record_type, is_private=is_private)


def configured(count: int, options: str = "") -> Configuration:
    tenants = (
        f'[[tenant]]\nmatch = {{ X-Host = "{number}" }}\n{options.format(number)}'
        for number in range(count)
    )
    return parse_configuration(configuration("".join(tenants)), "test")


def notifications(
    config: Configuration, lookup: Counting, at_most: int | None = None
) -> TopicReport:
    signer = load_signer(config.dkim)
    return examine_notifications(config, signer, lambda: lookup, SUFFIXES, at_most)


def helo(config: Configuration, lookup: Counting) -> TopicReport:
    return examine_helo(config, lambda: lookup, SUFFIXES)


@pytest.mark.parametrize("examine", [notifications, helo])
def test_tenants_that_differ_in_their_rules_alone_ask_nothing_more(
    examine: Callable[[Configuration, Counting], TopicReport],
) -> None:
    rules = 'rules = {{ exempt = ["domain{}.example"] }}\n'
    alone, with_tenants = Counting(), Counting()

    assert examine(configured(0), alone) == examine(configured(50, rules), with_tenants)
    assert with_tenants.questions == alone.questions > 0


def test_what_is_beyond_the_limit_is_left_out_and_said() -> None:
    own = 'notifications = {{ address = "a@tenant{}.example" }}\n'
    alone, with_tenants = Counting(), Counting()
    notifications(configured(0), alone)

    report = notifications(configured(50, own), with_tenants, at_most=1)

    assert with_tenants.questions == alone.questions
    assert ["50 more" in each.text for each in report.skipped] == [True]
