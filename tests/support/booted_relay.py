"""A relay on a booted Debian: its network, DNS and receiver, and the mail that is sent through."""

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from pathlib import Path

from tests.lab import cast
from tests.lab.booted import Machine, boot
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.places import ROOT
from tests.lab.readiness import wait_until
from tests.lab.roots import Release, root_of
from tests.lab.sink import Arrival, Inbox, run_inbox
from tests.lab.submission import SmtpClient, SubmissionReply

ZONE = (ROOT / "demo/story.zone").read_text()
MARKY = (ROOT / "demo/marky.eml").read_bytes()
_SMTP = 25
_NAME = re.compile(rb"<life\.([^@>]+)@")
# What is of the test, and nothing an operator is told: the addresses, names and ports of a relay
# that has the Internet beside it on one machine.
_ADDRESSES = (cast.RELAY_IPV4, cast.RELAY_IPV6, cast.RECEIVER_IPV4)
_POSTFIX = (
    f"myhostname = {cast.RELAY}",
    "mydestination = localhost",
    "inet_protocols = all",
    f"inet_interfaces = 127.0.0.1, {cast.RELAY_IPV4}",
    f"smtp_bind_address = {cast.RELAY_IPV4}",
    f"smtp_bind_address6 = {cast.RELAY_IPV6}",
    "smtp_address_preference = ipv4",
    "smtpd_client_connection_count_limit = 0",
)


@dataclass(frozen=True, slots=True)
class BootedRelay:
    """A machine with Postfix, and who is around it."""

    machine: Machine
    release: Release
    nameserver: Nameserver
    inbox: Inbox

    def send(self, name: str) -> SubmissionReply:
        """Send Marky's reply with *name* in its Message-ID, as the helpdesk on this machine."""
        with self.machine.network():
            client = SmtpClient(_SMTP)
        with client:
            return client.send(cast.MARKY, [cast.JULIA], _named(name))

    def arrival(self, name: str, patience: float = 60.0) -> Arrival:
        """What has come of the one with that *name* in the end."""
        return self.inbox.wait_for(lambda arrival: _id(name) in arrival.message, patience)

    def deliver(self, name: str) -> Message:
        """Send it, and return what arrives."""
        reply = self.send(name)
        assert reply.is_taken, reply
        return message_from_bytes(self.arrival(name).message)

    @contextmanager
    def mail(self, senders: int = 2, put_off: int = 0) -> Iterator["Flow"]:
        """Keep mail flowing while the block runs; then none of it is lost or as it came.

        At most so many messages may be *put_off*, to be sent again; else none is refused.
        """
        flow = Flow(self)
        threads = [threading.Thread(target=flow.send, args=(each,)) for each in range(senders)]
        for thread in threads:
            thread.start()
        try:
            flow.await_some()
            yield flow
            flow.await_some()
        finally:
            flow.is_over.set()
            for thread in threads:
                thread.join()
        assert len(flow.refused) <= put_off, "\n".join([*flow.refused, self._story()])
        assert all("451" in problem for problem in flow.refused), flow.refused
        for arrival in self._arrivals(flow.taken):
            arrived = message_from_bytes(arrival.message)
            assert str(arrived["Alignd"]).startswith("action=rewrite"), arrived.as_string()

    def _story(self) -> str:
        """What Postfix says of its milters, and systemd and alignd of what they did meanwhile."""
        wanted = "milter|systemd.*(alignd|Reload)|: (ready|stopped|worker ended)|open sessions"
        command = f"journalctl --no-pager --output=short-precise | grep -E '{wanted}' | tail -n 40"
        return self.machine.run(command).output

    def _arrivals(self, names: list[str]) -> list[Arrival]:
        """What has come of all those that have these names."""
        found: dict[str, Arrival] = {}
        arrivals = self.inbox.arrivals
        seen = 0

        def have_come() -> bool:
            nonlocal seen
            for arrival in arrivals[seen:]:
                seen += 1
                if match := _NAME.search(arrival.message):
                    found[match[1].decode()] = arrival
            return found.keys() >= set(names)

        wait_until(have_come, "all messages to arrive", 60)
        return [found[name] for name in names]


@dataclass(slots=True)
class Flow:
    """Messages that are sent one after the other."""

    relay: BootedRelay
    taken: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)
    _change: threading.Condition = field(default_factory=threading.Condition)

    def send(self, sender: int) -> None:
        """Send, each in a session of its own, until it is over."""
        number = 0
        while not self.is_over.is_set():
            number += 1
            name = f"{id(self):x}-{sender}-{number}"
            try:
                reply = self.relay.send(name)
                problem = "" if reply.is_taken else f"{reply.code} {reply.text}"
            except OSError as error:
                problem = repr(error)
            with self._change:
                (self.refused if problem else self.taken).append(problem or name)
                self._change.notify_all()

    def await_some(self, count: int = 8) -> None:
        """Wait until some more have been sent."""
        with self._change:
            before = len(self.taken) + len(self.refused)
            done = self._change.wait_for(
                lambda: len(self.taken) + len(self.refused) >= before + count, 120
            )
        assert done, "mail does not flow"


@contextmanager
def run_relay(release: Release) -> Iterator[BootedRelay]:
    """Boot a relay, with the Internet of the story around it."""
    with boot(root_of(release), f"alignd-{release.name}") as machine:
        for address in _ADDRESSES:
            mask = 128 if ":" in address else 32
            machine.do(f"ip address add {address}/{mask} dev lo")
        with ExitStack() as internet:
            with machine.network():
                nameserver = internet.enter_context(run_nameserver(port=53))
                inbox = internet.enter_context(run_inbox(host=cast.RECEIVER_IPV4, port=_SMTP))
            nameserver.serve(ZONE)
            settings = " ".join(f"'{setting}'" for setting in _POSTFIX)
            machine.do(f"postconf -e {settings} && systemctl restart postfix")
            yield BootedRelay(machine, release, nameserver, inbox)


def older(package: Path, version: str, directory: Path) -> Path:
    """The same *package* as one of an earlier *version*."""
    unpacked, made = directory / "unpacked", directory / f"alignd_{version}.deb"
    subprocess.run(["dpkg-deb", "--raw-extract", package, unpacked], check=True)
    control = unpacked / "DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text(
        "".join(
            f"Version: {version}\n" if line.startswith("Version:") else f"{line}\n"
            for line in lines
        )
    )
    build = ("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build")
    subprocess.run([*build, unpacked, made], check=True, stdout=subprocess.DEVNULL)
    return made


def _id(name: str) -> bytes:
    return f"<life.{name}@".encode()


def _named(name: str) -> bytes:
    text = MARKY.replace(b"<redmine.journal-4711.1@", _id(name))
    return text.replace(b"\n", b"\r\n")
