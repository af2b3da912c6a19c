"""Every case of what comes back, in this process, with DNS from the zone of the case."""

import time
from ipaddress import ip_address

from alignd.config.domain_lists import SuffixList
from alignd.config.file import parse_configuration
from alignd.judgement.return_leg import make_return_reviewer
from alignd.mail.line_length import BodyLines, has_long_line
from alignd.mail.message import Message, split_message
from alignd.resolver.zone import Zone
from tests.lab.message import normalised
from tests.lab.return_addresses import directory_of
from tests.lab.settings import configuration, world
from tests.support.case import Case, Speed
from tests.support.edits import apply_edits
from tests.support.selection import every_return_case

SUFFIXES = SuffixList()


@every_return_case(Speed.PROCESS)
def test_case(case: Case) -> None:
    config = parse_configuration(configuration(case.config), case.name)
    reviewer = make_return_reviewer(config, directory_of(config), SUFFIXES, time.time)
    zone = Zone.parse(world(case.zone), case.name)
    message = message_of(case)

    judgement = reviewer.judge(message, zone)

    decided = (judgement.reason.action.value, judgement.reason.value)
    assert decided == (case.expected_action, case.expected_reason)
    reply, edits = judgement.reply, judgement.planned
    assert (f"{reply.code} {reply.status}" if reply else "") == case.expected_reply
    if edits.header:
        header = apply_edits(message.header, edits.header)
        after = b"".join(field.line for field in header) + b"\r\n" + (message.body or b"")
        assert normalised(after) == normalised(case.expected_message)
    else:
        assert case.expected_message == case.message
    left = case.envelope_sender if edits.envelope_sender is None else edits.envelope_sender
    assert left == case.expected_envelope_sender


def message_of(case: Case) -> Message:
    header, body = split_message(case.message)
    lines = BodyLines()
    lines.add(body)
    has_long_field = any(has_long_line(each.name, each.blank + each.value) for each in header)
    return Message(
        envelope_sender=case.envelope_sender,
        recipients=case.recipients,
        header=header,
        client=ip_address(case.client),
        login=case.login or "",
        helo=case.helo,
        body=body,
        has_long_line=has_long_field or lines.are_long,
    )
