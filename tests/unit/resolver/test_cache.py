"""The cache of answers: how long each is kept, and that it stays what it was."""

import time
import tracemalloc
from collections.abc import Iterator

import dns.rcode
import pytest

from alignd.config.nameservers import nameservers_of
from alignd.config.settings import DnsOptions
from alignd.mailauth.dns import Answer, LookupFailed, MailExchange, RecordType
from alignd.resolver.cache import CACHE_OCTETS, FAILURE_OCTETS, LARGE_OCTETS, AnswerCache
from alignd.resolver.resolver import MAX_NEGATIVE_TTL, Resolver
from alignd.resolver.wire import ReceivedAnswer
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.scripted_nameserver import Scripted, absent
from tests.support.clock import Clock

A, TXT = RecordType.A, RecordType.TXT


def resolver_of(nameserver: Nameserver, min_ttl: str = "0s") -> Resolver:
    options = {"nameservers": [nameserver.address], "timeout": "20s", "min_ttl": min_ttl}
    settings = DnsOptions.model_validate(options)
    return Resolver(settings, nameservers_of(settings), print)


def test_an_answer_is_kept_while_its_ttl_lasts(nameserver: Nameserver) -> None:
    nameserver.serve('kept.example. 300 TXT "kept"')
    resolver = resolver_of(nameserver)

    for _ in range(3):
        assert resolver.for_message().look_up("kept.example", TXT) == Answer((b"kept",))

    assert nameserver.questions == [("kept.example.", "TXT")]


def test_an_answer_with_ttl_0_is_not_kept(nameserver: Nameserver) -> None:
    nameserver.serve("a.example. 0 A 192.0.2.1")
    resolver = resolver_of(nameserver)

    for _ in range(3):
        assert resolver.for_message().look_up("a.example", A) == Answer(("192.0.2.1",))

    assert nameserver.questions == [("a.example.", "A")] * 3


@pytest.mark.parametrize(
    ("rcode", "expected"),
    [
        pytest.param(dns.rcode.NXDOMAIN, Answer((), exists=False), id="of-a-name"),
        pytest.param(dns.rcode.NOERROR, Answer(()), id="of-a-type"),
    ],
)
def test_an_absence_is_kept_and_stays_what_it_is(rcode: dns.rcode.Rcode, expected: Answer) -> None:
    with run_nameserver(Scripted(absent(rcode, 60))) as nameserver:
        resolver = resolver_of(nameserver)
        first = resolver.for_message().look_up("a.example", TXT)
    kept = resolver.for_message().look_up("a.example", TXT)

    assert (first, kept) == (expected, expected)


def test_a_dangling_cname_is_there_when_it_is_kept_too(nameserver: Nameserver) -> None:
    nameserver.serve("dangling.example. 300 CNAME nowhere.example.")
    resolver = resolver_of(nameserver)

    for _ in range(2):
        assert resolver.for_message().look_up("dangling.example", TXT) == Answer(())

    assert nameserver.questions == [("dangling.example.", "TXT")]


def seconds_kept(resolver: Resolver) -> Iterator[float]:
    """How long from now each answer in the cache is fresh."""
    for record_type in (A, TXT):
        if cached := resolver._cache.get(("a.example", record_type)):
            yield cached.expires - time.monotonic()


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [
        pytest.param(60, 60, id="a-short-ttl-holds"),
        pytest.param(604800, 3600, id="a-long-ttl-is-capped"),
    ],
)
def test_how_long_a_record_is_kept(nameserver: Nameserver, ttl: int, seconds: float) -> None:
    nameserver.serve(f'a.example. {ttl} TXT "a"')
    resolver = resolver_of(nameserver)

    resolver.for_message().look_up("a.example", TXT)

    (left,) = seconds_kept(resolver)
    assert seconds - 30 < left <= seconds


def test_a_very_short_ttl_is_stretched(nameserver: Nameserver) -> None:
    nameserver.serve('a.example. 0 TXT "a"')
    resolver = resolver_of(nameserver, min_ttl="1h")

    for _ in range(3):
        resolver.for_message().look_up("a.example", TXT)

    assert nameserver.questions == [("a.example.", "TXT")]


DAY = 86_400.0


@pytest.mark.parametrize("step", [pytest.param(-DAY, id="back"), pytest.param(DAY, id="ahead")])
def test_a_wall_clock_that_is_set_changes_nothing(
    nameserver: Nameserver, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    nameserver.serve('a.example. 300 TXT "old"')
    clock, date = Clock(1_000.0), Clock(20_000 * DAY)
    monkeypatch.setattr(time, "time", date)
    options = {"nameservers": [nameserver.address], "timeout": "20s"}
    settings = DnsOptions.model_validate(options)
    resolver = Resolver(settings, nameservers_of(settings), print, clock=clock)
    answers = [resolver.for_message().look_up("a.example", TXT)]
    nameserver.serve('a.example. 300 TXT "new"')

    date.now += step
    for seconds in (200, 101):
        clock.now += seconds
        answers.append(resolver.for_message().look_up("a.example", TXT))

    assert answers == [Answer((b"old",)), Answer((b"old",)), Answer((b"new",))]


def test_a_chain_is_kept_as_long_as_its_shortest_part(nameserver: Nameserver) -> None:
    nameserver.serve('a.example. 60 CNAME b.example.\nb.example. 300 TXT "b"')
    resolver = resolver_of(nameserver)

    resolver.for_message().look_up("a.example", TXT)

    (left,) = seconds_kept(resolver)
    assert 30 < left <= 60


@pytest.mark.parametrize("rcode", [dns.rcode.NXDOMAIN, dns.rcode.NOERROR], ids=str)
@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [
        pytest.param(60, 60, id="a-short-ttl-holds"),
        pytest.param(86400, MAX_NEGATIVE_TTL, id="a-long-ttl-is-capped"),
    ],
)
def test_how_long_an_absence_is_kept(rcode: dns.rcode.Rcode, ttl: int, seconds: float) -> None:
    with run_nameserver(Scripted(absent(rcode, ttl))) as nameserver:
        resolver = resolver_of(nameserver)
        resolver.for_message().look_up("a.example", TXT)

    (left,) = seconds_kept(resolver)
    assert seconds - 30 < left <= seconds


def hostile_answer(kind: str, number: int) -> Answer:
    """What an owner may publish who means to fill memory, anew for each question."""
    match kind:
        case "large":
            return Answer((b"v=spf1 %d" % number + b"a" * 60_000,))
        case "tiny records":
            return Answer(tuple(b"%d %d" % (number, each) for each in range(60)))
        case _:
            hosts = (f"{number}.{each}.{'m' * 60}.example" for each in range(20))
            return Answer(tuple(MailExchange(10, host) for host in hosts))


@pytest.mark.parametrize(
    ("kinds", "bound"),
    [
        pytest.param(["large"], LARGE_OCTETS, id="large-ones-have-a-small-share"),
        pytest.param(["tiny records"], CACHE_OCTETS, id="many-records"),
        pytest.param(["hosts", "large"], CACHE_OCTETS + LARGE_OCTETS, id="both-kinds"),
    ],
)
def test_answers_take_no_more_memory_than_their_bound(kinds: list[str], bound: int) -> None:
    cache = AnswerCache(5, 3600, MAX_NEGATIVE_TTL)
    tracemalloc.start()
    for number in range(10_000):
        answer = hostile_answer(kinds[number % len(kinds)], number)
        question = (f"{number}.hostile.example", TXT)
        cache.put(question, ReceivedAnswer(answer, 3600.0))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert bound / 2 < held < bound


def test_failures_take_no_more_memory_than_their_bound() -> None:
    cache = AnswerCache(60, 3600, MAX_NEGATIVE_TTL)
    tracemalloc.start()
    for number in range(10_000):
        question = (f"{number}.{'.'.join(['x' * 60] * 3)}.example", TXT)
        cache.put_failure(question, LookupFailed(f"refused {number}"))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert FAILURE_OCTETS / 2 < held < FAILURE_OCTETS


def test_a_large_answer_is_kept_as_an_ordinary_one_is() -> None:
    cache = AnswerCache(5, 3600, MAX_NEGATIVE_TTL)
    question = ("large.example", TXT)

    for answer in (Answer((b"small",)), Answer((b"x" * 60_000,)), Answer((b"again",))):
        cache.put(question, ReceivedAnswer(answer, 3600.0))
        kept = cache.get(question)
        assert kept is not None
        assert kept.answer == answer


def test_a_name_that_dns_cannot_carry_is_not_kept(nameserver: Nameserver) -> None:
    resolver = resolver_of(nameserver)
    name = "x" * 100_000 + ".example"

    assert resolver.for_message().look_up(name, TXT) == Answer((), exists=False)
    assert resolver._cache.get((name, TXT)) is None
