"""Record types: each is read from a zone file and from the network, and costs no message time."""

import subprocess
import sys

import pytest

from alignd.config.settings import DnsOptions
from alignd.mailauth.dns import Answer, MailExchange, Record, RecordType
from alignd.resolver.resolver import Resolver
from alignd.resolver.zone import Zone
from tests.lab.nameserver import Nameserver

EXAMPLES: dict[RecordType, tuple[str, Record]] = {
    RecordType.A: ("192.0.2.1", "192.0.2.1"),
    RecordType.AAAA: ("2001:db8::1", "2001:db8::1"),
    RecordType.MX: ("10 Mail.example.", MailExchange(10, "Mail.example")),
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
    resolver = Resolver(settings, settings.nameservers, print)

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
