"""Wraps a third SPF evaluator, pyspf, which many receivers run, so that it asks a Lookup."""

from typing import Any

import spf

from alignd.mailauth.dns import Lookup, LookupFailed, MailExchange, Record, RecordType


class _Query(spf.query):  # type: ignore[misc]  # pyspf has no types
    """pyspf's evaluation as it is, but for where its DNS comes from.

    It splits the sender at the first "@", and fetches explanations: both are left out.
    """

    def __init__(self, address: str, sender: str, helo: str, lookup: Lookup) -> None:
        super().__init__(i=address, s=sender, h=helo)
        self.l, _, self.o = sender.rpartition("@")
        self.d = self.o
        self._lookup = lookup

    def dns(
        self, name: str, qtype: str, cnames: Any = None, ignore_void: bool = False
    ) -> list[Any]:
        del cnames  # the Lookup follows them
        name = str(name).removesuffix(".").lower()
        labels = name.split(".")
        if not name.isascii() or not all(0 < len(label) < 64 for label in labels):
            return []
        answer = self._lookup.look_up(name, RecordType(qtype))
        if isinstance(answer, LookupFailed):
            raise spf.TempError(f"{qtype} {name}: {answer.reason}")
        if not answer.records and not ignore_void:
            self.void_lookups += 1
            if self.void_lookups > spf.MAX_VOID_LOOKUPS:
                raise spf.PermError("void lookup limit")
        return [_shape(record) for record in answer.records]

    def get_explanation(self, spec: str) -> None:
        del spec


def third_opinion(address: str, sender: str, helo: str, lookup: Lookup) -> str:
    """The result that pyspf comes to."""
    return str(_Query(address, sender, helo, lookup).check()[0])


def _shape(record: Record) -> Any:
    if isinstance(record, bytes):
        return (record,)
    return (record.preference, record.host) if isinstance(record, MailExchange) else record
