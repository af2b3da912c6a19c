"""Writes docs/bench.md, and says which goals were reached."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bench.growth import Cost
from bench.readers import DOMAIN, JSON, LIST
from bench.reading import MOST_MEMORY, Reading
from bench.speed import CONNECTIONS, GOALS, Speed, ratios
from bench.stages import Profile
from bench.through_postfix import ALONE, Relay
from bench.trifles import Figure
from bench.with_ledger import KEEPS as KEEPS_WITH_LEDGER
from bench.with_ledger import WithLedger, share_of_all
from bench.with_readers import KEEPS as KEEPS_WITH_READERS
from bench.with_readers import QUICK, WithReaders, quantiles
from bench.workers import Crew
from tests.lab import machine

KEEPS = 0.62
"""The share of its throughput that Postfix is to keep."""
NEARLY = 1.0
"""Milliseconds that TCP may cost more than a unix socket."""
OVER_UNIX, OVER_TCP = "alignd", "alignd over TCP"

_INTRODUCTION = """\
# Benchmark

What `make bench` measured last: alignd as shipped (log line included, answers of DNS known, two \
relay addresses, 1,000 author domains in rotation, a third of the messages rewritten), beside an \
empty pymilter with the same flags and as many workers, and other milters. The load is \
`bench/load.c`, which plays Postfix: one milter connection for each SMTP session, one message of \
3 kB with 16 header fields in each. All run by turns, and each figure is the median of five \
rounds of a second; only the ratios mean something on another machine.

"""


_PEERS = """
The second empty pymilter keeps each worker to one core, as alignd does. The second rspamd has no \
rules either, and as many processes as alignd has workers. These two are there for comparison, \
and no goal. The others are as Debian or PyPI has them, but for sockets and what would refuse mail.
"""
_CREWS = """\
alignd by itself; one for each core, up to eight, is the default of `milter.workers`. Each keeps \
to one core: its threads take turns at one interpreter lock, which costs most where they wake \
each other over cores.

"""
_CHANGED = """
As cProfile sees one worker, less what it adds to a call. What it has changed: a judgement is \
remembered with its edits and its log line, where the first version judged each message anew (200 \
to 300 microseconds of Python); header fields of no interest, which are most, are left behind \
before anything is looked up for them; the log is one write; and a message is known by what was \
collected of it, and read only where memory has no precedent. In a loop, without a profiler, the \
Python of a message took 28 microseconds before the last three of these, 15 before the last, and \
takes 9. What no profiler of Python shows brought more than all of them: a worker that keeps to \
one core (see Workers). Before these two, the stages of Python took 31, 10, 13, 5, 15, 5, 3 and 3 \
microseconds.
"""
_SURPRISES = """
Each header field costs libmilter two packets, also one that alignd looks at no more. The \
judgements of 20,000 authors and 50,000 DNS answers are remembered: of 100,000 authors in \
rotation, each is met as if he were new. A tenant is found by an index, where one of its patterns \
is a plain value: the first message of an author costs the same with any number of them.
"""
_LEDGER = """\
alignd twice, with a ledger in a file and without one, by turns, and all runs added up. The \
ledger counts each message of these runs, of 1,000 author domains all the time. What it takes is \
taken from the same cores: where they are not all busy, mail does not feel it. The processor time \
is that of the ledger's process, its writing included; a worker takes 1.5 µs to tell it. On a \
shared machine a row scatters by a tenth: the goal is of all of them together.

"""
_READERS = """\
`alignd web` on a ledger of 10,000 author domains in a file, beside mail at full speed, with 50 \
readers and with nobody, by turns, and all runs added up; the ledger counts each message. A \
reader asks for the list, a state, a search, another order or a later page, for domains at random \
(which the page has then to look up in DNS) and for both as JSON, over a connection that is kept. \
People take 2 to 5 seconds from an answer to the next click: a supporter who reads what he asked \
for takes longer. Programs ask again at once. The readers are on this machine too, with the \
priority of the page, which is lower than that of mail: what they take counts against it. \
Messages a second scatter by a tenth on a machine that others share; the processor time that the \
workers have says more where the cores are full, as with 100 connections.

"""
_BOUND = """
Programs get what mail leaves: the page is one process, which does its Python on one core, with \
the priority of what can wait; 24 requests are answered at a time, and the rest stand in a queue. \
The list is read from the ledger every ten seconds or more seldom, however many look. Who looks \
first, after minutes in which nobody did, waits until it is read; that is not measured here.
"""
_READING = """\
Aggregate reports of 1,000 rows, as gzip: unpacked, read, counted and stored in a ledger in a \
file, one after the other, in one process. Each is of one day and one of 20 receivers, and a \
third of its rows is this relay's mail. Memory is that of the whole process, whatever their number.

"""
_MISSED = """
What stands against a goal that is missed at one connection: there, an empty pymilter is itself \
but little above it. Of the 35 microseconds that alignd takes longer than that, half are its \
Python, which costs two to three times what it costs in a loop, and the rest are the five edits \
of every third message and the log line. Rounds scatter by three in a hundred.
"""


@dataclass(slots=True)
class Results:
    """All that was measured; what could not be stays empty and has its reason."""

    workers: int
    speeds: Sequence[Speed] = ()
    crews: Sequence[Crew] = ()
    relays: Sequence[Relay] = ()
    figures: Sequence[Figure] = ()
    profile: Profile | None = None
    costs: Sequence[Cost] = ()
    with_ledger: Sequence[WithLedger] = ()
    with_readers: Sequence[WithReaders] = ()
    reading: Reading | None = None
    missing: list[str] = field(default_factory=list)


def missed(results: Results) -> list[str]:
    """The goals that were not reached, in words."""
    return [
        f"{what}: {value} of {goal}"
        for what, value, goal, reached in _goals(results)
        if not reached
    ]


def written(results: Results, picture: str) -> str:
    """The page; *picture* is where the plot is."""
    parts = [_INTRODUCTION, machine.described(), f"* Workers: {results.workers}\n"]
    if results.speeds:
        parts += ["\n## Speed\n\n", f"![messages a second]({picture})\n\n", _speed_table(results)]
        parts += [_PEERS]
    if results.crews:
        parts += ["\n## Workers\n\n", _CREWS, _crew_table(results.crews)]
    if results.relays:
        parts += ["\n## A relay\n\n", _relay_table(results.relays)]
    if results.figures:
        parts += ["\n## Single figures\n\n", _figures(results.figures)]
    if results.profile:
        parts += ["\n## Where the time goes\n\n", _stages(results.profile), _CHANGED]
    if results.costs:
        parts += ["\n## Growth\n\n", _growth(results.costs), _SURPRISES]
    parts += _beside_mail(results)
    parts += ["\n## Goals\n\n", table(("goal", "reached", "to reach", ""), _goal_rows(results))]
    parts += [_MISSED] if missed(results) else []
    if results.missing:
        parts += ["\nNot measured:\n\n", *(f"* {reason}\n" for reason in results.missing)]
    return "".join(parts)


def _beside_mail(results: Results) -> Iterable[str]:
    """What is done besides mail."""
    parts: list[str] = []
    if results.with_ledger:
        parts += ["\n## The ledger\n\n", _LEDGER, _ledger_table(results.with_ledger)]
    if results.with_readers:
        parts += ["\n## The page\n\n", _READERS, _readers_table(results.with_readers)]
        parts += ["\n", _views_table(results.with_readers), _BOUND]
    if results.reading:
        parts += ["\n## Reports\n\n", _READING, _reading_table(results.reading)]
    return parts


def _goals(results: Results) -> list[tuple[str, str, str, bool]]:
    goals: list[tuple[str, str, str, bool]] = []
    for peer in results.speeds[1:]:
        if peer.name not in GOALS:
            continue
        found = ratios(results.speeds[0], peer)
        wanted = GOALS[peer.name]
        reached = all(have >= want for have, want in zip(found, wanted, strict=True))
        goals.append((f"times {peer.name}", _times(found), _times(wanted), reached))
    if results.relays:
        by_name = {relay.name: relay for relay in results.relays}
        share = by_name[OVER_UNIX].rate / by_name[ALONE].rate
        goals.append(("of Postfix alone", f"{share:.2f}", f"{KEEPS:.2f}", share >= KEEPS))
        more = by_name[OVER_TCP].one - by_name[OVER_UNIX].one
        goals.append(("TCP costs", f"{more:.2f} ms", f"{NEARLY:.0f} ms", more <= NEARLY))
    if results.with_ledger:
        share = share_of_all(results.with_ledger)
        text = f"{KEEPS_WITH_LEDGER:.2f}"
        kept = share >= KEEPS_WITH_LEDGER
        goals.append(("of alignd without a ledger", f"{share:.2f}", text, kept))
    if people := [each for each in results.with_readers if each.readers.thinks]:
        share = share_of_all([each for each in people if each.connections])
        text, kept = f"{KEEPS_WITH_READERS:.2f}", share >= KEEPS_WITH_READERS
        goals.append(("of mail without readers", f"{share:.2f}", text, kept))
        slowest = quantiles(people[0].looked.answers[LIST])[1]  # where there is no mail
        found_text, wanted_text = f"{slowest * 1000:.0f} ms", f"{QUICK * 1000:.0f} ms"
        goals.append(("95 of 100 lists, no mail", found_text, wanted_text, slowest <= QUICK))
    if results.reading:
        memory = results.reading.memory
        text = f"under {MOST_MEMORY} MiB"
        goals.append(("reading reports", f"{memory:.0f} MiB", text, memory < MOST_MEMORY))
    goals += [
        (figure.what, figure.value, figure.goal, figure.reached)
        for figure in results.figures
        if figure.goal
    ]
    return goals


def _goal_rows(results: Results) -> Iterable[tuple[str, ...]]:
    for what, value, goal, reached in _goals(results):
        yield what, value, goal, "yes" if reached else "**no**"


def _times(values: Iterable[float]) -> str:
    return " / ".join(f"{value:.2f}" for value in values)


def _speed_table(results: Results) -> str:
    ours = results.speeds[0]
    rows = []
    for speed in results.speeds:
        rates = [f"{rate:,.0f}" for rate in speed.rates]
        rows.append((speed.name, *rates, "" if speed is ours else _times(ratios(ours, speed))))
    heads = [f"{connections} connections" for connections in CONNECTIONS]
    return table(("messages a second", *heads, "alignd is times as fast"), rows)


def _crew_table(crews: Sequence[Crew]) -> str:
    rows = [(str(crew.workers), *(f"{rate:,.0f}" for rate in crew.rates)) for crew in crews]
    heads = [f"{connections} connections" for connections in CONNECTIONS]
    return table(("workers", *heads), rows)


def _relay_table(relays: Sequence[Relay]) -> str:
    alone = next(relay for relay in relays if relay.name == ALONE)
    rows = [
        (relay.name, f"{relay.rate:.0f}", f"{relay.rate / alone.rate:.2f}", f"{relay.one:.2f}")
        for relay in relays
    ]
    heads = ("Postfix with", "messages a second, 10 sessions", "of Postfix alone")
    return table((*heads, "ms a message, one by one, rewritten"), rows)


def _figures(figures: Sequence[Figure]) -> str:
    return table(("what", "measured"), [(figure.what, figure.value) for figure in figures])


def _stages(profile: Profile) -> str:
    rows = [(stage, f"{spent:.0f}") for stage, spent in profile.microseconds.items()]
    rows.append(("all", f"{sum(profile.microseconds.values()):.0f}"))
    return table(("stage", "microseconds of a message"), rows)


def _growth(costs: Sequence[Cost]) -> str:
    rows = [
        (cost.what, f"{cost.size:,}", f"{cost.microseconds:,.0f}", f"{cost.memory:.0f}")
        for cost in costs
    ]
    heads = ("with so many", "", "microseconds of a message")
    return table((*heads, "MiB of the worker"), rows)


def _ledger_table(found: Sequence[WithLedger]) -> str:
    rows = []
    for each in found:
        rates = (f"{each.rate:,.0f}", f"{each.without:,.0f}")
        name = f"{each.connections} connections"
        rows.append((name, *rates, f"{each.share:.3f}", f"{each.microseconds:.1f} µs"))
    heads = ("messages a second", "with a ledger", "without", "share")
    return table((*heads, "processor time for one"), rows)


def _readers_table(found: Sequence[WithReaders]) -> str:
    rows = []
    for each in found:
        rates = ("", "", "", "")
        if each.connections:
            shares = (f"{each.share:.3f}", f"{each.share_of_workers:.3f}")
            rates = (f"{each.rate:,.0f}", f"{each.without:,.0f}", *shares)
        spent = (f"{each.page:.2f}", f"{each.ledger:.2f}")
        name = _beside(each)
        rows.append((name, *rates, f"{each.requests:.1f}", *spent))
    heads = ("messages a second", "with readers", "without", "share", "share of processor time")
    return table((*heads, "requests a second", "cores of the page", "of the ledger"), rows)


def _views_table(found: Sequence[WithReaders]) -> str:
    rows = []
    for each in found:
        name = _beside(each)
        for kind in (LIST, DOMAIN, JSON):
            seconds = each.looked.answers[kind]
            times = [f"{quantile * 1000:,.0f}" for quantile in quantiles(seconds)]
            rows.append((name, kind, f"{len(seconds):,}", *times))
    heads = ("milliseconds to the whole answer", "of", "answers")
    return table((*heads, "50 of 100", "95 of 100", "99 of 100"), rows)


def _reading_table(found: Reading) -> str:
    counts = f"{found.reports:,}", f"{found.rows:,}", f"{found.rate:,.0f}"
    row = (*counts, f"{found.memory:.0f}", f"{found.stored / found.reports:,.0f}")
    heads = ("reports", "rows", "rows a second", "MiB of the process")
    return table((*heads, "rows of the ledger for one"), [row])


def _beside(each: WithReaders) -> str:
    who = f"{each.readers.number} {'people' if each.readers.thinks else 'programs'}"
    return f"{who}, {each.connections} connections" if each.connections else f"{who}, no mail"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
