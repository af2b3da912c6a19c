"""A bug of ours, in a real milter process: the message arrives, and is counted as what it was."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from alignd.config.endpoint import UnixSocket
from alignd.mail.domain import Domain
from alignd.mta import libmilter, listening_socket
from alignd.mta.session import Runtime
from alignd.mta.suspects import Suspects
from alignd.resolver.resolver import Resolver
from alignd.return_path.address import Kind
from alignd.service.legs import Means, make_judging
from alignd.service.setup import Leg, load_setup
from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import Metrics
from tests.lab import cast
from tests.lab.milter_client import MilterConnection
from tests.lab.nameserver import Nameserver
from tests.lab.readiness import open_directory, wait_until
from tests.lab.return_addresses import KEY_FILE, return_address, write_keys
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


def serve(directory: Path, nameserver: str, metrics: Metrics, leg: Leg) -> None:
    for descriptor in listening_socket.listening():
        os.close(descriptor)  # the name server's, in the process that this one was forked of
    keys = directory / KEY_FILE
    write_keys(keys)
    config = directory / "alignd.conf"
    config.write_text(
        configuration(f'[return]\nkeys = "{KEY_FILE}"\n', nameserver=nameserver, keys=str(keys))
    )
    setup = load_setup(config, leg=leg)
    resolver = Resolver(setup.configuration.dns, setup.nameservers, print)
    with (directory / "log").open("w", buffering=1) as stream:
        log, worker = MessageLog(stream), metrics.of_worker(0)
        judging = make_judging(setup, Means(Broken(), log, worker, Suspects(1).of_worker(0)))
        runtime = Runtime(
            judging.judge,
            judging.make_look_ahead(resolver),
            resolver.for_message,
            log,
            worker,
            judging.wanted,
            max_sessions=10,
            log_addresses=False,
        )
        sessions = libmilter.Sessions(lambda: runtime, 600)
        sessions.want(runtime.wanted)
        libmilter.listen(UnixSocket(f"{directory}/milter.sock"), sessions)
        libmilter.serve()


@contextmanager
def serving(directory: Path, nameserver: str, metrics: Metrics, leg: Leg) -> Iterator[str]:
    """Serve in a process of its own; the socket, in Postfix's words."""
    pid = os.fork()
    if pid == 0:
        try:
            serve(directory, nameserver, metrics, leg)
        finally:
            os._exit(1)
    try:
        path = str(directory / "milter.sock")
        wait_until(lambda: listening_socket.is_served(path), "the milter")
        yield f"unix:{path}"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def counted(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """What is counted of messages."""
    return {
        (family.name, *values): number
        for family, numbers in metrics.families()
        for values, number in numbers.items()
        if number and family.name in {"alignd_messages_total", "alignd_fallbacks_total"}
    }


def test_a_bug_is_a_rewrite_and_counted_so(directory: Path, nameserver: Nameserver) -> None:
    nameserver.serve(world('mycompany.com. TXT "v=spf1 -all"\n'))
    metrics = Metrics(1)
    message = f"From: Marky Mark <{AGENT}>\r\n\r\nHello\r\n".encode()
    with (
        serving(directory, nameserver.address, metrics, Leg.OUTBOUND) as spec,
        MilterConnection(spec) as mta,
    ):
        results = [mta.send(AGENT, (cast.JULIA,), message) for _ in range(3)]

    for result in results:
        assert result.accepted
        assert b"reason=internal-error" in result.message
    # It is judged once: what raised would do so again.
    assert (directory / "log").read_text().count("action=fallback") == 1
    assert counted(metrics) == {
        ("alignd_messages_total", "rewrite", "internal-error"): 3,
        ("alignd_fallbacks_total", "internal-error"): 3,
    }


def test_what_comes_back_and_meets_a_bug_is_put_off(
    directory: Path, nameserver: Nameserver
) -> None:
    nameserver.serve(world('customer.example. TXT "v=spf1 -all"\n'))
    metrics = Metrics(1)
    message = f"From: Julia <{cast.JULIA}>\r\n\r\nHello\r\n".encode()
    with (
        serving(directory, nameserver.address, metrics, Leg.RETURN) as spec,
        MilterConnection(spec, client=cast.RECEIVER_IPV4) as mta,
    ):
        to = return_address(Kind.AUTHOR, AGENT)
        results = [mta.send(cast.JULIA, (to,), message) for _ in range(2)]

    for result in results:
        assert result.answer.text.startswith("451 4.3.0 ")
        assert not result.answer.modifications
    # Strangers are not remembered: their mail would displace what is of use.
    assert (directory / "log").read_text().count("action=fallback") == 2
    assert counted(metrics) == {
        ("alignd_messages_total", "defer", "return-internal-error"): 2,
        ("alignd_fallbacks_total", "internal-error"): 2,
    }
