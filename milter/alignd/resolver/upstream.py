"""The nameservers in use, which others may replace while questions are asked."""

from __future__ import annotations

import itertools

import dns.message
import dns.name
import dns.rdatatype

from alignd.config.option_types import Nameserver
from alignd.mailauth.dns import LookupFailed
from alignd.resolver.client import NotAsked, Silence, ask, spare_sockets_for
from alignd.resolver.nameserver_states import NameserverStates
from alignd.resolver.nameservers import Nameservers

PROBE = (dns.name.root, dns.rdatatype.NS)
"""What every recursive nameserver can answer."""


class Upstream:
    """Sends questions to the nameservers in use; safe for threads."""

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
        """Ask them; see `client.ask`."""
        used = self._used  # one and the same, whatever is used next
        return ask(name, record_type, used.in_turn(), seconds, used.spare, used.states)

    def answers(self, seconds: float) -> bool:
        """Whether any of them answers a probe, be it with an error."""
        return not isinstance(self.ask(*PROBE, seconds), Silence | NotAsked)

    def end(self) -> None:
        """Close the spare sockets."""
        self._used.spare.close()


class _Used:
    """Nameservers, with what belongs to them and goes with them."""

    def __init__(self, nameservers: Nameservers, *, keeps_sockets: bool) -> None:
        servers = nameservers.servers
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
