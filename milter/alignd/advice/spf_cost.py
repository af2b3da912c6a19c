"""Counts the DNS lookups of an SPF record for mail that matches none of its terms."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from alignd.advice.spf_repair import repair_records
from alignd.mail.domain import Domain, DomainError
from alignd.mailauth.dns import Lookup, LookupFailed, texts_at
from alignd.mailauth.spf_record import SpfRecord, Term, find_records

MAX_LOOKUPS = 10
"""Terms that cause DNS lookups, over the whole tree of records, RFC 7208, section 4.6.4."""
MAX_VOID_LOOKUPS = 2
ENDLESS = 100
"""The count at which counting stops: records can include each other in a loop."""

_COUNTED = {"include", "a", "mx", "ptr", "exists", "redirect"}

Expand = Callable[[str, Domain], str]
"""Expands a domain-spec in the record of a domain to a name; empty when it means none."""


def count_lookups(
    record: SpfRecord, domain: Domain, expand: Expand, lookup: Lookup
) -> int | LookupFailed:
    """Count the terms of *record* at *domain*, and of all that it refers to, that ask DNS.

    No mail costs more than mail that none of the terms matches. A record within the limit for it
    is within the limit for every sender of the domain.
    """
    waiting, count = [(record, domain)], 0
    while waiting:
        current, owner = waiting.pop()
        for term in _counted(current):
            count += 1
            if count == ENDLESS:
                return count
            # pyspf and Mail::SPF count a redirect= beside `all`, though nobody follows it.
            if term.name == "include" or (term.name == "redirect" and not current.has_all):
                found = _records_of(expand(term.argument, owner), lookup)
                if isinstance(found, LookupFailed):
                    return found
                waiting += found
    return count


def _counted(record: SpfRecord) -> Iterator[Term]:
    ended = False
    for term in record.terms:
        if term.name in _COUNTED and (term.is_modifier or not ended):
            yield term
        ended = ended or term.name == "all"


def _records_of(name: str, lookup: Lookup) -> list[tuple[SpfRecord, Domain]] | LookupFailed:
    try:
        domain = Domain.parse(name)
    except DomainError:
        return []
    texts = texts_at(domain.name, lookup)
    if isinstance(texts, LookupFailed):
        return LookupFailed(f"TXT {domain}: {texts.reason}")
    return [(repair_records((text,), domain).record, domain) for text in find_records(texts)]
