"""The storm of poison: each message is answered for, soon, and none is tried again and again.

It goes through the queue-first layout, with Postfix's own limits and line breaking. A message is
over when Postfix has sent or bounced it; one that is put off twice is one that alignd cannot
answer. Every few thousand messages all begins anew, so that a million of them need no more room:

    python -m storm poison --messages 1000000
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from storm.mail import Kind, Post
from storm.mail_path import AS_SHIPPED, MailPath, run_mail_path
from storm.poisons import poison
from storm.run import Findings, Order, Outcome
from tests.lab.layouts import SUBMISSION
from tests.lab.load import Parcel
from tests.lab.parallel import in_parallel
from tests.lab.readiness import wait_until
from tests.lab.submission import SmtpClient

BOUND = 10.0  # seconds that Postfix may wait for alignd's answer, on a machine under load
_ROUND = 5_000  # messages
_SESSIONS = 4
_PATIENCE = 300.0  # seconds for the end of a round
# Postfix's own, where the relay of all tests has other values.
_SETTINGS = """\
header_size_limit = 102400
smtp_line_length_limit = 998
disable_mime_output_conversion = no
"""
_VERIFYING = '[dkim]\nverify = true\ntrusted_authserv_ids = ["relay.example"]\n'
_END = re.compile(r": (\w+): to=<.*? delays=[\d.]+/[\d.]+/[\d.]+/([\d.]+), .*?status=(\w+) ")


@dataclass(slots=True)
class _Count:
    """What became of the messages so far."""

    sent: int = 0
    refused: int = 0
    bounced: int = 0
    put_off: int = 0
    put_off_twice: list[str] = field(default_factory=list)
    actions: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    longest_judgement: float = 0.0
    unanswered: int = 0
    failures: Counter[str] = field(default_factory=Counter)


def brew(order: Order) -> Outcome:
    """Send every message, and count how each ended."""
    count, post = _Count(), Post(order.seed)
    for number, start in enumerate(range(0, order.messages, _ROUND)):
        numbers = range(start, min(start + _ROUND, order.messages))
        changes = AS_SHIPPED + (_VERIFYING if number % 2 else "")
        with run_mail_path(lambda _: None, changes=changes, settings=_SETTINGS) as path:
            path.nameserver.serve(post.zone())
            taken = _send(path, post, order, numbers, count)
            _follow(path, taken, count)
        order.progress(numbers.stop, order.messages)
    return _outcome(count)


def _send(
    path: MailPath, post: Post, order: Order, numbers: range, count: _Count
) -> frozenset[str]:
    """Send these messages; return the queue ids of those that Postfix took."""
    taken: list[str] = []

    def work(shared: Iterator[int]) -> None:
        for number in shared:
            with SmtpClient(path.postfix.ports[SUBMISSION]) as client:
                parcel = _parcel(post, order.seed, number)
                reply = client.send(parcel.envelope_sender, parcel.recipients, parcel.content)
            if reply.is_taken:
                taken.append(reply.queue_id)
            else:
                count.refused += 1  # by Postfix, before alignd has seen it

    in_parallel(work, numbers, threads=_SESSIONS)
    return frozenset(taken)


def _parcel(post: Post, seed: int, number: int) -> Parcel:
    chance = random.Random(f"{seed}/poison/{number}")
    domain = post.domain(chance.choice(tuple(Kind)), chance.randrange(post.domains))
    return poison(f"agent{number}@{domain}", chance, number)


def _follow(path: MailPath, taken: frozenset[str], count: _Count) -> None:
    """Wait until each message has left or bounced, and count."""
    ends: dict[str, str] = {}

    def are_over() -> bool:
        found = _END.finditer(path.postfix.log())
        ends.update((end[1], end[3]) for end in found if end[3] != "deferred")
        return taken <= ends.keys()

    try:
        wait_until(are_over, "every message to be over", _PATIENCE)
    except TimeoutError:
        count.unanswered += len(taken - ends.keys())
    log = path.postfix.log()
    tries = Counter(end[1] for end in _END.finditer(log) if end[3] == "deferred")
    # Each recipient has a line, and all of them wait for one answer.
    recipients = Counter(end[1] for end in _END.finditer(log) if end[3] != "deferred")
    late = {each: tried / max(1, recipients[each]) for each, tried in tries.items()}
    count.put_off += sum(each in taken for each in late)
    count.put_off_twice += [each for each, times in late.items() if times > 1 and each in taken]
    count.slowest = max(
        [count.slowest, *(float(end[2]) for end in _END.finditer(log) if end[1] in taken)]
    )
    _count_ends(ends, taken, count)
    logged = path.logged()
    count.actions.update(each.action for each in logged)
    count.longest_judgement = max(
        [count.longest_judgement, *(each.milliseconds / 1000 for each in logged)]
    )
    for sign in ("action=fallback", "action=tempfail", "worker ended", "worker is silent"):
        count.failures[sign] += path.service.log().count(sign)
    count.failures["panic"] += log.count("panic:")


def _count_ends(ends: dict[str, str], taken: frozenset[str], count: _Count) -> None:
    of_taken = Counter(ends.get(each, "") for each in taken)
    count.sent += of_taken["sent"]
    count.bounced += of_taken["bounced"]


def _outcome(count: _Count) -> Outcome:
    findings = Findings()
    findings.note(f"{count.sent} sent on")
    findings.note(f"{count.bounced} bounced")
    findings.note(f"{count.refused} refused by Postfix itself")
    findings.note(", ".join(f"{number} {each}" for each, number in sorted(count.actions.items())))
    promise = partial(_hold_none, findings.hold)
    promise(count.unanswered, "without an end")
    promise(len(count.put_off_twice), "put off twice")
    findings.note(f"{count.put_off} put off once")
    for sign, number in count.failures.items():
        promise(number, sign)
    findings.note(f"longest judgement {count.longest_judgement:.2f} s")
    findings.hold(f"longest answer {count.slowest:.1f} s", kept=count.slowest <= BOUND)
    findings.hold("all actions seen", kept={"rewrite", "pass", "refuse"} <= count.actions.keys())
    return findings.outcome()


def _hold_none(hold: Callable[..., None], number: int, what: str) -> None:
    hold(f"{number} {what}", kept=number == 0)
