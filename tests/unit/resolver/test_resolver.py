"""DNS over the network: its answers and failures, and one time budget for each message."""

import os
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from dns.message import Message
from dns.rdatatype import RdataType

from alignd.config import option_types
from alignd.config.nameservers import nameservers_of
from alignd.config.settings import DnsOptions
from alignd.mailauth.dns import Answer, LookupFailed, MailExchange, RecordType
from alignd.resolver.archive.client import ArchiveClient
from alignd.resolver.client import ask
from alignd.resolver.resolver import MESSAGE_OCTETS, MessageLookup, Resolver
from alignd.resolver.wire import ReceivedAnswer, read_response, to_name
from alignd.resolver.zone import Zone
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.readiness import wait_until
from tests.lab.scripted_nameserver import Script, Scripted, absent, refused, truncated
from tests.support.archive import run_archive

LONG_TEXT = " ".join(f'"{letter * 250}"' for letter in "abcdefgh")
ZONE = f"""\
a.example.              TXT "v=spf1 " "-all"
a.example.              A 192.0.2.1
a.example.              AAAA 2001:db8::1
a.example.              MX 10 mail.a.example.
two.example.            A 192.0.2.1
two.example.            A 192.0.2.2
null.example.           MX 0 .
1.2.0.192.in-addr.arpa. PTR a.example.
deep.empty.example.     TXT "deep"
alias.example.          CNAME a.example.
dangling.example.       CNAME nowhere.example.
loop.example.           CNAME loop.example.
long.example.           TXT {LONG_TEXT}
kept.example.       300 TXT "kept"
; SERVFAIL broken.example.
; TIMEOUT silent.example.
"""
LARGEST = 65_535  # octets of a response
A, AAAA, MX = RecordType.A, RecordType.AAAA, RecordType.MX
PTR, TXT = RecordType.PTR, RecordType.TXT


def resolver_of(
    *nameservers: Nameserver, timeout: str = "20s", archive: ArchiveClient | None = None
) -> Resolver:
    addresses = [nameserver.address for nameserver in nameservers]
    options = {"nameservers": addresses, "timeout": timeout, "min_ttl": "0s"}
    settings = DnsOptions.model_validate(options)
    return Resolver(settings, nameservers_of(settings), print, archive)


@pytest.fixture
def served(nameserver: Nameserver) -> Nameserver:
    nameserver.serve(ZONE)
    return nameserver


@pytest.mark.parametrize(
    ("name", "record_type", "expected"),
    [
        pytest.param("a.example", TXT, Answer((b"v=spf1 -all",)), id="txt-strings-are-joined"),
        pytest.param("a.example", A, Answer(("192.0.2.1",)), id="ipv4-address"),
        pytest.param("a.example", AAAA, Answer(("2001:db8::1",)), id="ipv6-address"),
        pytest.param("a.example", MX, Answer((MailExchange(10, "mail.a.example"),)), id="mx"),
        pytest.param("null.example", MX, Answer((MailExchange(0, ""),)), id="null-mx"),
        pytest.param("1.2.0.192.in-addr.arpa", PTR, Answer(("a.example",)), id="reverse-name"),
        pytest.param("A.Example", A, Answer(("192.0.2.1",)), id="case-does-not-matter"),
        pytest.param("alias.example", A, Answer(("192.0.2.1",)), id="a-cname-is-followed"),
        pytest.param("nowhere.example", TXT, Answer((), exists=False), id="no-such-name"),
        pytest.param("null.example", TXT, Answer(()), id="no-such-type-at-the-name"),
        pytest.param("empty.example", TXT, Answer(()), id="an-empty-non-terminal-is-there"),
        pytest.param("alias.example", PTR, Answer(()), id="no-such-type-behind-the-cname"),
        pytest.param("dangling.example", TXT, Answer(()), id="a-dangling-cname-is-there"),
        pytest.param("broken.example", TXT, LookupFailed("SERVFAIL"), id="servfail-is-unknown"),
        pytest.param("loop.example", TXT, LookupFailed("SERVFAIL"), id="so-is-a-cname-loop"),
    ],
)
def test_answers(
    served: Nameserver, name: str, record_type: RecordType, expected: Answer | LookupFailed
) -> None:
    assert resolver_of(served).for_message().look_up(name, record_type) == expected


@pytest.mark.parametrize(
    ("name", "target"),
    [
        pytest.param("alias.example", "a.example", id="an-alias"),
        pytest.param("dangling.example", "nowhere.example", id="of-nothing"),
        pytest.param("a.example", "", id="no-alias"),
    ],
)
def test_an_answer_says_of_what_its_name_is_an_alias(
    served: Nameserver, name: str, target: str
) -> None:
    over_the_network = resolver_of(served).for_message().look_up(name, TXT)
    from_a_file = Zone.parse(ZONE).look_up(name, TXT)

    assert isinstance(over_the_network, Answer)
    assert isinstance(from_a_file, Answer)
    assert (over_the_network.alias_of, from_a_file.alias_of) == (target, target)


def test_records_of_one_type_stay_apart(served: Nameserver) -> None:
    answer = resolver_of(served).for_message().look_up("two.example", A)

    assert isinstance(answer, Answer)
    assert sorted(map(str, answer.records)) == ["192.0.2.1", "192.0.2.2"]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="nothing"),
        pytest.param("a..example", id="an-empty-label"),
        pytest.param("a.example.", id="a-final-dot"),
        pytest.param("x" * 64 + ".example", id="a-label-too-long"),
        pytest.param(".".join(["x" * 60] * 5), id="a-name-too-long"),
        pytest.param("příklad.example", id="not-ascii"),
    ],
)
def test_a_name_that_dns_cannot_carry_is_not_there(served: Nameserver, name: str) -> None:
    answer = resolver_of(served).for_message().look_up(name, TXT)

    assert answer == Zone.parse(ZONE).look_up(name, TXT) == Answer((), exists=False)
    assert served.questions == []


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        pytest.param("%{i}.example", "%{i}.example.", id="a-macro"),
        pytest.param("a b.example", r"a\032b.example.", id="a-blank"),
        pytest.param('a"b.example', r"a\"b.example.", id="a-quote"),
        pytest.param(r"a\.b.example", r"a\\.b.example.", id="a-backslash"),
    ],
)
def test_an_odd_name_is_asked_as_it_stands(nameserver: Nameserver, name: str, owner: str) -> None:
    nameserver.serve(f'{owner} TXT "odd"\n')

    assert resolver_of(nameserver).for_message().look_up(name, TXT) == Answer((b"odd",))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param(refused, "REFUSED", id="a-refusal"),
        pytest.param(absent(dns.rcode.FORMERR, 0), "FORMERR", id="a-complaint"),
        pytest.param(lambda _: b"garbage", "timeout", id="garbage"),
        pytest.param(
            truncated,
            "truncated, and over TCP: EOFError",
            id="half-an-answer-and-nothing-over-tcp",
        ),
    ],
)
def test_what_is_no_answer_is_unknown(script: Script, reason: str) -> None:
    with run_nameserver(Scripted(script)) as nameserver:
        lookup = resolver_of(nameserver, timeout="500ms").for_message()

        assert lookup.look_up("a.example", TXT) == LookupFailed(reason)


def test_the_next_nameserver_is_asked_when_one_refuses(served: Nameserver) -> None:
    with run_nameserver(Scripted(refused)) as refusing:
        answer = resolver_of(refusing, served).for_message().look_up("a.example", A)

    assert answer == Answer(("192.0.2.1",))


def test_the_next_nameserver_is_asked_when_one_is_silent(served: Nameserver) -> None:
    with run_nameserver() as silent:
        silent.serve("; TIMEOUT a.example.")
        resolver = resolver_of(silent, served, timeout="4s")

        assert resolver.for_message().look_up("a.example", A) == Answer(("192.0.2.1",))


def test_the_next_nameserver_is_asked_at_once_when_one_cannot_be_reached(
    served: Nameserver,
) -> None:
    unreachable = [option_types.Nameserver(f"127.0.0.{n}", port=0) for n in range(1, 21)]
    served_one = option_types.Nameserver("127.0.0.1", served.port)

    # If each of the twenty were waited for, the deadline would come before the last.
    response = ask(to_name("a.example"), RdataType.A, (*unreachable, served_one), seconds=10)

    assert isinstance(response, Message)
    assert read_response(response) == ReceivedAnswer(Answer(("192.0.2.1",)), ttl=0)


@pytest.fixture
def a_thousand_files() -> Iterator[None]:
    """Files that this process has open, as a worker has its connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as files:
        for _ in range(1100):
            files.enter_context(Path(os.devnull).open("rb"))
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("a_thousand_files")
def test_a_process_with_a_thousand_connections_is_answered(served: Nameserver) -> None:
    answer = resolver_of(served).for_message().look_up("a.example", A)

    assert answer == Answer(("192.0.2.1",))


def test_a_long_answer_comes_over_tcp(served: Nameserver) -> None:
    answer = resolver_of(served).for_message().look_up("long.example", TXT)

    assert answer == Answer((b"".join(bytes([letter]) * 250 for letter in b"abcdefgh"),))
    assert served.questions == [("long.example.", "TXT")] * 2  # over UDP, then over TCP


RECORDS = {
    "alias.example.": ("CNAME", "target.example."),
    "target.example.": ("TXT", '"target"'),
    "chain.example.": ("CNAME", "alias.example."),
    "dangling.example.": ("CNAME", "nowhere.example."),
    "to-empty.example.": ("CNAME", "empty.example."),
    "empty.example.": ("A", "192.0.2.1"),
    "to-broken.example.": ("CNAME", "broken.example."),
    "loop.example.": ("CNAME", "pool.example."),
    "pool.example.": ("CNAME", "loop.example."),
    **{f"{n}.long.example.": ("CNAME", f"{n + 1}.long.example.") for n in range(20)},
    "moved.example.": ("DNAME", "example."),
}


def follows_nothing(query: Message) -> bytes:
    """Answer with what stands at the name that was asked for and no more, nor that it is all."""
    response = dns.message.make_response(query)
    (question,) = query.question
    name, moved = question.name, dns.name.from_text("moved.example.")
    owner = moved if name.is_subdomain(moved) else name
    kind, data = RECORDS.get(owner.to_text(), ("", ""))
    if kind in {"CNAME", "DNAME", dns.rdatatype.to_text(question.rdtype)}:
        response.answer.append(dns.rrset.from_text(owner, 300, "IN", kind, data))
    elif not kind:
        is_broken = owner.to_text() == "broken.example."
        response.set_rcode(dns.rcode.SERVFAIL if is_broken else dns.rcode.NXDOMAIN)
    return response.to_wire()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("alias.example", Answer((b"target",)), id="what-it-names-is-asked-for"),
        pytest.param("chain.example", Answer((b"target",)), id="one-after-the-other"),
        pytest.param("alias.moved.example", Answer((b"target",)), id="a-dname-as-well"),
        pytest.param("dangling.example", Answer(()), id="which-may-not-be-there"),
        pytest.param("to-empty.example", Answer(()), id="or-have-no-such-record"),
        pytest.param("to-broken.example", LookupFailed("SERVFAIL"), id="or-be-unknown"),
        pytest.param("loop.example", LookupFailed("not an answer: ChainTooLong"), id="a-loop"),
        pytest.param("0.long.example", LookupFailed("too many aliases"), id="a-very-long-chain"),
    ],
)
def test_an_alias_that_the_nameserver_does_not_follow_is_followed(
    name: str, expected: Answer | LookupFailed, tmp_path: Path
) -> None:
    with (
        run_nameserver(Scripted(follows_nothing)) as nameserver,
        run_archive(tmp_path / "dns.sqlite") as archive,
    ):
        resolver = resolver_of(nameserver, archive=archive.client)
        answer = resolver.for_message().look_up(name, TXT)
        resolver.end()

        assert answer == expected
        if isinstance(answer, Answer):
            assert answer.alias_of
            wait_until(lambda: archive.client.get((name, TXT)) == expected, "what is archived")


def test_a_message_asks_each_question_once(served: Nameserver) -> None:
    message = resolver_of(served).for_message()

    for _ in range(3):
        assert message.look_up("a.example", A) == Answer(("192.0.2.1",))
        assert message.look_up("a.example", PTR) == Answer(())
        assert message.look_up("nowhere.example", A) == Answer((), exists=False)

    assert served.questions == [
        ("a.example.", "A"),
        ("a.example.", "PTR"),
        ("nowhere.example.", "A"),
    ]


def test_a_failure_holds_for_its_message_only(served: Nameserver) -> None:
    resolver = resolver_of(served)
    message = resolver.for_message()
    assert message.look_up("broken.example", TXT) == LookupFailed("SERVFAIL")

    served.serve('broken.example. TXT "fixed"')

    assert message.look_up("broken.example", TXT) == LookupFailed("SERVFAIL")
    assert served.questions == []
    assert resolver.for_message().look_up("broken.example", TXT) == Answer((b"fixed",))


def test_all_questions_share_one_budget(served: Nameserver) -> None:
    names = [f"{number}.silent.example" for number in range(60)]
    served.serve("".join(f"; TIMEOUT {name}\n" for name in names))
    message = resolver_of(served, timeout="250ms").for_message()
    started = time.monotonic()

    answers = [message.look_up(name, TXT) for name in names]

    assert all(isinstance(answer, LookupFailed) for answer in answers)
    assert answers[0] == LookupFailed("timeout")
    # Fifteen seconds if each question had a budget of its own.
    assert time.monotonic() - started < 5
    assert len({name for name, _ in served.questions}) <= 2


def message_with(resolver: Resolver, seconds: float) -> MessageLookup:
    """The lookup of a message that has *seconds* left."""
    return MessageLookup(resolver, seconds, seconds)


def test_the_last_question_gets_what_is_left_of_the_budget(served: Nameserver) -> None:
    started = time.monotonic()

    message_with(resolver_of(served, timeout="20s"), 0.25).look_up("silent.example", TXT)

    assert 0.25 <= time.monotonic() - started < 10


def test_no_question_is_asked_when_the_budget_is_spent(served: Nameserver) -> None:
    resolver = resolver_of(served)

    answer = message_with(resolver, 0).look_up("a.example", A)

    assert answer == LookupFailed("no time is left for this message")
    # Of another test, a question may still be under way.
    assert ("a.example.", "A") not in served.questions
    assert resolver.for_message().look_up("a.example", A) == Answer(("192.0.2.1",))


def test_a_question_with_little_time_does_not_fail_one_with_more(nameserver: Nameserver) -> None:
    resolver = resolver_of(nameserver)
    nameserver.serve("; TIMEOUT slow.example\n")
    with ThreadPoolExecutor() as pool:
        hasty = pool.submit(message_with(resolver, 0.5).look_up, "slow.example", TXT)
        wait_until(lambda: nameserver.questions, "the first question")
        patient = pool.submit(resolver.for_message().look_up, "slow.example", TXT)

        assert hasty.result() == LookupFailed("timeout")
        nameserver.serve('slow.example. TXT "late"')

        assert patient.result() == Answer((b"late",))


def test_memory_answers_when_the_budget_is_spent(served: Nameserver) -> None:
    resolver = resolver_of(served)
    resolver.for_message().look_up("kept.example", TXT)

    assert message_with(resolver, 0).look_up("kept.example", TXT) == Answer((b"kept",))


def test_reading_the_message_takes_nothing_of_the_budget(served: Nameserver) -> None:
    message = message_with(resolver_of(served), 0.2)
    time.sleep(0.3)  # as a large header may take

    assert message.look_up("a.example", A) == Answer(("192.0.2.1",))


def test_a_message_learns_a_bounded_number_of_octets(nameserver: Nameserver) -> None:
    long = " ".join(['"' + "x" * 250 + '"'] * 60)
    nameserver.serve("".join(f"{number}.example. TXT {long}\n" for number in range(20)))
    message = resolver_of(nameserver).for_message()

    answers = [message.look_up(f"{number}.example", TXT) for number in range(20)]

    too_much = LookupFailed("the answers for this message are too large")
    known = [each for each in answers if isinstance(each, Answer)]
    assert len(known) == 9
    assert answers[9:] == [too_much] * 11
    assert sum(len(each.texts[0]) for each in known) < MESSAGE_OCTETS + LARGEST
    assert message.good_until == 0.0


def test_an_answer_of_60_kilobytes_is_taken_and_leaves_room_for_others(
    nameserver: Nameserver,
) -> None:
    texts = [f"verification={number:03}-{'x' * 220}" for number in range(245)]
    records = "".join(f'large.example. 300 TXT "{text}"\n' for text in texts)
    nameserver.serve(records + f'large.example. 300 TXT "v=spf1 -all"\n{ZONE}')
    resolver = resolver_of(nameserver)

    for _ in range(2):
        message = resolver.for_message()
        answer = message.look_up("large.example", TXT)
        assert isinstance(answer, Answer)
        assert set(answer.records) == {b"v=spf1 -all", *(text.encode() for text in texts)}
        for name in ("a.example", "kept.example", "long.example"):
            assert isinstance(message.look_up(name, TXT), Answer)

    # It is kept, so that not each message asks for it, over UDP and over TCP.
    assert nameserver.questions.count(("large.example.", "TXT")) == 2
