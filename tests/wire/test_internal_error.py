"""A bug of ours, in a real milter process: the message arrives, and is counted as what it was."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from alignd.config.endpoint import UnixSocket
from alignd.config.file import parse_configuration
from alignd.config.nameservers import nameservers_of
from alignd.config.signer import load_signer
from alignd.judgement.evidence import wanted_by
from alignd.judgement.review import make_reviewer
from alignd.mail.domain import Domain
from alignd.mta import libmilter, listening_socket
from alignd.mta.judgement_cache import JudgementCache
from alignd.mta.lookahead import LookAhead
from alignd.mta.outbound_judge import OutboundJudge
from alignd.mta.session import Runtime
from alignd.mta.suspects import Suspects
from alignd.resolver.resolver import Resolver
from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import Metrics
from tests.lab.milter_client import MilterConnection
from tests.lab.nameserver import Nameserver
from tests.lab.readiness import open_directory, wait_until
from tests.lab.settings import configuration, world

# The name servers of other tests have threads, which the forked process does not touch.
FORKS = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
pytestmark = [pytest.mark.wire, FORKS]

AGENT = "marky.mark@mycompany.com"


class Broken:
    """A public suffix list with a bug."""

    def registered_domain(self, domain: Domain) -> Domain:
        raise RuntimeError(f"a bug, met by {domain}")


@pytest.fixture
def directory() -> Iterator[Path]:
    with open_directory() as directory:
        yield directory


def serve(directory: Path, nameserver: str, metrics: Metrics) -> None:
    for descriptor in listening_socket.listening():
        os.close(descriptor)  # the name server's, in the process that this one was forked of
    settings = parse_configuration(configuration(nameserver=nameserver), "")
    signer = load_signer(settings.dkim)
    reviewer = make_reviewer(settings, signer, time.time, Broken())
    resolver = Resolver(settings.dns, nameservers_of(settings.dns), print)
    with (directory / "log").open("w", buffering=1) as stream:
        log, worker = MessageLog(stream), metrics.of_worker(0)
        runtime = Runtime(
            OutboundJudge(JudgementCache(reviewer, log, worker, Suspects(1).of_worker(0)), worker),
            LookAhead(reviewer, resolver).begin,
            resolver.for_message,
            log,
            worker,
            wanted_by(settings),
            max_sessions=10,
            log_addresses=False,
        )
        sessions = libmilter.Sessions(lambda: runtime, 600)
        sessions.want(runtime.wanted)
        libmilter.listen(UnixSocket(f"{directory}/milter.sock"), sessions)
        libmilter.serve()


def test_a_bug_is_a_rewrite_and_counted_so(directory: Path, nameserver: Nameserver) -> None:
    nameserver.serve(world('mycompany.com. TXT "v=spf1 -all"\n'))
    metrics = Metrics(1)
    pid = os.fork()
    if pid == 0:
        try:
            serve(directory, nameserver.address, metrics)
        finally:
            os._exit(1)
    try:
        path = str(directory / "milter.sock")
        wait_until(lambda: listening_socket.is_served(path), "the milter")
        message = f"From: Marky Mark <{AGENT}>\r\n\r\nHello\r\n".encode()
        with MilterConnection(f"unix:{path}") as mta:
            results = [mta.send(AGENT, ("julia@customer.example",), message) for _ in range(3)]
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    for result in results:
        assert result.accepted
        assert b"reason=internal-error" in result.message
    # It is judged once: what raised would do so again.
    assert (directory / "log").read_text().count("action=fallback") == 1
    counted = {
        (family.name, *values): number
        for family, numbers in metrics.families()
        for values, number in numbers.items()
        if number and family.name in {"alignd_messages_total", "alignd_fallbacks_total"}
    }
    assert counted == {
        ("alignd_messages_total", "rewrite", "internal-error"): 3,
        ("alignd_fallbacks_total", "internal-error"): 3,
    }
