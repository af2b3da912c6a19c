"""A message that kills its worker does not kill the next one, and harms no other message."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from alignd.return_path.address import Kind
from tests.lab import cast
from tests.lab.alignd import Alignd, run_alignd, run_return
from tests.lab.milter_client import MilterConnection, Result
from tests.lab.nameserver import Nameserver
from tests.lab.processes import is_worker
from tests.lab.readiness import open_directory, wait_until
from tests.lab.return_addresses import KEY_FILE, return_address
from tests.lab.settings import world

pytestmark = pytest.mark.wire

# The judgement itself asks for what is included, when the look-ahead is done: it waits there.
POISON, OTHER = "marky@poison.example", "marky@other.example"
AUTHORISED = f'TXT "v=spf1 include:{cast.SPF_INCLUDE} -all"\n'
HEALTHY = world(f"poison.example. {AUTHORISED}other.example. {AUTHORISED}")
WAITING = world(
    f'poison.example. TXT "v=spf1 include:silent.example -all"\nother.example. {AUTHORISED}'
    "; TIMEOUT silent.example.\n"
)
SECONDS = "20s"  # that a message may wait for DNS: more than the test takes


@pytest.fixture
def alignd(nameserver: Nameserver, request: pytest.FixtureRequest) -> Iterator[Alignd]:
    nameserver.serve(WAITING)
    changes = (
        f'[milter]\nworkers = 1\n[dns]\ntimeout = "{SECONDS}"\n{getattr(request, "param", "")}'
    )
    with (
        open_directory() as directory,
        run_alignd(directory / "alignd", nameserver.address, changes) as alignd,
    ):
        yield alignd


def send(alignd: Alignd, author: str, queue_id: str) -> Result:
    message = f"From: Marky <{author}>\r\nSubject: Re\r\n\r\nHello\r\n".encode()
    with MilterConnection(alignd.socket) as mta:
        return mta.send(author, (cast.JULIA,), message, queue_id=queue_id)


def kill_worker(alignd: Alignd, how: signal.Signals) -> None:
    """End the worker, and wait for the next one."""
    (worker,) = filter(is_worker, alignd.children())
    os.kill(worker, how)
    wait_until(lambda: f"worker ended pid={worker}" in alignd.log(), "its end", 30)
    wait_until(lambda: list(filter(is_worker, alignd.children())) != [worker], "another worker")


VERIFY = "[dkim]\nverify = true\n"


@pytest.mark.parametrize(
    ("alignd", "how"),
    [
        pytest.param("", signal.SIGSEGV, id="of-a-crash"),
        pytest.param("", signal.SIGSTOP, id="of-silence"),
        pytest.param(VERIFY, signal.SIGKILL, id="where-no-judgement-is-cached"),
    ],
    indirect=["alignd"],
)
def test_what_a_worker_died_of_is_rewritten_unjudged(
    alignd: Alignd, nameserver: Nameserver, how: signal.Signals
) -> None:
    with ThreadPoolExecutor(1) as thread:
        deadly = thread.submit(send, alignd, POISON, "DEADLY")
        wait_until(lambda: ("silent.example.", "TXT") in nameserver.questions, "its judgement")
        kill_worker(alignd, how)
        assert deadly.exception() or not deadly.result().accepted

    nameserver.serve(HEALTHY)
    retried = send(alignd, POISON, "RETRIED")
    again = send(alignd, POISON, "AGAIN")
    other = send(alignd, OTHER, "OTHER")

    assert [retried.accepted, again.accepted] == [True, True]
    for queue_id in ("RETRIED", "AGAIN"):
        assert "action=rewrite" in alignd.log_line(queue_id)
        assert "reason=internal-error" in alignd.log_line(queue_id)
    assert nameserver.questions.count(("silent.example.", "TXT")) == 0
    assert other.answer.modifications == ()
    assert "action=pass" in alignd.log_line("OTHER")


def test_what_a_worker_was_judging_at_its_orderly_end_is_not_suspect(
    alignd: Alignd, nameserver: Nameserver
) -> None:
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(send, alignd, POISON, "WAITING")
        wait_until(lambda: ("silent.example.", "TXT") in nameserver.questions, "its judgement")
        (worker,) = alignd.children()
        os.kill(worker, signal.SIGTERM)
        nameserver.serve(HEALTHY + f"silent.example. {AUTHORISED}")
        assert waiting.result().accepted
    wait_until(lambda: f"worker ended pid={worker}" in alignd.log(), "its end", 30)

    assert send(alignd, POISON, "LATER").answer.modifications == ()


def test_what_a_worker_died_of_is_put_off_where_it_comes_back(
    nameserver: Nameserver,
) -> None:
    nameserver.serve(WAITING)
    changes = (
        f'[milter]\nworkers = 1\n[dns]\ntimeout = "{SECONDS}"\n[return]\nkeys = "{KEY_FILE}"\n'
    )
    with (
        open_directory() as directory,
        run_return(directory / "alignd", nameserver.address, changes) as service,
    ):
        alignd = service.alignd
        with ThreadPoolExecutor(1) as thread:
            deadly = thread.submit(answer, alignd, POISON, "DEADLY")
            wait_until(lambda: ("silent.example.", "TXT") in nameserver.questions, "its judgement")
            kill_worker(alignd, signal.SIGKILL)
            assert deadly.exception() or not deadly.result().accepted

        nameserver.serve(HEALTHY)
        retried, other = answer(alignd, POISON, "RETRIED"), answer(alignd, OTHER, "OTHER")

        assert retried.answer.text.startswith("451 4.3.0 ")
        assert "reason=return-internal-error" in alignd.log_line("RETRIED")
        assert nameserver.questions.count(("silent.example.", "TXT")) == 0
        assert other.accepted
        assert "reason=return-spf-aligned" in alignd.log_line("OTHER")


def answer(alignd: Alignd, sender: str, queue_id: str) -> Result:
    """Send from the address that the included record names."""
    message = f"From: Julia <{sender}>\r\nSubject: Re\r\n\r\nHello\r\n".encode()
    to = return_address(Kind.AUTHOR, cast.MARKY)
    with MilterConnection(alignd.socket, client=cast.RELAY_IPV4) as mta:
        return mta.send(sender, (to,), message, queue_id=queue_id)
