"""Storms over DNS: silent, slow, lossy and failing while mail goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from math import ceil

from storm.accounts import Accounts
from storm.mail import Kind, Left, Post
from storm.mail_path import Logged, MailPath, run_mail_path
from storm.run import Findings, Order, Outcome
from tests.lab.faulty_nameserver import Fault, FaultyNameserver
from tests.lab.readiness import wait_until
from tests.lab.sink import Arrival

MESSAGES_PER_SECOND = 42
"""So 5,000 messages take the two minutes of the outage."""
FAST_ENOUGH = 50.0  # milliseconds
BUDGET = 2_000.0  # milliseconds, the default of [dns] timeout
_UNKNOWN_SHARE = 5  # every fifth message is of a domain that was never met
_WARMING = 200  # messages, so that each domain is met
_SETTLING = 60.0  # seconds

# Answers expire within the outage, as they would if it lasted hours.
_CHANGES = """\
[milter]
workers = 0
[dns]
stale = "3d"
max_ttl = "1s"
archive = "{directory}/dns.sqlite"
"""
_REWRITTEN = dict.fromkeys(Kind, Left.REWRITTEN)


def outage(order: Order) -> Outcome:
    """Silence DNS while mail of known and of unknown domains goes on."""
    known, unknown = Post(order.seed), Post(order.seed, prefix="new")
    warm = Post(order.seed + 1)
    accounts = [Accounts(warm), Accounts(known), Accounts(unknown, _REWRITTEN)]
    nameserver = FaultyNameserver(order.seed)
    findings = Findings()
    with run_mail_path(_enter_in(accounts), nameserver=nameserver, changes=_CHANGES) as mail_path:
        nameserver.serve(known.zone() + unknown.records())
        mail_path.send(warm, accounts[0], range(min(_WARMING, order.messages)))
        findings.hold("warmed up", kept=accounts[0].settle(_SETTLING).is_even)
        nameserver.fault = Fault.SILENT
        first, steady = _through_outage(mail_path, order, (known, unknown), accounts[1:])
        findings.note(f"DNS silent for {order.messages / MESSAGES_PER_SECOND:.0f} s")
        findings.add(accounts[1].settle(_SETTLING))
        findings.note("of unknown domains")
        findings.add(accounts[2].settle(_SETTLING))
        put_off = mail_path.times_put_off()
    tempfails = sum(each.action == "tempfail" for each in (*first, *steady))
    findings.hold(f"{put_off + tempfails} temporary failures", kept=not put_off + tempfails)
    within = percentile(steady, 0.99)
    findings.hold(f"p99 {within:.1f} ms once the breaker is open", kept=within < FAST_ENOUGH)
    findings.note(f"slowest {percentile((*first, *steady), 1):.0f} ms, when it began")
    return findings.outcome()


def bad_dns(order: Order) -> Outcome:
    """Let mail meet a nameserver that is slow, then one that loses, then one that fails."""
    nameserver = FaultyNameserver(order.seed)
    findings = Findings()
    accounts: list[Accounts] = []
    faults = (Fault.SLOW, Fault.LOSSY, Fault.FAILING)
    with run_mail_path(_enter_in(accounts), nameserver=nameserver) as mail_path:
        for number, fault in enumerate(faults):
            post = Post(order.seed, domains=100, prefix=f"dns{number}")
            accounts.append(Accounts(post))
            nameserver.fault = fault
            nameserver.serve(post.zone())
            position = mail_path.log_position()
            mail_path.send(post, accounts[-1], range(order.messages // len(faults)))
            findings.note(fault.value)
            findings.add(accounts[-1].settle(_SETTLING), cautious=True)
            slowest = percentile(mail_path.logged(position), 1)
            findings.hold(f"slowest {slowest:.0f} ms", kept=slowest <= BUDGET)
            order.progress((number + 1) * order.messages // len(faults), order.messages)
    return findings.outcome()


def _through_outage(
    mail_path: MailPath, order: Order, posts: Sequence[Post], accounts: Sequence[Accounts]
) -> tuple[list[Logged], list[Logged]]:
    """Send all the mail at its pace; what was logged until the breaker was open, and then."""
    unknown = order.messages // _UNKNOWN_SHARE
    shares = (order.messages - unknown, unknown)
    senders = [
        threading.Thread(
            target=mail_path.send,
            args=(post, its_accounts, range(share)),
            kwargs={"rate": MESSAGES_PER_SECOND * share / order.messages},
        )
        for post, its_accounts, share in zip(posts, accounts, shares, strict=True)
    ]
    begin = mail_path.log_position()
    for sender in senders:
        sender.start()
    try:
        opened = _await_breakers(mail_path, begin, order.messages / MESSAGES_PER_SECOND)
    finally:
        for sender in senders:
            sender.join()
    order.progress(order.messages, order.messages)
    for each in accounts:
        each.settle(_SETTLING)
    return mail_path.logged(begin, opened), mail_path.logged(opened)


def _await_breakers(mail_path: MailPath, begin: int, seconds: float) -> int:
    """Where the log ends once every breaker is open and what was waiting is answered.

    Until a breaker opens, messages ask as usual: one silent domain is no outage.
    """
    workers = len(mail_path.service.workers())

    def all_open() -> bool:
        return mail_path.service.log(begin).count("DNS is down: ") >= workers

    wait_until(all_open, "the breaker of every worker to open", seconds)
    answered = time.monotonic() + BUDGET / 1000
    wait_until(lambda: time.monotonic() > answered, "what was waiting", BUDGET / 1000 + 10)
    return mail_path.log_position()


def _enter_in(accounts: Sequence[Accounts]) -> Callable[[Arrival], None]:
    def enter(arrival: Arrival) -> None:
        for each in accounts:
            each.arrive(arrival)

    return enter


def percentile(logged: Sequence[Logged], share: float) -> float:
    """The milliseconds within which this *share* of the messages was done; 0 if none was."""
    times = sorted(each.milliseconds for each in logged)
    return times[max(0, ceil(len(times) * share) - 1)] if times else 0.0
