"""How mail is judged on each leg, and what has to be known of a message for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from alignd.judgement.evidence import Wanted, wanted_by
from alignd.judgement.return_leg import make_return_reviewer
from alignd.judgement.review import make_reviewer
from alignd.mailauth.rfc7489 import PublicSuffixes
from alignd.mta.judgement_cache import JudgementCache
from alignd.mta.lookahead import LookAhead
from alignd.mta.outbound_judge import OutboundJudge
from alignd.mta.return_judge import ReturnJudge, wanted_on_return
from alignd.mta.suspects import JudgementNotes
from alignd.mta.transaction import Transaction
from alignd.mta.verdict import Judge
from alignd.resolver.resolver import Resolver
from alignd.service.setup import Leg, Setup
from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import ProcessMetrics


@dataclass(frozen=True, slots=True)
class Means:
    """What a worker has at hand, whatever the leg."""

    suffixes: PublicSuffixes
    log: MessageLog
    metrics: ProcessMetrics
    notes: JudgementNotes


class Judging(NamedTuple):
    """How the messages of a leg are judged."""

    judge: Judge
    make_look_ahead: Callable[[Resolver], Callable[[Transaction], None]]
    wanted: Wanted


def make_judging(setup: Setup, means: Means) -> Judging:
    """Assemble what judges under *setup*."""
    return _MAKERS[setup.leg](setup, means)


def _outbound(setup: Setup, means: Means) -> Judging:
    reviewer = make_reviewer(
        setup.configuration,
        setup.signer,
        time.time,
        means.suffixes,
        time.thread_time,
        setup.directory,
    )
    cache = JudgementCache(reviewer, means.log, means.metrics, means.notes)
    return Judging(
        OutboundJudge(cache, means.metrics),
        lambda resolver: LookAhead(reviewer, resolver).begin,
        wanted_by(setup.configuration),
    )


def _return(setup: Setup, means: Means) -> Judging:
    reviewer = make_return_reviewer(
        setup.configuration, setup.directory, means.suffixes, time.time, time.thread_time
    )
    return Judging(
        ReturnJudge(reviewer, means.log, means.metrics, means.notes),
        lambda _: _wait,
        wanted_on_return(setup.configuration),
    )


def _wait(_: Transaction) -> None:
    """Begin no lookup: a stranger would choose what is asked before anything is checked."""


_MAKERS: dict[Leg, Callable[[Setup, Means], Judging]] = {
    Leg.OUTBOUND: _outbound,
    Leg.RETURN: _return,
}
