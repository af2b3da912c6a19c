"""Examines an author domain: what happens to its mail, what it can publish, and where."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from alignd.advice.alternatives import Advice, advise
from alignd.advice.publication import Impossible
from alignd.advice.report_request import ReportRequest, advise_wanted_reports
from alignd.judgement.review import Reviewer
from alignd.letter.hosting import find_hosting
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox, MailboxError
from alignd.mailauth.dkim_key import key_name
from alignd.mailauth.dns import Answer, Lookup, LookupFailed, RecordType
from alignd.mailauth.spf_record import find_records, find_resembling
from alignd.web.desk.examined import Examined, Records

AGENT = "agent"
"""The local part of the author, as `alignd domain` has it."""
_DMARC_VERSION = b"v=dmarc1"
_Choose = Callable[[tuple[bytes, ...]], tuple[bytes, ...]]


def author_at(domain: Domain) -> Mailbox | None:
    """Somebody at *domain*; None where no mail can come from it."""
    if len(domain.labels) == 1 or domain.labels[-1].isdigit():
        return None
    try:
        return Mailbox.from_address(f"{AGENT}@{domain}")
    except MailboxError:  # no room for a local part
        return None


def examine(
    reviewer: Reviewer,
    author: Mailbox,
    lookup: Lookup,
    looked_at: float,
    *,
    is_authoritative: bool = False,
) -> Examined:
    """Find out all about mail of *author*; *lookup* answers for this alone.

    Raises:
        UnsafeEditError: a rewritten message would not be what it must be.
    """
    domain = author.domain
    advice = advise(reviewer, author, lookup)
    return Examined(
        domain,
        advice,
        looked_at,
        find_hosting(domain, lookup),
        tuple(find_hosting(each.publication.answers, lookup) for each in advice.alternatives),
        tuple(_records(reviewer, advice, lookup)),
        # Last: where DNS has been asked enough, it is this that is missing.
        reports=_reports(reviewer, advice, lookup),
        is_authoritative=is_authoritative,
    )


def _reports(reviewer: Reviewer, advice: Advice, lookup: Lookup) -> ReportRequest | None:
    """Only where there is a letter to offer it in."""
    if not advice.alternatives:
        return None
    found = advise_wanted_reports(reviewer, advice.author, lookup)
    return None if isinstance(found, Impossible) else found


def _records(reviewer: Reviewer, advice: Advice, lookup: Lookup) -> Iterator[Records]:
    domain, prediction = advice.author.domain, advice.prediction
    yield _records_at(domain.name, lookup, _of_spf)
    owners = (domain, prediction.record_domain or domain)
    for owner in dict.fromkeys(owners):
        yield _records_at(f"_dmarc.{owner}", lookup, _of_dmarc)
    keys = [key_name(each.domain, each.selector) for each in prediction.dkim if each.domain]
    if delegate := reviewer.configuration.dkim.delegate:
        keys.append(key_name(domain, delegate.selector))
    for name in dict.fromkeys(keys):
        yield _records_at(name, lookup, _of_keys)


def _records_at(name: str, lookup: Lookup, choose: _Choose) -> Records:
    answer: Answer | LookupFailed = lookup.look_up(name, RecordType.TXT)
    if isinstance(answer, LookupFailed):
        return Records(name, None)
    return Records(name, tuple(sorted(choose(answer.texts))), answer.alias_of)


def _of_spf(texts: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Those of SPF, and those that were meant for it: an admin sees what he has entered."""
    return (*find_records(texts), *find_resembling(texts))


def _of_keys(texts: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Those of DKIM: an alias may lead to any name, whose other records are nobody's business."""
    return tuple(text for text in texts if b"p=" in text)


def _of_dmarc(texts: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return tuple(text for text in texts if text.lower().lstrip().startswith(_DMARC_VERSION))
