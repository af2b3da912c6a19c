"""Says what has changed between two examinations of a domain."""

from __future__ import annotations

from collections.abc import Iterator

from alignd.advice.publication import Kind
from alignd.judgement.reasons import Reason
from alignd.mail.domain import Domain
from alignd.mailauth.dkim_key import DkimResult
from alignd.mailauth.dmarc import Policy
from alignd.mailauth.spf import SpfResult
from alignd.web.desk.examined import (
    Change,
    DkimChanged,
    Examined,
    PolicyChanged,
    ReasonChanged,
    RecordPublished,
    RecordRemoved,
    Records,
    SpfChanged,
)

_Published = tuple[Kind, bytes]


def changes_between(before: Examined, now: Examined) -> tuple[Change, ...]:
    """What has changed, the most important first.

    What DNS did not say, before or now, is unknown and no change.
    """
    return (
        *_of_reason(before, now),
        *_of_policy(before, now),
        *_of_spf(before, now),
        *_of_dkim(before, now),
        *_of_records(before, now),
    )


def _of_reason(before: Examined, now: Examined) -> Iterator[Change]:
    if before.reason is not now.reason and Reason.DNS_UNKNOWN not in (before.reason, now.reason):
        yield ReasonChanged(before.reason, now.reason)


def _of_policy(before: Examined, now: Examined) -> Iterator[Change]:
    if before.policy is not now.policy and Policy.UNKNOWN not in (before.policy, now.policy):
        yield PolicyChanged(before.policy, now.policy)


def _of_spf(before: Examined, now: Examined) -> Iterator[Change]:
    was = {spf.address: spf.result for spf in before.advice.prediction.spf}
    for spf in now.advice.prediction.spf:
        old = was.get(spf.address, spf.result)
        if old is not spf.result and SpfResult.TEMPERROR not in (old, spf.result):
            yield SpfChanged(spf.address, old, spf.result)


def _of_dkim(before: Examined, now: Examined) -> Iterator[Change]:
    was, results = _signatures(before), _signatures(now)
    for signature in was | results:
        old, new = was.get(signature), results.get(signature)
        if old is not new and DkimResult.TEMPERROR not in (old, new):
            yield DkimChanged(*signature, old, new)


def _signatures(examined: Examined) -> dict[tuple[Domain | None, str], DkimResult]:
    found = examined.advice.prediction.dkim
    return {(each.domain, each.selector): each.result for each in found}


def _of_records(before: Examined, now: Examined) -> Iterator[Change]:
    was = {records.name: records for records in before.records}
    for records in now.records:
        old = was.get(records.name)
        if old is None or old.texts is None or records.texts is None:
            continue
        had, has = _published(old), _published(records)
        for kind, value in has:
            if (kind, value) not in had:
                yield RecordPublished(records.name, kind, value)
        for kind, value in had:
            if (kind, value) not in has:
                yield RecordRemoved(records.name, kind, value)


def _published(records: Records) -> tuple[_Published, ...]:
    """The records of the name itself: what is behind an alias is published elsewhere."""
    if records.alias_of:
        return ((Kind.CNAME, records.alias_of.lower().encode()),)
    return tuple((Kind.TXT, text) for text in records.texts or ())
