"""Sends one query to the nameservers: the first good response wins, within a deadline.

A nameserver that is silent or broken costs little: the next one is asked after a short wait, or
at once when the first refuses, and the first good response wins, whoever it comes from. Each is
asked again only when its answer is overdue, as its round trips so far tell.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable

import dns.message
import dns.name
import dns.rdatatype

from alignd.config.nameservers import Nameservers
from alignd.config.option_types import Nameserver
from alignd.mailauth.dns import LookupFailed
from alignd.resolver.conversation import (
    Conversation,
    NotAsked,
    Outcome,
    Question,
    Silence,
    Sockets,
    family_of,
)
from alignd.resolver.nameserver_states import Condition, NameserverStates
from alignd.resolver.spare_sockets import SpareSockets

HEDGE_SECONDS = 0.15
"""How long to wait for a response before the next nameserver is asked as well."""
PROBE = (dns.name.root, dns.rdatatype.NS)
"""What every recursive nameserver can answer."""
_BACKOFF = 1.6  # how much longer each wait is than the one before


def ask(
    name: dns.name.Name,
    record_type: dns.rdatatype.RdataType,
    nameservers: tuple[Nameserver, ...],
    seconds: float,
    spare: SpareSockets | None = None,
    states: NameserverStates | None = None,
    *,
    wants_recursion: bool = True,
) -> dns.message.Message | LookupFailed | Silence:
    """Ask *nameservers*, each again when it is overdue, for at most *seconds*.

    *states* has what was learned of them, and learns. Who does not want recursion wants what they
    know themselves, and not what others told them.

    Returns:
        A NOERROR or NXDOMAIN response; or why there is none: the first refusal, NotAsked, or
        Silence.
    """
    deadline = time.monotonic() + seconds
    states = states or NameserverStates()
    with Sockets(spare or SpareSockets(), deadline) as sockets:
        question = (name, record_type)
        exchange = _Exchange(
            *(question, nameservers, deadline, sockets, states), wants_recursion=wants_recursion
        )
        return exchange.run()


def spare_sockets_for(nameservers: tuple[Nameserver, ...]) -> SpareSockets:
    """Sockets with which *nameservers* can be asked when no descriptor is left."""
    return SpareSockets(map(family_of, nameservers))


class Upstream:
    """Asks the nameservers in use, which may be replaced meanwhile; safe for threads."""

    def __init__(self, nameservers: Nameservers, *, keeps_sockets: bool) -> None:
        """One that *keeps_sockets* can ask when the process has no descriptor left for another."""
        self._keeps_sockets = keeps_sockets
        self._used = _Used(nameservers, keeps_sockets=keeps_sockets)

    def use(self, nameservers: Nameservers) -> None:
        """Ask these from now on; questions that are asked already go on."""
        before, self._used = self._used, _Used(nameservers, keeps_sockets=self._keeps_sockets)
        before.spare.close()

    def ask(
        self, name: dns.name.Name, record_type: dns.rdatatype.RdataType, seconds: float
    ) -> dns.message.Message | LookupFailed | Silence:
        """Ask them; see `ask`."""
        used = self._used  # one and the same, whatever is used next
        return ask(name, record_type, used.in_turn(), seconds, used.spare, used.states)

    def answers(self, seconds: float) -> bool:
        """Whether any of them answers a probe, be it with an error."""
        return not isinstance(self.ask(*PROBE, seconds), Silence | NotAsked)

    def conditions(self) -> dict[Nameserver, Condition]:
        """What became of the last queries to each of them."""
        used = self._used
        known = {state.nameserver: state.condition for state in used.states.snapshot()}
        return {each: known.get(each, Condition.UNTRIED) for each in used.nameservers.servers}

    def end(self) -> None:
        """Close the spare sockets."""
        self._used.spare.close()


class _Used:
    """Nameservers, with what belongs to them and goes with them."""

    def __init__(self, nameservers: Nameservers, *, keeps_sockets: bool) -> None:
        servers = nameservers.servers
        self.nameservers = nameservers
        self.states = NameserverStates(over_tcp=nameservers.over_tcp)
        self.spare = spare_sockets_for(servers if keeps_sockets else ())
        self._orders = [
            servers[first:] + servers[:first]
            for first in range(len(servers) if nameservers.rotate else 1)
        ]
        self._turn = itertools.count()

    def in_turn(self) -> tuple[Nameserver, ...]:
        """They, in the order to ask them in."""
        return self._orders[next(self._turn) % len(self._orders)]


class _Exchange:
    """One question to several nameservers, and their responses."""

    def __init__(
        self,
        question: Question,
        nameservers: Iterable[Nameserver],
        deadline: float,
        sockets: Sockets,
        states: NameserverStates,
        *,
        wants_recursion: bool,
    ) -> None:
        self._wants_recursion = wants_recursion
        self._question = question
        self._deadline = deadline
        self._sockets = sockets
        self._states = states
        self._not_asked = states.in_order(nameservers)
        self._next_turn = 0.0
        """The monotonic time from which the next of them is asked."""
        self._hedge = HEDGE_SECONDS
        self._asked: list[Conversation] = []
        self._failed: list[Conversation] = []

    def run(self) -> dns.message.Message | LookupFailed | Silence:
        answer = None
        while answer is None and (now := time.monotonic()) < self._deadline:
            self._send_what_is_due(now)
            moments = [each.due for each in self._asked if each.outcome is None]
            if self._not_asked:
                moments.append(self._next_turn)
            if not moments:
                break
            answer = self._sockets.receive_until(min(self._deadline, *moments))
        for each in self._asked:
            each.note_silence(HEDGE_SECONDS)
        return self._why_none() if answer is None else answer

    def _send_what_is_due(self, now: float) -> None:
        failed = [each for each in self._asked if each.has_failed and each not in self._failed]
        if failed or not self._asked:
            self._failed += failed
            self._next_turn = now
        if self._not_asked and self._next_turn <= now:
            nameserver = self._not_asked.pop(0)
            self._asked.append(
                Conversation(
                    *(nameserver, self._question, self._sockets, self._states, self._deadline),
                    wants_recursion=self._wants_recursion,
                )
            )
            self._next_turn, self._hedge = now + self._hedge, self._hedge * _BACKOFF
        for each in self._asked:
            if each.due <= now:
                each.send()

    def _why_none(self) -> Outcome:
        waiting = [each for each in self._asked if each not in self._failed]
        outcomes = [each.conclude() for each in (*self._failed, *waiting)]
        # What a nameserver said tells more than silence, and that more than what was not asked.
        return min(outcomes, key=_weight, default=Silence())


def _weight(outcome: Outcome) -> int:
    return 1 if isinstance(outcome, Silence) else 2 if isinstance(outcome, NotAsked) else 0
