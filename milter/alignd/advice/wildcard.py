"""Detects that a domain has its records from a wildcard, which a record of its own would hide."""

from __future__ import annotations

from alignd.mail.domain import Domain
from alignd.mailauth.dns import Lookup, LookupFailed, RecordType

PROBE = "alignd-looks-for-a-wildcard"
"""A label that nobody uses: if it has records, they are those of a wildcard."""
_TYPES = (RecordType.TXT, RecordType.MX, RecordType.A, RecordType.AAAA)


def wildcard_of(domain: Domain, lookup: Lookup) -> str | LookupFailed:
    """Find the wildcard whose records *domain* has; empty when it has its own, or none.

    By RFC 4592, section 3.3.1, a wildcard does not apply to a name that exists, nor to one with
    names below it. So a TXT record at the domain would take away the wildcard's MX, and a DKIM
    key below the domain would take away all of the wildcard's records.
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
    # That the probe exists is not enough: some nameservers answer for every name that it exists,
    # without records (RFC 9824).
    has_records = False  # an alias counts as one
    for record_type in _TYPES:
        probed = lookup.look_up(probe, record_type)
        if isinstance(probed, LookupFailed):
            return probed
        if not probed.exists:
            return False
        answer = lookup.look_up(name, record_type)
        if isinstance(answer, LookupFailed):
            return answer
        if set(answer.records) != set(probed.records) or answer.alias_of != probed.alias_of:
            return False
        has_records = has_records or bool(answer.records or answer.alias_of)
    return has_records
