"""Record types: each is read from a zone file and from the network, and costs no message time."""

import struct
import subprocess
import sys
import time
from contextlib import suppress

import dns.exception
import dns.message
import pytest
from dns.rdatatype import RdataType

from alignd.config.nameservers import nameservers_of
from alignd.config.settings import DnsOptions
from alignd.mailauth.dns import Answer, MailExchange, Record, RecordType
from alignd.resolver.resolver import Resolver
from alignd.resolver.wire import is_costly
from alignd.resolver.zone import Zone
from tests.lab.nameserver import Nameserver

EXAMPLES: dict[RecordType, tuple[str, Record]] = {
    RecordType.A: ("192.0.2.1", "192.0.2.1"),
    RecordType.AAAA: ("2001:db8::1", "2001:db8::1"),
    RecordType.MX: ("10 Mail.example.", MailExchange(10, "Mail.example")),
    RecordType.NS: ("Dns.example.", "Dns.example"),
    RecordType.PTR: ("Host.example.", "Host.example"),
    RecordType.TXT: ('"v=spf1 " "-all"', b"v=spf1 -all"),
}
"""Of each type: a record's data in a zone file, and what is read."""


def zone_with(record_type: RecordType) -> str:
    text, _ = EXAMPLES[record_type]
    return f"{record_type.value}.example. {record_type.value} {text}\n"


@pytest.mark.parametrize("record_type", RecordType, ids=lambda each: each.value)
def test_every_record_type_is_read_from_a_zone_file(record_type: RecordType) -> None:
    zone = Zone.parse(zone_with(record_type))

    answer = zone.look_up(f"{record_type.value}.example", record_type)

    assert answer == Answer((EXAMPLES[record_type][1],))


@pytest.mark.parametrize("record_type", RecordType, ids=lambda each: each.value)
def test_every_record_type_is_read_from_the_wire(
    nameserver: Nameserver, record_type: RecordType
) -> None:
    nameserver.serve(zone_with(record_type))
    settings = DnsOptions.model_validate({"nameservers": [nameserver.address]})
    resolver = Resolver(settings, nameservers_of(settings), print)

    answer = resolver.for_message().look_up(f"{record_type.value}.example", record_type)

    assert answer == Answer((EXAMPLES[record_type][1],))


FIRST_QUESTIONS = """\
import sys
from alignd.config.settings import DnsOptions
from alignd.mailauth.dns import Answer, RecordType
from alignd.config.nameservers import nameservers_of
from alignd.resolver.resolver import Resolver, response_time

before = set(sys.modules)
settings = DnsOptions.model_validate({"nameservers": [sys.argv[1]]})
lookup = Resolver(settings, nameservers_of(settings), print).for_message()
for record_type in RecordType:
    answer = lookup.look_up(f"{record_type.value}.example", record_type)
    assert isinstance(answer, Answer) and answer.records, answer
assert lookup.look_up("alias.example", RecordType.A).records
assert not lookup.look_up("nowhere.example", RecordType.A).exists
assert isinstance(response_time(*nameservers_of(settings).servers, seconds=5.0), float)
print(*sorted(set(sys.modules) - before))
"""


def test_no_message_waits_for_an_import(nameserver: Nameserver) -> None:
    more = "alias.example. CNAME A.example.\n. NS ns.example.\n"
    nameserver.serve("".join(map(zone_with, RecordType)) + more)

    command = [sys.executable, "-c", FIRST_QUESTIONS, nameserver.address]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    assert (outcome.stdout, outcome.stderr) == ("\n", "")


QUERY = dns.message.make_query("a.example", "TXT").to_wire()
BOUND = 0.1  # seconds of processor time, of a judgement
NAME = b"\xc0\x0c"  # a pointer to that of the question
DEEP = b"\x01a" * 120 + b"\0"
A, MX, NS, PTR, TXT = RdataType.A, RdataType.MX, RdataType.NS, RdataType.PTR, RdataType.TXT


def response(
    rdtype: int, data: list[bytes], owner: bytes = NAME, counts: str = "answer", size: int = 65_535
) -> bytes:
    """A response with a record for each of *data*, as many as fit in *size* octets."""
    records, left = b"", size - len(QUERY)
    number = 0
    for each in data:
        record = owner + struct.pack("!HHIH", rdtype, 1, 60, len(each)) + each
        if len(record) > left:
            break
        records, left, number = records + record, left - len(record), number + 1
    sections = [number if name == counts else 0 for name in ("answer", "authority", "additional")]
    return QUERY[:2] + struct.pack("!5H", 0x8180, 1, *sections) + QUERY[12:] + records


def texts(number: int, octets: int) -> list[bytes]:
    return [bytes([octets]) + b"%06d" % n + b"x" * (octets - 6) for n in range(number)]


NUMBERS = [struct.pack("!I", n) for n in range(5000)]
HOSTS = [b"\x06%06d" % n + NAME for n in range(5000)]
DEEP_HOSTS = [b"\x03%03d" % n + DEEP for n in range(500)]


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(response(TXT, texts(250, 240)), id="texts-of-60-kilobytes"),
        pytest.param(response(TXT, texts(500, 70)), id="500-verifications"),
        pytest.param(response(A, NUMBERS[:400]), id="400-addresses"),
        pytest.param(response(MX, [b"\0\1" + host for host in HOSTS[:100]]), id="100-exchangers"),
        pytest.param(response(46, [b"x" * 300] * 5), id="some-signatures"),
        pytest.param(response(NS, DEEP_HOSTS, size=1232), id="anything-small"),
        pytest.param(b"x" * 12 + b"\xc0" * 5000, id="nonsense"),
    ],
)
def test_what_domains_publish_is_read(wire: bytes) -> None:
    assert not is_costly(wire)


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(response(TXT, texts(5000, 6)), id="small-texts"),
        pytest.param(response(TXT, [bytes(60_000)]), id="a-text-of-empty-strings"),
        pytest.param(response(TXT, [b"\x01x" * 30_000]), id="a-text-of-letters"),
        pytest.param(response(A, NUMBERS), id="addresses"),
        pytest.param(response(A, NUMBERS, counts="additional"), id="addresses-beside-the-answer"),
        pytest.param(response(MX, [b"\0\1" + host for host in HOSTS]), id="exchangers"),
        pytest.param(response(PTR, DEEP_HOSTS, size=16_384), id="deep-names-of-16-kilobytes"),
        pytest.param(response(NS, DEEP_HOSTS, counts="authority"), id="deep-nameservers"),
        pytest.param(response(A, NUMBERS, DEEP), id="deep-owners"),
        pytest.param(response(47, [DEEP + bytes(range(1, 250))] * 200), id="of-other-types"),
        pytest.param(
            response(1, NUMBERS, b"\xff\xff")[:-2] + b"\xff\xfd", id="pointers-to-the-end"
        ),
    ],
)
def test_what_takes_long_to_read_is_not_read(wire: bytes) -> None:
    began = time.thread_time()
    is_refused = is_costly(wire)
    assert time.thread_time() - began < BOUND

    began = time.thread_time()
    if not is_refused:
        with suppress(dns.exception.DNSException):
            dns.message.from_wire(wire)
    assert time.thread_time() - began < BOUND
