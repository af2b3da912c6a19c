"""All the storms, with the size that the figures of docs/storms.md are of."""

from __future__ import annotations

from storm import (
    endurance,
    hostile,
    hostile_domains,
    ledger,
    odd,
    outages,
    poison,
    processes,
    slow_dns,
    way_back,
    world,
)
from storm.run import Storm

STORMS = (
    Storm(
        "restarts",
        "alignd restarted (TERM) and reloaded (HUP) by turns",
        20_000,
        processes.restart_and_reload,
    ),
    Storm("kills", "a worker and the supervisor killed (KILL) by turns", 20_000, processes.kill),
    Storm("stops", "a worker, then all of alignd stopped (STOP)", 5_000, processes.stop),
    Storm("outage", "DNS silent", 5_000, outages.outage),
    Storm("bad-dns", "DNS slow, then lossy, then failing", 1_200, outages.bad_dns),
    Storm(
        "slow-dns",
        "every fifth of a known domain, the others of new ones, while DNS is slow",
        3_000,
        slow_dns.slow_dns,
    ),
    Storm("endurance", "many author domains, milter protocol", 200_000, endurance.endure),
    Storm(
        "nonsense",
        "malformed packets, and a hostile header for every five of them",
        1_000_000,
        hostile.nonsense,
    ),
    Storm(
        "hostile-domains",
        "hostile author domains, with all that DNS carries in their records, milter protocol",
        100_000,
        hostile_domains.flood,
    ),
    Storm(
        "odd",
        "odd messages, each through a relay with alignd and through one without",
        20_000,
        odd.compare,
    ),
    Storm(
        "poison",
        "messages that are meant to stop whoever reads, edits or queues them",
        10_000,
        poison.brew,
    ),
    Storm(
        "inline",
        "the inline layout, whose clients hear 451: restarts, reloads and kills by turns",
        10_000,
        processes.inline,
    ),
    Storm(
        "world",
        "what is around alignd changes or fails: resolv.conf, uplink, clock, log, archive, "
        "processes and descriptors, connections",
        20_000,
        world.world,
    ),
    Storm(
        "return",
        "answers and bounces to return addresses, beside as much outbound mail, while the "
        "service and its keys suffer",
        40_000,
        way_back.way_back,
    ),
    Storm(
        "ledger",
        "three relays with one PostgreSQL, which is stopped, killed, filled, frozen, locked and "
        "restarted, with workers and ledgers killed, beside a relay without a ledger",
        20_000,
        ledger.count,
    ),
)
