"""The storm that lasts: many messages of many author domains, and what is left of them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import islice
from math import ceil

from alignd.mta.lookahead import QUESTIONS_AT_ONCE
from storm.mail import Kind, Left, Post
from storm.mail_path import AS_SHIPPED
from storm.run import Findings, Order, Outcome
from storm.service import run_alone, weigh
from tests.lab import cast
from tests.lab.message import ChangeSender, edited
from tests.lab.milter_client import Answer, MilterConnection, steps
from tests.lab.parallel import in_parallel
from tests.lab.processes import resident_memory
from tests.lab.protocol import Reply
from tests.lab.readiness import wait_until
from tests.lab.systemd import Service
from tests.lab.unbound import ROOT_RECORDS, run_unbound

AUTHOR_DOMAINS = 5_000
GROWTH = 8 * 2**20
"""Octets that resident memory may grow by after warm-up."""
_WARM = 0.3  # of the messages: by then every worker has met nearly every domain
_MESSAGES_PER_CONNECTION = 20
_WHOLE_COMPARISON = 10  # every tenth message
_STEPS_OF_PROGRESS = 20
_COUNTING = 30.0  # seconds, until the ledger has counted all
_WORKERS = 2

_CHANGES = (
    AS_SHIPPED.replace("workers = 0", f"workers = {_WORKERS}")
    + """\
[ledger]
url = "sqlite:///{directory}/ledger.sqlite"
watch = "0s"
"""
)


def endure(order: Order) -> Outcome:
    """Send all the messages over the milter protocol, and weigh alignd before and after."""
    domains = max(1, ceil(min(AUTHOR_DOMAINS, order.messages // 40) / len(Kind)))
    post = Post(order.seed, domains=domains)
    findings = Findings()
    with (
        run_unbound(post.zone() + ROOT_RECORDS) as port,
        run_alone(f"127.0.0.1:{port}", _CHANGES) as service,
    ):
        warm = int(order.messages * _WARM)
        wrong = _send(service.socket, post, range(warm), order)
        _await_count(service, warm)
        before, started = weigh(service), time.monotonic()
        of_ledger = resident_memory(service.ledger())
        wrong += _send(service.socket, post, range(warm, order.messages), order)
        rate = (order.messages - warm) / (time.monotonic() - started)
        counted = _await_count(service, order.messages)
        after, starts = weigh(service), service.starts
        ledger_growth = resident_memory(service.ledger()) - of_ledger
    findings.note(f"{order.messages} messages of {domains * len(Kind)} author domains")
    findings.hold(f"{wrong} not answered as promised", kept=wrong == 0)
    growth = after.memory - before.memory
    findings.hold(
        f"resident memory {before.memory / 2**20:.1f} MiB after warm-up, grew by "
        f"{growth / 2**20:.1f} MiB",
        kept=growth < GROWTH,
    )
    findings.hold(
        f"the ledger's process {of_ledger / 2**20:.1f} MiB, grew by "
        f"{ledger_growth / 2**20:.1f} MiB",
        kept=ledger_growth < GROWTH,
    )
    findings.hold(f"{counted} in the ledger", kept=counted == order.messages)
    findings.hold(
        f"{after.threads - before.threads} more threads",
        # A worker starts the threads that ask ahead as it needs them, and keeps them.
        kept=after.threads - before.threads <= _WORKERS * QUESTIONS_AT_ONCE,
    )
    findings.hold(
        f"{after.descriptors - before.descriptors} more descriptors",
        kept=after.descriptors <= before.descriptors,
    )
    findings.hold(f"{starts - 1} restarts", kept=starts == 1)
    findings.note(f"{rate:.0f} messages a second")
    return findings.outcome()


def _await_count(service: Service, messages: int) -> int:
    """Wait until so many are in the ledger; how many are, if it takes too long."""
    file = service.config_path.parent.parent / "ledger.sqlite"

    def counted() -> int:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            ((found,),) = database.execute("SELECT coalesce(sum(messages), 0) FROM hours")
            return int(found)

    def is_whole() -> bool:
        with suppress(sqlite3.OperationalError):  # it is being made
            return counted() >= messages
        return False

    with suppress(TimeoutError):
        wait_until(is_whole, "the ledger to count", _COUNTING)
    return counted()


def _send(socket: str, post: Post, numbers: range, order: Order) -> int:
    """Send these; how many were not answered as their kind is promised."""
    wrong: list[int] = []
    step = max(1, order.messages // _STEPS_OF_PROGRESS)

    def work(shared: Iterator[int]) -> None:
        while some := list(islice(shared, _MESSAGES_PER_CONNECTION)):
            with MilterConnection(socket) as mta:
                for number in some:
                    if not _is_promised(mta, post, number):
                        wrong.append(number)
                    if number % step == 0:
                        order.progress(number, order.messages)

    in_parallel(work, numbers)
    return len(wrong)


def _is_promised(mta: MilterConnection, post: Post, number: int) -> bool:
    letter = post.letter(number)
    message = (letter.envelope_sender, [cast.JULIA], letter.content)
    answer = mta.tell_at_once(steps(*message, queue_id=f"{number:X}", leading_blank=True))
    if answer.reply is not Reply.CONTINUE:
        return False
    if letter.kind is Kind.ALIGNED:
        return not answer.modifications
    # Edits are compared whole now and then, since that costs more than all of alignd.
    if number % _WHOLE_COMPARISON:
        return any(isinstance(each, ChangeSender) for each in answer.modifications)
    return _left(post, number, answer) in (Left.REWRITTEN, Left.ENVELOPE)


def _left(post: Post, number: int, answer: Answer) -> Left:
    letter = post.letter(number)
    senders = [each.address for each in answer.modifications if isinstance(each, ChangeSender)]
    message = edited(letter.content, answer.modifications, b"")
    return post.judge(number, [letter.envelope_sender, *senders][-1], message)
