"""A nameserver that is silent, slow, lossy or failing."""

import random
import threading
from enum import Enum

import dns.message
import dns.name
import dns.rcode

from tests.lab.nameserver import Nameserver

SLOW_SECONDS = 1.5
LATE_SECONDS = 1.0
LOSS = 0.3
FAILING = 0.5


class Fault(Enum):
    """What is wrong with it."""

    NONE = "well"
    SILENT = "silent"
    SLOW = f"{SLOW_SECONDS:g} s an answer"
    LOSSY = f"{LOSS:.0%} loss"
    FAILING = "SERVFAIL half the time"
    DOWN = "SERVFAIL"
    UPLINK_SILENT = "silent but for the root, which every resolver knows by heart"
    UPLINK_FAILING = f"SERVFAIL after {LATE_SECONDS:g} s but for the root"


_UPLINK = (Fault.UPLINK_SILENT, Fault.UPLINK_FAILING)


class FaultyNameserver(Nameserver):
    """Answers with the zone, as far as its *fault* lets it."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.fault = Fault.NONE
        self._random = random.Random(seed)
        self._never = threading.Event()

    def respond(self, data: bytes, *, over_udp: bool) -> bytes | None:
        """Return the response to one request, late or wrong or None."""
        query = dns.message.from_wire(data)
        fault = self.fault
        if query.question[0].name == dns.name.root and fault in _UPLINK:
            fault = Fault.NONE
        match fault:
            case Fault.SILENT | Fault.UPLINK_SILENT:
                return None
            case Fault.SLOW:
                self._never.wait(SLOW_SECONDS)
            case Fault.LOSSY if self._random.random() < LOSS:
                return None
            case Fault.FAILING if self._random.random() < FAILING:
                return _failure(query)
            case Fault.DOWN:
                return _failure(query)
            case Fault.UPLINK_FAILING:
                self._never.wait(LATE_SECONDS)
                return _failure(query)
            case _:
                pass
        return super().respond(data, over_udp=over_udp)


def _failure(query: dns.message.Message) -> bytes:
    response = dns.message.make_response(query)
    response.set_rcode(dns.rcode.SERVFAIL)
    return response.to_wire()
