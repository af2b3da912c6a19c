"""Reads what alignd logged of a message."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from alignd.feedback.entry import Entry
from alignd.feedback.postfix_log import QUEUE_ID
from alignd.judgement.reasons import Reason, reason_of
from alignd.mail.domain import Domain, DomainError

_LINE = re.compile(rf"(?P<queue_id>{QUEUE_ID}): (?=action=)")
_FIELD = re.compile(r'([a-z_]{1,20})=("(?:[^"\\]|\\.)*+"|[^\s"]*+)(?: |$)')
_ESCAPED = re.compile(r"\\(.)")
_MAX_FIELDS = 40
_MAX_VALUE = 300
_KEYS = frozenset({"action", "domain", "tenant", "reason", "dry_run"})
_WORD = re.compile(r"[a-z0-9-]{1,60}")
# alignd, alignd-return, and instances such as alignd@2.
_TAG = re.compile(r"alignd\b.*|")


@dataclass(frozen=True, slots=True)
class Decision:
    """What alignd did with a message, in the words of its log."""

    action: str
    reason: str
    domain: str = ""
    """The author domain; empty if it is unreadable."""
    tenant: str = ""
    is_dry: bool = False
    """Whether rules.dry_run kept it from doing so."""

    @property
    def known_reason(self) -> Reason | None:
        """The reason, if it is one on the mail of a helpdesk."""
        return reason_of(self.reason)


def read_decision(entry: Entry) -> tuple[str, Decision] | None:
    """Read a queue id and what was decided; None for every other *entry*."""
    if not _TAG.fullmatch(entry.tag):
        return None
    match = _LINE.match(entry.text)
    if match is None:
        return None
    fields: dict[str, str] = {}
    place = match.end()
    for _ in range(_MAX_FIELDS):
        found = _FIELD.match(entry.text, place)
        if found is None:
            break
        # The first counts: what an author chose comes later, and in quotes.
        if found[1] in _KEYS:
            fields.setdefault(found[1], _unquoted(found[2])[:_MAX_VALUE])
        place = found.end()
    if "reason" not in fields:  # `fallback` and `tempfail`: another line has the outcome, or none
        return None
    decision = _shared(
        fields["action"],
        fields["reason"],
        fields.get("domain", ""),
        fields.get("tenant", ""),
        fields.get("dry_run", ""),
    )
    return None if decision is None else (match["queue_id"], decision)


def _unquoted(value: str) -> str:
    """A value as it was before `telemetry.log` has quoted it."""
    return _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value


@lru_cache(maxsize=65_536)
def _shared(action: str, reason: str, domain: str, tenant: str, dry_run: str) -> Decision | None:
    """One value for equal ones: a ring of them takes little memory then.

    None for what alignd does not write. Whoever may write a line in its name may not choose what
    stands in the ledger, such as what no database takes.
    """
    is_known = _WORD.fullmatch(action) and _WORD.fullmatch(reason) and tenant.isprintable()
    if not is_known or (domain and not _is_domain(domain)):
        return None
    return Decision(action, reason, domain, tenant, dry_run == "yes")


def _is_domain(text: str) -> bool:
    try:  # it is written in A-labels; to make them of others takes long
        return text.isascii() and Domain.parse(text).name == text
    except DomainError:
        return False
