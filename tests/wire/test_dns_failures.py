"""Every way in which DNS was made to fail, and what came of it, as docs/dns-failures.md has it.

Each nameserver is a real one on loopback, as odd as its row says, and each message is judged as a
worker judges it.
"""

import ctypes.util
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from functools import partial
from ipaddress import ip_address
from itertools import pairwise

import dns.rcode
import pytest

from alignd.config.domain_lists import SuffixList
from alignd.config.file import parse_configuration
from alignd.config.nameservers import Nameservers
from alignd.config.option_types import Nameserver as Address
from alignd.config.settings import DnsOptions
from alignd.config.signer import load_signer
from alignd.judgement.reasons import Action
from alignd.judgement.review import Reviewer, make_reviewer
from alignd.mail.message import HeaderField, Message
from alignd.resolver.resolver import Resolver
from tests.lab import cast
from tests.lab import odd_answers as odd
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.odd_answers import Oddity, OddNameserver
from tests.lab.places import ROOT
from tests.lab.readiness import wait_until
from tests.lab.settings import configuration, world
from tests.support.syscallfilter import deny_family

pytestmark = pytest.mark.wire

DOCUMENT = ROOT / "docs/dns-failures.md"
HEAD = "| DNS | a known domain | a new domain | which waits |"
THREADS = 5
"""Rows that are played at the same time: most of the time they wait."""
PATIENCE = 10.0  # seconds, within which a busy machine does what takes milliseconds


class Verdict(Enum):
    """What becomes of mail: of an author whose domain authorises the relay, and of one not."""

    RIGHT = "right"
    """The first is left alone, the second rewritten."""
    REWRITTEN = "rewritten"
    """Both are."""


class Wait(Enum):
    """How long the first message of a new domain waits; then the bounds, and dns.timeout."""

    NO = ("no", 0.0, PATIENCE, "25s")
    AS_LONG = ("until then", 0.4, 0.4 + PATIENCE, "25s")
    ONCE = ("0.3 s, once", 0.3, 0.3 + PATIENCE, "25s")
    LONGER_ONCE = ("0.9 s, once", 0.9, 0.9 + PATIENCE, "25s")
    ALL = ("`dns.timeout`", 0.45, 0.45 + PATIENCE, "500ms")

    def __init__(self, text: str, least: float, most: float, timeout: str) -> None:
        self.text, self.least, self.most, self.timeout = text, least, most, timeout


RIGHT, REWRITTEN = Verdict
AUTHORISED = f"include:{cast.SPF_INCLUDE} -all"
NOT_AUTHORISED = "-all"


def publish(domain: str, spf: str) -> str:
    """What an ordinary domain publishes."""
    return f'{domain}. TXT "v=spf1 {spf}"\n_dmarc.{domain}. TXT "v=DMARC1; p=reject"\n'


Publication = Callable[[str, str], str]
SERVED = "served"
"""The nameserver that a row is about; others that may be listed beside it:"""
SECOND, SILENT, NO_SCOPE, IPV6 = "second", "silent", "fe80::53", "::1"


@dataclass(frozen=True)
class Row:
    """One way in which DNS fails."""

    text: str
    known: Verdict | None
    """None where it is the domain's own records that are odd."""
    new: Verdict
    wait: Wait
    oddity: Oddity | None = None
    publish: Publication = publish
    listed: tuple[str, ...] = (SERVED,)
    udp: bool = True
    dies: bool = False
    restarts_after: float | None = None
    has_ipv6: bool = True

    @property
    def line(self) -> str:
        known = self.known.value if self.known else "-"
        return f"| {self.text} | {known} | {self.new.value} | {self.wait.text} |"


def chain_of(number: int) -> Publication:
    """So many aliases, one leading to the next."""

    def published(domain: str, spf: str) -> str:
        names = [domain, *(f"{n}.{domain}" for n in range(1, number)), f"end.{domain}"]
        aliases = "".join(f"{a}. CNAME {b}.\n" for a, b in pairwise(names))
        return aliases + publish(domain, spf).replace(domain, f"end.{domain}", 1)

    return published


def texts_of(number: int, octets: int) -> Publication:
    def published(domain: str, spf: str) -> str:
        texts = (f'{domain}. TXT "{n:04}{"x" * (octets - 4)}"\n' for n in range(number))
        return "".join(texts) + publish(domain, spf)

    return published


def long_record(terms: int) -> Publication:
    """An SPF record in strings of 255 octets."""

    def published(domain: str, spf: str) -> str:
        text = " ".join(["v=spf1", *(f"ip4:10.{n >> 8}.{n & 255}.1" for n in range(terms)), spf])
        strings = " ".join(f'"{text[n : n + 255]}"' for n in range(0, len(text), 255))
        return f"{domain}. TXT {strings}\n" + publish(domain, spf).splitlines()[1] + "\n"

    return published


def large_includes(domain: str, spf: str) -> str:
    includes = " ".join(f"include:i{n}.{domain}" for n in range(3))
    padding = texts_of(240, 240)
    large = (padding(f"i{n}.{domain}", "?all") for n in range(3))
    return "".join(large) + publish(domain, f"{includes} {spf}")


def exchanges_of(number: int) -> Publication:
    def published(domain: str, spf: str) -> str:
        hosts = "".join(f"{domain}. MX {n} h{n}.{domain}.\n" for n in range(number))
        return hosts + publish(domain, f"mx {spf}")

    return published


def names_of(number: int) -> Publication:
    def published(domain: str, spf: str) -> str:
        reverse = ".".join(reversed(cast.RELAY_IPV4.split("."))) + ".in-addr.arpa"
        pointers = "".join(f"{reverse}. PTR h{n}.{domain}.\n" for n in range(number))
        return pointers + publish(domain, f"ptr {spf}")

    return published


def deep_names(domain: str, spf: str) -> str:
    """Mail exchangers with names of a hundred labels each: 3 kB that take 50 ms to read."""
    deep = ".".join(["a"] * 100)
    hosts = "".join(f"{domain}. MX {n} h{n}.{deep}.\n" for n in range(15))
    return hosts + publish(domain, f"mx {spf}")


def alias_of_itself(domain: str, spf: str) -> str:
    return f"{domain}. CNAME {domain}.\n" + publish(domain, spf).splitlines()[1] + "\n"


NO, ALL = Wait.NO, Wait.ALL
FORMERR, NOTIMP = dns.rcode.FORMERR, dns.rcode.NOTIMP
SERVFAIL, REFUSED = dns.rcode.SERVFAIL, dns.rcode.REFUSED
TABLES = {
    "Answers that are not believed": [
        Row(
            "20 forged answers of other ids, one from another port, one to another question, all "
            "`+all`, before the right one",
            RIGHT,
            RIGHT,
            NO,
            odd.forged,
        ),
        Row(
            "garbage, an empty and a half datagram before the right one",
            RIGHT,
            RIGHT,
            NO,
            odd.garbage_first,
        ),
        Row("each answer fifty times", RIGHT, RIGHT, NO, odd.fifty_times),
        Row("the answers of another id only", RIGHT, REWRITTEN, ALL, odd.with_other_id),
        Row("from another port only", RIGHT, REWRITTEN, ALL, odd.from_elsewhere),
        Row("garbage only", RIGHT, REWRITTEN, ALL, odd.garbage),
        Row("marked as queries (QR=0)", RIGHT, REWRITTEN, ALL, odd.as_a_query),
        Row("without the question", RIGHT, REWRITTEN, ALL, odd.without_question),
        Row(
            "records of another name beside the right ones, in all sections",
            RIGHT,
            RIGHT,
            NO,
            odd.with_unrelated_records,
        ),
        Row(
            "records of another name alone: so there is none of this one",
            None,
            REWRITTEN,
            NO,
            odd.unrelated_records_alone,
        ),
    ],
    "Answers that are odd, and right": [
        Row("the name in mixed case (0x20)", RIGHT, RIGHT, NO, odd.in_mixed_case),
        Row("TTL 0", RIGHT, RIGHT, NO, odd.with_ttl(0)),
        Row("TTL 2^31-1", RIGHT, RIGHT, NO, odd.with_ttl(2**31 - 1)),
        Row("TTL 2^31", RIGHT, RIGHT, NO, odd.with_ttl(2**31)),
        Row("RRSIG, NSEC and NSEC3 in all sections", RIGHT, RIGHT, NO, odd.with_dnssec_records),
        Row("authoritative, without recursion (AA, no RA)", RIGHT, RIGHT, NO, odd.as_an_authority),
        Row("15 aliases, one behind the other", RIGHT, RIGHT, NO, publish=chain_of(15)),
    ],
    "Answers that cannot be read, and errors": [
        Row(
            "a malformed record in the authority section, over UDP",
            RIGHT,
            RIGHT,
            NO,
            odd.only_over_udp(odd.with_malformed_authority),
        ),
        Row("the same over TCP as well", RIGHT, REWRITTEN, NO, odd.with_malformed_authority),
        Row("the record of EDNS as an answer", RIGHT, REWRITTEN, NO, odd.with_opt_as_answer),
        Row("SERVFAIL", RIGHT, REWRITTEN, NO, odd.fails_with(SERVFAIL)),
        Row("REFUSED", RIGHT, REWRITTEN, NO, odd.fails_with(REFUSED)),
        Row("FORMERR, with EDNS and without", RIGHT, REWRITTEN, NO, odd.fails_with(FORMERR)),
        Row("NOTIMP, with EDNS and without", RIGHT, REWRITTEN, NO, odd.fails_with(NOTIMP)),
        Row("a name that is an alias of itself", RIGHT, REWRITTEN, NO, publish=alias_of_itself),
        Row("16 aliases", RIGHT, REWRITTEN, NO, publish=chain_of(16)),
        Row("30 aliases", RIGHT, REWRITTEN, NO, publish=chain_of(30)),
    ],
    "EDNS": [
        Row("FORMERR to EDNS", RIGHT, RIGHT, NO, odd.refuses_edns(FORMERR)),
        Row(
            "FORMERR to EDNS, a header and nothing else",
            RIGHT,
            RIGHT,
            NO,
            odd.refuses_edns_with_a_header,
        ),
        Row("FORMERR to EDNS, which is echoed", RIGHT, RIGHT, NO, odd.refuses_edns_and_echoes_it),
        Row("FORMERR to EDNS, twice", RIGHT, RIGHT, NO, odd.refuses_edns_twice),
        Row("NOTIMP to EDNS", RIGHT, RIGHT, NO, odd.refuses_edns(NOTIMP)),
        Row("BADVERS to EDNS", RIGHT, RIGHT, NO, odd.refuses_its_version),
        Row("EDNS is ignored", RIGHT, RIGHT, NO, odd.ignores_edns),
        Row("queries with EDNS are dropped", RIGHT, RIGHT, Wait.ONCE, odd.drops_edns),
    ],
    "TCP": [
        Row("truncated over UDP (TC), whole over TCP", RIGHT, RIGHT, NO, odd.truncated),
        Row("truncated, though all is there", RIGHT, RIGHT, NO, odd.truncated_with_data),
        Row(
            "truncated, and over TCP eight octets at a time",
            RIGHT,
            RIGHT,
            NO,
            odd.truncated_and_slow_over_tcp,
        ),
        Row(
            "truncated, and TCP ends without an answer",
            RIGHT,
            REWRITTEN,
            NO,
            odd.truncated_and_then(odd.hangs_up),
        ),
        Row(
            "truncated, and silent over TCP",
            RIGHT,
            REWRITTEN,
            ALL,
            odd.truncated_and_then(odd.silent),
        ),
        Row("nothing listens over UDP, TCP only", RIGHT, RIGHT, NO, udp=False),
        Row("silent over UDP, TCP only", RIGHT, RIGHT, Wait.LONGER_ONCE, odd.silent_over_udp),
    ],
    "Much": [
        Row("245 TXT records of 240 octets: 60 kB", RIGHT, RIGHT, NO, publish=texts_of(245, 240)),
        Row(
            "900 TXT records of 20 octets: too many to read",
            RIGHT,
            REWRITTEN,
            NO,
            publish=texts_of(900, 20),
        ),
        Row(
            "an SPF record of 3,000 networks, 40 kB",
            None,
            REWRITTEN,
            NO,
            publish=long_record(3000),
        ),
        Row("3 includes of 60 kB each", None, REWRITTEN, NO, publish=large_includes),
        Row("SPF `mx` with 200 mail exchangers", None, REWRITTEN, NO, publish=exchanges_of(200)),
        Row("SPF `mx` with names of a hundred labels", None, REWRITTEN, NO, publish=deep_names),
        Row("SPF `ptr` with 200 names", None, REWRITTEN, NO, publish=names_of(200)),
    ],
    "Nameservers that do not answer": [
        Row(
            "answers after 0.4 s",
            RIGHT,
            RIGHT,
            Wait.AS_LONG,
            odd.at("new-a.example.", odd.after(0.4)),
        ),
        Row("answers after `dns.timeout`", RIGHT, REWRITTEN, ALL, odd.after(0.6)),
        Row("silent", RIGHT, REWRITTEN, ALL, odd.silent),
        Row("silent, another listed behind it", RIGHT, RIGHT, NO, listed=(SILENT, SECOND)),
        Row("no process listens any longer", RIGHT, REWRITTEN, ALL, dies=True),
        Row(
            "the same, another listed behind it",
            RIGHT,
            RIGHT,
            NO,
            dies=True,
            listed=(SERVED, SECOND),
        ),
        Row("restarts, for 0.4 s", RIGHT, RIGHT, Wait.AS_LONG, dies=True, restarts_after=0.4),
        Row(
            "an IPv6 address first, and no IPv6 (EAFNOSUPPORT)",
            RIGHT,
            RIGHT,
            NO,
            listed=(IPV6, SERVED),
            has_ipv6=False,
        ),
        Row(
            "an IPv6 address that has no route first", RIGHT, RIGHT, NO, listed=(NO_SCOPE, SERVED)
        ),
        Row(
            "one that answers SERVFAIL, another listed behind it",
            RIGHT,
            RIGHT,
            NO,
            odd.fails_with(SERVFAIL),
            listed=(SERVED, SECOND),
        ),
    ],
}
ROWS = [row for rows in TABLES.values() for row in rows]


@pytest.fixture(scope="module")
def reviewer() -> Reviewer:
    settings = parse_configuration(configuration(), "test")
    signer = load_signer(settings.dkim)
    return make_reviewer(settings, signer, time.time, SuffixList(), time.thread_time)


@dataclass(frozen=True)
class Outcome:
    """What came of one row."""

    known: Verdict
    new: Verdict
    waited: float


class Play:
    """One row, played."""

    def __init__(self, row: Row, reviewer: Reviewer) -> None:
        self._row = row
        self._reviewer = reviewer
        self._served = OddNameserver()
        self._second = Nameserver()
        self._running = ExitStack()

    def run(self) -> Outcome:
        row = self._row
        domains = [f"{age}-{kind}.example" for age in ("new", "known") for kind in "ab"]
        records = dict(zip(domains, (AUTHORISED, NOT_AUTHORISED) * 2, strict=True))
        well = world("".join(publish(*each) for each in records.items()))
        with ExitStack() as stack:
            stack.enter_context(self._running)
            self._running.enter_context(run_nameserver(self._served, udp=row.udp))
            stack.enter_context(run_nameserver(self._second))
            self._served.serve(well)
            self._second.serve(well)
            known, new = self._resolver(), self._resolver()
            wait_until(lambda: self._verdict(known, "known") is RIGHT, "the answers", 30)
            odd_ones = {each: spf for each, spf in records.items() if spf is AUTHORISED}
            more = "".join(row.publish(*each) for each in odd_ones.items())
            rest = "".join(publish(*each) for each in records.items() if each[0] not in odd_ones)
            self._served.serve(world(more + rest))
            stack.enter_context(self._begin())
            began = time.monotonic()
            self._action(new, "new-a.example")
            waited = time.monotonic() - began
            outcome = Outcome(self._verdict(known, "known"), self._verdict(new, "new"), waited)
            known.end()
            new.end()
        return outcome

    def _begin(self) -> ExitStack:
        """Let DNS fail; what is to be ended with the play."""
        stack = ExitStack()
        self._served.oddity = self._row.oddity
        if self._row.dies:
            port = self._served.port
            self._running.close()
            if self._row.restarts_after is not None:
                restart = partial(stack.enter_context, run_nameserver(self._served, port=port))
                timer = threading.Timer(self._row.restarts_after, restart)
                timer.start()
                stack.callback(timer.join)
        return stack

    def _resolver(self) -> Resolver:
        options = {"timeout": self._row.wait.timeout, "min_ttl": "0s", "stale": "1h"}
        ports = {SERVED: self._served.port, SECOND: self._second.port}
        nameservers = tuple(
            Address("127.0.0.1", ports[each]) if each in ports else Address(each)
            for each in self._row.listed
        )
        return Resolver(
            DnsOptions.model_validate(options), Nameservers(nameservers), lambda _: None
        )

    def _verdict(self, resolver: Resolver, age: str) -> Verdict:
        """What becomes of both authors; the second is never left alone."""
        first, second = (self._action(resolver, f"{age}-{kind}.example") for kind in "ab")
        assert second is Action.REWRITE
        return RIGHT if first is Action.PASS else REWRITTEN

    def _action(self, resolver: Resolver, domain: str) -> Action:
        author = f"agent@{domain}"
        fields = (HeaderField("From", f"Marky <{author}>".encode()),)
        message = Message(author, (cast.JULIA,), fields, client=ip_address("127.0.0.1"))
        return self._reviewer.judge(message, resolver.for_message()).reason.action


@pytest.fixture(scope="module")
def outcomes(reviewer: Reviewer) -> "Iterator[dict[Row, Future[Outcome]]]":
    """All rows, played side by side."""
    with ThreadPoolExecutor(THREADS) as pool:
        yield {row: pool.submit(Play(row, reviewer).run) for row in ROWS if row.has_ipv6}


@pytest.mark.parametrize("row", [row for row in ROWS if row.has_ipv6], ids=lambda row: row.text)
def test_what_comes_of_it(row: Row, outcomes: "dict[Row, Future[Outcome]]") -> None:
    _check(row, outcomes[row].result())


@pytest.mark.skipif(not ctypes.util.find_library("seccomp"), reason="libseccomp is not installed")
@pytest.mark.parametrize(
    "row", [row for row in ROWS if not row.has_ipv6], ids=lambda row: row.text
)
def test_what_comes_of_it_without_ipv6(row: Row, reviewer: Reviewer) -> None:
    # A filter of system calls holds for a thread, and stays with it.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(deny_family, socket.AF_INET6).result()
        _check(row, pool.submit(Play(row, reviewer).run).result())


def _check(row: Row, outcome: Outcome) -> None:
    assert outcome.new is row.new
    assert row.known in (outcome.known, None)
    assert row.wait.least * 0.95 <= outcome.waited < row.wait.most


def test_the_document_says_what_comes_of_it() -> None:
    wanted = []
    for title, rows in TABLES.items():
        wanted += [f"### {title}", HEAD, *(row.line for row in rows)]
    lines = DOCUMENT.read_text().splitlines()

    assert [line for line in lines if line.startswith(("### ", "| "))] == wanted
