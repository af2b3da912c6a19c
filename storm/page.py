"""The page of what came of the storms: docs/storms.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from storm.run import Outcome, Result
from tests.lab import machine

_INTRODUCTION = """\
# Storms

What `make storm` saw last: alignd under failure, load and change. Mail goes through a real \
Postfix, in the queue-first layout (`conf/postfix/queue-first/`) unless the line says otherwise, \
with the queue in memory. Every message is known by its Message-ID and looked at as it arrives: \
*lost* was taken and never arrived, *unrewritten* left as it came though it had to be rewritten, \
*half-changed* is anything between. *Put off* is what Postfix tried again by itself.

Times that an operator has in minutes are in seconds here: Postfix tries again after 3 s \
(30 s in `conf/postfix/`), what ended is started again at once (`RestartSec=1s` in the unit), and \
in the outage of DNS answers expire after 1 s (an hour by default).

"""
_LEGEND = """
A macro packet with an odd number of strings is the one kind of nonsense that ends a worker: \
`smfi_getsymval` of libmilter 8.17 steps over pairs of strings and reads past an odd end. No MTA \
sends one. They are sent last, and counted apart: the supervisor replaces the worker, and what it \
was serving is a temporary failure for Postfix.

The p99 of the outage is of all messages that came once the last worker's breaker was open. In \
the endurance every 10th message is compared whole, the others by the kind of answer.

What could not be held, and why:

* With DNS and the archive away at once, a worker knows the domains that it has met itself; mail \
of others is rewritten, to be safe.
* Until a changed resolv.conf is followed, for two to three seconds, mail of authors never met \
waits for `dns.timeout` and is rewritten.
* While a worker cannot be replaced, the others' capacity is the limit: with one on two shared \
cores, at 100 messages a second, known mail waited up to 2.7 s.
* A nameserver that lies, such as one that says of every name that it does not exist, is believed.
* Where standard error is a file on a disk that stalls, the supervisor waits for its own lines, \
and the watchdog starts the service again; workers do not wait.
* A local process that negotiates `milter.max_connections` times keeps others out until \
`milter.idle_timeout`: keep the socket to Postfix.

In `world` the clock is that of alignd's processes alone, since a machine has one for all.
"""


def write_page(path: Path, results: Sequence[Result]) -> None:
    """Write the page of these results."""
    path.parent.mkdir(exist_ok=True)
    lines = ["| storm | held | what came of it | time |\n|---|---|---|---|\n"]
    lines += [_row(result) for result in results]
    commands = [_command(result) for result in results]
    repeat = "\nEach line is repeated by\n\n```sh\n" + "".join(commands) + "```\n"
    path.write_text(f"{_INTRODUCTION}{machine.described()}\n" + "".join(lines) + _LEGEND + repeat)


def _row(result: Result) -> str:
    held = "**no**" if result.outcome.broken else "yes"
    shown = "; ".join((*result.outcome.figures, *_early(result.outcome)))
    what = f"**{result.storm.name}**: {result.order.messages:,}, {result.storm.claim}"
    return f"| {what} | {held} | {shown} | {result.seconds:.0f} s |\n"


def _early(outcome: Outcome) -> tuple[str, ...]:
    return tuple(promise for promise in outcome.broken if promise not in outcome.figures)


def _command(result: Result) -> str:
    order = result.order
    name = result.storm.name
    return f"python -m storm {name} --messages {order.messages} --seed {order.seed}\n"
