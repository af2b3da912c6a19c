"""Storms over alignd's processes: restarted, reloaded, killed and stopped under load."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from storm.accounts import Accounts
from storm.mail import Post
from storm.mail_path import run_mail_path
from storm.run import Findings, Order, Outcome
from tests.lab.readiness import wait_until
from tests.lab.systemd import Service

EVENTS = 50
_MESSAGES_PER_EVENT = 100  # a smaller storm has fewer events
_SETTLING = 60.0  # seconds without any arrival, then what is missing is lost
_WATCHDOG_SECONDS = 30.0
"""As the unit has it: what is stopped stays so for as long."""
_SHORT_WATCHDOG_SECONDS = 3.0

Event = Callable[[Service], None]


def restart_and_reload(order: Order) -> Outcome:
    """Restart and reload alignd by turns, evenly over the load."""
    count = _events(order)
    findings = Findings()
    _play(order, findings, [_restart, _reload] * count)
    findings.note(f"{count} restarts, {count} reloads")
    return findings.outcome()


def kill(order: Order) -> Outcome:
    """Kill a worker and the supervisor by turns, and never wait for what comes after."""
    count = _events(order)
    findings = Findings()
    chosen = random.Random(order.seed)
    _play(
        order,
        findings,
        [lambda service: _kill_worker(service, chosen), _kill_supervisor] * count,
    )
    findings.note(f"{count} workers and {count} supervisors killed")
    return findings.outcome()


def stop(order: Order) -> Outcome:
    """Stop a worker, and then all of alignd, until each is replaced; in short, only the latter."""
    findings = Findings()
    is_short = order.messages < EVENTS * _MESSAGES_PER_EVENT
    watchdog = _SHORT_WATCHDOG_SECONDS if is_short else _WATCHDOG_SECONDS
    seen: list[str] = []
    events: list[Event] = [lambda service: seen.append(_stop_all(service))]
    if not is_short:  # the supervisor takes ten seconds to lose its patience
        events.insert(0, lambda service: seen.append(_stop_worker(service)))
    _play(order, findings, events, watchdog)
    for line in seen:
        findings.note(line)
    return findings.outcome()


def inline(order: Order) -> Outcome:
    """Restart, reload and kill alignd by turns, where only the client tries again."""
    count = max(1, _events(order) // 2)
    findings = Findings()
    chosen = random.Random(order.seed)
    turns = [
        _restart,
        _reload,
        lambda service: _kill_worker(service, chosen),
        _kill_supervisor,
    ]
    _play(order, findings, turns * count, layout="inline")
    findings.note(
        f"{count} restarts, {count} reloads, {count} workers and {count} supervisors killed"
    )
    return findings.outcome()


def _events(order: Order) -> int:
    return max(1, min(EVENTS, order.messages // (2 * _MESSAGES_PER_EVENT)))


def _play(
    order: Order,
    findings: Findings,
    events: Sequence[Event],
    watchdog: float = _WATCHDOG_SECONDS,
    layout: str = "queue-first",
) -> None:
    """Send the mail, have each event at its point of the way, and add up."""
    post = Post(order.seed)
    accounts = Accounts(post)
    with run_mail_path(accounts.arrive, watchdog=watchdog, layout=layout) as mail_path:
        mail_path.nameserver.serve(post.zone())
        started = time.monotonic()
        sender = threading.Thread(
            target=mail_path.send, args=(post, accounts, range(order.messages))
        )
        sender.start()
        try:
            _have(events, mail_path.service, accounts, order)
        finally:
            sender.join()
        balance = accounts.settle(_SETTLING)
        order.progress(accounts.arrived, order.messages)
        findings.add(balance, may_refuse=layout == "inline")
        findings.note(f"{mail_path.times_put_off()} times put off")
        seconds = time.monotonic() - started
        findings.note(f"{balance.accepted / seconds:.0f} messages a second")


def _have(events: Iterable[Event], service: Service, accounts: Accounts, order: Order) -> None:
    planned = list(events)
    for number, event in enumerate(planned, start=1):
        accounts.wait_for(number * order.messages // (len(planned) + 1))
        order.progress(accounts.arrived, order.messages)
        event(service)


def _restart(service: Service) -> None:
    service.restart()


def _reload(service: Service) -> None:
    service.reload()


def _kill_worker(service: Service, chosen: random.Random) -> None:
    with suppress(ProcessLookupError, IndexError):
        os.kill(chosen.choice(service.workers()), signal.SIGKILL)


def _kill_supervisor(service: Service) -> None:
    starts = service.starts
    os.kill(service.main_pid, signal.SIGKILL)
    service.await_restart(starts)


def _stop_worker(service: Service) -> str:
    stopped, started = service.workers()[0], time.monotonic()
    os.kill(stopped, signal.SIGSTOP)
    wait_until(lambda: stopped not in service.workers(), "the worker to be replaced", timeout=30)
    return f"a stopped worker replaced after {time.monotonic() - started:.0f} s"


def _stop_all(service: Service) -> str:
    starts, kills, started = (
        service.starts,
        service.watchdog_kills,
        time.monotonic(),
    )
    for pid in [service.main_pid, *service.workers()]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    service.await_restart(starts)
    count = service.watchdog_kills - kills
    seconds = time.monotonic() - started
    by = "the watchdog" if count else "itself"
    return f"all of it stopped, replaced after {seconds:.0f} s by {by}"
