"""Zone files: they answer as DNS would."""

from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest

from alignd.mailauth.dns import Answer, LookupFailed, MailExchange, Record, RecordType
from alignd.resolver.wire import to_records
from alignd.resolver.zone import Zone, ZoneError
from tests.lab import unbound
from tests.lab.nameserver import respond

ZONE = """\
.                           SOA ns. hostmaster. 1 3600 600 86400 0
.                           NS ns.
ns.                         A 127.0.0.1

mycompany.com.              TXT "v=spf1 " "a mx" " -all"
mycompany.com.              TXT "another"
mycompany.com.              A 192.0.2.1
mycompany.com.              A 192.0.2.2
                            AAAA 2001:db8::1
mycompany.com.      300 IN  MX 10 Mail.mycompany.com.
null.example.               MX 0 .
1.2.0.192.in-addr.arpa.     PTR mycompany.com.
a.b.deep.example.           TXT "deep"  ; SERVFAIL mycompany.com.

*.wild.example.             TXT "wild"
host.wild.example.          A 192.0.2.3
a.empty.wild.example.       A 192.0.2.4

alias.example.              CNAME target.example.
*.alias.example.            CNAME target.example.
target.example.             TXT "target"
one.chain.example.          CNAME two.chain.example.
two.chain.example.          CNAME three.chain.example.
three.chain.example.        CNAME x.alias.example.
to-wild.example.            CNAME x.wild.example.
to-empty.example.           CNAME b.deep.example.
dangling.example.           CNAME nowhere.example.
dangling-twice.example.     CNAME dangling.example.
self.example.               CNAME self.example.
here.loop.example.          CNAME there.loop.example.
there.loop.example.         CNAME here.loop.example.

moved.example.              DNAME moved-to.example.
moved.example.              TXT "itself"
hidden.moved.example.       TXT "hidden"
a.moved-to.example.         TXT "moved"
b.moved-to.example.         CNAME target.example.
c.moved-to.example.         CNAME c.again.moved.example.
c.again.moved-to.example.   TXT "moved again"
to-moved.example.           CNAME a.moved.example.
to-the-wild.example.        DNAME wild.example.
there.dname-loop.example.   DNAME dname-loop.example.
dname-loop.example.         DNAME there.dname-loop.example.
"""

A, AAAA, MX = RecordType.A, RecordType.AAAA, RecordType.MX
PTR, TXT = RecordType.PTR, RecordType.TXT


@pytest.mark.parametrize(
    ("name", "record_type", "records"),
    [
        pytest.param(
            "mycompany.com",
            TXT,
            {b"v=spf1 a mx -all", b"another"},
            id="strings-of-one-record-are-joined-and-records-are-not",
        ),
        pytest.param("mycompany.com", A, {"192.0.2.1", "192.0.2.2"}, id="addresses-are-text"),
        pytest.param("mycompany.com", AAAA, {"2001:db8::1"}, id="a-line-may-go-on-with-the-name"),
        pytest.param(
            "mycompany.com",
            MX,
            {MailExchange(10, "Mail.mycompany.com")},
            id="a-line-may-have-ttl-and-class",
        ),
        pytest.param("null.example", MX, {MailExchange(0, "")}, id="a-null-mx-has-no-host"),
        pytest.param("1.2.0.192.in-addr.arpa", PTR, {"mycompany.com"}, id="reverse-names-work"),
        pytest.param("A.B.Deep.EXAMPLE", TXT, {b"deep"}, id="case-does-not-matter"),
        pytest.param("x.wild.example", TXT, {b"wild"}, id="a-wildcard-answers-for-what-is-not"),
        pytest.param("y.x.wild.example", TXT, {b"wild"}, id="a-wildcard-covers-many-labels"),
        pytest.param("*.wild.example", TXT, {b"wild"}, id="a-wildcard-can-be-asked-for-itself"),
        pytest.param("alias.example", TXT, {b"target"}, id="a-cname-is-followed"),
        pytest.param("x.alias.example", TXT, {b"target"}, id="a-wildcard-may-be-a-cname"),
        pytest.param("one.chain.example", TXT, {b"target"}, id="a-chain-is-followed-to-its-end"),
        pytest.param("to-wild.example", TXT, {b"wild"}, id="a-cname-may-lead-to-a-wildcard"),
        pytest.param("a.moved.example", TXT, {b"moved"}, id="what-is-below-a-dname-is-elsewhere"),
        pytest.param("moved.example", TXT, {b"itself"}, id="a-dname-itself-is-not"),
        pytest.param("b.moved.example", TXT, {b"target"}, id="a-dname-may-lead-to-a-cname"),
        pytest.param("c.moved.example", TXT, {b"moved again"}, id="and-that-to-a-dname"),
        pytest.param("to-moved.example", TXT, {b"moved"}, id="a-cname-may-lead-below-a-dname"),
        pytest.param("x.to-the-wild.example", TXT, {b"wild"}, id="a-dname-may-lead-to-a-wildcard"),
    ],
)
def test_what_is_there(name: str, record_type: RecordType, records: set[Record]) -> None:
    answer = Zone.parse(ZONE).look_up(name, record_type)

    assert isinstance(answer, Answer)
    assert (set(answer.records), len(answer.records)) == (records, len(records))
    assert answer.exists


@pytest.mark.parametrize(
    ("name", "record_type", "exists"),
    [
        pytest.param("nowhere.example", TXT, False, id="a-name-that-is-not-there"),
        pytest.param("nowhere", TXT, False, id="nor-a-top-level-domain"),
        pytest.param("x.mycompany.com", TXT, False, id="nor-a-name-below-another"),
        pytest.param("null.example", TXT, True, id="another-type-means-no-data"),
        pytest.param("b.deep.example", TXT, True, id="an-empty-non-terminal-is-there"),
        pytest.param("com", TXT, True, id="what-has-a-name-below-it-is-there"),
        pytest.param("x.wild.example", A, True, id="a-wildcard-makes-the-name-be-there"),
        pytest.param("wild.example", TXT, True, id="a-wildcard-is-not-for-the-name-above-it"),
        pytest.param("host.wild.example", TXT, True, id="a-name-that-is-there-hides-the-wildcard"),
        pytest.param("x.host.wild.example", TXT, False, id="and-hides-it-from-the-names-below"),
        pytest.param("empty.wild.example", TXT, True, id="so-does-an-empty-non-terminal"),
        # RFC 4592, section 2.2.1: the closest encloser is there, though it has no data.
        pytest.param("x.empty.wild.example", TXT, False, id="and-that-one-from-names-below-too"),
        pytest.param("x.*.wild.example", TXT, False, id="nothing-is-below-a-wildcard-itself"),
        pytest.param("alias.example", A, True, id="the-target-of-a-cname-has-another-type"),
        pytest.param("to-empty.example", TXT, True, id="the-target-of-a-cname-is-empty"),
        pytest.param("dangling.example", TXT, True, id="a-dangling-cname-is-there"),
        pytest.param("dangling-twice.example", TXT, True, id="so-is-one-that-leads-to-one"),
        pytest.param("hidden.moved.example", TXT, True, id="a-dname-hides-what-is-below-it"),
    ],
)
def test_what_is_not_there(name: str, record_type: RecordType, exists: bool) -> None:
    assert Zone.parse(ZONE).look_up(name, record_type) == Answer((), exists=exists)


@pytest.mark.parametrize(
    "name", ["self.example", "here.loop.example", "x.there.dname-loop.example"]
)
def test_a_cname_loop_has_no_answer(name: str) -> None:
    assert Zone.parse(ZONE).look_up(name, TXT) == LookupFailed("CNAME loop")


def test_a_dname_may_lead_to_a_name_that_is_too_long() -> None:
    long = ".".join(["x" * 60] * 3)
    zone = Zone.parse(f"a.example. DNAME {long}.example.\n")

    assert zone.look_up(f"{'y' * 63}.a.example", TXT) == LookupFailed("YXDOMAIN")
    assert zone.look_up("y.a.example", TXT) == Answer((), exists=True)


SERVFAIL, TIMEOUT = LookupFailed("SERVFAIL"), LookupFailed("timeout")


@pytest.mark.parametrize(
    ("text", "name", "record_type", "expected"),
    [
        pytest.param("; SERVFAIL a.example.", "a.example", A, SERVFAIL, id="for-every-type"),
        pytest.param("; SERVFAIL a.example. TXT", "a.example", TXT, SERVFAIL, id="for-one-type"),
        pytest.param("; SERVFAIL a.example. TXT", "a.example", A, Answer(()), id="not-another"),
        pytest.param("; TIMEOUT a.example.", "a.example", MX, TIMEOUT, id="as-a-timeout"),
        pytest.param(
            "; TIMEOUT a.example. A\n; SERVFAIL a.example. MX",
            "a.example",
            MX,
            SERVFAIL,
            id="in-another-way-for-each-type",
        ),
        pytest.param("; SERVFAIL a.example", "A.Example", A, SERVFAIL, id="without-a-final-dot"),
        pytest.param("  ;SERVFAIL  a.example\ttxt ", "a.example", TXT, SERVFAIL, id="with-blanks"),
        pytest.param("; SERVFAIL a.example.\r\n", "a.example", A, SERVFAIL, id="with-crlf"),
        pytest.param(
            "a.example. A 192.0.2.1\n; SERVFAIL a.example.",
            "a.example",
            A,
            SERVFAIL,
            id="though-there-are-records",
        ),
        pytest.param(
            "b.example. CNAME a.example.\n; SERVFAIL a.example. TXT",
            "b.example",
            TXT,
            SERVFAIL,
            id="at-the-end-of-a-cname",
        ),
        pytest.param(
            "; SERVFAIL a.example.", "b.a.example", A, Answer((), exists=False), id="not-below"
        ),
        pytest.param("; SERVFAIL a.example.", "example", A, Answer(()), id="not-above"),
        pytest.param(
            "; a SERVFAIL a.example.", "a.example", A, Answer((), exists=False), id="not-in-prose"
        ),
    ],
)
def test_a_comment_makes_a_name_fail(
    text: str, name: str, record_type: RecordType, expected: Answer | LookupFailed
) -> None:
    assert Zone.parse(text).look_up(name, record_type) == expected


def test_a_nameserver_with_the_zone_is_silent_or_says_servfail() -> None:
    zone = Zone.parse("; TIMEOUT a.example.\n; SERVFAIL b.example.")

    assert respond(zone, dns.message.make_query("a.example.", "TXT")) is None
    response = respond(zone, dns.message.make_query("b.example.", "TXT"))
    assert response is not None
    assert (response.rcode(), response.answer) == (dns.rcode.SERVFAIL, [])


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("a.example. WHAT x", id="no-such-type"),
        pytest.param("a..example. A 192.0.2.1", id="an-empty-label"),
        pytest.param("x" * 64 + ". A 192.0.2.1", id="a-label-too-long"),
        pytest.param("a.example. CH TXT x", id="another-class"),
        pytest.param("a.example. TXT", id="no-data"),
        pytest.param("a.example. A 192.0.2", id="bad-data"),
        pytest.param('a.example. TXT "x', id="an-open-quote"),
        pytest.param("first.example. CNAME b.example.", id="a-cname-and-others"),
        pytest.param("; SERVFAIL a..example", id="a-failure-of-no-name"),
        pytest.param("; SERVFAIL a.example WHAT", id="a-failure-of-no-type"),
    ],
)
def test_an_error_names_its_line(line: str) -> None:
    text = f"first.example. A 192.0.2.1\n{line}\nlast.example. A 192.0.2.1\n"

    with pytest.raises(ZoneError, match=r"^what-if\.zone:2: \w"):
        Zone.parse(text, "what-if.zone")


def test_an_error_behind_a_record_of_several_lines_names_its_line() -> None:
    text = 'a.example. TXT (\n"one"\n"two"\n"three" )\nb.example. WHAT x\n'

    with pytest.raises(ZoneError, match=r"^what-if\.zone:5: \w"):
        Zone.parse(text, "what-if.zone")


@pytest.mark.parametrize(
    "soa",
    [
        pytest.param("SOA ns. hostmaster. 1 3600 600 86400 0", id="on-one-line"),
        pytest.param("1h IN SOA ns. hostmaster. (\n 1\n 3600 600\n 86400 0 )", id="on-several"),
        pytest.param(
            "IN SOA ns. hostmaster. (\n 1 ; serial (of today)\n 3600 600 86400 0 )",
            id="with-a-comment",
        ),
    ],
)
def test_a_zone_may_begin_anywhere(soa: str) -> None:
    zone = Zone.parse(f"b.example. {soa}\na.b.example. A 192.0.2.1\n")

    assert zone.look_up("a.b.example", A) == Answer(("192.0.2.1",))
    assert zone.look_up("b.example", A) == Answer(())


def test_a_zone_may_have_its_ttl_and_origin() -> None:
    zone = Zone.parse(
        '$TTL 300\n$ORIGIN b.example.\n@ TXT "b"\na TXT "a"\n$ORIGIN .\nc.example. TXT "c"\n'
    )

    texts = [zone.look_up(name, TXT) for name in ("b.example", "a.b.example", "c.example")]
    assert texts == [Answer((text,)) for text in (b"b", b"a", b"c")]


@pytest.mark.parametrize("directive", ["$INCLUDE", "$include"])
def test_no_other_file_is_read(directive: str, tmp_path: Path) -> None:
    other = tmp_path / "other.zone"
    other.write_text('a.example. TXT "included"\n')

    with pytest.raises(ZoneError, match=r"^what-if\.zone:"):
        Zone.parse(f"{directive} {other}\n", "what-if.zone")


NAMES = [
    *("mycompany.com", "x.mycompany.com", "com", "nowhere", "nowhere.example"),
    *("null.example", "1.2.0.192.in-addr.arpa", "2.0.192.in-addr.arpa", "2.2.0.192.in-addr.arpa"),
    *("deep.example", "b.deep.example", "a.b.deep.example", "x.deep.example", "x.b.deep.example"),
    *("wild.example", "*.wild.example", "x.wild.example", "y.x.wild.example", "x.*.wild.example"),
    *("host.wild.example", "x.host.wild.example", "empty.wild.example", "a.empty.wild.example"),
    # Not x.empty.wild.example: unbound 1.17 looks past the empty non-terminal to the wildcard.
    *("alias.example", "x.alias.example", "y.x.alias.example", "Target.EXAMPLE"),
    *("one.chain.example", "three.chain.example", "to-wild.example", "to-empty.example"),
    *("dangling.example", "dangling-twice.example", "self.example", "here.loop.example"),
    *("moved.example", "a.moved.example", "b.moved.example", "hidden.moved.example"),
    *("c.moved.example", "to-moved.example", "x.to-the-wild.example", "moved-to.example"),
]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    if reason := unbound.obstacle():
        pytest.skip(reason)
    with unbound.run_unbound(ZONE) as port:
        yield port


def as_unordered(answer: Answer | LookupFailed) -> tuple[frozenset[Record], bool] | None:
    """The answer without the order of its records and without the reason of a failure."""
    return None if isinstance(answer, LookupFailed) else (frozenset(answer.records), answer.exists)


def as_answer(response: dns.message.Message, record_type: RecordType) -> Answer | LookupFailed:
    """What `lookup` says that this response of a nameserver means."""
    if response.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
        return LookupFailed(dns.rcode.to_text(response.rcode()))
    wanted = [rrset for rrset in response.answer if rrset.rdtype.name == record_type.value]
    records = tuple(record for rrset in wanted for record in to_records(rrset))
    is_absent = response.rcode() == dns.rcode.NXDOMAIN and not response.answer
    return Answer(records, exists=not is_absent)


@pytest.mark.parametrize("record_type", RecordType, ids=lambda record_type: record_type.value)
@pytest.mark.parametrize("name", NAMES)
def test_the_zone_file_answers_as_a_real_dns_server_does(
    port: int, name: str, record_type: RecordType
) -> None:
    zone = Zone.parse(ZONE)
    query = dns.message.make_query(f"{name}.", record_type.value)

    theirs = dns.query.udp(query, "127.0.0.1", timeout=10, port=port)

    ours = respond(zone, query)
    assert ours is not None
    assert (ours.rcode(), ours.answer) == (theirs.rcode(), theirs.answer)
    answer = zone.look_up(name, record_type)
    assert as_unordered(answer) == as_unordered(as_answer(theirs, record_type))
