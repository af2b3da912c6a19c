"""Lookups begin when From arrives, side by side, and nothing is asked twice."""

from collections import defaultdict
from collections.abc import Iterator

import dns.message
import pytest

from tests.lab import cast
from tests.lab.alignd import Alignd, run_alignd
from tests.lab.milter_client import MilterConnection, steps
from tests.lab.nameserver import Client, Nameserver, run_nameserver
from tests.lab.protocol import Command
from tests.lab.readiness import open_directory, wait_until
from tests.lab.settings import world

pytestmark = pytest.mark.wire

ZONE = world(
    'mail.mycompany.com. TXT "v=spf1 -all"\n_dmarc.mycompany.com. TXT "v=DMARC1; p=none"\n'
)
AGENT, SENDER = "marky@mail.mycompany.com", "bounces@elsewhere.example"
CHANGES = '[milter]\nworkers = 1\n[dns]\nmin_ttl = "1m"\n'
RECIPIENTS = (cast.JULIA,)
MESSAGE = f"From: Marky <{AGENT}>\r\nSubject: Re\r\n\r\nHello\r\n".encode()
AT_ONCE = {
    "elsewhere.example.",
    "mail.mycompany.com.",
    "_dmarc.mail.mycompany.com.",
    "_dmarc.mycompany.com.",
    "_dmarc.com.",
}
STRANGER = "203.0.113.9"


class Patient(Nameserver):
    """Answers nothing before it was asked all of *at_once*; tells repetitions by their socket."""

    def __init__(self) -> None:
        super().__init__()
        self.at_once: set[str] = set()
        self.askers: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)

    def answer(self, data: bytes, client: Client) -> bool:
        query = dns.message.from_wire(data)
        self.askers[query.question[0].name.to_text()].add(client.address)
        return self.at_once <= set(self.askers) and super().answer(data, client)


@pytest.fixture
def nameserver() -> Iterator[Patient]:
    patient = Patient()
    with run_nameserver(patient):
        patient.serve(ZONE)
        yield patient


@pytest.fixture
def alignd(nameserver: Patient) -> Iterator[Alignd]:
    with (
        open_directory() as directory,
        run_alignd(directory / "alignd", nameserver.address, CHANGES) as alignd,
    ):
        yield alignd


def test_what_no_answer_has_a_say_in_is_asked_side_by_side(
    nameserver: Patient, alignd: Alignd
) -> None:
    nameserver.at_once = AT_ONCE
    with MilterConnection(alignd.socket) as mta:
        result = mta.send(SENDER, RECIPIENTS, MESSAGE)

    assert b"reason=relay-not-authorised" in result.message


def test_no_question_is_asked_twice(nameserver: Patient, alignd: Alignd) -> None:
    with MilterConnection(alignd.socket) as mta:
        for _ in range(3):
            mta.send(SENDER, RECIPIENTS, MESSAGE)

    # What is asked of the relay's own domains, at the start, has a memory of its own.
    times = {name: len(nameserver.askers[name]) for name in AT_ONCE - {"_dmarc.com."}}
    assert times == dict.fromkeys(times, 1)


def test_lookups_begin_before_the_message_ends(nameserver: Patient, alignd: Alignd) -> None:
    with MilterConnection(alignd.socket) as mta:
        said = iter(steps(SENDER, RECIPIENTS, MESSAGE))
        for command, payload, macros in said:
            mta.tell(command, payload, macros)
            if command is Command.HEADER:
                break
        wait_until(lambda: set(nameserver.askers) >= AT_ONCE, "the lookups")

        answer = mta.tell_at_once(said)

    assert len(answer.modifications) > 0


def test_mail_out_of_scope_is_not_looked_up(nameserver: Patient, alignd: Alignd) -> None:
    other = MESSAGE.replace(b"mail.mycompany.com", b"stranger.example")
    with MilterConnection(alignd.socket, client=STRANGER) as mta:
        mta.send(SENDER, RECIPIENTS, other)
    with MilterConnection(alignd.socket) as mta:
        mta.send(SENDER, RECIPIENTS, MESSAGE)

    assert not [name for name in nameserver.askers if "stranger" in name]
