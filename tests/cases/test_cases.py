"""Every case in this process: the core alone, with DNS answered from the case's zone."""

import time
from ipaddress import ip_address

from alignd.config.domain_lists import SuffixList
from alignd.config.file import parse_configuration
from alignd.config.signer import load_signer
from alignd.judgement.review import add_trace_field, make_reviewer
from alignd.mail.message import Edits, Message, split_message
from alignd.mta.transaction import as_judged
from alignd.resolver.zone import Zone
from tests.lab.message import normalised
from tests.lab.return_addresses import directory_of
from tests.lab.settings import configuration, world
from tests.support.case import Case, Speed
from tests.support.edits import apply_edits
from tests.support.selection import every_case

SUFFIXES = SuffixList()


@every_case(Speed.PROCESS)
def test_case(case: Case) -> None:
    config = parse_configuration(configuration(case.config), case.name)
    reviewer = make_reviewer(
        config, load_signer(config.dkim), time.time, SUFFIXES, directory=directory_of(config)
    )
    header, body = split_message(case.message)
    message = Message(
        envelope_sender=case.envelope_sender,
        recipients=case.recipients,
        header=header,
        client=ip_address(case.client),
        login=case.login or "",
        body=body,
    )

    zone = Zone.parse(world(case.zone), case.name)

    judgement = reviewer.judge(as_judged(message, config), zone)

    decided = (judgement.reason.action.value, judgement.reason.value)
    assert decided == (case.expected_action, case.expected_reason)
    is_dry = judgement.settings.rules.dry_run
    edits = Edits() if is_dry else add_trace_field(judgement)
    if edits.header:
        after = b"".join(field.line for field in apply_edits(header, edits.header))
        assert normalised(after + b"\r\n" + body) == normalised(case.expected_message)
    else:
        assert case.expected_message == case.message
    left = case.envelope_sender if edits.envelope_sender is None else edits.envelope_sender
    assert left == case.expected_envelope_sender
