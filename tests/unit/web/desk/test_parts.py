"""The parts of the desk: budgets, memory, and what has changed between two examinations."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

import pytest

from alignd.advice.publication import Kind
from alignd.config.domain_lists import SuffixList
from alignd.config.file import parse_configuration
from alignd.config.signer import load_signer
from alignd.domain_connect.template import Group
from alignd.judgement.reasons import Reason
from alignd.judgement.review import Reviewer, make_reviewer
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.mailauth.dkim_key import DkimResult
from alignd.mailauth.dns import Answer, LookupFailed, RecordType
from alignd.resolver.zone import Zone
from alignd.web.desk.budget import MAX_OCTETS, BoundedLookup, Budget
from alignd.web.desk.comparison import changes_between
from alignd.web.desk.examination import author_at, examine
from alignd.web.desk.examined import (
    Change,
    DkimChanged,
    Examined,
    ReasonChanged,
    RecordPublished,
    RecordRemoved,
)
from alignd.web.desk.links import groups_for
from alignd.web.desk.memory import Known, Memory, Subject
from tests.lab.places import CASES
from tests.lab.settings import configuration, world

KEY = next(
    line
    for line in (CASES / "signer-delegated-selector.case").read_text().splitlines()
    if line.startswith("easy1.dkim.easy.cz.")
)
DELEGATE = '[dkim]\ndelegate = { selector = "easy1", target = "easy1.dkim.easy.cz" }\n'
SIGNS = 'signs = [{ domain = "mycompany.com", selector = "easy1" }]\n'
INCLUDE = Domain("spf.mailing.easy.cz")
MARKYS = Domain("mycompany.com")
POLICY = '_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"\n'
SPF = 'mycompany.com. TXT "v=spf1 -all"\n'
QUOTED = 'mycompany.com. TXT "\\"v=spf1 a\\""\n'
INCLUDED = 'mycompany.com. TXT "v=spf1 include:spf.mailing.easy.cz -all"\n'
ALIAS = "easy1._domainkey.mycompany.com. CNAME easy1.dkim.easy.cz.\n"
WANTED = '[reports]\naddress = "dmarc@easysoftware.com"\n'
ALLOWED = '*._report._dmarc.easysoftware.com. TXT "v=DMARC1"\n'
SUFFIXES = SuffixList()


@cache
def reviewer(changes: str = DELEGATE) -> Reviewer:
    settings = parse_configuration(configuration(changes), "test")
    return make_reviewer(settings, load_signer(settings.dkim), lambda: 0.0, SUFFIXES)


def examined(zone: str, changes: str = DELEGATE) -> Examined:
    author = author_at(MARKYS)
    assert author is not None
    lookup = Zone.parse(world(f"{zone}{KEY}\n"))
    return examine(reviewer(changes), author, lookup, 1_000.0)


def changes(before: str, now: str, options: str = DELEGATE) -> tuple[Change, ...]:
    return changes_between(examined(before, options), examined(now, options))


@pytest.mark.parametrize(
    ("zone", "options", "has"),
    [
        pytest.param(SPF + POLICY + ALLOWED, DELEGATE + WANTED, True, id="wanted-and-allowed"),
        pytest.param(SPF + POLICY + ALLOWED, DELEGATE, False, id="not-wanted"),
        pytest.param(INCLUDED + POLICY + ALLOWED, DELEGATE + WANTED, False, id="no-letter"),
        pytest.param(SPF + ALLOWED, DELEGATE + WANTED, False, id="no-policy"),
    ],
)
def test_the_record_that_asks_for_reports_is_examined_for_a_letter(
    zone: str, options: str, has: bool
) -> None:
    found = examined(zone, options).reports

    assert (found is not None) is has
    assert found is None or (found.publication and not found.permission)


def test_the_alias_of_a_key_and_its_signature_are_changes() -> None:
    assert changes(POLICY + SPF, POLICY + SPF + ALIAS, DELEGATE + SIGNS) == (
        ReasonChanged(Reason.RELAY_NOT_AUTHORISED, Reason.DKIM_ALIGNED),
        DkimChanged(MARKYS, "easy1", DkimResult.PERMERROR, DkimResult.PASS),
        RecordPublished("easy1._domainkey.mycompany.com", Kind.CNAME, b"easy1.dkim.easy.cz"),
    )


@pytest.mark.parametrize(
    ("before", "now", "published", "removed"),
    [
        pytest.param("", SPF, [b"v=spf1 -all"], [], id="first"),
        pytest.param(SPF, "", [], [b"v=spf1 -all"], id="removed"),
        pytest.param(
            SPF,
            SPF + 'mycompany.com. TXT "v=spf1 a ~all"\n',
            [b"v=spf1 a ~all"],
            [],
            id="a second one",
        ),
        pytest.param("", QUOTED, [b'"v=spf1 a"'], [], id="quoted"),
        pytest.param("", 'mycompany.com. TXT "google-site-verification=1"\n', [], [], id="other"),
        pytest.param(
            "", '_dmarc.mycompany.com. TXT "v=DMARC1; p=none"\n', [b"v=DMARC1; p=none"], [],
            id="policy",
        ),
        pytest.param(SPF, "; SERVFAIL mycompany.com.\n", [], [], id="not known now"),
        pytest.param("; SERVFAIL mycompany.com.\n", SPF, [], [], id="not known before"),
    ],
)  # fmt: skip
def test_what_is_published_is_told_and_what_dns_does_not_say_is_no_change(
    before: str, now: str, published: list[bytes], removed: list[bytes]
) -> None:
    found = changes(before, now)
    assert [each.value for each in found if isinstance(each, RecordPublished)] == published
    assert [each.value for each in found if isinstance(each, RecordRemoved)] == removed
    if "SERVFAIL" in before + now:
        assert found == ()


def test_what_an_alias_leads_to_is_shown_only_where_it_is_a_key() -> None:
    secret = 'inside.example. TXT "the password"\n'
    alias = "easy1._domainkey.mycompany.com. CNAME inside.example.\n"
    found = examined(POLICY + alias + secret)
    (records,) = [each for each in found.records if each.alias_of]
    assert (records.alias_of, records.texts) == ("inside.example", ())


def test_nothing_changes_where_nothing_has() -> None:
    for zone in (POLICY, POLICY + SPF, POLICY + INCLUDED, SPF + ALIAS, ""):
        assert changes(zone, zone) == ()


def test_what_has_changed_and_changes_back_is_told_the_other_way() -> None:
    zones = (POLICY + SPF, POLICY + INCLUDED, SPF + ALIAS, "")
    for one, other in product(zones, zones):
        there, back = changes(one, other), changes(other, one)
        assert {type(each) for each in there if not _is_record(each)} == {
            type(each) for each in back if not _is_record(each)
        }


def _is_record(change: Change) -> bool:
    return isinstance(change, RecordPublished | RecordRemoved)


@pytest.mark.parametrize(
    ("zone", "options", "groups"),
    [
        pytest.param(POLICY + SPF, "", (Group.SPF,), id="include"),
        pytest.param(POLICY, "", (Group.SPF,), id="no record yet"),
        pytest.param(POLICY + SPF, DELEGATE, (Group.SPF,), id="the key waits for the operator"),
        pytest.param(POLICY + SPF, DELEGATE + SIGNS, (Group.DKIM, Group.SPF), id="both"),
        pytest.param(POLICY + INCLUDED, DELEGATE, (), id="passes"),
        pytest.param(
            POLICY + SPF + 'mycompany.com. TXT "v=spf1 a ~all"\n', "", (), id="two to be merged"
        ),
        pytest.param(
            POLICY + 'mycompany.com. TXT "v=spf1 ip4:192.0.2.300 -all"\n',
            "",
            (),
            id="to be mended",
        ),
        pytest.param(
            POLICY + '*.mycompany.com. TXT "v=spf1 -all"\nmycompany.com. TXT "v=spf1 -all"\n',
            "",
            (Group.SPF,),
            id="beside a wildcard",
        ),
    ],
)
def test_a_link_publishes_what_was_proven_and_nothing_else(
    zone: str, options: str, groups: tuple[Group, ...]
) -> None:
    assert groups_for(examined(zone, options).advice, INCLUDE) == groups
    assert Group.SPF not in groups_for(
        examined(zone, options).advice, Domain("spf.elsewhere.example")
    )


def subject(name: str) -> Subject:
    return Subject(Mailbox("agent", Domain(name)))


def test_memory_is_bounded_and_forgets_what_was_not_used_for_longest() -> None:
    now = 0.0
    memory = Memory(2, 300.0, lambda: now)
    known = Known(examined(POLICY))
    for name in ("a.example", "b.example"):
        memory.put(subject(name), known)
    assert memory.fresh(subject("a.example")) == known
    memory.put(subject("c.example"), known)
    assert memory.last(subject("b.example")) is None
    now = 300.5
    assert memory.fresh(subject("a.example")) is None
    assert memory.last(subject("a.example")) == known


@dataclass
class Counting:
    """Answers everything with a record of that size, and counts."""

    octets: int = 10
    asked: int = 0

    def look_up(
        self, name: str, record_type: RecordType, *, is_private: bool = False
    ) -> Answer | LookupFailed:
        del name, record_type, is_private
        self.asked += 1
        return Answer((b"x" * self.octets,))


def _names() -> Iterator[str]:
    return (f"{number}.example" for number in range(10_000))


def test_a_budget_of_questions_ends_and_the_same_question_costs_nothing() -> None:
    source = Counting()
    lookup = BoundedLookup(source, Budget(3, math.inf))
    for _ in range(10):
        lookup.look_up("A.example", RecordType.TXT)
        lookup.look_up("a.example", RecordType.TXT)
    found = [
        lookup.look_up(name, RecordType.TXT) for name in ("b.example", "c.example", "d.example")
    ]
    assert found[-1] == LookupFailed("too many questions")
    assert source.asked == 3
    assert lookup.look_up("a.example", RecordType.TXT) == Answer((b"x" * 10,))


def test_a_budget_of_octets_ends() -> None:
    source = Counting(octets=60_000)
    lookup = BoundedLookup(source, Budget(1_000, math.inf))
    found = [
        lookup.look_up(name, RecordType.TXT) for name, _ in zip(_names(), range(50), strict=False)
    ]
    assert found[-1] == LookupFailed("the answers are too large")
    assert source.asked * 60_000 < MAX_OCTETS + 2 * 60_000


def test_a_budget_of_seconds_ends() -> None:
    now = 0.0
    budget = Budget(1_000, 5.0, lambda: now)
    lookup = BoundedLookup(Counting(), budget)
    assert isinstance(lookup.look_up("a.example", RecordType.TXT), Answer)
    now = 5.0
    assert lookup.look_up("b.example", RecordType.TXT) == LookupFailed("timeout")
    assert budget.seconds_left == 0.0
