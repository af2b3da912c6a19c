"""What pages ask of DNS: as mail does, or anew; within bounds, and a value whatever it holds."""

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from traceback import walk_stack

import dns.flags
import dns.message
import pytest

from alignd.advice.publication import Kind
from alignd.config.file import parse_configuration
from alignd.config.nameservers import Nameservers
from alignd.config.option_types import Nameserver as Address
from alignd.config.signer import load_signer
from alignd.judgement.reasons import Action, Reason
from alignd.mail.domain import Domain
from alignd.mailauth.dmarc import Policy
from alignd.mailauth.spf import SpfResult
from alignd.return_path.directory import NO_DIRECTORY
from alignd.web.desk.assembly import Tuning, make_checker
from alignd.web.desk.checker import Checker, Limits
from alignd.web.desk.examined import (
    Checked,
    CheckProblem,
    Examined,
    NoLink,
    PolicyChanged,
    ReasonChanged,
    RecordPublished,
    RecordRemoved,
    SpfChanged,
    TooSoon,
    Trouble,
    WhyNoLink,
)
from tests.lab import unbound
from tests.lab.nameserver import Authority, Nameserver, run_nameserver
from tests.lab.readiness import free_ports, wait_until
from tests.lab.scripted_nameserver import Scripted
from tests.lab.settings import configuration, world

MARKYS = Domain("mycompany.com")
FIRST, SECOND = "127.0.0.2", "127.0.0.3"
DELEGATION = f"""\
mycompany.com. NS ns1.mycompany.com.
mycompany.com. NS ns2.mycompany.com.
ns1.mycompany.com. A {FIRST}
ns2.mycompany.com. A {SECOND}
"""
POLICY = '_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"\n'
WITHOUT = f'{DELEGATION}{POLICY}mycompany.com. TXT "v=spf1 -all"\n'
WITH = f'{DELEGATION}{POLICY}mycompany.com. TXT "v=spf1 include:spf.mailing.easy.cz -all"\n'
OFTEN = Limits(burst=1000, burst_of_all=1000)
BOUND = 20.0
"""Seconds within which anything ends, on a machine that is busy with others."""


@dataclass
class Desk:
    """A checker, the nameserver that mail asks, and the two servers of mycompany.com."""

    everybodys: Nameserver
    authorities: tuple[Authority, Authority]
    port: int
    failures: list[str] = field(default_factory=list)

    def checker(self, limits: Limits = OFTEN, changes: str = "") -> Checker:
        return make(self.everybodys.port, self.port, limits, changes, self.failures)

    def publish(self, zone: str) -> None:
        for each in self.authorities:
            each.serve(zone)


def make(
    resolver: int, authorities: int, limits: Limits, changes: str, failures: list[str]
) -> Checker:
    settings = parse_configuration(configuration(changes), "test")
    return make_checker(
        settings,
        load_signer(settings.dkim),
        NO_DIRECTORY,
        Nameservers((Address("127.0.0.1", resolver),)),
        lambda domain, error: failures.append(f"{domain}: {error!r}"),
        Tuning(limits=limits, port=authorities),
    )


@pytest.fixture(scope="module")
def servers() -> Iterator[Desk]:
    (port,) = free_ports(1)
    with ExitStack() as stack:
        everybodys = stack.enter_context(run_nameserver())
        authorities = Authority(), Authority()
        for each, host in zip(authorities, (FIRST, SECOND), strict=True):
            stack.enter_context(run_nameserver(each, host=host, port=port))
        yield Desk(everybodys, authorities, port)


@pytest.fixture
def desk(servers: Desk) -> Iterator[Desk]:
    servers.everybodys.serve(world(WITHOUT))
    servers.publish(WITHOUT)
    servers.failures.clear()
    yield servers
    assert servers.failures == []


def examined(found: object) -> Examined:
    assert isinstance(found, Examined), found
    return found


def checked(found: object) -> Checked:
    assert isinstance(found, Checked), found
    return found


@contextmanager
def within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def test_a_record_published_a_minute_ago_is_seen_though_caches_have_the_old_answer(
    desk: Desk,
) -> None:
    checker = desk.checker()
    before = examined(checker.examine(MARKYS))
    assert before.reason is Reason.RELAY_NOT_AUTHORISED
    assert before.advice.alternatives[0].publication.value == (
        "v=spf1 include:spf.mailing.easy.cz -all"
    )
    desk.publish(WITH)
    assert examined(checker.examine(MARKYS)) == before

    found = checked(checker.check_now(MARKYS))

    assert found.before == before
    assert found.now.reason is Reason.SPF_ALIGNED
    assert found.now.is_authoritative
    assert found.is_seen_by_mail is False
    spf = before.advice.prediction.spf
    assert found.changes == (
        ReasonChanged(Reason.RELAY_NOT_AUTHORISED, Reason.SPF_ALIGNED),
        *(SpfChanged(each.address, SpfResult.FAIL, SpfResult.PASS) for each in spf),
        RecordPublished("mycompany.com", Kind.TXT, b"v=spf1 include:spf.mailing.easy.cz -all"),
        RecordRemoved("mycompany.com", Kind.TXT, b"v=spf1 -all"),
    )
    assert isinstance(found.changes[0], ReasonChanged)
    assert found.changes[0].changes_action
    assert examined(checker.examine(MARKYS)).reason is Reason.SPF_ALIGNED
    assert checker.last_check(MARKYS) == found


def test_the_page_does_not_turn_back_while_caches_are_behind(desk: Desk) -> None:
    checker = desk.checker(replace(OFTEN, kept=0.0))
    desk.publish(WITH)
    assert checked(checker.check_now(MARKYS)).is_seen_by_mail is False
    assert examined(checker.examine(MARKYS)).reason is Reason.SPF_ALIGNED
    desk.everybodys.serve(world(WITH))
    assert examined(checker.examine(MARKYS)).is_authoritative is not False
    assert not examined(checker.examine(MARKYS)).is_authoritative


def test_a_check_that_finds_the_same_has_no_changes(desk: Desk) -> None:
    checker = desk.checker()
    found = checked(checker.check_now(MARKYS))
    assert (found.before is not None, found.changes) == (True, ())
    assert found.is_seen_by_mail


def test_a_policy_that_is_published_is_a_change(desk: Desk) -> None:
    checker = desk.checker()
    checker.examine(MARKYS)
    desk.publish(WITHOUT.replace("p=reject", "p=quarantine"))
    found = checked(checker.check_now(MARKYS))
    assert PolicyChanged(Policy.REJECT, Policy.QUARANTINE) in found.changes
    assert not any(isinstance(each, ReasonChanged) for each in found.changes)


def test_where_the_servers_of_the_zone_do_not_answer_what_mail_gets_is_told(desk: Desk) -> None:
    desk.publish("; TIMEOUT mycompany.com. TXT\n")
    with within(BOUND):
        found = checked(desk.checker(replace(OFTEN, seconds=2.0)).check_now(MARKYS))
    assert found.now.reason is Reason.RELAY_NOT_AUTHORISED
    assert not found.now.is_authoritative
    assert found.is_seen_by_mail is None


def test_servers_that_do_not_agree_yet_are_told_of(desk: Desk) -> None:
    desk.authorities[0].serve(WITH)
    found = checked(desk.checker().check_now(MARKYS))
    assert "the servers of the zone do not agree" in found.obstacle
    assert not found.now.is_authoritative
    assert found.changes == ()


def test_the_host_of_the_zone_and_the_relays_own_options_are_told(desk: Desk) -> None:
    found = examined(desk.checker().examine(MARKYS))
    assert found.hosting.zone == MARKYS
    assert found.hosting.nameservers == ("ns1.mycompany.com", "ns2.mycompany.com")
    assert len(found.hostings) == len(found.advice.alternatives)
    assert found.domain_connect == NoLink(WhyNoLink.OFF)


TENANT = """
[[tenant]]
name = "beta"
match = { "X-Redmine-Host" = "beta.*" }
relay = { addresses = ["192.0.2.77"], spf_include = "spf.beta.example" }
"""


def test_a_tenant_with_a_relay_of_its_own_gets_records_of_its_own(desk: Desk) -> None:
    zone = world(f'{WITHOUT}spf.beta.example. TXT "v=spf1 ip4:192.0.2.77 -all"\n')
    desk.everybodys.serve(zone)
    checker = desk.checker(changes=TENANT)

    def value(tenant: str) -> str:
        return examined(checker.examine(MARKYS, tenant)).advice.alternatives[0].publication.value

    assert value("beta") == "v=spf1 include:spf.beta.example -all"
    assert value("") == value("unheard of") == "v=spf1 include:spf.mailing.easy.cz -all"


def test_who_checks_too_often_is_told_when_to_come_back(desk: Desk) -> None:
    checker = desk.checker(Limits(burst=2, every=50.0))
    assert isinstance(checker.check_now(MARKYS), Checked)
    assert isinstance(checker.check_now(MARKYS), Checked)
    too_soon = checker.check_now(MARKYS)
    assert isinstance(too_soon, TooSoon)
    assert 0 < too_soon.seconds <= 50.0
    assert isinstance(checker.examine(MARKYS), Examined), "looking is no check"


def test_many_domains_together_have_a_limit_too(desk: Desk) -> None:
    checker = desk.checker(Limits(burst_of_all=2, every_of_all=50.0))
    found = [checker.check_now(Domain(f"{name}.mycompany.com")) for name in "abc"]
    assert [type(each) for each in found] == [Checked, Checked, TooSoon]


@pytest.mark.parametrize("is_check", [False, True], ids=["look", "check"])
def test_twenty_who_ask_at_once_share_one_examination(desk: Desk, *, is_check: bool) -> None:
    checker = desk.checker(Limits(burst=1, waiting=20))
    found: list[object] = []

    def ask() -> None:
        found.append(checker.check_now(MARKYS) if is_check else checker.examine(MARKYS))

    threads = [threading.Thread(target=ask) for _ in range(20)]
    with _held(desk.everybodys):
        for each in threads:
            each.start()
        wait_until(lambda: _waiting(threads) == 19, "all but one wait for that one")
    for each in threads:
        each.join(BOUND)

    assert len(found) == 20
    assert {type(each) for each in found} == {Checked if is_check else Examined}
    asked = [each for each in desk.everybodys.questions if each == ("mycompany.com.", "TXT")]
    assert len(asked) == 1


def test_no_more_wait_for_one_domain_than_may(desk: Desk) -> None:
    checker = desk.checker(Limits(waiting=2))
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(checker.examine(MARKYS))) for _ in range(2)
    ]
    with _held(desk.everybodys):
        for each in threads:
            each.start()
        wait_until(lambda: _waiting(threads) == 1, "one waits for the other")
        for refused in (checker.examine(MARKYS), checker.check_now(MARKYS)):
            assert isinstance(refused, CheckProblem)
            assert refused.trouble is Trouble.BUSY
    for each in threads:
        each.join(BOUND)
    assert [type(each) for each in found] == [Examined, Examined]
    assert isinstance(checker.check_now(MARKYS), Checked), "there are places again"


@pytest.mark.parametrize("check_first", [False, True], ids=["look first", "check first"])
def test_a_look_shares_a_check_and_a_check_asks_anew_after_a_look(
    desk: Desk, *, check_first: bool
) -> None:
    checker = desk.checker(Limits(burst=1))
    desk.publish(WITH)
    found: dict[str, object] = {}
    calls = {
        "look": lambda: found.update(look=checker.examine(MARKYS)),
        "check": lambda: found.update(check=checker.check_now(MARKYS)),
    }
    first, second = ("check", "look") if check_first else ("look", "check")
    threads = [threading.Thread(target=calls[name]) for name in (first, second)]
    with _held(desk.everybodys) as asked:
        threads[0].start()
        assert asked.wait(BOUND)
        threads[1].start()
    for each in threads:
        each.join(BOUND)

    now = checked(found["check"]).now
    assert now.reason is Reason.SPF_ALIGNED
    looked = examined(found["look"])
    assert looked.is_authoritative is check_first
    assert (looked == now) is check_first


def _waiting(threads: list[threading.Thread]) -> int:
    """How many of *threads* wait for what another finds."""
    frames = sys._current_frames()
    stacks = (walk_stack(frames[each.ident]) for each in threads if each.ident in frames)
    return sum(
        any(frame.f_code is Future.result.__code__ for frame, _ in stack) for stack in stacks
    )


@contextmanager
def _held(nameserver: Nameserver) -> Iterator[threading.Event]:
    """Have *nameserver* answer nothing until the end of the block; the event is a question."""
    answers = nameserver.respond
    asked, gate = threading.Event(), threading.Event()

    def respond(data: bytes, *, over_udp: bool) -> bytes | None:
        asked.set()
        gate.wait(BOUND)
        return answers(data, over_udp=over_udp)

    nameserver.respond = respond  # type: ignore[method-assign]
    try:
        yield asked
    finally:
        gate.set()
        del nameserver.respond


def test_silent_dns_is_a_problem_within_the_bound(desk: Desk) -> None:
    others = _probes()
    desk.everybodys.serve(
        "; TIMEOUT .\n; TIMEOUT mycompany.com.\n; TIMEOUT _dmarc.mycompany.com.\n"
    )
    checker = desk.checker(replace(OFTEN, usual_seconds=1.0, seconds=1.0, kept_unknown=0.0))
    with within(BOUND):
        for found in (checker.examine(MARKYS), checker.check_now(MARKYS)):
            assert isinstance(found, CheckProblem)
            assert found.trouble is Trouble.DNS
            assert "DNS did not say" in found.detail
            assert found.found is not None
            assert found.found.advice.is_unknown
    desk.everybodys.serve(world(WITHOUT))
    assert isinstance(checker.examine(MARKYS), Examined), "what failed is not remembered"
    wait_until(lambda: _probes() <= others, "the probes of DNS have ended")


def test_silent_dns_is_not_asked_by_each_look_at_a_page(desk: Desk) -> None:
    others = _probes()
    desk.everybodys.serve("; TIMEOUT .\n; TIMEOUT mycompany.com.\n")
    checker = desk.checker(replace(OFTEN, usual_seconds=0.5, seconds=0.5))
    first = checker.examine(MARKYS)
    wait_until(lambda: _probes() <= others, "the probes of DNS have ended")
    desk.everybodys.serve(world(WITHOUT))
    assert checker.examine(MARKYS) == first
    assert not desk.everybodys.questions
    assert isinstance(checker.check_now(MARKYS), Checked), "a check asks, and has its own limits"
    assert isinstance(checker.examine(MARKYS), Examined)


def _probes() -> set[threading.Thread]:
    """Those of other tests, whose nameservers never answer, may be among them."""
    return {each for each in threading.enumerate() if each.name == "dns probe"}


def test_who_finds_no_place_is_told_that_it_is_busy(desk: Desk) -> None:
    checker = desk.checker(Limits(at_once=1, patience=0.05))
    other = threading.Thread(target=checker.examine, args=(MARKYS,))
    with _held(desk.everybodys) as asked:
        other.start()
        assert asked.wait(BOUND)
        assert checker.examine(Domain("other.example")) == CheckProblem(Trouble.BUSY)
    other.join(BOUND)
    assert isinstance(checker.examine(Domain("other.example")), Examined)


def test_a_bug_is_a_problem_and_a_report_and_the_next_is_answered(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    checker = desk.checker()

    def broken(*_: object, **__: object) -> Examined:
        raise KeyError("bug")

    with monkeypatch.context() as patch:
        patch.setattr("alignd.web.desk.checker.examine", broken)
        assert checker.examine(MARKYS) == CheckProblem(Trouble.INTERNAL, "KeyError")
        assert checker.check_now(MARKYS) == CheckProblem(Trouble.INTERNAL, "KeyError")
    assert desk.failures == ["mycompany.com: KeyError('bug')"] * 2
    desk.failures.clear()
    assert isinstance(checker.examine(MARKYS), Examined)


def test_what_is_closed_examines_nothing_more(desk: Desk) -> None:
    checker = desk.checker()
    checker.close()
    assert checker.examine(MARKYS) == CheckProblem(Trouble.CLOSED)
    assert checker.check_now(MARKYS) == CheckProblem(Trouble.CLOSED)


def test_a_mailbox_provider_gets_no_record_and_no_link(desk: Desk) -> None:
    found = examined(desk.checker().examine(Domain("gmail.com")))
    assert found.advice.refused
    assert not found.advice.alternatives


LONG = " ".join(f'"{"x" * 250}"' for _ in range(240))
HOSTILE = {
    "a TXT record of 60 kB": f"mycompany.com. TXT {LONG}\n",
    "SPF of 60 kB": f'mycompany.com. TXT "v=spf1 " {LONG}\n',
    "HTML": 'mycompany.com. TXT "v=spf1 <script>alert(1)</script> -all"\n',
    "octets": 'mycompany.com. TXT "v=spf1 \\000\\255\\027[2J -all"\n',
    "a loop of aliases": "mycompany.com. CNAME a.mycompany.com.\n"
    "a.mycompany.com. CNAME mycompany.com.\n",
    "an include of itself": 'mycompany.com. TXT "v=spf1 include:mycompany.com -all"\n',
    "a hundred includes": 'mycompany.com. TXT "v=spf1 '
    + " ".join(f"include:s{number}.mycompany.com" for number in range(8))
    + '"\n'
    + "".join(
        f's{number}.mycompany.com. TXT "v=spf1 mx a exists:%{{i}}.mycompany.com ~all"\n'
        for number in range(8)
    ),
    "macros": 'mycompany.com. TXT "v=spf1 exists:%{s}.%{l}.%{o}.%{d}.%{i} redirect=%{d2}"\n',
}


@pytest.mark.parametrize("zone", [pytest.param(zone, id=name) for name, zone in HOSTILE.items()])
@pytest.mark.parametrize("is_check", [False, True], ids=["look", "check"])
def test_whatever_a_zone_holds_a_value_comes_of_it_in_time(
    desk: Desk, zone: str, *, is_check: bool
) -> None:
    delegation = "" if "CNAME" in zone else DELEGATION
    desk.everybodys.serve(world(delegation + zone))
    desk.publish(delegation + zone)
    checker = desk.checker()
    with within(BOUND):
        found = checker.check_now(MARKYS) if is_check else checker.examine(MARKYS)
    assert isinstance(found, Examined | Checked | CheckProblem)
    if isinstance(found, CheckProblem):
        assert found.trouble is Trouble.DNS


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(f"{'x' * 63}.{'x' * 63}.{'x' * 63}.{'x' * 57}.com", id="too long"),
        pytest.param("com", id="one label"),
        pytest.param("192.0.2.1", id="an address"),
    ],
)
def test_a_name_that_no_mail_comes_from_is_no_author(desk: Desk, name: str) -> None:
    checker = desk.checker()
    assert checker.examine(Domain.parse(name)) == CheckProblem(Trouble.NO_AUTHOR)
    assert checker.check_now(Domain.parse(name)) == CheckProblem(Trouble.NO_AUTHOR)
    assert not desk.everybodys.questions


def test_a_name_as_long_as_there_can_be_is_examined(desk: Desk) -> None:
    name = f"{'x' * 63}.{'x' * 63}.{'x' * 63}.{'x' * 48}.com"
    assert isinstance(desk.checker().check_now(Domain.parse(name)), Checked)


def test_a_server_that_sends_every_question_elsewhere_spends_the_budget() -> None:
    """Each name leads to a new one: without a bound this would go on."""

    def alias(query: dns.message.Message) -> bytes:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        name = query.question[0].name.to_text()
        target = f"x{len(name)}.{name}" if len(name) < 200 else "end.example."
        response.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", target))
        return response.to_wire()

    with run_nameserver(Scripted(alias)) as nameserver, within(BOUND):
        checker = make(nameserver.port, nameserver.port, replace(OFTEN, questions=50), "", [])
        found = checker.check_now(MARKYS)
    assert isinstance(found, CheckProblem)
    assert found.trouble is Trouble.DNS


REAL_ZONE = f"""\
@ 3600 SOA ns1 hostmaster 1 3600 600 86400 3600
@ 3600 NS ns1
@ 3600 NS ns2
ns1 3600 A {FIRST}
ns2 3600 A {SECOND}
_dmarc 3600 TXT "v=DMARC1; p=reject"
"""
REAL_RECORD = '@ 3600 TXT "v=spf1 include:spf.mailing.easy.cz -all"\n'


@contextmanager
def real_servers(zone: str, port: int) -> Iterator[None]:
    with (
        unbound.run_authority("mycompany.com", zone, port, FIRST),
        unbound.run_authority("mycompany.com", zone, port, SECOND),
    ):
        yield


@pytest.mark.skipif(bool(unbound.obstacle()), reason=str(unbound.obstacle()))
def test_real_servers_have_the_record_while_a_real_cache_still_says_that_there_is_none() -> None:
    (port,) = free_ports(1)
    with unbound.run_recursor("mycompany.com", (FIRST, SECOND), port, world=world("")) as cache:
        checker = make(cache, port, OFTEN, "", [])
        with real_servers(REAL_ZONE, port):
            before = examined(checker.examine(MARKYS))
            assert before.reason.action is Action.REWRITE
            assert before.hosting.zone == MARKYS
        with real_servers(REAL_ZONE + REAL_RECORD, port):
            assert examined(checker.examine(MARKYS)).reason.action is Action.REWRITE
            found = checked(checker.check_now(MARKYS))
    assert found.now.reason is Reason.SPF_ALIGNED
    assert found.is_seen_by_mail is False, "the cache has no record for an hour"
    assert (
        RecordPublished("mycompany.com", Kind.TXT, b"v=spf1 include:spf.mailing.easy.cz -all")
        in found.changes
    )
