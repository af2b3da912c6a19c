"""A second SPF evaluator, spftrace, that asks alignd's Lookup."""

import asyncio
from dataclasses import dataclass

from spftrace import BaseResolver, Evaluator, Limits, Result

from alignd.mailauth.dns import Lookup, LookupFailed, MailExchange, RecordType


@dataclass(frozen=True)
class Borrowed(BaseResolver):
    """Our Lookup as the DNS of the second evaluator."""

    lookup: Lookup

    async def _lookup(self, name: str, rtype: str) -> tuple[str, list[str]]:
        if not name.isascii():
            return "NXDOMAIN", []
        answer = self.lookup.look_up(name.rstrip("."), RecordType(rtype))
        if isinstance(answer, LookupFailed):
            return "SERVFAIL", []
        if not answer.records:
            return ("NOERROR" if answer.exists else "NXDOMAIN"), []
        return "NOERROR", [_text(record) for record in answer.records]


def _text(record: bytes | str | MailExchange) -> str:
    if isinstance(record, MailExchange):
        return record.host
    return record if isinstance(record, str) else record.decode("utf-8", "replace")


def second_evaluation(address: str, sender: str, helo: str, lookup: Lookup) -> Result:
    """What spftrace says, with what it counted."""
    evaluator = Evaluator(Borrowed(lookup), Limits(time_limit=60))
    return asyncio.run(evaluator.evaluate(address, sender, helo))


def second_opinion(address: str, sender: str, helo: str, lookup: Lookup) -> str:
    """The result that spftrace comes to."""
    return str(second_evaluation(address, sender, helo, lookup).verdict)
