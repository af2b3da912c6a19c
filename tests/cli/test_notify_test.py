"""`alignd ledger notify-test`: whoever sets up a webhook or a command sees what comes of it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from tests.lab.settings import configuration
from tests.lab.webhook_receiver import Authority, run_receiver, status
from tests.support.commandline import CommandLine, Outcome

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def cli(tmp_path: Path, prefork: Any) -> CommandLine:
    return CommandLine(tmp_path, prefork)


def configure(cli: CommandLine, url: str, ca: Path, kinds: str = "[]") -> None:
    cli.write(
        "alignd.conf",
        configuration(
            f'[notify]\nwebhook = "{url}"\nsecret_file = "{cli.directory}/secret"\n'
            f'ca_file = "{ca}"\ncommand = ["{cli.directory}/ticket", "{cli.directory}"]\n'
            f"kinds = {kinds}\n"
        ),
    )
    cli.write("secret", SECRET)
    (cli.directory / "secret").chmod(0o600)
    cli.write("ticket", '#!/bin/sh\ncat > "$1/ticket.json"\n')
    (cli.directory / "ticket").chmod(0o755)


def test_all_are_told_of_an_event_that_is_none(cli: CommandLine) -> None:
    authority = Authority(cli.directory)
    with run_receiver(authority.issue(), status(200)) as receiver:
        configure(cli, receiver.url, authority.file, '["policy"]')
        outcome = cli.run("ledger", "notify-test", "--config", "alignd.conf")

    (request,) = receiver.received
    event = Verifier(SECRET).verify(request.body, request.headers)
    assert event["type"] == "domain.stopped"
    assert event["data"]["text"].startswith("alignd-test.example has published the record;")
    assert re.fullmatch(r"alignd/\d\S*", request.headers["user-agent"])
    assert json.loads((cli.directory / "ticket.json").read_text()) == event
    name = event["data"]["id"]
    expected = f"webhook: taken, as event {name}\ncommand: taken, as event {name}\n"
    assert outcome == Outcome(0, expected, "")


def test_who_has_not_taken_it_is_named_with_the_reason(cli: CommandLine) -> None:
    authority = Authority(cli.directory)
    with run_receiver(authority.issue(), status(401, b"who are you?")) as receiver:
        configure(cli, receiver.url, authority.file)
        outcome = cli.run("ledger", "notify-test", "--kind", "began", "--config", "alignd.conf")

    assert (outcome.status, outcome.stderr) == (1, "webhook: it answered 401: who are you?\n")
    assert re.fullmatch(r"command: taken, as event \S+\n", outcome.stdout)
    assert json.loads((cli.directory / "ticket.json").read_text())["type"] == "domain.began"


def test_where_nobody_is_told_it_says_what_to_set(cli: CommandLine) -> None:
    cli.write("alignd.conf", configuration(""))
    outcome = cli.run("ledger", "notify-test", "--config", "alignd.conf")
    complaint = "Error: nobody is told of events: set notify.webhook or notify.command\n"
    assert outcome == Outcome(2, "", complaint)
