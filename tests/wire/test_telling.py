"""The whole service tells a webhook and a command what has happened to an author domain."""

import json
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from tests.lab.milter_client import MilterConnection
from tests.lab.nameserver import Nameserver
from tests.lab.readiness import open_directory, wait_for_line, wait_until
from tests.lab.settings import world
from tests.lab.webhook_receiver import Answer, Authority, run_receiver, status
from tests.support.scrape import Watched, run_watched

pytestmark = pytest.mark.wire

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ZONE = world('mycompany.com. TXT "v=spf1 -all"\n')
OPTIONS = """\
[milter]
workers = 1
[ledger]
url = "sqlite:///{directory}/ledger.sqlite"
watch = "0s"
[notify]
webhook = "{url}"
secret_file = "{directory}/webhook.secret"
ca_file = "{ca}"
command = ["{directory}/ticket"]
kinds = ["another-tenant"]
tenants = ["second"]
[[tenant]]
name = "first"
match = {{ X-Host = "first" }}
[[tenant]]
name = "second"
match = {{ X-Host = "second" }}
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    with open_directory() as directory:
        yield directory


def send(watched: Watched, host: str, queue_id: str) -> None:
    message = f"From: <ann@mycompany.com>\r\nX-Host: {host}\r\n\r\nHello\r\n".encode()
    with MilterConnection(watched.alignd.socket) as mta:
        assert mta.send(
            "ann@mycompany.com", ("julia@customer.example",), message, queue_id=queue_id
        ).accepted


def first_busy(then: Answer) -> Answer:
    answers = iter([status(503, b"we move house")])

    def answer(request: BaseHTTPRequestHandler) -> None:
        next(answers, then)(request)

    return answer


def test_who_is_to_know_of_an_event_is_told_until_it_was_taken(
    nameserver: Nameserver, directory: Path, queue_ids: Iterator[str]
) -> None:
    nameserver.serve(ZONE)
    authority = Authority(directory)
    secret, ticket = directory / "webhook.secret", directory / "ticket"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    ticket.write_text(f'#!/bin/sh\ncat > "{directory}/$ALIGND_EVENT_ID"\n')
    ticket.chmod(0o755)
    with run_receiver(authority.issue(), first_busy(status(204))) as receiver:
        options = OPTIONS.format(directory=directory, url=receiver.url, ca=authority.file)
        with run_watched(directory / "alignd", nameserver.address, options) as watched:
            for tenant in ("first", "second", "first"):
                send(watched, tenant, next(queue_ids))
            wait_until(lambda: len(receiver.received) == 2, "both attempts")
            log = watched.alignd.log_path
            wait_for_line(log, "events are taken again target=webhook", "the end of the trouble")

            def told(result: str) -> float:
                scrape = watched.scrape()
                return scrape.of("alignd_ledger_notifications_total", result=result)

            wait_until(lambda: (told("told"), told("failed")) == (2, 1), "the metrics")
            assert watched.scrape().of("alignd_ledger_notifications_waiting") == 0

    first, second = receiver.received
    assert first.body == second.body
    event = Verifier(SECRET).verify(second.body, second.headers)
    assert event["type"] == "domain.another_tenant"
    assert event["data"]["text"] == (
        "Mail of mycompany.com now comes from tenant second too, which only tenant first did "
        "before."
    )
    assert json.loads((directory / event["data"]["id"]).read_text()) == event
    text = log.read_text()
    assert 'events are not taken target=webhook problem="it answered 503: we move house"' in text
    assert SECRET not in text
    assert os.listdir(directory).count(event["data"]["id"]) == 1
