"""Has the links with which DNS hosts publish what is advised; asks the hosts in the background."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass

from alignd.advice.alternatives import Advice, Alternative
from alignd.advice.publication import Publication
from alignd.domain_connect.assembly import Service
from alignd.domain_connect.discovery import Discovery, Offer, Unknown, Unsupported
from alignd.domain_connect.key_record import is_published
from alignd.domain_connect.template import Group
from alignd.mail.domain import Domain
from alignd.mail.printable import printable
from alignd.mailauth.ternary import Ternary
from alignd.web.desk.examined import ApplyLink, Examined, NoLink, WhyNoLink

PATIENCE = 1.0
"""Seconds that a page waits for a DNS host that was not asked before."""
_AT_ONCE = 2
_MAX_WAITING = 20  # domains; one that finds no place is asked for when it is looked at again
_KEPT = 3600.0  # seconds, for what a host said
_KEPT_UNKNOWN = 120.0
_MAX_KEPT = 500  # domains


class NoLinks:
    """Implements `Links` where Domain Connect is off."""

    def link_for(self, examined: Examined) -> NoLink:  # noqa: ARG002  of nothing
        return NoLink(WhyNoLink.OFF)

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What was found out about the host of a domain."""

    found: Offer | NoLink
    until: float
    """Of a clock that nobody sets; then it is asked again."""


class HostLinks:
    """Implements `Links`; safe for threads."""

    def __init__(
        self,
        service: Service,
        discovery: Discovery,
        end: Callable[[], None],
        failed: Callable[[Domain, Exception], None],
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*failed* is told of bugs; *end* closes what *discovery* asks with."""
        self._service = service
        self._discovery = discovery
        self._end = end
        self._failed = failed
        self._patience = patience
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[Domain, _Outcome] = OrderedDict()
        self._asked: dict[Domain, Future[_Outcome]] = {}
        self._threads = ThreadPoolExecutor(_AT_ONCE, "domain connect")
        self._is_closed = False

    def link_for(self, examined: Examined) -> ApplyLink | NoLink:
        groups = groups_for(examined.advice, self._service.configuration.relay.spf_include)
        if not groups:
            is_proven = bool(examined.advice.alternatives)
            why = WhyNoLink.NOT_OUR_TEMPLATE if is_proven else WhyNoLink.NOTHING_TO_PUBLISH
            return NoLink(why)
        found = self._outcome(examined.domain)
        if isinstance(found, NoLink):
            return found
        url = self._service.link(found, groups)
        return ApplyLink(url, found.place.provider.name)

    def close(self) -> None:
        """Ask no host any more; what is under way ends within the patience of HTTPS."""
        with self._lock:
            self._is_closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._end()

    def _outcome(self, domain: Domain) -> Offer | NoLink:
        asked = self._asked_of(domain)
        if isinstance(asked, _Outcome):
            return asked.found
        if asked is None:
            return NoLink(WhyNoLink.NOT_YET_KNOWN)
        try:
            return asked.result(self._patience).found
        except (NotYet, CancelledError):
            return NoLink(WhyNoLink.NOT_YET_KNOWN)

    def _asked_of(self, domain: Domain) -> _Outcome | Future[_Outcome] | None:
        """What is known, or is being asked; None where nobody may ask now."""
        with self._lock:
            kept = self._kept.get(domain)
            if kept is not None and self._clock() < kept.until:
                self._kept.move_to_end(domain)
                return kept
            if domain in self._asked:
                return self._asked[domain]
            if self._is_closed or len(self._asked) >= _MAX_WAITING:
                return None
            future = self._asked[domain] = self._threads.submit(self._ask, domain)
            return future

    def _ask(self, domain: Domain) -> _Outcome:
        """Ask, in a thread of its own, which nothing may end but its end."""
        try:
            found = self._found(domain)
        except Exception as error:
            self._failed(domain, error)
            found = NoLink(WhyNoLink.UNKNOWN, type(error).__name__)
        is_unknown = isinstance(found, NoLink) and found.why is WhyNoLink.UNKNOWN
        outcome = _Outcome(found, self._clock() + (_KEPT_UNKNOWN if is_unknown else _KEPT))
        with self._lock:
            self._kept[domain] = outcome
            self._kept.move_to_end(domain)
            while len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
            self._asked.pop(domain, None)
        return outcome

    def _found(self, domain: Domain) -> Offer | NoLink:
        service = self._service
        offer = self._discovery.offer(domain, service.template)
        if isinstance(offer, Unsupported):
            return NoLink(WhyNoLink.UNSUPPORTED, printable(offer.reason))
        if isinstance(offer, Unknown):
            return NoLink(WhyNoLink.UNKNOWN, printable(offer.reason))
        lookup = self._discovery.lookups()
        published, problem = is_published(service.key.public_key, service.record_name, lookup)
        # As `alignd domain-connect link`: where DNS does not say, the link may well work.
        if published is Ternary.NO:
            return NoLink(WhyNoLink.KEY_NOT_PUBLISHED, printable(problem))
        return offer


def groups_for(advice: Advice, include: Domain | None) -> tuple[Group, ...]:
    """The groups of the template's records that do what was proven; none where it has none.

    *include* is the template's: that of the general options, where a tenant may have another.
    """
    proven = [
        (_group_of(each, advice.author.domain, include), each) for each in advice.alternatives
    ]
    # What takes a step of the operator as well is not published beside what is enough.
    enough = [
        group for group, each in proven if group and not (each.before is None and each.notes)
    ]
    groups = set(enough or [group for group, _ in proven if group])
    return tuple(sorted(groups, key=lambda group: group.value))


def _group_of(alternative: Alternative, domain: Domain, include: Domain | None) -> Group | None:
    publication = alternative.publication
    if alternative.before is None:  # DKIM
        # Where the signer signs for a domain above, the name is not where the template has it.
        is_below = publication.name.endswith(f"._domainkey.{domain}")
        return Group.DKIM if is_below else None
    is_at_domain = publication.name == domain.name
    if include is None or not is_at_domain or not _merges(publication, f"include:{include}"):
        return None
    return Group.SPF


def _merges(publication: Publication, term: str) -> bool:
    """Whether what a host makes of *term* and the record there is, is what was proven.

    It puts the term into the one record, or makes a new one (draft-03, section 9.4), and repairs
    nothing.
    """
    terms = publication.value.lower().split()
    if term not in terms or len(publication.replaces) > 1:
        return False
    if not publication.replaces:
        return True
    before = publication.replaces[0].decode("latin-1").lower().split()
    return [each for each in terms if each != term] == before
