"""The storm `return`: answers and bounces come back while `alignd return` and its keys suffer.

As many messages go out meanwhile, through the same Postfix, whose recipients must not depend on
the map of return addresses.
"""

from __future__ import annotations

import os
import secrets
import signal
import smtplib
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from alignd.mail.domain import Domain
from alignd.return_path.directory import Directory, DomainOfReturn
from alignd.return_path.keyring import Keyring, KeyState, id_of
from storm.accounts import Accounts
from storm.answers import ZONE, Answers, ReturnAccounts, ReturnBalance
from storm.mail import Post
from storm.mail_path import MailPath, memory_directory
from storm.run import Findings, Order, Outcome
from tests.lab import cast
from tests.lab.layouts import SUBMISSION, run_layout
from tests.lab.nameserver import run_nameserver
from tests.lab.parallel import in_parallel
from tests.lab.processes import calls_itself, session_members
from tests.lab.readiness import free_ports, open_directory, wait_until
from tests.lab.settings import configuration
from tests.lab.sink import Arrival, run_sink
from tests.lab.submission import SmtpClient
from tests.lab.systemd import Service, Surroundings, run_service

_CHANGES = """\
[milter]
workers = 2
[dns]
min_ttl = "5s"
stale = "3d"
[return]
keys = "{keys}"
socket = "unix:{directory}/map.sock"
metrics = ""
milter = "{milter}"
"""
# What the layout `return` has: only addresses of the return domain depend on the map.
_MAIN = """\
virtual_alias_domains = {domain}
virtual_alias_maps = inline:{{ {{ {notifications} = shared@sink.example }} \
{{ {bounces} = shared@sink.example }} }}, pipemap:{{ regexp:{directory}/return-domain, \
proxy:socketmap:unix:{directory}/map.sock:return }}
"""
_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
  -o {{ smtpd_milters = {{ {milter}, default_action=tempfail }} }}
  -o {{ smtpd_relay_restrictions = reject_unauth_destination }}
  -o {{ mynetworks = }}
"""
_WARMING = 200  # messages
_SESSIONS = 8
_PAUSE = 0.25  # seconds before a message that was put off is tried again
_TROUBLE = 2.0  # seconds that keys are away
_SETTLING = 60.0
_PROBES_APART = 0.02  # seconds
_NEVER_LONGER = 1.0  # seconds, of an outbound RCPT

Event = Callable[["_Scene"], None]


@dataclass(slots=True)
class _Keys:
    """The file of keys, as the services find it, and the key that signs."""

    path: Path
    lines: list[tuple[KeyState, bytes]] = field(default_factory=list)

    @classmethod
    def make(cls, path: Path) -> _Keys:
        """Make the file, with a key that signs."""
        keys = cls(path, [(KeyState.SIGN, secrets.token_bytes(32))])
        keys.write()
        return keys

    @property
    def ring(self) -> Keyring:
        """What is in the file."""
        return Keyring.parse(self.text)

    @property
    def text(self) -> str:
        """The text of the file."""
        return "".join(f"{state.value} {secret.hex()}\n" for state, secret in self.lines)

    def write(self, text: str | None = None) -> None:
        """Replace the file in one step, as an editor does."""
        new = self.path.with_suffix(".new")
        new.write_text(self.text if text is None else text)
        new.chmod(0o600)
        new.rename(self.path)

    def add(self) -> None:
        """Add a key that is accepted, with another id than those that are there."""
        ids = {id_of(secret) for _, secret in self.lines}
        while id_of(secret := secrets.token_bytes(32)) in ids:
            pass
        self.lines.append((KeyState.ACCEPT, secret))
        self.write()

    def sign_with_newest(self) -> None:
        """Have the key that was added last sign, and the others be accepted."""
        *others, newest = (secret for _, secret in self.lines)
        self.lines = [(KeyState.ACCEPT, secret) for secret in others]
        self.lines.append((KeyState.SIGN, newest))
        self.write()


@dataclass(frozen=True, slots=True)
class _Scene:
    """What an event has at hand."""

    path: MailPath
    back: Service
    keys: _Keys
    port: int
    """Where the world sends what comes back."""
    accounts: ReturnAccounts
    outbound: Accounts
    warm: Accounts
    """Of outbound mail that comes first, so that its domains are known."""

    def map_process(self) -> int:
        """The process id of the one that answers Postfix."""
        (owner,) = (
            pid for pid in session_members(self.back.main_pid) if calls_itself(pid, "alignd: map")
        )
        return owner


def way_back(order: Order) -> Outcome:
    """Send half of the messages out and have half come back, with all events on the way."""
    findings = Findings()
    with _scene(order.seed) as scene:
        count, accounts, outbound = order.messages // 2, scene.accounts, scene.outbound
        scene.path.send(scene.warm.post, scene.warm, range(_WARMING))
        findings.hold("warmed up", kept=scene.warm.settle(_SETTLING).is_even)
        threads = [
            threading.Thread(target=scene.path.send, args=(outbound.post, outbound, range(count))),
            threading.Thread(target=_send_back, args=(scene.port, accounts, range(count))),
        ]
        prober = _Prober(scene.path.postfix.ports[SUBMISSION])
        prober.start()
        for thread in threads:
            thread.start()
        try:
            _have(scene, prober, order, count)
        finally:
            for thread in threads:
                thread.join()
            prober.end()
        balance = accounts.settle(_SETTLING)
        findings.note("outbound")
        findings.add(outbound.settle(_SETTLING))
        findings.note("coming back")
        _add(findings, balance)
        prober.add_to(findings)
        bounced = scene.path.postfix.log().count(" status=bounced ")
        findings.hold(f"{bounced} bounced by us", kept=not bounced)
    return findings.outcome()


def _have(scene: _Scene, prober: _Prober, order: Order, count: int) -> None:
    events = _EVENTS if count >= _FOR_ALL_EVENTS else _FEW_EVENTS
    for number, event in enumerate(events, start=1):
        scene.accounts.wait_for(number * count // (len(events) + 1), _SETTLING)
        order.progress(2 * scene.accounts.done, order.messages)
        with prober.in_trouble():
            event(scene)


def _reload(scene: _Scene) -> None:
    scene.back.reload()


def _restart(scene: _Scene) -> None:
    scene.back.restart()


def _kill_all(scene: _Scene) -> None:
    starts = scene.back.starts
    os.kill(scene.back.main_pid, signal.SIGKILL)
    scene.back.await_restart(starts)


def _kill_map(scene: _Scene) -> None:
    _end_map(scene, signal.SIGKILL)


def _stop_map(scene: _Scene) -> None:
    _end_map(scene, signal.SIGSTOP)


def _end_map(scene: _Scene, how: signal.Signals) -> None:
    victim = scene.map_process()
    os.kill(victim, how)

    def is_replaced() -> bool:
        members = session_members(scene.back.main_pid)
        found = [pid for pid in members if calls_itself(pid, "alignd: map")]
        return bool(found) and victim not in found

    wait_until(is_replaced, "another map", 30)


def _replace_keys(scene: _Scene) -> None:
    """Put others in the place of all keys for a while, as a deployment does by mistake."""
    with _for_a_while(scene):
        scene.keys.write(f"sign {secrets.token_hex(32)}\n")


def _open_keys(scene: _Scene) -> None:
    """Have everybody be able to read the keys for a while, so that the services refuse them."""
    with _for_a_while(scene):
        scene.keys.path.chmod(0o644)


def _break_keys(scene: _Scene) -> None:
    with _for_a_while(scene):
        scene.keys.write("sign nonsense\n")


def _remove_keys(scene: _Scene) -> None:
    """Take the file of keys away, and restart into that."""
    with _for_a_while(scene):
        scene.keys.path.unlink()
        scene.back.restart()


@contextmanager
def _for_a_while(scene: _Scene) -> Iterator[None]:
    yield
    time.sleep(_TROUBLE)
    scene.keys.write()


def _rotate(scene: _Scene) -> None:
    """Add a key, and have it sign once both services know it."""
    for step in (scene.keys.add, scene.keys.sign_with_newest):
        step()
        for service in (scene.back, scene.path.service):
            service.reload()


_EVENTS: tuple[Event, ...] = (
    *(_reload, _kill_map, _rotate, _restart, _stop_map, _replace_keys),
    *(_kill_all, _open_keys, _rotate, _break_keys, _kill_map, _remove_keys),
)

_FEW_EVENTS: tuple[Event, ...] = (_kill_map, _rotate, _replace_keys, _open_keys)
_FOR_ALL_EVENTS = 1_000
"""Messages each way. The others take longer: what is stopped is missed after ten seconds."""


def _send_back(port: int, accounts: ReturnAccounts, numbers: range) -> None:
    """Send what comes back, each message until the relay has said its last word, as MTAs do."""

    def work(shared: Iterator[int]) -> None:
        for number in shared:
            while not _sent(port, accounts, number):
                time.sleep(_PAUSE)

    in_parallel(work, iter(numbers), threads=_SESSIONS)


def _sent(port: int, accounts: ReturnAccounts, number: int) -> bool:
    parcel = accounts.answers.parcel(number)
    helo = accounts.answers.errand(number).value
    try:
        with SmtpClient(port, helo=helo) as client:
            reply = client.send(parcel.envelope_sender, parcel.recipients, parcel.content)
    except (ConnectionError, TimeoutError):
        return accounts.answered(number, 451)
    return accounts.answered(number, reply.code)


class _Prober:
    """Asks, again and again, whether an outbound recipient is taken, and for how long it waits."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ending = threading.Event()
        self._trouble = threading.Event()
        self._seconds: dict[bool, list[float]] = {False: [], True: []}
        self._refused = 0
        self._thread = threading.Thread(target=self._probe, name="prober")

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ending.set()
        self._thread.join()

    @contextmanager
    def in_trouble(self) -> Iterator[None]:
        """What is asked in this block is asked in trouble."""
        self._trouble.set()
        try:
            yield
        finally:
            self._trouble.clear()

    def add_to(self, findings: Findings) -> None:
        """Add how long it took with and without trouble."""
        calm, trouble = (_p99(self._seconds[each]) for each in (False, True))
        findings.hold(
            f"outbound RCPT p99 {calm * 1000:.0f} ms, in trouble {trouble * 1000:.0f} ms",
            kept=trouble < max(_NEVER_LONGER, 3 * calm),
        )
        findings.hold(f"{self._refused} outbound RCPTs refused", kept=not self._refused)

    def _probe(self) -> None:
        while not self._ending.is_set():
            with smtplib.SMTP("127.0.0.1", self._port, timeout=120) as client:
                client.ehlo()
                for _ in range(50):
                    self._ask(client)
                    if self._ending.wait(_PROBES_APART):
                        return

    def _ask(self, client: smtplib.SMTP) -> None:
        client.mail(cast.MARKY)
        is_in_trouble, started = self._trouble.is_set(), time.monotonic()
        code, _ = client.rcpt(cast.JULIA)
        self._seconds[is_in_trouble].append(time.monotonic() - started)
        self._refused += code != 250
        client.rset()


def _p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[-1] if len(seconds) > 1 else 0.0


def _add(findings: Findings, balance: ReturnBalance) -> None:
    findings.hold(f"{balance.taken} taken", kept=balance.taken > 0)
    findings.hold(f"{balance.refused} forgeries and guesses refused", kept=balance.refused > 0)
    for count, name in (
        (balance.let_in, "forgeries and guesses taken"),
        (balance.refused_wrongly, "refused wrongly"),
        (balance.lost, "lost"),
        (balance.duplicated, "duplicated"),
        (balance.astray, "to a wrong address"),
        (balance.changed_wrongly, "changed otherwise than promised"),
    ):
        findings.hold(f"{count} {name}", kept=count == 0)
    findings.note(f"{balance.put_off} times put off")


@contextmanager
def _scene(seed: int) -> Iterator[_Scene]:
    """Run both services, and one Postfix for both ways."""
    with (
        open_directory(memory_directory()) as directory,
        run_nameserver() as dns,
    ):
        directory.chmod(0o755)
        keys = _Keys.make(directory / "return.keys")
        domain = Domain(cast.NOTIFICATIONS_DOMAIN)

        def now() -> Directory:
            return Directory({domain: DomainOfReturn(keys.ring, None, frozenset())})

        accounts = ReturnAccounts(Answers(lambda: keys.ring.signing), now)
        post = Post(seed, returns=now)
        outbound, warm = Accounts(post), Accounts(Post(seed + 1, returns=now))
        dns.serve(post.zone() + ZONE)

        def arrive(arrival: Arrival) -> None:
            if not accounts.arrive(arrival):
                outbound.arrive(arrival)
                warm.arrive(arrival)

        def text(socket: str, milter: str) -> str:
            changes = _CHANGES.format(keys=keys.path, directory=directory, milter=milter)
            return configuration(changes, socket=socket, nameserver=dns.address)

        (port,) = free_ports(1)
        (directory / "return-domain").write_text(
            f"/^(.*@{cast.NOTIFICATIONS_DOMAIN.replace('.', '[.]')})$/ $1\n"
        )
        with (
            run_sink(arrive) as sink_port,
            run_service(
                directory / "out", lambda socket: text(socket, "inet:8898@127.0.0.1")
            ) as service,
            run_service(
                directory / "back",
                lambda socket: text("unix:/nowhere/alignd.sock", socket),
                surroundings=Surroundings(program=("-m", "alignd", "return", "--config")),
            ) as back,
            run_layout(
                "queue-first",
                service.socket,
                sink_port,
                settings=_MAIN.format(
                    domain=cast.NOTIFICATIONS_DOMAIN,
                    notifications=cast.NOTIFICATIONS,
                    bounces=cast.BOUNCES,
                    directory=directory,
                ),
                listeners=_MASTER.format(port=port, milter=back.socket),
                parent=memory_directory(),
            ) as postfix,
        ):
            path = MailPath(directory, dns, service, postfix)
            yield _Scene(path, back, keys, port, accounts, outbound, warm)
