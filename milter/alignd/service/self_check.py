"""Checks the DNS that rewritten mail depends on, in the background, and warns in the log."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from alignd.doctor.dns.relay import examine_notifications
from alignd.doctor.findings import Topic, TopicReport, one_line, topic_report
from alignd.doctor.machine import examine_resolver
from alignd.mailauth.rfc7489 import PublicSuffixes
from alignd.resolver.resolver import Resolver, response_time
from alignd.service.setup import Setup
from alignd.telemetry.log import MessageLog, described
from alignd.telemetry.metrics import ProcessMetrics
from alignd.telemetry.words import Task

DNS_SECONDS = 20.0
"""Budget for all questions about one tenant of the relay: no mail waits for them."""

MAX_CHECKED = 300
"""Different notifications and relays of tenants that are checked. Each takes some six questions,
so that thousands would be as many at each reload as mail asks in hours."""


def start_self_check(
    setup: Setup, suffixes: PublicSuffixes, log: MessageLog, metrics: ProcessMetrics
) -> None:
    """Start a thread that logs a line for each finding, and one if DNS did not answer."""

    def check() -> None:
        try:
            topics = tuple(_examine(setup, suffixes))
        except Exception as error:  # a bug, or no descriptor left: mail is not affected
            log.service("DNS of the relay was not checked", problem=described(error))
            metrics.task_failed(Task.SELF_CHECK)
            return
        for topic in topics:
            for finding in topic.findings:
                log.service(one_line(finding), severity=finding.severity.value)
        for skipped in (each for topic in topics for each in topic.skipped):
            log.service("DNS of the relay was checked in part", skipped=skipped.text)
        unknown = [each.text for topic in topics for each in topic.unknown]
        if unknown:
            log.service("DNS of the relay could not be checked", problem="; ".join(unknown))

    try:
        threading.Thread(target=check, name="self check", daemon=True).start()
    except RuntimeError as error:  # no thread left for it
        log.service("DNS of the relay was not checked", problem=str(error))
        metrics.task_failed(Task.SELF_CHECK)


def _examine(setup: Setup, suffixes: PublicSuffixes) -> Iterator[TopicReport]:
    configuration, dns = setup.configuration, setup.configuration.dns
    patient = dns.model_copy(update={"timeout": DNS_SECONDS})
    resolver = Resolver(patient, setup.nameservers, report=lambda _: None)
    # `alignd doctor` examines the rest.
    yield examine_notifications(
        configuration, setup.signer, resolver.for_message, suffixes, MAX_CHECKED
    )
    over_tcp = setup.nameservers.over_tcp
    took = {
        each: response_time(each, dns.timeout, over_tcp=over_tcp)
        for each in setup.nameservers.servers
    }
    yield topic_report(Topic.RESOLVER, examine_resolver(dns, took))
