"""What comes back, over the milter protocol to the real process of `alignd return`."""

from collections.abc import Iterator

import pytest

from alignd.judgement.return_reasons import ReturnReason
from tests.lab.alignd import Fleet
from tests.lab.message import normalised
from tests.lab.milter_client import MilterConnection
from tests.lab.nameserver import Nameserver
from tests.lab.protocol import Reply
from tests.lab.settings import world
from tests.support.case import Case, Speed
from tests.support.selection import every_return_case

pytestmark = pytest.mark.wire

AT_RECIPIENT = {
    ReturnReason.NO_SUCH_ADDRESS.value,
    ReturnReason.KEYS_MISSING.value,
    ReturnReason.BOUNCE_ONLY.value,
}


@every_return_case(Speed.WIRE)
def test_case(case: Case, nameserver: Nameserver, fleet: Fleet, queue_ids: Iterator[str]) -> None:
    nameserver.serve(world(case.zone))
    alignd = fleet.returning(case.config)
    queue_id = next(queue_ids)

    with MilterConnection(alignd.socket, client=case.client, helo=case.helo) as mta:
        result = mta.send(
            case.envelope_sender,
            case.recipients,
            case.message,
            login=case.login,
            queue_id=queue_id,
        )

    # It has no queue id where its first recipient is refused.
    line = alignd.log_line("NOQUEUE" if case.expected_reason in AT_RECIPIENT else queue_id)
    said = set(line.split())
    assert {f"action={case.expected_action}", f"reason={case.expected_reason}"} <= said
    if case.expected_reply:
        assert result.answer.reply is Reply.WITH_CODE
        assert result.answer.text.startswith(f"{case.expected_reply} ")
        assert case.expected_reason in result.answer.text
        return
    assert result.accepted
    assert result.envelope_sender == case.expected_envelope_sender
    assert normalised(result.message) == normalised(case.expected_message)
