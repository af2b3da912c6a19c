"""Every case in this process: the core alone, with DNS answered from the case's zone."""

import time
from ipaddress import ip_address

from alignd.config import file as configfile
from alignd.config.domain_lists import FreemailDomains, SuffixList
from alignd.config.signer import load_signer
from alignd.judgement.review import Reviewer
from alignd.mail.message import Message, apply_edits, split_message
from alignd.resolver.zone import Zone
from tests.lab.message import normalised
from tests.lab.settings import configuration, world
from tests.support.case import Case, Speed
from tests.support.selection import every_case

SUFFIXES, FREEMAIL = SuffixList(), FreemailDomains()


@every_case(Speed.PROCESS)
def test_case(case: Case) -> None:
    config = configfile.parse(configuration(case.config), case.name)
    reviewer = Reviewer(config, SUFFIXES, load_signer(config.dkim), FREEMAIL, time.time)
    header, body = split_message(case.message)
    message = Message(
        envelope_sender=case.envelope_sender,
        recipients=case.recipients,
        header=header,
        client=ip_address(case.client),
        login=case.login or "",
        body=body,
    )

    review = reviewer.review(message, Zone.parse(world(case.zone), case.name))

    decided = (review.decision.action.value, review.decision.reason.value)
    assert decided == (case.expected_action, case.expected_reason)
    edits = () if review.settings.rules.dry_run else review.edits.header
    if edits:
        after = b"".join(field.line for field in apply_edits(header, edits)) + b"\r\n" + body
        assert normalised(after) == normalised(case.expected_message)
    else:
        assert case.expected_message == case.message
    left = case.envelope_sender if review.settings.rules.dry_run else review.envelope_sender
    assert left == case.expected_envelope_sender
