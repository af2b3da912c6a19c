"""The status document of the real service, and what `alignd doctor` makes of it."""

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from alignd.cli.main import main
from alignd.telemetry.status import Status, StatusError, parse_status
from tests.lab.milter_client import MilterConnection
from tests.lab.nameserver import Nameserver
from tests.lab.readiness import open_directory, wait_until
from tests.lab.return_addresses import KEY_FILE
from tests.lab.settings import world
from tests.support.scrape import Watched, run_watched

pytestmark = pytest.mark.wire

CONFIGURED = """\
[milter]
workers = 2
[rules]
exempt = ["exempt.example"]
[[tenant]]
match = { "X-Relay-Tenant" = "mycompany" }
notifications = { address = "helpdesk@tenant.example" }
"""


@pytest.fixture
def watched(nameserver: Nameserver) -> Iterator[Watched]:
    nameserver.serve(world('mycompany.com. TXT "v=spf1 -all"\n'))
    with (
        open_directory() as directory,
        run_watched(directory / "alignd", nameserver.address, CONFIGURED) as watched,
    ):
        wait_until(lambda: len(status(watched).workers) == 2, "each worker to say what it has")
        yield watched


def status(watched: Watched) -> Status:
    response = watched.request("/status")
    assert (response.status, response.content_type) == (200, "application/json")
    return parse_status(response.body.encode())


def reload(watched: Watched) -> None:
    watched.alignd.process.send_signal(signal.SIGHUP)
    watched.alignd.wait_for_notice("RELOADING=1")
    watched.alignd.wait_for_notice("READY=1")


def change(watched: Watched, more: str) -> None:
    path = watched.alignd.config_path
    path.write_text(path.read_text() + more)


def examine(watched: Watched) -> dict[str, Any]:
    """What doctor finds about the running service, by the name of the finding."""
    command = ("doctor", "--json", "--config", str(watched.alignd.config_path))
    done = CliRunner().invoke(main, command)
    return {
        finding["id"]: finding
        for finding in json.loads(done.stdout)["findings"]
        if finding["topic"] == "service"
    }


def test_the_status_says_what_is_in_force_and_what_runs(watched: Watched) -> None:
    found = status(watched)

    assert found.supervisor.pid == watched.alignd.process.pid
    assert {worker.pid for worker in found.workers} == set(watched.workers())
    assert found.supervisor.in_force.path == str(watched.alignd.config_path)
    assert found.supervisor.in_force.tenants == 1
    assert {worker.digest for worker in found.workers} == {found.supervisor.in_force.digest}
    assert found.supervisor.versions.alignd
    assert (found.counted.workers_ready, found.counted.workers_wanted) == (2, 2)


def test_the_status_names_no_address_and_no_domain_of_mail(watched: Watched) -> None:
    with MilterConnection(watched.alignd.socket) as mta:
        mta.send(
            "marky@mycompany.com", ("julia@customer.example",), b"From: <a@b.example>\r\n\r\n"
        )

    text = watched.request("/status").body

    assert "@" not in text
    for name in ("example", "mycompany", "easy"):
        assert name not in text.replace(str(watched.alignd.config_path), "")


def test_a_worker_that_is_replaced_says_what_it_has_anew(watched: Watched) -> None:
    before = {worker.number: worker.pid for worker in status(watched).workers}

    os.kill(before[1], signal.SIGKILL)

    def is_replaced() -> bool:
        now = {worker.number: worker.pid for worker in status(watched).workers}
        return now[0] == before[0] and now.get(1, before[1]) != before[1]

    wait_until(is_replaced, "the replacement to say what it has", timeout=30)


def test_doctor_sees_a_configuration_that_is_not_in_force(watched: Watched) -> None:
    assert examine(watched) == {}

    change(watched, '[log]\nlevel = "debug"\n')
    assert set(examine(watched)) == {"configuration-not-in-force"}

    reload(watched)
    assert examine(watched) == {}


def test_doctor_sees_keys_that_are_not_in_force(nameserver: Nameserver) -> None:
    """With `alignd serve`, which reads them when it is told to."""
    with (
        open_directory() as directory,
        run_watched(
            directory / "alignd", nameserver.address, f'[return]\nkeys = "{KEY_FILE}"\n'
        ) as watched,
    ):
        assert examine(watched) == {}

        keys = watched.alignd.config_path.parent / KEY_FILE
        keys.write_text(f"{keys.read_text()}accept {'2a' * 32}\n")
        assert set(examine(watched)) == {"return-keys-not-in-force"}

        reload(watched)
        assert examine(watched) == {}


def test_doctor_sees_a_reload_that_was_refused(watched: Watched) -> None:
    change(watched, "[log]\nlevel = 'shrill'\n")
    reload(watched)
    path = watched.alignd.config_path
    path.write_text(path.read_text().replace("shrill", "info"))

    assert set(examine(watched)) == {"reload-refused"}


def test_doctor_sees_that_the_service_does_not_say(watched: Watched) -> None:
    path = watched.alignd.config_path
    path.write_text(path.read_text().replace(f":{watched.port}", ":1"))

    command = ("doctor", "--json", "--config", str(path))
    found = json.loads(CliRunner().invoke(main, command).stdout)

    (topic,) = (each for each in found["checked"] if each["topic"] == "service")
    assert ":1/status" in str(topic)


@pytest.mark.parametrize("text", [b"", b"[]", b'{"time": 1}', b"ok\n"])
def test_what_is_no_status_is_told_from_one(text: bytes) -> None:
    with pytest.raises(StatusError, match="not a status document"):
        parse_status(text)
