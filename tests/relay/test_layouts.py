"""The promises of conf/postfix: what each layout does when alignd fails."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import dkim
import pytest

from tests.lab import cast
from tests.lab.alignd import run_alignd
from tests.lab.halfway_milter import run_halfway_milter
from tests.lab.layouts import SUBMISSION, run_layout
from tests.lab.login_service import run_login_service
from tests.lab.nameserver import Nameserver
from tests.lab.opendkim import SigningKey, Tables, run_signer
from tests.lab.postfix import Postfix, obstacle
from tests.lab.readiness import open_directory, wait_until
from tests.lab.settings import configuration, world
from tests.lab.sink import Arrival, Inbox, run_inbox
from tests.lab.submission import SubmissionReply, submit
from tests.lab.systemd import Service, run_service

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
]

FROM = f"From: Marky Mark <{cast.MARKY}>".encode()
REWRITTEN = f'From: "Marky Mark {cast.VIA}" <{cast.NOTIFICATIONS}>'.encode()
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
SIGNS = '[dkim]\nsigns = [{ domain = "mycompany.com", selector = "easy1" }]\n'

_numbers = count()


@pytest.fixture(scope="module")
def inbox() -> Iterator[Inbox]:
    with run_inbox() as inbox:
        yield inbox


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
        postfix.ports[SUBMISSION], cast.MARKY, [cast.JULIA], header + body, login=login
    )


def arrivals(inbox: Inbox, message_id: str) -> list[Arrival]:
    return [each for each in inbox.arrivals if message_id.encode() in each.message]


def arrival(inbox: Inbox, message_id: str) -> Arrival:
    return inbox.wait_for(lambda arrival: message_id.encode() in arrival.message)


def assert_rewritten(inbox: Inbox, message_id: str) -> None:
    """Show that it leaves once, and whole."""
    delivery = arrival(inbox, message_id)

    assert delivery.envelope_sender == cast.BOUNCES
    assert REWRITTEN in delivery.message.replace(b"\r\n ", b" ")
    assert b"Reply-To: " in delivery.message
    assert len(arrivals(inbox, message_id)) == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_mail_is_rewritten(layout: str, service: Service, inbox: Inbox) -> None:
    with run_layout(layout, service.socket, inbox.port) as postfix:
        message_id, reply = send(postfix)

        assert reply.code == 250
        assert_rewritten(inbox, message_id)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("subject", "body"),
    [
        pytest.param(b"Re: printer", b"<p>%s</p>\r\n" % (b"Hello " * 400), id="in-the-body"),
        pytest.param(b"Re: printer" * 100, b"Hello\r\n", id="in-the-subject"),
    ],
)
def test_a_long_line_is_broken_before_the_signer_or_known(
    layout: str, subject: bytes, body: bytes, nameserver: Nameserver, inbox: Inbox
) -> None:
    message_id = f"<{next(_numbers)}@mycompany.com>"
    header = b"%s\r\nMessage-ID: %s\r\nSubject: %s\r\n" % (FROM, message_id.encode(), subject)
    with open_directory() as directory, ExitStack() as running:
        directory.chmod(0o777)  # OpenDKIM makes its socket as a user of its own
        key = SigningKey.make(directory)
        nameserver.serve(key.publish(f'{ZONE}easy1._domainkey.mycompany.com. TXT "p=MI"\n'))
        alignd = running.enter_context(run_alignd(directory / "a", nameserver.address, SIGNS))
        tables = Tables.of(SIGNS, key.path)
        signer = running.enter_context(run_signer(directory, "signer", tables, "127.0.0.1"))
        postfix = running.enter_context(
            run_layout(layout, alignd.socket, inbox.port, signer=f"unix:{signer}")
        )
        submit(postfix.ports[SUBMISSION], cast.MARKY, [cast.JULIA], header + b"\r\n" + body)
        left = arrival(inbox, message_id)

    own_key = f"v=DKIM1; k=rsa; p={key.public}".encode()
    # The first hop of queue-first breaks the line; inline, it is broken behind the signer.
    keeps_from = layout == "queue-first"
    assert dkim.verify(left.message, dnsfunc=lambda *_, **__: own_key) is keeps_from
    assert (REWRITTEN in left.message) is not keeps_from
    assert max(map(len, left.message.split(b"\r\n"))) <= 998


def test_queue_first_keeps_mail_while_alignd_is_down(service: Service, inbox: Inbox) -> None:
    with _nobody() as away, run_layout("queue-first", away, inbox.port) as postfix:
        message_id, reply = send(postfix)
        wait_until(lambda: "status=deferred" in postfix.log(), "the message to be deferred")

        assert reply.code == 250
        assert arrivals(inbox, message_id) == []
        with _moved(service, away):
            assert_rewritten(inbox, message_id)


def test_inline_refuses_mail_for_now_while_alignd_is_down(inbox: Inbox) -> None:
    with _nobody() as away, run_layout("inline", away, inbox.port) as postfix:
        message_id, reply = send(postfix)

    assert reply.code == 451
    assert arrivals(inbox, message_id) == []


def test_inline_with_accept_lets_mail_leave_unrewritten_while_alignd_is_down(inbox: Inbox) -> None:
    with (
        _nobody() as away,
        run_layout("inline", away, inbox.port, default_action="accept") as postfix,
    ):
        message_id, reply = send(postfix)
        delivery = arrival(inbox, message_id)

    assert reply.code == 250
    assert FROM in delivery.message
    assert delivery.envelope_sender == cast.MARKY


def test_queue_first_rewrites_what_alignd_was_killed_over(
    service: Service, nameserver: Nameserver, inbox: Inbox
) -> None:
    with run_layout("queue-first", service.socket, inbox.port) as postfix:
        starts = service.starts
        nameserver.serve(SILENT)
        message_id, reply = send(postfix)
        _kill_over_a_question(service, nameserver)
        nameserver.serve(ZONE)
        service.await_restart(starts)

        assert reply.code == 250
        assert_rewritten(inbox, message_id)
        assert "451" in postfix.log()


def test_inline_refuses_for_now_what_alignd_is_killed_over(
    service: Service, nameserver: Nameserver, inbox: Inbox
) -> None:
    with run_layout("inline", service.socket, inbox.port) as postfix:
        nameserver.serve(SILENT)
        killer = threading.Thread(target=_kill_over_a_question, args=(service, nameserver))
        killer.start()
        message_id, reply = send(postfix)
        killer.join()

    assert reply.code == 451
    assert arrivals(inbox, message_id) == []


@pytest.mark.parametrize("count", [600, 15_000])
def test_what_postfix_could_never_queue_is_refused_once(
    service: Service, inbox: Inbox, count: int
) -> None:
    poison = b"Sender: a@b.example\r\n" * count + FROM + b"\r\nSubject: %d\r\n\r\nHi\r\n" % count
    with run_layout("inline", service.socket, inbox.port) as postfix:
        inline = submit(postfix.ports[SUBMISSION], cast.MARKY, [cast.JULIA], poison)
    with run_layout("queue-first", service.socket, inbox.port) as postfix:
        taken = submit(postfix.ports[SUBMISSION], cast.MARKY, [cast.JULIA], poison)
        delivery = postfix.wait_for_delivery(taken.queue_id)
        bounce = inbox.wait_for(lambda arrival: b"Subject: %d\r\n" % count in arrival.message)
        wait_until(postfix.has_delivered, "the queue to be empty")
        log = postfix.log()

    assert (inline.code, inline.text.partition(" ")[0]) == (554, "5.6.0")
    assert delivery.status == "bounced"
    assert "too-many-fields" in delivery.answer
    assert (bounce.envelope_sender, bounce.recipients) == ("", (cast.MARKY,))
    assert b"too-many-fields" in bounce.message
    assert not re.search("status=deferred|panic|killed by signal", log)


def test_inline_never_lets_half_a_change_leave(inbox: Inbox) -> None:
    with (
        open_directory() as directory,
        run_halfway_milter(directory) as halfway,
        run_layout("inline", halfway, inbox.port) as postfix,
    ):
        message_id, reply = send(postfix)

    assert reply.code == 451
    assert arrivals(inbox, message_id) == []


def test_queue_first_never_lets_half_a_change_leave(inbox: Inbox) -> None:
    with (
        open_directory() as directory,
        run_halfway_milter(directory) as halfway,
        run_layout("queue-first", halfway, inbox.port) as postfix,
    ):
        message_id, reply = send(postfix)
        wait_until(lambda: "status=deferred" in postfix.log(), "the message to be deferred")

    assert reply.code == 250
    assert arrivals(inbox, message_id) == []


def test_inline_with_accept_lets_half_a_change_leave(inbox: Inbox) -> None:
    """The reason why no layout that is shipped says accept."""
    with (
        open_directory() as directory,
        run_halfway_milter(directory) as halfway,
        run_layout("inline", halfway, inbox.port, default_action="accept") as postfix,
    ):
        message_id, _reply = send(postfix)
        delivery = arrival(inbox, message_id)

    assert b"helpdesk@half.example" in delivery.message
    assert delivery.envelope_sender == cast.MARKY


def test_queue_first_tells_tenants_apart_by_login(service: Service, inbox: Inbox) -> None:
    with (
        open_directory() as directory,
        run_login_service(directory) as logins,
        run_layout(
            "queue-first", service.socket, inbox.port, more=BY_LOGIN, settings=logins
        ) as postfix,
    ):
        ours, _reply = send(postfix, login="marky")
        other, _reply = send(postfix, login="harriet")

        assert b"<mycompany@notifications.easysoftware.com>" in arrival(inbox, ours).message
        assert b"<helpdesk@notifications.easysoftware.com>" in arrival(inbox, other).message


def test_queue_first_delivers_the_largest_message_that_it_takes(
    service: Service, inbox: Inbox
) -> None:
    limits = "message_size_limit = 10240000\n"
    with run_layout("queue-first", service.socket, inbox.port, settings=limits) as postfix:
        message_id, reply = send(postfix, size=9_999_000)
        _, too_large = send(postfix, size=10_000_000)

        assert reply.code == 250
        assert too_large.code == 552
        assert_rewritten(inbox, message_id)


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
