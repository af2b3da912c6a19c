"""Assembles the watcher of a service, with a resolver of its own: mail shares nothing with it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from alignd.config.nameservers import Nameservers
from alignd.config.settings import DnsOptions
from alignd.judgement.review import Reviewer
from alignd.ledger.leadership import Leadership, Role
from alignd.ledger.watch.look import Looker, Questions
from alignd.ledger.watch.looking import Pace
from alignd.ledger.watch.watcher import Clocks, Observer, Watcher
from alignd.ledger.writer import Writer
from alignd.mailauth.dns import Lookup, RecordType
from alignd.resolver.resolver import Meter, QueryResult, Resolver

_CACHED_SECONDS = 60.0  # what many domains include is asked once a minute


def make_watcher(
    engine: Engine,
    reviewer: Reviewer,
    nameservers: Nameservers,
    make_authoritative: Callable[[Resolver, Callable[[], None]], Lookup],
    writer: Writer,
    observer: Observer,
    meter: Meter,
) -> Watcher:
    """Make the watcher of the ledger that *engine* opens.

    *make_authoritative* makes a lookup that asks the servers of each zone, which it finds through
    this resolver, and calls the function before each question to one.
    """
    options = reviewer.configuration.ledger
    questions = Questions(options.questions)
    resolver = Resolver(
        _options_of_looks(reviewer.configuration.dns),
        nameservers,
        observer.report,
        meter=_CountingMeter(meter, questions),
    )
    looker = Looker(
        reviewer,
        resolver.for_message,
        lambda: make_authoritative(resolver, questions.asked),
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
    """Those of mail, but that what was known before is no answer: a look has nobody waiting."""
    max_ttl = min(dns.max_ttl, _CACHED_SECONDS)
    changed = {"max_ttl": max_ttl, "min_ttl": min(dns.min_ttl, max_ttl), "stale": 0.0}
    return dns.model_copy(update={**changed, "archive": ""})


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
