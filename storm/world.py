"""The storm `world`: mail goes on while things happen to the machine around alignd.

Each fault has its share of the mail, of authors that alignd knows and of some that it has never
met, and accounts of its own. When the fault is over, authors that were never met are tried until
one is judged by its DNS again: nobody restarts or reloads anything.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from storm.accounts import Accounts, Balance
from storm.faults import AS_USER, FAULTS, Fault, World
from storm.mail import Post
from storm.mail_path import MailPath, memory_directory, run_mail_path
from storm.run import Findings, Order, Outcome
from tests.lab import fast_clock
from tests.lab.faulty_nameserver import FaultyNameserver
from tests.lab.log_pipe import run_log_pipe
from tests.lab.nameserver import run_nameserver
from tests.lab.readiness import open_directory, wait_until
from tests.lab.sink import Arrival
from tests.lab.stepped_clock import SteppedClock
from tests.lab.systemd import Surroundings

MESSAGES_PER_SECOND = 50
"""Half of what one worker takes alone, for the while in which another is not replaced."""
_LEAST_SECONDS = 2.0  # of a fault
_KNOWN_DOMAINS = 5  # of each kind
_WARMING = 200  # messages, so that each worker is likely to meet each domain
_UNKNOWN_SHARE = 5  # every fifth message is of a domain that was never met
_SETTLING = 60.0  # seconds
WAITED = 1.0
"""Seconds: what takes longer has waited, even on a machine that is busy."""
_MAY_WAIT, _MAY_WAIT_SHARE = 4, 0.01
"""Of the known: those that meet the trouble first, and what a busy machine makes late."""
BUDGET = 4.0
"""Seconds that an author who was never met may cost: [dns] timeout, on a machine that is busy."""
HEALED = 20.0
"""Seconds within which all processes run, and domains that were never met are judged again."""
_TRIES = 40
_DESCRIPTORS = 256  # so that a few hundred silent connections are too many
# Answers expire within a fault, as they would if it lasted hours.
_CHANGES = """\
[milter]
workers = 2
[dns]
nameservers = []
stale = "3d"
max_ttl = "1s"
archive = "{archive}"
"""
_TAG = re.compile(rb"^Message-ID: <\d+\.(\w+)@storm\.example>\r$", re.MULTILINE)
_SUBMITTED = re.compile(r"postfix/submission/smtpd\[\d+\]: (\w+): client=")
_MESSAGE_ID = re.compile(r"/cleanup\[\d+\]: (\w+): message-id=<\d+\.(\w+)@storm\.example>$")
_HANDED_ON = re.compile(r": (\w+): to=<.*? delays=[\d.]+/[\d.]+/([\d.]+)/([\d.]+), ")


@dataclass(frozen=True, slots=True)
class _Came:
    """What came of one fault."""

    fault: Fault
    known: Post
    stranger: Post
    """Authors that were never met."""
    balance: Balance
    strangers: Balance
    starts: int
    put_off: int
    healed_after: float | None
    """Seconds; None: not at all."""

    @property
    def needless(self) -> int:
        """How many were rewritten though their domain was known, or could be judged."""
        known = 0 if self.fault.archive_is_away else self.balance.overcautious
        return known + (self.strangers.overcautious if self.fault.dns_is_well else 0)


def world(order: Order) -> Outcome:
    """Have each fault in its turn while mail goes on."""
    chosen = [each for each in FAULTS if not order.only or each.name in order.only]
    warm = Post(order.seed, _KNOWN_DOMAINS)
    ledger = Ledger()
    findings = Findings()
    with run_world(ledger, _zone(warm, len(FAULTS))) as surroundings:
        accounts = ledger.open(warm)
        surroundings.path.send(warm, accounts, range(_WARMING))
        findings.hold("warmed up", kept=accounts.settle(_SETTLING).is_even)
        came = []
        for number, fault in enumerate(chosen):
            if obstacle := fault.needs(surroundings):
                findings.note(f"{fault.name} left out: {obstacle}")
                continue
            share = order.messages // len(chosen)
            came.append(_have(fault, surroundings, ledger, (order.seed, number), share))
            order.progress((number + 1) * share, order.messages)
        _add_all(findings, came, surroundings.path)
    return findings.outcome()


class Ledger:
    """The accounts of all the mail of the storm, found by what its Message-IDs end in."""

    def __init__(self) -> None:
        self._accounts: dict[bytes, Accounts] = {}

    def open(self, post: Post) -> Accounts:
        """Begin accounts of this mail."""
        return self._accounts.setdefault(f"{post.prefix}{post.seed}".encode(), Accounts(post))

    def arrive(self, arrival: Arrival) -> None:
        """A message has come out at the far end."""
        found = _TAG.search(arrival.message)
        if found and (accounts := self._accounts.get(found[1])):
            accounts.arrive(arrival)


def _zone(warm: Post, count: int) -> str:
    met_later = [_stranger(number) for number in range(count)]
    met_later += [_last_stranger(number) for number in range(count)]
    return warm.zone() + "".join(post.records() for post in met_later)


def _stranger(number: int, seed: int = 0) -> Post:
    return Post(seed, prefix=f"new{number}x")


def _last_stranger(number: int, seed: int = 0) -> Post:
    return Post(seed, domains=_TRIES, prefix=f"last{number}x")


def _have(
    fault: Fault, world: World, ledger: Ledger, seed_and_number: tuple[int, int], share: int
) -> _Came:
    """Have one fault over its share of the mail, and see how long its traces last."""
    seed, number = seed_and_number
    # Another seed, and so other Message-IDs, but the same authors.
    known, stranger = Post(1000 * seed + number, _KNOWN_DOMAINS), _stranger(number, seed)
    few = max(1, share // _UNKNOWN_SHARE)
    seconds = max(_LEAST_SECONDS, share / MESSAGES_PER_SECOND)
    processes = len(world.path.service.workers())
    starts, put_off = world.path.service.starts, world.path.times_put_off()
    senders = [
        threading.Thread(
            target=world.path.send,
            args=(post, ledger.open(post), range(count)),
            kwargs={"rate": count / seconds},
        )
        for post, count in ((known, max(1, share - few)), (stranger, few))
    ]
    with fault.play(world):
        for sender in senders:
            sender.start()
        over = time.monotonic() + seconds
        wait_until(lambda: time.monotonic() > over, "the fault to be over", seconds + 10)
    lifted = time.monotonic()
    for sender in senders:
        sender.join()
    # Should it have ended of the fault, it is started again.
    world.path.service.await_restart(world.path.service.starts - 1)
    judges = _judges(world, ledger, _last_stranger(number, seed))
    # Or the next fault would meet half a service.
    whole = f"{processes} processes after {fault.name}"
    wait_until(lambda: len(world.path.service.workers()) >= processes, whole, _SETTLING)
    healed = time.monotonic() - lifted if judges else None
    return _Came(
        fault,
        known,
        stranger,
        ledger.open(known).settle(_SETTLING),
        ledger.open(stranger).settle(_SETTLING),
        world.path.service.starts - starts,
        world.path.times_put_off() - put_off,
        healed,
    )


def _judges(world: World, ledger: Ledger, post: Post) -> bool:
    """Try authors that were never met until one is judged by its DNS; whether one was."""
    accounts = ledger.open(post)
    for number in range(1, 4 * _TRIES, 4):  # each is of another domain, which would pass
        world.path.send(post, accounts, range(number, number + 1))
        if accounts.settle(_SETTLING).overcautious == number // 4:
            return True
    return False


def _add_all(findings: Findings, came: Sequence[_Came], path: MailPath) -> None:
    for text, balances in (
        ("", [each.balance for each in came]),
        ("of authors that were never met", [each.strangers for each in came]),
    ):
        if text:
            findings.note(text)
        findings.add(_sum(balances), cautious=True)
    needless = sum(each.needless for each in came)
    findings.hold(f"{needless} of all rewritten needlessly", kept=not needless)
    waits = _seconds_at_alignd(path.postfix.log())
    for each in came:
        _add(findings, each, waits)
    findings.hold(
        f"{path.service.watchdog_kills} restarts by the watchdog",
        kept=not path.service.watchdog_kills,
    )


def _add(findings: Findings, came: _Came, waits: Mapping[str, Sequence[float]]) -> None:
    """Add the line of one fault, with what was not as it has to be."""
    known, strangers = (
        waits.get(f"{each.prefix}{each.seed}", ()) for each in (came.known, came.stranger)
    )
    slowest, late = max(known, default=0.0), sum(each > WAITED for each in known)
    may_wait = max(_MAY_WAIT, _MAY_WAIT_SHARE * len(known))
    too_late = sum(each > BUDGET for each in strangers)
    healed = came.healed_after
    said = f"{came.fault.name}: slowest known {slowest:.1f} s"
    said += f", other {max(strangers, default=0.0):.1f} s"
    said += f", {came.put_off} put off" if came.put_off else ""
    said += f", well again after {healed:.1f} s" if healed else ", not well again"
    faults = [
        f"{late} known over {WAITED:g} s" if late > may_wait else "",
        f"{too_late} others over {BUDGET:g} s" if too_late else "",
        f"{came.starts} restarts" if came.starts else "",
        "" if came.balance.is_even and came.strangers.is_even else "not even",
        f"{came.needless} rewritten needlessly" if came.needless else "",
        "" if healed and healed <= HEALED else "does not heal",
    ]
    wrong = ", ".join(each for each in faults if each)
    findings.hold(f"{said} ({wrong})" if wrong else said, kept=not wrong)


def _sum(balances: Sequence[Balance]) -> Balance:
    names = Balance.__dataclass_fields__
    return Balance(**{name: sum(getattr(each, name) for each in balances) for name in names})


def _seconds_at_alignd(log: str) -> dict[str, list[float]]:
    """How long each try to hand a message over to alignd took, by the end of its Message-ID."""
    submitted = {found[1] for found in _SUBMITTED.finditer(log)}
    tags: dict[str, str] = {}
    waits: defaultdict[str, list[float]] = defaultdict(list)
    for line in log.splitlines():
        if found := _MESSAGE_ID.search(line):
            tags[found[1]] = found[2]
        elif (found := _HANDED_ON.search(line)) and found[1] in submitted and found[1] in tags:
            waits[tags[found[1]]].append(float(found[2]) + float(found[3]))
    return waits


@contextmanager
def run_world(ledger: Ledger, zone: str) -> Iterator[World]:
    """Run a mail path, and around it a machine of its own: /etc, clock, nameservers, log."""
    first, second = FaultyNameserver(1), FaultyNameserver(2)
    with (
        open_directory(memory_directory()) as directory,
        run_log_pipe(directory / "log.pipe", directory / "alignd.log") as log_pipe,
        run_nameserver(first, host=_host(1), port=53),
        run_nameserver(second, host=_host(2), port=53),
    ):
        etc, state = directory / "etc", directory / "state"
        shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True)
        state.mkdir()
        state.chmod(0o777)
        has_clock = fast_clock.obstacle() is None
        world = World(
            etc / "resolv.conf",
            [first, second],
            state / "dns.sqlite",
            log_pipe,
            SteppedClock(directory) if has_clock else None,
        )
        for nameserver in world.nameservers:
            nameserver.serve(zone)
        world.resolv_conf.unlink(missing_ok=True)
        world.name(first)
        with run_mail_path(
            ledger.arrive,
            changes=_CHANGES.format(archive=world.archive),
            surroundings=_surroundings(world, etc),
        ) as world.path:
            yield world


def _host(number: int) -> str:
    """An address of the loopback network that no other run has: resolv.conf names no ports."""
    return f"127.{53 + number}.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"


def _surroundings(world: World, etc: Path) -> Surroundings:
    """What alignd is started in: its own /etc, few descriptors, and a user that is not root."""
    hidden = ["unshare", "--mount", "--", "sh", "-c", 'mount --bind "$0" /etc && exec "$@"']
    few = ["prlimit", f"--nofile={_DESCRIPTORS}", "--"]
    # Not root, but with the right to read what root has installed.
    user = [*AS_USER, "--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--"]
    environment = {"PYTHONDONTWRITEBYTECODE": "1"}
    if world.clock:
        environment |= world.clock.environment
    return Surroundings(
        under=[*hidden, str(etc), *few, *user], environment=environment, log_pipe=world.log_pipe
    )
