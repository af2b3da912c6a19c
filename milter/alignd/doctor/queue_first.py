"""Checks the queue-first layout: the hop from Postfix's queue to the listener with alignd."""

from __future__ import annotations

from collections.abc import Iterator

from alignd.doctor.findings import (
    FindingId,
    Remark,
    Topic,
    TopicReport,
    error,
    snippet_command,
    topic_report,
    warning,
)
from alignd.postfix.chain import LOOPBACK, Chain, Hop
from alignd.postfix.layouts import Layout


def examine_queue_first(chain: Chain) -> tuple[TopicReport, ...]:
    """Examine the hops to alignd; no report if there is none and none was intended."""
    remarks = (*_lost_hops(chain), *(r for hop in chain.to_alignd for r in _hop(chain, hop)))
    if not chain.to_alignd and not remarks:
        return ()
    return (topic_report(Topic.QUEUE_FIRST, remarks),)


def _lost_hops(chain: Chain) -> Iterator[Remark]:
    inner = [
        smtpd.service
        for smtpd in chain.with_alignd
        if smtpd.service.name.rpartition(":")[0].strip("[]") in LOOPBACK
        and not chain.is_second_listener(smtpd)
    ]
    for hop in chain.hops:
        if hop.is_local and hop.target is None and inner:
            yield error(
                FindingId.SECOND_LISTENER_MISSING,
                f"content_filter of {hop.source} sends mail to port {hop.port}, where no service "
                f"of master.cf listens; alignd is a milter of {inner[0]}",
                "mail waits in the queue and bounces after maximal_queue_lifetime",
                f"content_filter={hop.transport}:[127.0.0.1]:{inner[0].port}",
            )


def _hop(chain: Chain, hop: Hop) -> Iterator[Remark]:
    postfix, target = chain.postfix, hop.target
    if target is None:
        return
    is_first = hop.source.program == "smtpd" and hop.source != target.service
    if is_first and postfix.value("smtpd_milters", hop.source):
        yield error(
            FindingId.MILTERS_BEFORE_QUEUE,
            f"{hop.source}, the first listener, has milters of its own",
            "while one of them is down, it refuses mail that should wait in the queue",
            f"-o smtpd_milters= for {hop.source} in master.cf",
        )
    if postfix.value("content_filter", target.service):
        yield error(
            FindingId.SECOND_LISTENER_LOOPS,
            f"{target.service}, the second listener, has a content_filter of its own",
            "mail loops until Postfix bounces it for too many hops",
            f"-o content_filter= for {target.service} in master.cf",
        )
    transport = next((each for each in postfix.services if each.name == hop.transport), None)
    if transport is None:
        yield error(
            FindingId.REQUEUE_TRANSPORT_MISSING,
            f"content_filter of {hop.source} names the transport {hop.transport}, which is not "
            "in master.cf",
            "mail waits in the queue until the transport exists",
            snippet_command(Layout.QUEUE_FIRST, "master.cf"),
        )
        return
    if postfix.value("smtp_connection_cache_on_demand", transport) != "no":
        yield warning(
            FindingId.REQUEUE_SESSIONS_SHARED,
            f"{transport} may send several messages in one session",
            "after alignd fails for one message, Postfix defers the rest of the session, too",
            f"-o smtp_connection_cache_on_demand=no for {transport} in master.cf",
        )
    sends = postfix.value("smtp_send_xforward_command", transport) == "yes"
    if not sends or not postfix.value("smtpd_authorized_xforward_hosts", target.service):
        yield warning(
            FindingId.XFORWARD_MISSING,
            f"{transport} does not tell {target.service} who the client is (XFORWARD)",
            "the log of the second hop names this machine instead of the client",
            f"-o smtp_send_xforward_command=yes for {transport} in master.cf\n"
            f"-o smtpd_authorized_xforward_hosts=127.0.0.0/8 for {target.service} in master.cf",
        )
