"""A webhook is signed, goes to nobody but its receiver, and is taken when that says so."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from alignd.ledger.event import Event, EventKind
from alignd.ledger.notify.target import NotTakenError
from alignd.ledger.notify.webhook import Webhook
from tests.lab.readiness import free_ports
from tests.lab.webhook_receiver import Answer, Authority, Receiver, close, run_receiver, status

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENT = Event(
    id="6f0e0c7e-4a52-4f0e-9d63-8f1a7b1f6a11",
    at=1_795_862_000.0,
    leg="outbound",
    tenant="mycompany",
    domain="mycompany.com",
    kind=EventKind.STOPPED,
    was='{"action":"rewrite","reason":"relay-not-authorised"}',
    now='{"action":"pass","reason":"spf-aligned","since":1795861920.5}',
    relay="smtp1",
)
NEVER = threading.Event()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def receiver(authority: Authority) -> Iterator[Receiver]:
    with run_receiver(authority.issue(), status(204)) as receiver:
        yield receiver


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "webhook.secret"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return path


def webhook(url: str, secret: Path, ca: Path | str, patience: float = 10.0) -> Webhook:
    return Webhook(url, str(secret), str(ca), "alignd/1", time.time, patience)


def problem(target: Webhook) -> str:
    """Why the event was not taken."""
    with pytest.raises(NotTakenError) as raised:
        target.tell(EVENT, NEVER)
    text = str(raised.value)
    assert text.isprintable()
    assert SECRET.removeprefix("whsec_") not in text
    return text


def test_the_library_of_standard_webhooks_verifies_it(
    receiver: Receiver, secret_file: Path, authority: Authority
) -> None:
    webhook(receiver.url, secret_file, authority.file).tell(EVENT, NEVER)

    (request,) = receiver.received
    told = Verifier(SECRET).verify(request.body, request.headers)
    assert told["type"] == "domain.stopped"
    assert told["data"]["domain"] == "mycompany.com"
    assert request.path == "/hooks/alignd?from=lab"
    assert request.headers["webhook-id"] == EVENT.id
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == "alignd/1"
    with pytest.raises(WebhookVerificationError):
        Verifier(OTHER).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Verifier(SECRET).verify(request.body.replace(b"mycompany", b"another"), request.headers)


def test_it_has_the_same_id_and_body_each_time_and_a_timestamp_of_its_own(
    receiver: Receiver, secret_file: Path, authority: Authority
) -> None:
    target = Webhook(
        receiver.url, str(secret_file), str(authority.file), "alignd/1", iter((7e8, 8e8)).__next__
    )
    target.tell(EVENT, NEVER)
    target.tell(EVENT, NEVER)

    first, second = receiver.received
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] == "700000000"
    assert second.headers["webhook-timestamp"] == "800000000"


def test_while_a_secret_is_replaced_both_verify_it_and_no_reload_is_needed(
    receiver: Receiver, secret_file: Path, authority: Authority
) -> None:
    target = webhook(receiver.url, secret_file, authority.file)
    secret_file.write_text(f"# since Monday\n{OTHER}\n\n{SECRET}\n")
    target.tell(EVENT, NEVER)

    (request,) = receiver.received
    for secret in (SECRET, OTHER):
        assert Verifier(secret).verify(request.body, request.headers)["type"] == "domain.stopped"


def test_a_name_and_password_in_the_url_become_a_header(
    receiver: Receiver, secret_file: Path, authority: Authority
) -> None:
    url = receiver.url.replace("https://", "https://desk:tea@")
    webhook(url, secret_file, authority.file).tell(EVENT, NEVER)

    assert receiver.received[0].headers["authorization"] == "Basic ZGVzazp0ZWE="


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(status(500), "it answered 500", id="an error"),
        pytest.param(
            status(422, b"no such\x1b[31m queue\nin here"),
            "it answered 422: no such?[31m queue",
            id="a refusal that could control a terminal",
        ),
        pytest.param(
            status(302, Location="https://elsewhere.example/"),
            "it answered 302, a redirection, which is not followed: correct the URL",
            id="a redirection",
        ),
        pytest.param(close, "Remote end closed connection without response", id="a close"),
        pytest.param(
            status(503, b"x" * 5_000_000), f"it answered 503: {'x' * 160}", id="a large response"
        ),
    ],
)
def test_what_is_no_success_is_not_taken(
    receiver: Receiver,
    secret_file: Path,
    authority: Authority,
    answer: Answer,
    said: str,
) -> None:
    receiver.answer = answer
    assert said in problem(webhook(receiver.url, secret_file, authority.file))
    assert len(receiver.received) == 1


def drip(
    request: BaseHTTPRequestHandler, receiver: Receiver, begin: bytes, every: float = 0.05
) -> None:
    """Write *begin*, and then an octet now and then."""
    request.wfile.write(begin)
    while not receiver.ended.wait(every):
        request.wfile.write(b"x")


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Long: ", id="a header without end"),
        pytest.param(b"HTTP/1.1 500 No\r\n\r\n", id="a response without end"),
    ],
)
def test_who_answers_an_octet_now_and_then_is_cut(
    receiver: Receiver, secret_file: Path, authority: Authority, begin: bytes
) -> None:
    receiver.answer = lambda request: drip(request, receiver, begin)
    said = problem(webhook(receiver.url, secret_file, authority.file, patience=0.3))
    assert said == "no answer within 0.3 s"


def test_who_does_not_answer_is_not_waited_for(
    receiver: Receiver, secret_file: Path, authority: Authority
) -> None:
    receiver.answer = lambda request: drip(request, receiver, b"", every=60.0)
    said = problem(webhook(receiver.url, secret_file, authority.file, patience=0.3))
    assert said == "no answer within 0.3 s"


def test_who_takes_the_connection_and_no_more_is_not_waited_for(secret_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        assert problem(webhook(url, secret_file, "", 0.3)) == "no answer within 0.3 s"


def test_a_certificate_of_another_authority_is_refused_and_nothing_is_told(
    receiver: Receiver, secret_file: Path
) -> None:
    assert "certificate verify failed" in problem(webhook(receiver.url, secret_file, ""))
    assert receiver.received == []


def test_a_certificate_for_another_host_is_refused_and_nothing_is_told(
    secret_file: Path, authority: Authority
) -> None:
    with run_receiver(authority.issue("192.0.2.1"), status(204)) as receiver:
        said = problem(webhook(receiver.url, secret_file, authority.file))
        assert "certificate is not valid for '127.0.0.1'" in said
        assert receiver.received == []


def test_a_receiver_that_is_down_is_told_as_such(secret_file: Path) -> None:
    (port,) = free_ports(1)
    said = problem(webhook(f"https://127.0.0.1:{port}/", secret_file, ""))
    assert "Connection refused" in said


def test_files_that_are_missing_or_bad_are_named(
    receiver: Receiver, secret_file: Path, authority: Authority, tmp_path: Path
) -> None:
    absent = tmp_path / "absent"
    url = receiver.url
    assert problem(webhook(url, absent, authority.file)) == (
        f"{absent}:1: cannot be read: No such file or directory"
    )
    assert problem(webhook(url, secret_file, absent)) == (
        f"{absent}:1: cannot be read: No such file or directory"
    )
    assert "no certificates in PEM" in problem(webhook(url, secret_file, secret_file))
    secret_file.chmod(0o644)
    assert "its mode is 0644" in problem(webhook(url, secret_file, authority.file))
    assert receiver.received == []


def test_a_receiver_on_this_machine_may_do_without_tls(secret_file: Path) -> None:
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as stream:
                length = 0
                while (line := stream.readline().strip().lower()) != b"":
                    if line.startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                heard.append(json.loads(stream.read(length)))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        webhook(url, secret_file, "").tell(replace(EVENT, kind=EventKind.BEGAN), NEVER)
        thread.join()
    assert heard[0]["type"] == "domain.began"
