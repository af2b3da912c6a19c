"""The whole path: every case through a real Postfix and out at its other end."""

from collections.abc import Iterator

import pytest

from tests.lab.alignd import Fleet
from tests.lab.message import broken, normalised
from tests.lab.nameserver import Nameserver
from tests.lab.postfix import Postfix, obstacle, run_relay
from tests.lab.settings import world
from tests.lab.sink import Inbox, run_inbox
from tests.lab.submission import submit
from tests.support.case import Case, Speed
from tests.support.selection import CASES, RETURN_CASES, every_case, every_return_case

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
]

# Postfix completes the header of a client at its own address, which gets a Date and a Message-ID.
# A case has the whole message, and 127.0.0.1 stands for a helpdesk on another host.
_NOT_LOCAL = "local_header_rewrite_clients =\n"


REFUSED = 554
RETURN = "return of "
"""Before a configuration, it names the listener of what comes back."""


@pytest.fixture(scope="module")
def inbox() -> Iterator[Inbox]:
    with run_inbox() as inbox:
        yield inbox


@pytest.fixture(scope="module")
def postfix(fleet: Fleet, inbox: Inbox) -> Iterator[Postfix]:
    """One Postfix, with a listener for each distinct configuration of the cases, and each leg."""
    configs = {case.config for case in CASES if Speed.POSTFIX in case.speeds}
    milters = {config: fleet.alignd(config).socket for config in configs}
    configs = {case.config for case in RETURN_CASES if Speed.POSTFIX in case.speeds}
    milters |= {RETURN + config: fleet.returning(config).socket for config in configs}
    with run_relay(milters, inbox.port, settings=_NOT_LOCAL) as it:
        yield it


@every_case(Speed.POSTFIX)
def test_case(
    case: Case, nameserver: Nameserver, fleet: Fleet, postfix: Postfix, inbox: Inbox
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
    if reply.code == REFUSED:
        assert case.expected_action == "refuse"
        assert reply.text.startswith("5.6.0 ")
        assert case.expected_reason in reply.text
        return
    arrival = inbox.wait_for(lambda arrival: arrival.came_as(reply.queue_id))

    said = set(fleet.alignd(case.config).log_line(reply.queue_id).split())
    assert {f"action={case.expected_action}", f"reason={case.expected_reason}"} <= said
    assert arrival.envelope_sender == case.expected_envelope_sender
    assert set(arrival.recipients) == set(case.recipients)
    assert normalised(arrival.message) == broken(normalised(case.expected_message))


@every_return_case(Speed.POSTFIX)
def test_case_of_what_comes_back(
    case: Case, nameserver: Nameserver, fleet: Fleet, postfix: Postfix, inbox: Inbox
) -> None:
    nameserver.serve(world(case.zone))

    reply = submit(
        postfix.ports[RETURN + case.config],
        case.envelope_sender,
        case.recipients,
        case.message,
        client=case.client,
        login=case.login,
        helo=case.helo,
    )
    if case.expected_reply:
        assert f"{reply.code} {reply.text}".startswith(f"{case.expected_reply} ")
        assert case.expected_reason in reply.text
        return
    arrival = inbox.wait_for(lambda arrival: arrival.came_as(reply.queue_id))

    said = set(fleet.returning(case.config).log_line(reply.queue_id).split())
    assert {f"action={case.expected_action}", f"reason={case.expected_reason}"} <= said
    assert arrival.envelope_sender == case.expected_envelope_sender
    assert set(arrival.recipients) == set(case.recipients)
    assert normalised(arrival.message) == broken(normalised(case.expected_message))
