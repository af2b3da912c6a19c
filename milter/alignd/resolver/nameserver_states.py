"""What was learned of each nameserver: how to ask it, how soon it answers, and whether it does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

from alignd.config.option_types import Nameserver
from alignd.resolver.round_trips import RoundTrips

PROTOCOL_SECONDS = 600.0
"""How long the protocol that a nameserver understands is remembered: to find it out costs one
message, and the nameserver, or the firewall before it, may be mended meanwhile."""
DEMOTED_SECONDS = 30.0
"""How long a nameserver that fails is asked after the others."""
RESTART_SECONDS = 2.0
"""How long a nameserver may be gone before it is believed: while it restarts, the kernel refuses
for it."""
_FAILURES = 3  # in a row: of one question, the domain may be the cause
_MAX_NAMESERVERS = 64


class Protocol(Enum):
    """How a nameserver wants to be asked."""

    UNKNOWN = "unknown"
    EDNS = "edns"
    """Over UDP, with EDNS (RFC 6891)."""
    PLAIN = "plain"
    """Over UDP, as of RFC 1035: it refuses EDNS, or drops it."""
    TCP = "tcp"


class Condition(Enum):
    """What became of the last queries to a nameserver."""

    UNTRIED = "untried"
    ANSWERS = "answers"
    REFUSES = "refuses"
    """It answers with errors, three times in a row."""
    SILENT = "silent"
    """It does not answer, three times in a row, or later than another that was asked later."""
    UNREACHABLE = "unreachable"
    """The kernel refuses: no route, no IPv6, nobody listens."""

    @property
    def is_failing(self) -> bool:
        return self not in {Condition.UNTRIED, Condition.ANSWERS}


@dataclass(frozen=True, slots=True)
class NameserverState:
    """What is known of a nameserver at one moment."""

    nameserver: Nameserver
    condition: Condition
    protocol: Protocol
    round_trip: float | None
    """Seconds, smoothed; None when it was never heard over UDP."""

    @property
    def is_failing(self) -> bool:
        return self.condition.is_failing


@dataclass(slots=True)
class _Learned:
    condition: Condition = Condition.UNTRIED
    protocol: Protocol = Protocol.UNKNOWN
    protocol_until: float = 0.0
    demoted_until: float = 0.0
    gone_since: float | None = None
    failure: Condition = Condition.UNTRIED
    failures: int = 0
    round_trips: RoundTrips = field(default_factory=RoundTrips)


class NameserverStates:
    """The state of every nameserver that a resolver asks; safe for threads.

    It never forbids to ask one: it says whom to ask first, and how.
    """

    def __init__(
        self, *, over_tcp: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """*over_tcp*: nothing is asked over UDP, as `options use-vc` of resolv.conf(5) wants."""
        self.over_tcp = over_tcp
        self._clock = clock
        self._learned: dict[Nameserver, _Learned] = {}
        self._lock = threading.Lock()

    def in_order(self, nameservers: Iterable[Nameserver]) -> list[Nameserver]:
        """Those that fail last, else as they stand: the first is asked first (resolv.conf(5))."""
        now = self._clock()
        return sorted(nameservers, key=lambda each: self._of(each).demoted_until > now)

    def protocol(self, nameserver: Nameserver) -> Protocol:
        learned = self._of(nameserver)
        is_known = self._clock() < learned.protocol_until
        return learned.protocol if is_known else Protocol.UNKNOWN

    def wait(self, nameserver: Nameserver, left: float) -> float:
        """The seconds after which a query is sent again, when *left* are left for all."""
        return self._of(nameserver).round_trips.wait(left)

    def is_gone(self, nameserver: Nameserver) -> bool:
        """Whether nobody has listened there for longer than a restart takes."""
        since = self._of(nameserver).gone_since
        return since is not None and self._clock() - since > RESTART_SECONDS

    def answered(
        self, nameserver: Nameserver, protocol: Protocol, round_trip: float | None = None
    ) -> None:
        """Take note of a good answer, to a query of that *protocol*; *round_trip* over UDP.

        What contradicts what is known makes it unknown: a packet may have been lost. The next
        answer says which is right.
        """
        with self._lock:
            learned, now = self._of(nameserver), self._clock()
            is_other = now < learned.protocol_until and learned.protocol is not protocol
            learned.protocol = protocol
            learned.protocol_until = 0.0 if is_other else now + PROTOCOL_SECONDS
            learned.condition, learned.failures = Condition.ANSWERS, 0
            learned.demoted_until, learned.gone_since = 0.0, None
            if round_trip is not None:
                learned.round_trips.add(round_trip)

    def refused(self, nameserver: Nameserver) -> None:
        """Take note of an answer that is an error."""
        with self._lock:
            self._of(nameserver).gone_since = None
            self._failed(nameserver, Condition.REFUSES)

    def silent(self, nameserver: Nameserver) -> None:
        """Take note that there was no answer, or none before that of another, asked later."""
        with self._lock:
            self._failed(nameserver, Condition.SILENT)

    def unreachable(self, nameserver: Nameserver) -> None:
        """Take note that the kernel sends nothing there."""
        with self._lock:
            self._demote(nameserver, Condition.UNREACHABLE)

    def gone(self, nameserver: Nameserver) -> None:
        """Take note that its host is there, and nobody listens (ECONNREFUSED)."""
        with self._lock:
            learned = self._of(nameserver)
            if learned.gone_since is None:
                learned.gone_since = self._clock()
            self._demote(nameserver, Condition.UNREACHABLE)

    def snapshot(self) -> list[NameserverState]:
        """What is known of each nameserver that was asked."""
        with self._lock:
            known = list(self._learned.items())
        return [
            NameserverState(
                nameserver,
                learned.condition,
                self.protocol(nameserver),
                learned.round_trips.smoothed,
            )
            for nameserver, learned in known
        ]

    def failing(self, nameservers: Iterable[Nameserver]) -> int:
        """How many of *nameservers* do not answer."""
        wanted = set(nameservers)
        return sum(state.is_failing for state in self.snapshot() if state.nameserver in wanted)

    def _failed(self, nameserver: Nameserver, how: Condition) -> None:
        learned = self._of(nameserver)
        learned.failures = learned.failures + 1 if learned.failure is how else 1
        learned.failure = how
        if learned.failures >= _FAILURES:
            self._demote(nameserver, how)

    def _demote(self, nameserver: Nameserver, condition: Condition) -> None:
        learned = self._of(nameserver)
        learned.condition = condition
        learned.demoted_until = self._clock() + DEMOTED_SECONDS

    def _of(self, nameserver: Nameserver) -> _Learned:
        learned = self._learned.get(nameserver)
        if learned is None:
            if len(self._learned) >= _MAX_NAMESERVERS:  # other ones, after as many reloads
                self._learned.clear()
            learned = self._learned[nameserver] = _Learned()
        return learned
