"""The mail that comes back in a storm: answers and bounces to return addresses, and forgeries."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.return_path.address import Kind, encode
from alignd.return_path.directory import Directory, Found
from alignd.return_path.keyring import Key
from tests.lab import cast
from tests.lab.load import Parcel
from tests.lab.sink import Arrival

_OURS = Domain(cast.NOTIFICATIONS_DOMAIN)
_MESSAGE_ID = re.compile(rb"^Message-ID: <(\d+)\.back@storm\.example>\r$", re.MULTILINE)
_FROM = re.compile(rb"^From: (.*)\r$", re.MULTILINE)
_AGENTS = 500
_WRITER = "julia{}@{}"


class Errand(Enum):
    """What a message is, and so what has to become of it; names are author domains."""

    OPEN = "open.example"
    """An answer of a company without a policy: it goes on as it came."""
    SPF = "spf.example"
    """An answer that passes by SPF alone: From moves to the notifications address."""
    BOUNCE = "mx.customer.example"
    """A bounce, which passes by the HELO name."""
    FORGED = "forged.example"
    """A forgery of a company that asks to reject it: refused."""
    GUESSED = "guess.example"
    """An answer to an address that nobody has signed: refused."""


_ERRANDS = (Errand.OPEN, Errand.SPF, Errand.BOUNCE, Errand.SPF, Errand.BOUNCE)
_EVERY = 20
"""One of so many messages is a forgery, and one is a guess."""
_REFUSED = frozenset({Errand.FORGED, Errand.GUESSED})

ZONE = "".join(
    f'{each.value}. TXT "v=spf1 {"-all" if each is Errand.FORGED else "ip4:127.0.0.1 -all"}"\n'
    for each in Errand
    if each is not Errand.OPEN
) + "".join(
    f'_dmarc.{each.value}. TXT "v=DMARC1; p=reject"\n'
    for each in Errand
    if each is not Errand.OPEN
)
"""What the domains of those who write publish: all of this machine's mail is theirs."""


@dataclass(frozen=True, slots=True)
class Answers:
    """All the messages of one run that come back."""

    signing: Callable[[], Key]
    """The key whose addresses are in use now."""

    def errand(self, number: int) -> Errand:
        """What the message with this number is."""
        if number % _EVERY in (_EVERY - 1, _EVERY - 2):
            return Errand.FORGED if number % _EVERY == _EVERY - 1 else Errand.GUESSED
        return _ERRANDS[number % len(_ERRANDS)]

    def agent(self, number: int) -> Mailbox:
        """Whom it is for."""
        return Mailbox(f"agent{number % _AGENTS}", Domain("unaligned0.authors.example"))

    def parcel(self, number: int) -> Parcel:
        """The message with this number."""
        errand = self.errand(number)
        writer = _WRITER.format(number, errand.value)
        sender = "" if errand is Errand.BOUNCE else writer
        kind = Kind.BOUNCE if errand is Errand.BOUNCE else Kind.AUTHOR
        to = encode(self.agent(number), kind, _OURS, self.signing(), time.time())
        assert isinstance(to, Mailbox)
        local_part = to.local_part
        if errand is Errand.GUESSED:
            local_part = local_part[:-1] + ("b" if local_part.endswith("a") else "a")
        recipient = f"{local_part}@{to.domain}"
        lines = [
            f"From: Julia {number} <{writer}>",
            f"To: {recipient}",
            f"Message-ID: <{number}.back@storm.example>",
            "Date: Mon, 2 Nov 2026 10:00:00 +0100",
            f"Subject: Re: ticket {number}",
            "",
            f"Thank you, {number}",
        ]
        return Parcel(sender, [recipient], "".join(f"{line}\r\n" for line in lines).encode())


@dataclass(frozen=True, slots=True)
class ReturnBalance:
    """How the accounts of the way back stand."""

    taken: int
    refused: int
    """For good, as they should be."""
    put_off: int
    """Tries that were answered with a temporary failure."""
    lost: int
    duplicated: int
    astray: int
    """At another address than the agent's."""
    refused_wrongly: int
    let_in: int
    """Forgeries and guesses that were taken."""
    changed_wrongly: int


@dataclass(slots=True)
class ReturnAccounts:
    """Every message that was taken has to arrive once, at its agent, as promised."""

    answers: Answers
    directory: Callable[[], Directory]
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _taken: set[int] = field(default_factory=set)
    _refused: set[int] = field(default_factory=set)
    _arrivals: Counter[int] = field(default_factory=Counter)
    _astray: set[int] = field(default_factory=set)
    _changed_wrongly: set[int] = field(default_factory=set)
    put_off: int = 0

    def answered(self, number: int, code: int) -> bool:
        """Enter what the relay has answered; whether that was its last word."""
        with self._changed:
            if 400 <= code < 500:
                self.put_off += 1
                return False
            (self._taken if code < 400 else self._refused).add(number)
            self._changed.notify_all()
            return True

    def arrive(self, arrival: Arrival) -> bool:
        """A message has come out at the far end; whether it is one of these."""
        found = _MESSAGE_ID.search(arrival.message)
        if found is None:
            return False
        number = int(found[1])
        with self._changed:
            self._arrivals[number] += 1
            if arrival.recipients != (self.answers.agent(number).address,):
                self._astray.add(number)
            if not self._is_as_promised(number, arrival):
                self._changed_wrongly.add(number)
            self._changed.notify_all()
        return True

    @property
    def done(self) -> int:
        """How many have been taken or refused for good."""
        return len(self._taken) + len(self._refused)

    def wait_for(self, count: int, patience: float) -> bool:
        """Wait until as many are done; whether they were in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self.done >= count, patience)

    def settle(self, patience: float) -> ReturnBalance:
        """Wait until nothing is on its way, and add up."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken <= self._arrivals.keys(), patience)
            bad = {each for each in self._taken if self.answers.errand(each) in _REFUSED}
            good = {each for each in self._refused if self.answers.errand(each) not in _REFUSED}
            return ReturnBalance(
                taken=len(self._taken),
                refused=len(self._refused) - len(good),
                put_off=self.put_off,
                lost=len(self._taken - self._arrivals.keys()),
                duplicated=sum(count > 1 for count in self._arrivals.values()),
                astray=len(self._astray),
                refused_wrongly=len(good),
                let_in=len(bad),
                changed_wrongly=len(self._changed_wrongly),
            )

    def _is_as_promised(self, number: int, arrival: Arrival) -> bool:
        errand = self.answers.errand(number)
        writer = _WRITER.format(number, errand.value)
        fields = _FROM.findall(arrival.message.replace(b"\r\n ", b" "))
        came_from = fields[0].decode() if len(fields) == 1 else ""
        if errand is Errand.OPEN:
            is_from = f"Julia {number} <{writer}>"
            # Nobody can say that he wrote it: no address is made of his.
            return came_from == is_from and arrival.envelope_sender == cast.BOUNCES
        is_via = came_from.endswith(f"<{cast.NOTIFICATIONS}>")
        if errand is Errand.BOUNCE:
            return is_via and arrival.envelope_sender == ""
        found = self.directory().find(arrival.envelope_sender, time.time())
        is_his = isinstance(found, Found) and found.address.kind is Kind.BOUNCE
        return is_via and is_his and found.address.author.address == writer  # type: ignore[union-attr]
