"""Whether a domain has its records from a wildcard, which a record of its own would switch off."""

from __future__ import annotations

from alignd.mail.domain import Domain
from alignd.mailauth.dns import Lookup, LookupFailed, RecordType

PROBE = "alignd-looks-for-a-wildcard"
"""A label that nobody has: where it has records, they are a wildcard's."""
_TYPES = (RecordType.TXT, RecordType.MX, RecordType.A, RecordType.AAAA)


def wildcard_of(domain: Domain, lookup: Lookup) -> str | LookupFailed:
    """The name of the wildcard whose records *domain* has; empty when it has its own, or none.

    By RFC 4592, section 3.3.1, a wildcard says nothing for a name that exists, nor for one with
    names below it: a TXT record there takes the wildcard's MX away, a DKIM key below it both.
    """
    found = ""
    for size in range(len(domain.labels) - 1, 0, -1):
        ancestor = domain.last(size)
        same = _is_same(domain.name, f"{PROBE}.{ancestor}", lookup)
        if isinstance(same, LookupFailed):
            return same
        if not same:
            break
        found = f"*.{ancestor}"
    return found


def _is_same(name: str, probe: str, lookup: Lookup) -> bool | LookupFailed:
    # Some nameservers say of every name that it exists, without records (RFC 9824).
    has_records = False
    for record_type in _TYPES:
        probed = lookup.look_up(probe, record_type)
        if isinstance(probed, LookupFailed):
            return probed
        if not probed.exists:
            return False
        answer = lookup.look_up(name, record_type)
        if isinstance(answer, LookupFailed):
            return answer
        if set(answer.records) != set(probed.records):
            return False
        has_records = has_records or bool(answer.records)
    return has_records
