"""Examines author domains for pages, within bounds, and asks DNS anew where somebody wants it.

Any number of threads may ask. Of one domain, as one tenant sends from it, one examination runs at
a time, and whoever asks meanwhile shares what it finds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from alignd.judgement.review import Reviewer
from alignd.ledger.watch.look import TenantReviewers
from alignd.mail.domain import Domain
from alignd.mail.printable import printable
from alignd.mailauth.dns import Lookup
from alignd.resolver.single_flight import SingleFlight
from alignd.web.desk.budget import Budget
from alignd.web.desk.comparison import changes_between
from alignd.web.desk.examination import author_at, examine
from alignd.web.desk.examined import (
    ApplyLink,
    Checked,
    CheckOutcome,
    CheckProblem,
    Examined,
    NoLink,
    TooSoon,
    Trouble,
    WhyNoLink,
)
from alignd.web.desk.memory import Known, Memory, Subject
from alignd.web.desk.queues import QueueFullError, Queues
from alignd.web.rates import RateLimiter

_MAX_SHOWN = 300  # characters of what DNS did not say
_ALL = ""
"""The key of the limit for all domains together."""

OpenLookup = Callable[[Budget], AbstractContextManager[Lookup]]
_Found = Examined | CheckOutcome


@dataclass(frozen=True, slots=True)
class _Flight:
    """What came of one examination, for all who have waited for it."""

    found: _Found
    is_check: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is asked of DNS, how often, and for how long somebody waits."""

    kept: float = 300.0
    """Seconds for which what was found is shown again."""
    kept_unknown: float = 15.0
    """The same where DNS did not say: or each look at a page would have it asked again."""
    max_kept: int = 300
    """Domains."""
    at_once: int = 4
    """Examinations, of different domains."""
    waiting: int = 6
    """Who wait for one of them, or run it; others are told to come again. A domain whose servers
    are silent must not hold up those who look at others."""
    patience: float = 2.0
    """Seconds to wait for one of them to end."""
    usual_seconds: float = 5.0
    """For an examination as mail asks."""
    seconds: float = 10.0
    """For one at the servers of zones, which takes several questions for each."""
    questions: int = 400
    burst: int = 3
    """Checks of one domain at once; then one *every* so many seconds."""
    every: float = 20.0
    burst_of_all: int = 20
    every_of_all: float = 2.0


class Links(Protocol):
    """Has the links with which DNS hosts publish records."""

    def link_for(self, examined: Examined) -> ApplyLink | NoLink:
        """The link for what *examined* advises; it does not wait for long."""
        ...

    def close(self) -> None:
        """Ask nobody any more."""
        ...


@dataclass(frozen=True, slots=True)
class Sources:
    """Whom is asked."""

    usual: OpenLookup
    """The nameservers that mail asks."""
    authoritative: OpenLookup
    """The servers of the zones."""
    links: Links


class Checker:
    """Examines domains; safe for threads."""

    def __init__(
        self,
        reviewer: Reviewer,
        sources: Sources,
        failed: Callable[[Domain, Exception], None],
        limits: Limits = Limits(),
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """*failed* is told of bugs. *clock* gives Unix time, *monotonic* what ages."""
        self._reviewer = reviewer
        self._reviewers = TenantReviewers(reviewer)
        self._sources = sources
        self._failed = failed
        self._limits = limits
        self._clock = clock
        self._monotonic = monotonic
        self._memory = Memory(limits.max_kept, limits.kept, monotonic)
        self._unknown = Memory(limits.max_kept, limits.kept_unknown, monotonic)
        self._flights: SingleFlight[Subject, _Flight] = SingleFlight()
        self._queues = Queues(limits.waiting)
        self._places = threading.BoundedSemaphore(limits.at_once)
        self._by_domain = RateLimiter(limits.burst, limits.every)
        self._of_all = RateLimiter(limits.burst_of_all, limits.every_of_all)
        self._is_closed = threading.Event()

    def examine(self, domain: Domain, tenant: str = "") -> Examined | CheckProblem:
        """What is known of *domain*, as *tenant* sends from it; from memory if not too old.

        A tenant that the configuration does not have is judged under the general options.
        """
        subject = self._subject(domain, tenant)
        if subject is None:
            return CheckProblem(Trouble.NO_AUTHOR)
        deadline = self._monotonic() + self._patience
        known = self._memory.fresh(subject)
        found: _Found | None = known.examined if known else self._unknown_of(subject)
        while found is None or isinstance(found, TooSoon):  # a check that examined nothing
            found = self._share(subject, self._look, deadline).found
        if isinstance(found, CheckProblem):
            return found
        return self._with_link(found.now if isinstance(found, Checked) else found)

    def check_now(self, domain: Domain, tenant: str = "") -> CheckOutcome:
        """Ask DNS anew, past all caches, and say what has changed."""
        subject = self._subject(domain, tenant)
        if subject is None:
            return CheckProblem(Trouble.NO_AUTHOR)
        deadline = self._monotonic() + self._patience
        while True:
            flight = self._share(subject, self._check, deadline, is_check=True)
            if flight.is_check and not isinstance(flight.found, Examined):
                found = flight.found
                break
        if isinstance(found, Checked):
            return replace(found, now=self._with_link(found.now))
        return found

    def last_check(self, domain: Domain, tenant: str = "") -> Checked | None:
        """What the last check found, if that is what is known now."""
        subject = self._subject(domain, tenant)
        known = self._memory.fresh(subject) if subject else None
        if known is None or known.checked is None:
            return None
        return replace(known.checked, now=self._with_link(known.checked.now))

    def close(self) -> None:
        """Examine nothing more; what is under way ends within its bounds."""
        self._is_closed.set()
        self._sources.links.close()

    @property
    def _patience(self) -> float:
        """For how long anybody waits for the examinations of others."""
        limits = self._limits
        return limits.patience + limits.usual_seconds + limits.seconds

    def _with_link(self, examined: Examined) -> Examined:
        try:
            link = self._sources.links.link_for(examined)
        except Exception as error:  # the page is as good without
            self._failed(examined.domain, error)
            link = NoLink(WhyNoLink.UNKNOWN, type(error).__name__)
        return replace(examined, domain_connect=link)

    def _subject(self, domain: Domain, tenant: str) -> Subject | None:
        """Whose mail that is; None where no mail can come from *domain*."""
        author = author_at(domain)
        return Subject(author, tenant if self._reviewers.has(tenant) else "") if author else None

    def _share(
        self,
        subject: Subject,
        work: Callable[[Subject], _Found],
        deadline: float,
        *,
        is_check: bool = False,
    ) -> _Flight:
        """What *work* finds, or what is under way already."""
        if self._is_closed.is_set():
            return _Flight(CheckProblem(Trouble.CLOSED), is_check)
        seconds = max(0.0, deadline - self._monotonic())
        try:
            with self._queues.place(subject):
                flight, _ = self._flights.run(
                    subject, lambda: _Flight(self._safely(subject, work), is_check), seconds
                )
        except QueueFullError:
            return _Flight(CheckProblem(Trouble.BUSY), is_check)
        except TimeoutError:
            return _Flight(CheckProblem(Trouble.TIMEOUT), is_check)
        return flight

    def _safely(self, subject: Subject, work: Callable[[Subject], _Found]) -> _Found:
        """What *work* finds, in one of the places that there are."""
        if not self._places.acquire(timeout=self._limits.patience):
            return CheckProblem(Trouble.BUSY)
        try:
            return work(subject)
        except Exception as error:
            self._failed(subject.author.domain, error)
            return CheckProblem(Trouble.INTERNAL, type(error).__name__)
        finally:
            self._places.release()

    def _look(self, subject: Subject) -> Examined | CheckProblem:
        """As mail does; but after a check that was ahead of its caches, as that did."""
        if (known := self._memory.fresh(subject)) is not None:  # of another, a moment ago
            return known.examined
        known = self._memory.last(subject)
        usual = self._examine(subject, self._sources.usual, self._limits.usual_seconds)
        checked = known.checked if known else None
        if checked is not None and checked.is_seen_by_mail is False:
            now, obstacle = self._past_caches(subject, usual)
            seen = _agree(usual, now)
            checked = replace(checked, now=now, is_seen_by_mail=seen, obstacle=obstacle)
        else:
            now, checked = usual, None
        return self._kept(subject, now, checked)

    def _check(self, subject: Subject) -> CheckOutcome:
        seconds = self._by_domain.take(subject.author.domain.name, self._monotonic())
        seconds = seconds or self._of_all.take(_ALL, self._monotonic())
        if seconds:
            return TooSoon(seconds)
        known = self._memory.last(subject)
        usual = self._examine(subject, self._sources.usual, self._limits.usual_seconds)
        now, obstacle = self._past_caches(subject, usual)
        before = known.examined if known else usual
        if before.advice.is_unknown:
            checked = Checked(None, now, obstacle=obstacle)
        else:
            changes = changes_between(before, now)
            checked = Checked(before, now, changes, _agree(usual, now), obstacle)
        found = self._kept(subject, now, checked)
        return found if isinstance(found, CheckProblem) else checked

    def _kept(
        self, subject: Subject, now: Examined, checked: Checked | None
    ) -> Examined | CheckProblem:
        """*now*, which is remembered; what DNS did not say is so for a moment only."""
        if now.advice.is_unknown:
            self._unknown.put(subject, Known(now))
            return _unknown(now)
        self._memory.put(subject, Known(now, checked))
        return now

    def _unknown_of(self, subject: Subject) -> CheckProblem | None:
        """What DNS did not say a moment ago."""
        known = self._unknown.fresh(subject)
        return _unknown(known.examined) if known else None

    def _past_caches(self, subject: Subject, usual: Examined) -> tuple[Examined, str]:
        """What the servers of the zones say; *usual* where these do not, and why not."""
        open_lookup = self._sources.authoritative
        found = self._examine(subject, open_lookup, self._limits.seconds, is_authoritative=True)
        return (usual, _why(found)) if found.advice.is_unknown else (found, "")

    def _examine(
        self,
        subject: Subject,
        open_lookup: OpenLookup,
        seconds: float,
        *,
        is_authoritative: bool = False,
    ) -> Examined:
        budget = Budget(self._limits.questions, seconds, self._monotonic)
        at, reviewer, tenant = self._clock(), self._reviewer, subject.tenant
        if tenant:  # else as `alignd domain` does
            reviewer = self._reviewers.of(tenant)
        with open_lookup(budget) as lookup:
            return examine(reviewer, subject.author, lookup, at, is_authoritative=is_authoritative)


def _unknown(unknown: Examined) -> CheckProblem:
    return CheckProblem(Trouble.DNS, _why(unknown), unknown)


def _why(unknown: Examined) -> str:
    """What DNS did not say, for operators."""
    return printable(unknown.advice.cannot or "")[:_MAX_SHOWN]


def _agree(usual: Examined, now: Examined) -> bool | None:
    """Whether mail gets what is published *now*; None where that is not known."""
    if usual.advice.is_unknown or not now.is_authoritative:
        return None
    return not changes_between(usual, now)
