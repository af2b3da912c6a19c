"""One message on its way: through the relay, to the receiver, to its judges."""

import re
from dataclasses import replace

from tests.lab import rspamd
from tests.lab.submission import submit
from tests.verifiers.sending import Sending
from tests.verifiers.testbed import Testbed
from tests.verifiers.verdict import Received, Verdict


def deliver(testbed: Testbed, sending: Sending, source: str) -> Verdict:
    """Send *sending* from the relay's address *source* and return what came of it."""
    try:
        return _deliver(testbed, sending, source)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        # The others are still to be heard.
        return Verdict(sending.name, source, "", "", f"lost ({error})", "")


def _deliver(testbed: Testbed, sending: Sending, source: str) -> Verdict:
    reply = submit(
        testbed.outlets[sending.config, source].port,
        sending.envelope_sender,
        sending.recipients,
        sending.message,
        client=sending.client,
        login=sending.login,
    )
    delivery = testbed.relay.wait_for_delivery(reply.queue_id)
    line = testbed.alignds[sending.config].log_line(reply.queue_id)
    said = dict(re.findall(r"(\S+)=(\S+)", line))
    answer = f"{delivery.status} ({delivery.answer})"
    verdict = Verdict(sending.name, source, said["action"], said["reason"], answer, "")
    if delivery.next_queue_id:
        return _judged(testbed, verdict, delivery.next_queue_id)
    rejected = "rejected by DMARC policy" in answer
    return replace(verdict, opendmarc="rejected" if rejected else answer)


def _judged(testbed: Testbed, verdict: Verdict, queue_id: str) -> Verdict:
    arrival = testbed.inbox.wait_for(lambda arrival: arrival.came_as(queue_id))
    received = Received.parse(arrival.message)
    opinion = rspamd.ask(
        received.message, verdict.source, arrival.envelope_sender, arrival.recipients
    )
    return replace(
        verdict,
        opendmarc=received.opendmarc(),
        rspamd=opinion.dmarc(),
        mailauth=_mailauth(testbed, received, verdict.source, arrival.envelope_sender),
        evidence="\n".join(
            [f"MAIL FROM:<{arrival.envelope_sender}>", *received.results, str(opinion.symbols)]
        ),
    )


def _mailauth(testbed: Testbed, received: Received, source: str, envelope_sender: str) -> str:
    if testbed.mailauth is None:
        return ""
    return testbed.mailauth.ask(received.message, source, envelope_sender)
