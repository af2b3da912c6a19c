"""Responsible for the whole path: every case through a real Postfix and out at its other end."""

from collections.abc import Iterator

import pytest

from tests.lab.alignd import Fleet
from tests.lab.nameserver import Nameserver
from tests.lab.postfix import Postfix, obstacle, run_postfix
from tests.lab.settings import world
from tests.lab.sink import Sink, run_sink
from tests.lab.submission import submit
from tests.support.case import Case, Speed, normalised
from tests.support.selection import CASES, every_case

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
]


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with run_sink() as sink:
        yield sink


@pytest.fixture(scope="module")
def postfix(fleet: Fleet, sink: Sink) -> Iterator[Postfix]:
    """One Postfix, with a listener for each distinct configuration of the cases."""
    configs = {case.config for case in CASES if Speed.POSTFIX in case.speeds}
    with run_postfix({config: fleet.alignd(config).socket for config in configs}, sink.port) as it:
        yield it


@every_case(Speed.POSTFIX)
def test_case(
    case: Case, nameserver: Nameserver, fleet: Fleet, postfix: Postfix, sink: Sink
) -> None:
    nameserver.serve(world(case.zone))

    reply = submit(
        postfix.ports[case.config],
        case.envelope_sender,
        case.recipients,
        case.message,
        client=case.client,
        login=case.login,
    )
    delivery = sink.wait_for(lambda delivery: delivery.came_as(reply.queue_id))

    said = set(fleet.alignd(case.config).log_line(reply.queue_id).split())
    assert {f"action={case.expected_action}", f"reason={case.expected_reason}"} <= said
    assert delivery.envelope_sender == case.expected_envelope_sender
    assert set(delivery.recipients) == set(case.recipients)
    assert normalised(delivery.message) == normalised(case.expected_message)
