"""Responsible for one message on its way: through the relay, to the receiver, to its judges."""

import re
from dataclasses import replace

from demo.process import NotReadyError
from tests.lab.submission import submit
from tests.support.case import Case
from tests.verifiers import rspamd
from tests.verifiers.stage import Stage
from tests.verifiers.verdict import Received, Verdict


def deliver(stage: Stage, case: Case, source: str) -> Verdict:
    """Send *case* from the relay's address *source* and return what came of it."""
    try:
        return _deliver(stage, case, source)
    except (NotReadyError, OSError, RuntimeError, KeyError, ValueError) as error:
        # The others are still to be heard.
        return Verdict(case.name, source, "", "", f"lost ({error})", "")


def _deliver(stage: Stage, case: Case, source: str) -> Verdict:
    reply = submit(
        stage.outlets[case.config, source].port,
        case.envelope_sender,
        case.recipients,
        case.message,
        client=case.client,
        login=case.login,
    )
    delivery = stage.relay.wait_for_delivery(reply.queue_id)
    line = stage.alignds[case.config].log_line(reply.queue_id)
    said = dict(re.findall(r"(\S+)=(\S+)", line))
    answer = f"{delivery.status} ({delivery.answer})"
    verdict = Verdict(case.name, source, said["action"], said["reason"], answer, "")
    if delivery.next_queue_id:
        return _judged(stage, verdict, delivery.next_queue_id)
    rejected = "rejected by DMARC policy" in answer
    return replace(verdict, opendmarc="rejected" if rejected else answer)


def _judged(stage: Stage, verdict: Verdict, queue_id: str) -> Verdict:
    arrival = stage.sink.wait_for(lambda arrival: arrival.came_as(queue_id))
    received = Received.parse(arrival.message)
    opinion = rspamd.ask(
        received.message, verdict.source, arrival.envelope_sender, arrival.recipients
    )
    return replace(
        verdict,
        opendmarc=received.opendmarc(),
        rspamd=opinion.dmarc(),
        evidence="\n".join(
            [f"MAIL FROM:<{arrival.envelope_sender}>", *received.results, str(opinion.symbols)]
        ),
    )
