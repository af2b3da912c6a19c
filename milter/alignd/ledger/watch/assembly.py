"""Assembles the watcher of a service, with a resolver of its own: mail shares nothing with it."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from sqlalchemy import Engine

from alignd.config.nameservers import Nameservers
from alignd.config.settings import DnsOptions
from alignd.judgement.review import Reviewer
from alignd.ledger.fleet.leadership import Leadership, Role
from alignd.ledger.watch.look import Looker, Questions
from alignd.ledger.watch.looking import Pace
from alignd.ledger.watch.watcher import Clocks, Observer, Watcher
from alignd.ledger.writer import Writer
from alignd.mailauth.dns import RecordType
from alignd.resolver.authoritative import AuthoritativeLookup
from alignd.resolver.client import Upstream
from alignd.resolver.resolver import Meter, QueryResult, Resolver

_CACHED_SECONDS = 60.0  # what many domains include is asked once a minute
_PATIENCE = 5.0  # seconds, for all questions of a look as mail asks them
_SECONDS = 20.0  # for a look at the servers of zones, which takes several questions for each


def make_watcher(
    engine: Engine,
    reviewer: Reviewer,
    nameservers: Nameservers,
    writer: Writer,
    observer: Observer,
    meter: Meter,
    *,
    port: int = 53,
) -> Watcher:
    """Make the watcher of the ledger that *engine* opens.

    *port* is that of the servers of zones.
    """
    options = reviewer.configuration.ledger
    questions = Questions(options.questions)
    resolver = Resolver(
        _options_of_looks(reviewer.configuration.dns),
        nameservers,
        observer.report,
        meter=_CountingMeter(meter, questions),
    )
    upstream = Upstream(nameservers, keeps_sockets=False)
    looker = Looker(
        reviewer,
        resolver.for_message,
        lambda: AuthoritativeLookup(upstream, _SECONDS, questions.asked, port),
        questions,
    )
    return Watcher(
        engine,
        Leadership(engine, Role.LOOKING),
        looker,
        Pace(options.watch, options.confirm),
        writer,
        observer,
        Clocks(time.time, time.monotonic, random.random),
    )


def _options_of_looks(dns: DnsOptions) -> DnsOptions:
    """Those of mail, but that nobody waits for a look: it takes its time, and no old answer."""
    max_ttl = min(dns.max_ttl, _CACHED_SECONDS)
    changed = {"max_ttl": max_ttl, "min_ttl": min(dns.min_ttl, max_ttl), "stale": 0.0}
    timeout = max(dns.timeout, _PATIENCE)
    return dns.model_copy(update={**changed, "timeout": timeout, "archive": ""})


@dataclass(frozen=True, slots=True)
class _CountingMeter:
    """Counts for the budget, too, what a resolver asks."""

    meter: Meter
    questions: Questions

    def queried(self, record_type: RecordType, result: QueryResult) -> None:
        self.questions.asked()
        self.meter.queried(record_type, result)

    def hit_cache(self) -> None:
        self.meter.hit_cache()

    def used_last_known(self) -> None:
        self.meter.used_last_known()

    def refresh_failed(self) -> None:
        self.meter.refresh_failed()

    def probe_failed(self) -> None:
        self.meter.probe_failed()
