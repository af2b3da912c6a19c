"""Looks at one author domain: what would happen to a message of it now."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from alignd.judgement.review import Reviewer
from alignd.ledger.answer import Finding
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import HeaderField, Message
from alignd.mailauth.dns import Lookup

_ANYBODY = "agent"
"""The local part of the author, and of the envelope sender."""
_LOGIN = "(helpdesk)"  # the signer signs for those that logged in


def look_at(reviewer: Reviewer, domain: Domain, lookup: Lookup) -> Finding:
    """Judge a message such as a helpdesk sends, from *domain* and with that envelope sender.

    Raises:
        UnsafeEditError: a rewritten message would not be what it must be.
    """
    author = Mailbox(_ANYBODY, domain).address
    message = Message(author, (), (HeaderField("From", author.encode()),), login=_LOGIN)
    return Finding.of(reviewer.judge(message, lookup, is_helpdesk=True).summary)


class TenantReviewers:
    """Has a reviewer for each tenant, under whose options it judges all; safe for threads."""

    def __init__(self, reviewer: Reviewer) -> None:
        self._reviewer = reviewer
        self._settings = reviewer.configuration.labelled_settings()
        self._reviewers: dict[str, Reviewer] = {}

    def has(self, tenant: str) -> bool:
        """Whether there is a tenant with this label; the general options are the empty one's."""
        return tenant in self._settings

    def of(self, tenant: str) -> Reviewer:
        reviewer = self._reviewers.get(tenant)
        if reviewer is None:
            configuration = self._reviewer.configuration.narrowed_to(self._settings[tenant])
            reviewer = replace(self._reviewer, configuration=configuration)
            self._reviewers[tenant] = reviewer
        return reviewer


class Questions:
    """The budget of questions to DNS; safe for threads, since any may ask."""

    def __init__(self, a_second: float) -> None:
        self._a_second = a_second
        self._asked = 0
        self._lock = threading.Lock()

    def asked(self) -> None:
        """Count one that is being asked."""
        with self._lock:
            self._asked += 1

    def take_seconds(self) -> float:
        """For how long to ask nothing, after what was asked since the last call."""
        with self._lock:
            asked, self._asked = self._asked, 0
        return asked / self._a_second


class Looker:
    """Looks at domains as each tenant sends from them."""

    def __init__(
        self,
        reviewer: Reviewer,
        make_lookup: Callable[[], Lookup],
        make_authoritative: Callable[[], Lookup],
        questions: Questions,
    ) -> None:
        """*make_authoritative* makes a lookup that asks the servers of each zone, and no cache.

        *questions* counts what both ask.
        """
        self.questions = questions
        self._reviewers = TenantReviewers(reviewer)
        self._make_lookup = make_lookup
        self._make_authoritative = make_authoritative

    def knows(self, tenant: str) -> bool:
        """Whether there is a tenant with this label; the empty one stands for all others."""
        return self._reviewers.has(tenant)

    def look(self, tenant: str, domain: Domain) -> Finding:
        """Look as mail does."""
        return look_at(self._reviewers.of(tenant), domain, self._make_lookup())

    def look_past_caches(self, tenant: str, domain: Domain) -> Finding:
        return look_at(self._reviewers.of(tenant), domain, self._make_authoritative())
