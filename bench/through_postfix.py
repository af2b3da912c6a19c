"""What alignd costs a relay: Postfix alone, and with milters; over unix sockets and over TCP."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.postfix import Postfix, run_postfix
from tests.support.readiness import free_ports, listens, wait_until

ALONE = "Postfix alone"
SESSIONS = 10
_MESSAGES = 1_500  # of one run
_ONE_BY_ONE = 100
_SIZE = "3000"  # octets
_ROUNDS = 5
_PATIENCE = 120  # seconds
# Of ten sessions, about a third sends what has to be rewritten.
_SENDERS = (
    ("agent@unaligned0.authors.example", 3),
    ("agent@aligned1.authors.example", 4),
    ("agent@aligned2.authors.example", 3),
)
# The default waits for a reply that comes late with 100 ms and more.
_SETTINGS = "smtpd_client_message_rate_limit = 0\n"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Relay:
    """What Postfix does with one milter."""

    name: str
    rate: float
    """Messages a second that it takes over ten sessions."""
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
    with (
        _run_sink() as sink_port,
        run_postfix(milters, sink_port, settings=_SETTINGS, parent=directory) as postfix,
    ):
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
    """Send over ten sessions; messages a second."""
    port = postfix.ports[name]
    started = time.monotonic()
    sources = [
        subprocess.Popen(_source(port, sender, sessions, _MESSAGES * sessions // SESSIONS))
        for sender, sessions in _SENDERS
    ]
    for source in sources:
        if source.wait(_PATIENCE) != 0:
            raise RelayError(f"smtp-source: status {source.returncode} with {name}")
    return _MESSAGES / (time.monotonic() - started)


def _one_by_one(postfix: Postfix, name: str) -> float:
    """Send one after another; milliseconds of one."""
    sender = _SENDERS[0][0]  # one that costs the most
    started = time.monotonic()
    command = _source(postfix.ports[name], sender, 1, _ONE_BY_ONE)
    subprocess.run(command, check=True, timeout=_PATIENCE)
    return (time.monotonic() - started) / _ONE_BY_ONE * 1000


def _source(port: int, sender: str, sessions: int, messages: int) -> list[str]:
    counts = ("-s", str(sessions), "-m", str(messages), "-l", _SIZE)
    to = ("-f", sender, "-t", "julia@customer.example", f"inet:127.0.0.1:{port}")
    return ["/usr/sbin/smtp-source", *counts, *to]


@contextmanager
def _run_sink() -> Iterator[int]:
    (port,) = free_ports(1)
    sink = subprocess.Popen(["/usr/sbin/smtp-sink", "-u", "nobody", f"127.0.0.1:{port}", "1000"])
    try:
        wait_until(lambda: listens(port), "smtp-sink to listen")
        yield port
    finally:
        sink.terminate()
        sink.wait()
