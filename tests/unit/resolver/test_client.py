"""One question to nameservers: how each is asked, how often, and what is remembered of it."""

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from ctypes.util import find_library

import dns.flags
import dns.rcode
import pytest
from dns.message import Message, make_query
from dns.rdatatype import RdataType

from alignd.config.option_types import Nameserver as Address
from alignd.mailauth.dns import LookupFailed
from alignd.resolver.client import ask, spare_sockets_for
from alignd.resolver.conversation import NotAsked, Outcome, Silence
from alignd.resolver.nameserver_states import Condition, NameserverStates, Protocol
from alignd.resolver.wire import to_name
from tests.lab import odd_answers as odd
from tests.lab.nameserver import run_nameserver
from tests.lab.odd_answers import Asked, Oddity, OddNameserver
from tests.lab.readiness import wait_until
from tests.support.syscallfilter import deny_family

NAME = to_name("a.example")
ZONE = 'a.example. TXT "v=spf1 -all"\n'
SECONDS = 20.0  # which nothing takes that is answered
NO_SCOPE = Address("fe80::53")  # connect(2) says EINVAL
FORMERR = dns.rcode.FORMERR


def served(
    stack: ExitStack, oddity: Oddity | None = None, *, udp: bool = True, tcp: bool = True
) -> OddNameserver:
    """An odd nameserver that runs until *stack* ends."""
    nameserver = OddNameserver()
    stack.enter_context(run_nameserver(nameserver, udp=udp, tcp=tcp))
    nameserver.serve(ZONE)
    nameserver.oddity = oddity or Asked.send
    return nameserver


def address_of(nameserver: OddNameserver) -> Address:
    return Address("127.0.0.1", nameserver.port)


def ask_them(
    states: NameserverStates, *nameservers: OddNameserver | Address, seconds: float = SECONDS
) -> Message | Outcome:
    addresses = tuple(
        each if isinstance(each, Address) else address_of(each) for each in nameservers
    )
    return ask(NAME, RdataType.TXT, addresses, seconds, states=states)


def dead() -> Address:
    """Where no process listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        return Address("127.0.0.1", udp.getsockname()[1])


PLAIN, TCP = Protocol.PLAIN, Protocol.TCP


@pytest.mark.parametrize(
    ("oddity", "udp", "learned", "queries"),
    [
        pytest.param(odd.refuses_edns(FORMERR), True, PLAIN, 2, id="formerr"),
        pytest.param(odd.refuses_edns_with_a_header, True, PLAIN, 2, id="a-header-alone"),
        pytest.param(odd.refuses_edns_and_echoes_it, True, PLAIN, 2, id="edns-is-echoed"),
        pytest.param(odd.refuses_edns_twice, True, PLAIN, 2, id="a-refusal-that-comes-twice"),
        pytest.param(odd.refuses_edns(dns.rcode.NOTIMP), True, PLAIN, 2, id="notimp"),
        pytest.param(odd.refuses_its_version, True, PLAIN, 2, id="badvers"),
        pytest.param(odd.drops_edns, True, PLAIN, 2, id="edns-is-dropped"),
        pytest.param(odd.silent_over_udp, True, TCP, 3, id="silent-over-udp"),
        pytest.param(Asked.send, False, TCP, 1, id="nothing-listens-over-udp"),
        pytest.param(odd.ignores_edns, True, Protocol.EDNS, 1, id="edns-is-ignored"),
        pytest.param(Asked.send, True, Protocol.EDNS, 1, id="edns"),
    ],
)
def test_what_a_nameserver_understands_is_found_out_once(
    oddity: Oddity, *, udp: bool, learned: Protocol, queries: int
) -> None:
    states = NameserverStates()
    with ExitStack() as stack:
        nameserver = served(stack, oddity, udp=udp)

        assert isinstance(ask_them(states, nameserver), Message)
        assert len(nameserver.asked) == queries
        assert states.protocol(address_of(nameserver)) is learned

        assert isinstance(ask_them(states, nameserver), Message)
        assert len(nameserver.asked) == queries + 1


def test_all_ways_fit_in_any_time_there_is() -> None:
    with ExitStack() as stack:
        nameserver = served(stack, odd.silent_over_udp)

        assert isinstance(ask_them(NameserverStates(), nameserver, seconds=2), Message)


def test_one_that_changes_is_found_out_again() -> None:
    states = NameserverStates()
    with ExitStack() as stack:
        nameserver = served(stack, odd.silent_over_udp)
        for oddity in (odd.drops_edns, Asked.send, odd.silent_over_udp):
            nameserver.oddity = oddity

            assert isinstance(ask_them(states, nameserver), Message)


def test_nothing_is_asked_over_udp_when_tcp_is_wanted() -> None:
    with ExitStack() as stack:
        nameserver = served(stack)

        assert isinstance(ask_them(NameserverStates(over_tcp=True), nameserver), Message)
        assert [each.over_udp for each in nameserver.asked] == [False]


def test_no_edns_is_offered_over_tcp() -> None:
    with ExitStack() as stack:
        nameserver = served(stack, odd.truncated)

        ask_them(NameserverStates(), nameserver)

        assert [(each.over_udp, each.has_edns) for each in nameserver.asked] == [
            (True, True),
            (False, False),
        ]


@pytest.mark.parametrize(
    "refusal", [odd.refuses_edns(FORMERR), Asked.send], ids=["without-edns", "with-edns"]
)
def test_an_answer_that_is_too_large_for_udp_changes_nothing_of_what_is_known(
    refusal: Oddity,
) -> None:
    states = NameserverStates()
    with ExitStack() as stack:
        nameserver = served(stack, refusal)
        ask_them(states, nameserver)
        known = states.protocol(address_of(nameserver))
        nameserver.oddity = odd.truncated

        assert isinstance(ask_them(states, nameserver), Message)
        assert states.protocol(address_of(nameserver)) is known


@pytest.mark.parametrize(
    ("oddity", "reason"),
    [
        pytest.param(odd.fails_with(FORMERR), "FORMERR", id="formerr-without-edns-too"),
        pytest.param(odd.fails_with(dns.rcode.SERVFAIL), "SERVFAIL", id="servfail"),
        pytest.param(
            odd.with_malformed_authority, "malformed, and over TCP: FormError", id="malformed"
        ),
        pytest.param(
            odd.truncated_and_then(odd.garbage), "truncated, and over TCP: EOFError", id="garbage"
        ),
    ],
)
def test_an_error_is_known_at_once(oddity: Oddity, reason: str) -> None:
    with ExitStack() as stack:
        outcome = ask_them(NameserverStates(), served(stack, oddity))

    assert outcome == LookupFailed(reason)


@pytest.mark.parametrize(
    ("delay", "most"),
    [
        pytest.param(0.02, 11, id="20-milliseconds"),
        pytest.param(0.4, 13, id="400-milliseconds"),
        pytest.param(0.8, 14, id="800-milliseconds"),
    ],
)
def test_a_slow_nameserver_is_asked_again_until_it_is_known_to_be_slow(
    delay: float, most: int
) -> None:
    states = NameserverStates()
    with ExitStack() as stack:
        nameserver = served(stack, odd.after(delay))
        assert isinstance(ask_them(states, nameserver), Message)
        with ThreadPoolExecutor(10) as pool:
            for each in [pool.submit(ask_them, states, nameserver) for _ in range(10)]:
                assert isinstance(each.result(), Message)

        # With fixed waits, 400 ms would take 3 queries each, and 800 ms 4.
        assert len(nameserver.asked) <= most


def loses(number: int) -> Oddity:
    """Lose that many queries before one is answered."""
    left = [number]

    def answer(asked: Asked) -> None:
        left[0] -= 1
        if left[0] < 0:
            asked.send()

    return answer


def test_one_that_is_quick_and_loses_packets_is_asked_four_times_in_a_message() -> None:
    states = NameserverStates()
    with ExitStack() as stack:
        nameserver = served(stack)
        for _ in range(5):
            ask_them(states, nameserver)
        nameserver.asked.clear()
        nameserver.oddity = loses(3)

        assert isinstance(ask_them(states, nameserver, seconds=1.8), Message)
        assert len(nameserver.asked) == 4


def test_a_late_answer_to_an_earlier_query_counts() -> None:
    asked_twice = threading.Event()

    def late(asked: Asked) -> None:
        """Answer the first query alone, and only once there is a second."""
        if len(nameserver.asked) > 1:
            asked_twice.set()
        elif asked_twice.wait(SECONDS):
            asked.send()

    with ExitStack() as stack:
        nameserver = served(stack, late)

        assert isinstance(ask_them(NameserverStates(), nameserver), Message)
        assert len(nameserver.asked) == 2


@pytest.mark.parametrize(
    "unreachable",
    [
        pytest.param(lambda: NO_SCOPE, id="no-route"),
        pytest.param(dead, id="nothing-listens"),
    ],
)
def test_one_that_cannot_be_reached_is_skipped_and_then_not_tried_first(
    unreachable: Callable[[], Address],
) -> None:
    states, first = NameserverStates(), unreachable()
    with ExitStack() as stack:
        nameserver = served(stack)

        assert isinstance(ask_them(states, first, nameserver), Message)

        assert states.in_order([first, address_of(nameserver)])[-1] == first
        assert states.failing([first, address_of(nameserver)]) == 1
        assert [each.condition for each in states.snapshot()] == [
            Condition.UNREACHABLE,
            Condition.ANSWERS,
        ]


@pytest.mark.skipif(not find_library("seccomp"), reason="libseccomp is not installed")
def test_a_machine_without_ipv6_asks_over_ipv4() -> None:
    states = NameserverStates()
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        nameserver = served(stack, odd.after(0.2))
        pool.submit(deny_family, socket.AF_INET6).result()
        for addresses in ((Address("::1"), nameserver), (nameserver, Address("::1"))):
            assert isinstance(pool.submit(ask_them, states, *addresses).result(), Message)

        alone = pool.submit(ask_them, states, Address("::1")).result()

    assert alone == NotAsked("Address family not supported by protocol")


def test_silence_counts_more_than_what_could_not_be_asked() -> None:
    with ExitStack() as stack:
        silent = served(stack, odd.silent)

        outcome = ask_them(NameserverStates(), NO_SCOPE, silent, seconds=0.2)

    assert outcome == Silence()


def test_one_that_restarts_is_waited_for() -> None:
    states, nameserver = NameserverStates(), OddNameserver()
    with run_nameserver(nameserver):
        port = nameserver.port
        nameserver.serve(ZONE)
        ask_them(states, nameserver)
    with ThreadPoolExecutor(1) as pool, ExitStack() as stack:
        answer = pool.submit(ask_them, states, nameserver)
        wait_until(lambda: states.failing([address_of(nameserver)]), "that it is away")
        stack.enter_context(run_nameserver(nameserver, port=port))

        assert isinstance(answer.result(), Message)


def test_one_that_is_gone_for_long_is_known_in_milliseconds() -> None:
    now = [0.0]
    states, gone = NameserverStates(clock=lambda: now[0]), dead()
    began = time.monotonic()
    assert ask_them(states, gone, seconds=0.5) == Silence()
    assert time.monotonic() - began >= 0.5

    now[0] = 3.0
    began = time.monotonic()

    assert ask_them(states, gone) == Silence()
    assert time.monotonic() - began < SECONDS / 2


@pytest.mark.parametrize(
    ("oddity", "condition"),
    [
        pytest.param(odd.silent, Condition.SILENT, id="silent"),
        pytest.param(odd.fails_with(dns.rcode.REFUSED), Condition.REFUSES, id="refuses"),
    ],
)
def test_one_that_fails_three_times_in_a_row_is_asked_after_the_others(
    oddity: Oddity, condition: Condition
) -> None:
    states = NameserverStates()
    with ExitStack() as stack:
        first, second = served(stack, oddity), served(stack)
        both = [address_of(first), address_of(second)]
        for _ in range(3):
            assert states.in_order(both) == both
            assert isinstance(ask_them(states, *both), Message)

        assert states.in_order(both) == both[::-1]
        assert states.snapshot()[0].condition is condition
        first.oddity = second.oddity = None
        assert isinstance(ask_them(states, both[0]), Message)
        assert states.in_order(both) == both
        assert states.failing(both) == 0


def test_one_that_hangs_over_tcp_does_not_delay_the_next() -> None:
    with ExitStack() as stack:
        first = served(stack, odd.truncated_and_then(odd.silent))

        began = time.monotonic()
        answer = ask_them(NameserverStates(), first, served(stack))

    assert isinstance(answer, Message)
    assert time.monotonic() - began < SECONDS / 2


def test_the_kernel_drops_what_others_send() -> None:
    """On the same id, and before the answer."""

    def forged(asked: Asked) -> None:
        asked.response.flags |= dns.flags.AA
        odd.from_elsewhere(asked)
        asked.response.flags &= ~dns.flags.AA
        asked.send()

    with ExitStack() as stack:
        answer = ask_them(NameserverStates(), served(stack, forged))

    assert isinstance(answer, Message)
    assert not answer.flags & dns.flags.AA


def test_what_came_for_one_question_is_not_heard_by_the_next() -> None:
    """With sockets that are used again, as when no descriptor is left."""
    with ExitStack() as stack:
        nameserver = served(stack, odd.fifty_times)
        spare = spare_sockets_for((address_of(nameserver),))
        stack.callback(spare.close)
        with spare.borrow(socket.AF_INET, socket.SOCK_DGRAM, 0) as first:
            first.connect(("127.0.0.1", nameserver.port))
            first.send(make_query(NAME, RdataType.TXT).to_wire())
            first.recv(1, socket.MSG_PEEK)  # one of the fifty has come
        for _ in range(20):
            with spare.borrow(socket.AF_INET, socket.SOCK_DGRAM, 0) as next_one:
                next_one.setblocking(False)
                with pytest.raises(BlockingIOError):
                    next_one.recv(1)
                if next_one is first:
                    return
    pytest.fail("the first was not lent again")
