"""Questions to the servers of a zone: what they say counts, and no cache."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import dns.message
import pytest

from alignd.config.nameservers import Nameservers
from alignd.config.option_types import Nameserver as Address
from alignd.mailauth.dns import Answer, LookupFailed, RecordType
from alignd.resolver.authoritative import AuthoritativeLookup
from alignd.resolver.client import Upstream
from alignd.resolver.wire import to_name, to_rdtype
from tests.lab import unbound
from tests.lab.nameserver import Authority, Nameserver, run_nameserver
from tests.lab.readiness import free_ports

DELEGATION = """\
mycompany.com. NS ns1.mycompany.com.
mycompany.com. NS ns2.mycompany.com.
ns1.mycompany.com. A 127.0.0.2
ns2.mycompany.com. A 127.0.0.3
"""
OLD = 'mycompany.com. TXT "v=spf1 -all"\n'
NEW = 'mycompany.com. TXT "v=spf1 include:spf.mailing.easy.cz -all"\n'
SECONDS = 20.0


@dataclass
class World:
    """A nameserver that everybody asks, and the two servers of mycompany.com."""

    everybodys: Nameserver
    first: Authority
    second: Authority
    port: int
    asked: list[None] = field(default_factory=list)

    def lookup(self, seconds: float = SECONDS) -> AuthoritativeLookup:
        nameservers = Nameservers((Address("127.0.0.1", self.everybodys.port),))
        upstream = Upstream(nameservers, keeps_sockets=False)
        return AuthoritativeLookup(upstream, seconds, lambda: self.asked.append(None), self.port)

    def look_up(
        self, name: str = "mycompany.com", seconds: float = SECONDS
    ) -> Answer | LookupFailed:
        return self.lookup(seconds).look_up(name, RecordType.TXT)


@pytest.fixture(scope="module")
def servers() -> Iterator[World]:
    (port,) = free_ports(1)
    with ExitStack() as stack:
        everybodys = stack.enter_context(run_nameserver())
        first, second = Authority(), Authority()
        stack.enter_context(run_nameserver(first, host="127.0.0.2", port=port))
        stack.enter_context(run_nameserver(second, host="127.0.0.3", port=port))
        yield World(everybodys, first, second, port)


@pytest.fixture
def world(servers: World) -> World:
    servers.everybodys.serve(DELEGATION + OLD)
    for each in (servers.first, servers.second):
        each.serve(DELEGATION + NEW)
        each.has_authority = True
    servers.asked.clear()
    return servers


def texts(answer: Answer | LookupFailed) -> list[str]:
    assert isinstance(answer, Answer), answer
    return [text.decode() for text in answer.texts]


def test_what_the_zone_says_counts_and_not_what_a_cache_remembers(world: World) -> None:
    assert texts(world.look_up()) == ["v=spf1 include:spf.mailing.easy.cz -all"]
    assert len(world.asked) == len(world.everybodys.questions) + 2
    assert not world.first.wants_recursion, "it may remember what others told it"


def test_a_judgement_gets_one_answer_to_each_question(world: World) -> None:
    lookup = world.lookup()
    answer = lookup.look_up("mycompany.com", RecordType.TXT)
    asked = len(world.asked)
    for each in (world.first, world.second):
        each.serve(DELEGATION + OLD)
    assert lookup.look_up("MyCompany.com", RecordType.TXT) == answer
    assert len(world.asked) == asked


def test_a_name_within_the_zone_is_asked_of_its_servers_and_may_be_absent(world: World) -> None:
    assert world.look_up("_dmarc.mycompany.com") == Answer((), exists=False)
    assert ("_dmarc.mycompany.com.", "TXT") in world.first.questions


def test_servers_that_disagree_say_nothing(world: World) -> None:
    world.second.serve(DELEGATION + OLD)
    assert world.look_up() == LookupFailed("the servers of the zone do not agree")


def test_one_that_is_not_of_the_zone_any_more_is_passed_over(world: World) -> None:
    world.first.has_authority = False
    world.first.serve(OLD)
    assert texts(world.look_up()) == ["v=spf1 include:spf.mailing.easy.cz -all"]


def test_servers_that_only_remember_leave_it_unknown(world: World) -> None:
    world.first.has_authority = world.second.has_authority = False
    assert world.look_up() == LookupFailed("no server of the zone answers")


def test_an_alias_is_followed_into_its_own_zone(world: World) -> None:
    world.everybodys.serve(DELEGATION + "elsewhere.example. NS ns1.mycompany.com.\n")
    for each in (world.first, world.second):
        each.serve(
            DELEGATION
            + "key._domainkey.mycompany.com. CNAME key.elsewhere.example.\n"
            + 'key.elsewhere.example. TXT "v=DKIM1; p=abc"\n'
        )
    answer = world.look_up("key._domainkey.mycompany.com")
    assert texts(answer) == ["v=DKIM1; p=abc"]
    assert isinstance(answer, Answer)
    assert answer.alias_of == "key.elsewhere.example"


def test_a_zone_without_servers_is_asked_of_everybodys_nameserver(world: World) -> None:
    world.everybodys.serve('private.example. TXT "v=spf1 -all"\n')
    assert texts(world.look_up("private.example")) == ["v=spf1 -all"]


def test_it_ends_when_its_time_is_over(world: World) -> None:
    assert world.look_up(seconds=0.0) == LookupFailed("timeout")
    assert not world.asked


FIRST, SECOND = "127.0.0.2", "127.0.0.3"
REAL_ZONE = f"""\
@ 3600 SOA ns1 hostmaster 1 3600 600 86400 3600
@ 3600 NS ns1
@ 3600 NS ns2
ns1 3600 A {FIRST}
ns2 3600 A {SECOND}
"""
REAL_OLD, REAL_NEW = (f'{REAL_ZONE}@ 3600 TXT "v=spf1 {word} -all"\n' for word in ("mx", "a"))


@contextmanager
def real_servers(first: str, second: str, port: int) -> Iterator[None]:
    with (
        unbound.run_authority("mycompany.com", first, port, FIRST),
        unbound.run_authority("mycompany.com", second, port, SECOND),
    ):
        yield


@pytest.mark.skipif(bool(unbound.obstacle()), reason=str(unbound.obstacle()))
def test_real_servers_have_the_new_record_while_a_real_cache_has_the_old_one() -> None:
    (port,) = free_ports(1)
    with unbound.run_recursor("mycompany.com", (FIRST, SECOND), port) as cache:
        upstream = Upstream(Nameservers((Address("127.0.0.1", cache),)), keeps_sockets=False)

        def remembered() -> list[str]:
            answer = upstream.ask(to_name("mycompany.com"), to_rdtype(RecordType.TXT), SECONDS)
            assert isinstance(answer, dns.message.Message)
            return [data.to_text() for rrset in answer.answer for data in rrset]

        def published(name: str = "mycompany.com") -> Answer | LookupFailed:
            return AuthoritativeLookup(upstream, SECONDS, port=port).look_up(name, RecordType.TXT)

        with real_servers(REAL_OLD, REAL_OLD, port):
            assert texts(published()) == ["v=spf1 mx -all"]
            assert remembered() == ['"v=spf1 mx -all"']
        with real_servers(REAL_OLD, REAL_NEW, port):
            assert published() == LookupFailed("the servers of the zone do not agree")
        with unbound.run_authority("mycompany.com", REAL_NEW, port, SECOND):
            assert texts(published()) == ["v=spf1 a -all"], "the first one is down"
        with real_servers(REAL_NEW, REAL_NEW, port):
            assert texts(published()) == ["v=spf1 a -all"]
            assert published("_dmarc.mycompany.com") == Answer((), exists=False)
            assert remembered() == ['"v=spf1 mx -all"']
