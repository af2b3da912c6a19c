"""A nameserver that is silent, slow, lossy or failing."""

import random
import threading
from enum import Enum

import dns.message
import dns.name
import dns.rcode
import dns.rrset

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
    LATE_FAILURE = f"SERVFAIL after {LATE_SECONDS:g} s"
    UPLINK_DOWN = "answers NS of the root, which it knows, and is silent on the rest"
    UPLINK_FAILING = f"answers NS of the root, and SERVFAIL after {LATE_SECONDS:g} s on the rest"
    DOWN = "SERVFAIL"


_UPLINK = (Fault.UPLINK_DOWN, Fault.UPLINK_FAILING)


class FaultyNameserver(Nameserver):
    """Answers with the zone, as far as its *fault* lets it."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.fault = Fault.NONE
        self._random = random.Random(seed)
        self._never = threading.Event()

    def respond(self, data: bytes, *, over_udp: bool) -> bytes | None:
        """Return the response to one request, late or wrong or None."""
        fault = self.fault
        if fault in _UPLINK and _question(data).name == dns.name.root:
            fault = Fault.NONE
        match fault:
            case Fault.SILENT | Fault.UPLINK_DOWN:
                return None
            case Fault.SLOW:
                self._never.wait(SLOW_SECONDS)
            case Fault.LOSSY if self._random.random() < LOSS:
                return None
            case Fault.FAILING if self._random.random() < FAILING:
                return _servfail(data)
            case Fault.DOWN:
                return _servfail(data)
            case Fault.LATE_FAILURE | Fault.UPLINK_FAILING:
                self._never.wait(LATE_SECONDS)
                return _servfail(data)
            case _:
                pass
        return super().respond(data, over_udp=over_udp)


def _question(data: bytes) -> dns.rrset.RRset:
    return dns.message.from_wire(data).question[0]


def _servfail(data: bytes) -> bytes:
    response = dns.message.make_response(dns.message.from_wire(data))
    response.set_rcode(dns.rcode.SERVFAIL)
    return response.to_wire()
