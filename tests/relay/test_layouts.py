"""Responsible for the promises of conf/postfix: what each layout does when alignd fails."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.lab.halfway_milter import run_halfway_milter
from tests.lab.layouts import SUBMISSION, run_layout
from tests.lab.login_service import run_login_service
from tests.lab.nameserver import Nameserver
from tests.lab.postfix import Postfix, obstacle
from tests.lab.readiness import open_directory, wait_until
from tests.lab.settings import configuration, world
from tests.lab.sink import Delivery, Sink, run_sink
from tests.lab.submission import SubmissionReply, submit
from tests.lab.systemd import Service, run_service

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
]

AGENT = "marky.mark@mycompany.com"
BOUNCES = "bounces@notifications.easysoftware.com"
FROM = b"From: Marky Mark <marky.mark@mycompany.com>"
REWRITTEN = b'From: "Marky Mark via Easy Helpdesk" <helpdesk@notifications.easysoftware.com>'
ZONE = world("""\
mycompany.com.        TXT "v=spf1 -all"
_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"
""")
SILENT = world("""\
; TIMEOUT mycompany.com.
; TIMEOUT _dmarc.mycompany.com.
""")
TENANT = """\
[[tenant]]
match = { "X-Relay-Tenant" = "mycompany" }
notifications = { address = "mycompany@notifications.easysoftware.com" }
"""
BY_LOGIN = """\
  -o smtpd_sasl_auth_enable=yes
  -o { smtpd_sender_restrictions =
       check_sasl_access inline:{ { marky = PREPEND X-Relay-Tenant: mycompany } } }
"""
LAYOUTS = ("inline", "queue-first")

_numbers = count()


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with run_sink() as sink:
        yield sink


@pytest.fixture
def service(nameserver: Nameserver) -> Iterator[Service]:
    """An alignd that asks *nameserver*, on a socket that stays open while it is away."""
    nameserver.serve(ZONE)
    with open_directory() as directory, _service(directory, nameserver) as service:
        yield service


@contextmanager
def _service(directory: Path, nameserver: Nameserver) -> Iterator[Service]:
    def configured(socket: str) -> str:
        return configuration(TENANT, socket=socket, nameserver=nameserver.address)

    with run_service(directory / "alignd", configured) as service:
        yield service


def send(
    postfix: Postfix, *, login: str | None = None, size: int = 0
) -> tuple[str, SubmissionReply]:
    """Send a message of its own Message-ID, and return that and the reply."""
    message_id = f"<{next(_numbers)}@mycompany.com>"
    filler = b"x" * 998 + b"\r\n"
    header = b"%s\r\nMessage-ID: %s\r\nSubject: Re: printer\r\n\r\n" % (FROM, message_id.encode())
    body = (b"Hello\r\n" + filler * (size // len(filler) + 1))[: size or 7]
    return message_id, submit(
        postfix.ports[SUBMISSION], AGENT, ["julia@customer.example"], header + body, login=login
    )


def arrivals(sink: Sink, message_id: str) -> list[Delivery]:
    return [each for each in sink.deliveries if message_id.encode() in each.message]


def arrival(sink: Sink, message_id: str) -> Delivery:
    return sink.wait_for(lambda delivery: message_id.encode() in delivery.message, timeout=30)


def assert_rewritten(sink: Sink, message_id: str) -> None:
    """Show that it leaves once, and whole."""
    delivery = arrival(sink, message_id)

    assert delivery.envelope_sender == BOUNCES
    assert REWRITTEN in delivery.message.replace(b"\r\n ", b" ")
    assert b"Reply-To: " in delivery.message
    assert len(arrivals(sink, message_id)) == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_mail_is_rewritten(layout: str, service: Service, sink: Sink) -> None:
    with run_layout(layout, service.socket, sink.port) as postfix:
        message_id, reply = send(postfix)

        assert reply.code == 250
        assert_rewritten(sink, message_id)


def test_queue_first_keeps_mail_while_alignd_is_down(service: Service, sink: Sink) -> None:
    with _nobody() as away, run_layout("queue-first", away, sink.port) as postfix:
        message_id, reply = send(postfix)
        wait_until(lambda: "status=deferred" in postfix.log(), "the message to be deferred")

        assert reply.code == 250
        assert arrivals(sink, message_id) == []
        with _moved(service, away):
            assert_rewritten(sink, message_id)


def test_inline_refuses_mail_for_now_while_alignd_is_down(sink: Sink) -> None:
    with _nobody() as away, run_layout("inline", away, sink.port) as postfix:
        message_id, reply = send(postfix)

    assert reply.code == 451
    assert arrivals(sink, message_id) == []


def test_inline_with_accept_lets_mail_leave_unrewritten_while_alignd_is_down(sink: Sink) -> None:
    with (
        _nobody() as away,
        run_layout("inline", away, sink.port, default_action="accept") as postfix,
    ):
        message_id, reply = send(postfix)
        delivery = arrival(sink, message_id)

    assert reply.code == 250
    assert FROM in delivery.message
    assert delivery.envelope_sender == AGENT


def test_queue_first_rewrites_what_alignd_was_killed_over(
    service: Service, nameserver: Nameserver, sink: Sink
) -> None:
    with run_layout("queue-first", service.socket, sink.port) as postfix:
        starts = service.starts
        nameserver.serve(SILENT)
        message_id, reply = send(postfix)
        _kill_over_a_question(service, nameserver)
        nameserver.serve(ZONE)
        service.await_restart(starts)

        assert reply.code == 250
        assert_rewritten(sink, message_id)
        assert "451" in postfix.log()


def test_inline_refuses_for_now_what_alignd_is_killed_over(
    service: Service, nameserver: Nameserver, sink: Sink
) -> None:
    with run_layout("inline", service.socket, sink.port) as postfix:
        nameserver.serve(SILENT)
        killer = threading.Thread(target=_kill_over_a_question, args=(service, nameserver))
        killer.start()
        message_id, reply = send(postfix)
        killer.join()

    assert reply.code == 451
    assert arrivals(sink, message_id) == []


def test_inline_never_lets_half_a_change_leave(sink: Sink) -> None:
    with (
        open_directory() as directory,
        run_halfway_milter(directory) as halfway,
        run_layout("inline", halfway, sink.port) as postfix,
    ):
        message_id, reply = send(postfix)

    assert reply.code == 451
    assert arrivals(sink, message_id) == []


def test_queue_first_never_lets_half_a_change_leave(sink: Sink) -> None:
    with (
        open_directory() as directory,
        run_halfway_milter(directory) as halfway,
        run_layout("queue-first", halfway, sink.port) as postfix,
    ):
        message_id, reply = send(postfix)
        wait_until(lambda: "status=deferred" in postfix.log(), "the message to be deferred")

    assert reply.code == 250
    assert arrivals(sink, message_id) == []


def test_inline_with_accept_lets_half_a_change_leave(sink: Sink) -> None:
    """The reason why no layout of ours says accept."""
    with (
        open_directory() as directory,
        run_halfway_milter(directory) as halfway,
        run_layout("inline", halfway, sink.port, default_action="accept") as postfix,
    ):
        message_id, _reply = send(postfix)
        delivery = arrival(sink, message_id)

    assert b"helpdesk@half.example" in delivery.message
    assert delivery.envelope_sender == AGENT


def test_queue_first_tells_tenants_apart_by_login(service: Service, sink: Sink) -> None:
    with (
        open_directory() as directory,
        run_login_service(directory) as logins,
        run_layout(
            "queue-first", service.socket, sink.port, more=BY_LOGIN, settings=logins
        ) as postfix,
    ):
        ours, _reply = send(postfix, login="marky")
        other, _reply = send(postfix, login="harriet")

        assert b"<mycompany@notifications.easysoftware.com>" in arrival(sink, ours).message
        assert b"<helpdesk@notifications.easysoftware.com>" in arrival(sink, other).message


def test_queue_first_delivers_the_largest_message_that_it_takes(
    service: Service, sink: Sink
) -> None:
    limits = "message_size_limit = 10240000\n"
    with run_layout("queue-first", service.socket, sink.port, settings=limits) as postfix:
        message_id, reply = send(postfix, size=9_999_000)
        _, too_large = send(postfix, size=10_000_000)

        assert reply.code == 250
        assert too_large.code == 552
        assert_rewritten(sink, message_id)


def _kill_over_a_question(service: Service, nameserver: Nameserver) -> None:
    """Kill all of alignd while it waits for DNS, in the middle of a message."""

    def has_asked() -> bool:
        return any(name.endswith("mycompany.com.") for name, _ in nameserver.questions)

    wait_until(has_asked, "alignd to ask")
    for pid in [service.main_pid, *service.workers()]:
        os.kill(pid, signal.SIGKILL)


@contextmanager
def _nobody() -> Iterator[str]:
    """A socket that nobody serves, in a directory that Postfix may enter."""
    with open_directory() as directory:
        yield f"unix:{directory}/milter.sock"


@contextmanager
def _moved(service: Service, socket: str) -> Iterator[None]:
    """Let *service* be found at *socket* as well."""
    path = Path(socket.removeprefix("unix:"))
    path.symlink_to(service.socket.removeprefix("unix:"))
    yield
