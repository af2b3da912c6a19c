"""DNS that is bad, in whatever way: known domains do not wait, unknown ones seldom."""

import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from alignd.config.nameservers import nameservers_of
from alignd.config.settings import DnsOptions
from alignd.mailauth.dns import Answer, LookupFailed, RecordType
from alignd.resolver.cache import Question
from alignd.resolver.resolver import Resolver
from alignd.resolver.trouble import TROUBLED_SECONDS, Trouble, domain_of
from tests.lab.faulty_nameserver import Fault, FaultyNameserver
from tests.lab.nameserver import run_nameserver
from tests.lab.parallel import in_parallel
from tests.lab.readiness import wait_until
from tests.support.clock import Clock

TXT = RecordType.TXT
KNOWN = tuple(f"known{number}.example" for number in range(30))
NEW = tuple(f"new{number}.example" for number in range(40))
IN_FLIGHT = 8  # messages at once
BAD = pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault.SILENT, id="silent"),
        pytest.param(Fault.UPLINK_DOWN, id="the-uplink-is-down-behind-a-resolver"),
        pytest.param(Fault.LATE_FAILURE, id="late-to-say-that-it-fails"),
        pytest.param(Fault.SLOW, id="slow"),
    ],
)


def zone(text: str) -> str:
    """Each name with this text, which expires at once."""
    return "".join(f'{name}. 0 TXT "{text}"\n' for name in (*KNOWN, *NEW))


@pytest.fixture
def nameserver() -> Iterator[FaultyNameserver]:
    nameserver = FaultyNameserver(seed=1)
    with run_nameserver(nameserver):
        nameserver.serve(zone("old"))
        yield nameserver


@pytest.fixture
def resolver(nameserver: FaultyNameserver) -> Iterator[Resolver]:
    options = {"nameservers": [nameserver.address], "timeout": "2s", "min_ttl": "0s"}
    settings = DnsOptions.model_validate(options)
    resolver = Resolver(settings, nameservers_of(settings), print)
    yield resolver
    resolver.end()


def look_up(resolver: Resolver, name: str) -> Answer | LookupFailed:
    return resolver.for_message().look_up(name, TXT)


def waits(resolver: Resolver, names: Sequence[str]) -> tuple[float, ...]:
    """How long a message about each name waits, several of them at the same time."""
    times: list[float] = []

    def ask(shared: Iterator[str]) -> None:
        for name in shared:
            began = time.monotonic()
            look_up(resolver, name)
            times.append(time.monotonic() - began)

    in_parallel(ask, names, threads=IN_FLIGHT)
    return tuple(times)


@BAD
def test_known_domains_do_not_wait(
    resolver: Resolver, nameserver: FaultyNameserver, fault: Fault
) -> None:
    waits(resolver, KNOWN)
    nameserver.fault = fault

    found = sorted(waits(resolver, KNOWN * 4))

    assert found[len(found) // 2] < 0.25
    assert sum(found) < 15  # the first few wait for half a second
    assert look_up(resolver, KNOWN[0]) == Answer((b"old",))


@BAD
def test_when_dns_is_well_again_known_domains_are_asked_anew(
    resolver: Resolver, nameserver: FaultyNameserver, fault: Fault
) -> None:
    waits(resolver, KNOWN)
    nameserver.fault = fault
    waits(resolver, KNOWN)
    assert resolver.is_troubled

    nameserver.serve(zone("new"))
    nameserver.fault = Fault.NONE

    wait_until(lambda: look_up(resolver, KNOWN[0]) == Answer((b"new",)), "the new answer")


def test_a_last_known_answer_is_not_used_too_long(nameserver: FaultyNameserver) -> None:
    options = {"nameservers": [nameserver.address], "min_ttl": "0s", "stale": "1h"}
    settings, clock = DnsOptions.model_validate(options), Clock(1_000.0)
    resolver = Resolver(settings, nameservers_of(settings), print, clock=clock)
    look_up(resolver, "known0.example")
    nameserver.fault = Fault.SILENT

    clock.now += 3599
    assert look_up(resolver, "known0.example") == Answer((b"old",))
    clock.now += 2
    assert look_up(resolver, "known0.example") == LookupFailed("timeout")
    resolver.end()


def test_one_silent_domain_keeps_no_other_from_being_asked_anew(
    resolver: Resolver, nameserver: FaultyNameserver
) -> None:
    look_up(resolver, "known0.example")
    nameserver.serve(zone("new") + "; TIMEOUT silent.example\n; TIMEOUT _dmarc.silent.example\n")

    for name in ("silent.example", "_dmarc.silent.example"):
        assert look_up(resolver, name) == LookupFailed("timeout")

    assert look_up(resolver, "known0.example") == Answer((b"new",))


def test_an_answer_that_is_too_late_for_one_message_is_there_for_the_next(
    nameserver: FaultyNameserver,
) -> None:
    nameserver.fault = Fault.SLOW
    options = {"nameservers": [nameserver.address], "timeout": "2s", "min_ttl": "1m"}
    settings = DnsOptions.model_validate(options)
    resolver = Resolver(settings, nameservers_of(settings), print)
    first = resolver.for_message()
    assert first.look_up(NEW[0], TXT) == Answer((b"old",))
    assert isinstance(first.look_up(NEW[1], TXT), LookupFailed)  # no more time is left for it

    wait_until(lambda: resolver.fresh_until((NEW[1], TXT)), "the answer")
    second = resolver.for_message()
    assert second.look_up(NEW[2], TXT) == Answer((b"old",))
    assert second.look_up(NEW[1], TXT) == Answer((b"old",))
    resolver.end()


class SlowArchive:
    """Has nothing, and takes so long to say so that DNS has answered by then."""

    def __init__(self, nameserver: FaultyNameserver) -> None:
        self.nameserver = nameserver
        self.resolver: Resolver | None = None
        self.asked = 0
        """How many queries there had been by then."""

    def put(self, question: Question, wire: bytes) -> None:
        pass

    def get(self, question: Question) -> None:
        resolver = self.resolver
        wait_until(lambda: resolver and resolver.fresh_until(question), "the answer of DNS")
        self.asked = len(self.nameserver.questions)


def test_what_comes_while_the_archive_is_asked_is_not_asked_again(
    nameserver: FaultyNameserver,
) -> None:
    nameserver.fault = Fault.SLOW
    options = {"nameservers": [nameserver.address], "timeout": "2s", "min_ttl": "1m"}
    settings, archive = DnsOptions.model_validate(options), SlowArchive(nameserver)
    resolver = archive.resolver = Resolver(settings, nameservers_of(settings), print, archive)
    assert resolver.for_message().look_up(NEW[0], TXT)  # late, so the archive is asked from now on
    ahead = threading.Thread(target=resolver.prefetch, args=((NEW[1], TXT),))
    ahead.start()

    assert look_up(resolver, NEW[1]) == Answer((b"old",))
    ahead.join()
    assert len(nameserver.questions) == archive.asked > 0
    resolver.end()


def test_new_domains_seldom_wait_for_a_resolver_whose_uplink_is_down(
    resolver: Resolver, nameserver: FaultyNameserver
) -> None:
    nameserver.fault = Fault.UPLINK_DOWN

    found = sorted(waits(resolver, NEW))

    # Those that are under way when it begins, and then one at a time.
    assert found[len(found) // 2] < 0.25
    assert resolver.is_down


def test_the_first_answer_ends_the_outage_behind_a_resolver(
    resolver: Resolver, nameserver: FaultyNameserver
) -> None:
    nameserver.fault = Fault.UPLINK_DOWN
    waits(resolver, NEW[:IN_FLIGHT])
    assert resolver.is_down
    nameserver.fault = Fault.NONE

    wait_until(lambda: look_up(resolver, NEW[0]) == Answer((b"old",)), "a trial")

    assert not resolver.is_down


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        pytest.param("easy.cz", "easy.cz", id="itself"),
        pytest.param("_dmarc.easy.cz", "easy.cz", id="its-policy"),
        pytest.param("s1._domainkey.easy.co.uk", "easy.co.uk", id="its-keys"),
        pytest.param("a.b.c.d.easy.cz", "d.easy.cz", id="not-one-for-each-name-below"),
    ],
)
def test_whose_nameservers_are_at_fault(name: str, domain: str) -> None:
    assert domain_of(name) == domain


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000.0)


@pytest.fixture
def trouble(clock: Clock) -> Trouble:
    return Trouble(clock)


def test_two_late_domains_in_a_row_are_trouble_for_a_while(trouble: Trouble, clock: Clock) -> None:
    for name in ("a.example", "b.example"):
        assert not trouble.is_on
        trouble.record_late(name)
    assert trouble.is_on

    for _ in range(3):
        trouble.record_in_time()
    assert trouble.is_on
    clock.now += TROUBLED_SECONDS
    assert not trouble.is_on


def test_trouble_lasts_while_nothing_is_answered_in_time(trouble: Trouble, clock: Clock) -> None:
    for name in ("a.example", "b.example"):
        trouble.record_late(name)

    clock.now += 100 * TROUBLED_SECONDS
    assert trouble.is_on


def test_a_late_domain_between_others_that_are_in_time_is_none(trouble: Trouble) -> None:
    for number in range(10):
        trouble.record_late(f"{number}.example")
        trouble.record_in_time()

    assert not trouble.is_on


def test_one_late_domain_does_not_keep_trouble_up(trouble: Trouble, clock: Clock) -> None:
    for name in ("a.example", "b.example", "b.example"):
        trouble.record_late(name)
    for _ in range(3):
        trouble.record_in_time()

    for _ in range(10):
        clock.now += TROUBLED_SECONDS / 2
        trouble.record_late("b.example")
        trouble.record_in_time()

    assert not trouble.is_on
