"""What alignd costs a relay: Postfix alone, and with milters; over unix sockets and over TCP."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cast
from tests.lab.postfix import Postfix, run_relay
from tests.lab.readiness import wait_until

ALONE = "Postfix alone"
SESSIONS = 10
_MESSAGES = 2_000  # of one run
_ONE_BY_ONE = 200
_SIZE = "3000"  # octets
_ROUNDS = 5
_PATIENCE = 120  # seconds
# Of ten sessions, about a third sends what has to be rewritten.
_SENDERS = (
    ("agent@unaligned0.authors.example", 3),
    ("agent@aligned1.authors.example", 4),
    ("agent@aligned2.authors.example", 3),
)
# What the mail would cost on its way out is not asked here.
_SETTINGS = "default_transport = discard:\nrelayhost =\n"
_RELAY_PORT = 25  # of nobody

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Relay:
    """What Postfix does with one milter."""

    name: str
    rate: float
    """Messages a second, taken over ten sessions and seen to their end."""
    one: float
    """Milliseconds of one message after another in one session."""


class RelayError(RuntimeError):
    """Postfix did not take the mail; the text says with which milter."""


def measure(milters: Mapping[str, str], directory: Path, tell: Tell) -> list[Relay]:
    """Have one Postfix take mail through each of *milters*: sockets by name, "" for none.

    The median of five rounds, by turns; the queue is in *directory*.

    Raises:
        RelayError: a milter did not let it.
    """
    with run_relay(milters, _RELAY_PORT, settings=_SETTINGS, parent=directory) as postfix:
        rates: dict[str, list[float]] = {name: [] for name in milters}
        ones: dict[str, list[float]] = {name: [] for name in milters}
        for number in range(-1, _ROUNDS):  # the first is for warming up
            tell(f"through Postfix, round {number + 1} of {_ROUNDS}")
            for name in milters:
                rate, one = _take(postfix, name), _one_by_one(postfix, name)
                if number >= 0:
                    rates[name].append(rate)
                    ones[name].append(one)
    median = statistics.median
    return [Relay(name, median(rates[name]), median(ones[name])) for name in milters]


def _take(postfix: Postfix, name: str) -> float:
    """Send over ten sessions, and have the queue empty; messages a second."""
    port = postfix.ports[name]
    started = time.monotonic()
    sources = [
        subprocess.Popen(_source(port, sender, sessions, _MESSAGES * sessions // SESSIONS))
        for sender, sessions in _SENDERS
    ]
    for source in sources:
        if source.wait() != 0:
            raise RelayError(f"smtp-source: status {source.returncode} with {name}")
    # What is still under way would be work of the next run.
    wait_until(postfix.has_delivered, f"Postfix to be done with {name}", _PATIENCE)
    return _MESSAGES / (time.monotonic() - started)


def _one_by_one(postfix: Postfix, name: str) -> float:
    """Send one after another; milliseconds of one."""
    sender = _SENDERS[0][0]  # one that costs the most
    started = time.monotonic()
    subprocess.run(_source(postfix.ports[name], sender, 1, _ONE_BY_ONE), check=True)
    return (time.monotonic() - started) / _ONE_BY_ONE * 1000


def _source(port: int, sender: str, sessions: int, messages: int) -> list[str]:
    counts = ("-s", str(sessions), "-m", str(messages), "-l", _SIZE)
    to = ("-f", sender, "-t", cast.JULIA, f"inet:127.0.0.1:{port}")
    # Bounded by a program: where Python waits for a time, it looks every 50 ms only.
    return ["timeout", "--foreground", str(_PATIENCE), "/usr/sbin/smtp-source", *counts, *to]
