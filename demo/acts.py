"""The acts on the way to Julia: each sends mail and holds what came out against the promises."""

from __future__ import annotations

from email.utils import parseaddr
from pathlib import Path

from demo.journey import Journey, Mail, send
from demo.outcome import Act, Check, Comparison, Outcome
from demo.servers import PORT_WITH_ALIGND, PORT_WITHOUT_ALIGND, Servers
from tests.lab import cast

MARKY_WRITES = Path(__file__).with_name("marky.eml")
HARRIET_WRITES = Path(__file__).with_name("harriet.eml")

NOTHING = Mail(b"")


def marky_without_alignd(servers: Servers) -> Outcome:
    """Send Marky's answer as the relay always did: Julia never gets it."""
    journey = send(servers, MARKY_WRITES, cast.MARKY, PORT_WITHOUT_ALIGND)
    checks = (
        Check("Julia's server rejects the message", journey.status == "bounced"),
        Check("it does so because of DMARC", "rejected by DMARC policy" in journey.answer),
    )
    return _outcome(journey, (_compare(journey, "From"), _envelope_sender(journey)), checks)


def marky_with_alignd(servers: Servers) -> Outcome:
    """Send the same answer through alignd: it arrives, and the conversation stays whole."""
    journey = send(servers, MARKY_WRITES, cast.MARKY, PORT_WITH_ALIGND)
    names = ("From", "Reply-To", "Sender", "X-Original-From", "Alignd")
    comparisons = (*(_compare(journey, name) for name in names), _envelope_sender(journey))
    rewriting = _rewriting(journey.sent, journey.received) if journey.received else ()
    return _outcome(journey, comparisons, (*_arrival(journey), *rewriting))


def harriet_with_alignd(servers: Servers) -> Outcome:
    """Send mail of a company that authorised the relay: alignd leaves it alone."""
    plain = send(servers, HARRIET_WRITES, cast.HARRIET, PORT_WITHOUT_ALIGND)
    journey = send(servers, HARRIET_WRITES, cast.HARRIET, PORT_WITH_ALIGND)
    received, expected = journey.received or NOTHING, plain.received or NOTHING
    untouched = (
        Check(
            "every byte is as without alignd, and as it was sent",
            received.below_received() == expected.below_received() == journey.sent.content,
        ),
        Check(
            "bounces go where they would without alignd",
            received.field("Return-Path") == expected.field("Return-Path") != "",
        ),
    )
    comparisons = (_compare(journey, "From"), _envelope_sender(journey))
    return _outcome(journey, comparisons, (*_arrival(journey), *untouched))


OUTBOUND_PLAY = (
    Act(
        "Marky answers Julia, without alignd",
        "mycompany.com asks receivers to reject mail in its name that it did not authorise, "
        f"and its SPF record does not include {cast.SPF_INCLUDE}.",
        "blocked: Julia never gets her answer",
        marky_without_alignd,
    ),
    Act(
        "Marky answers Julia, with alignd",
        "Nothing else has changed: the same message, the same DNS, the same receiver.",
        "delivered in the name of the helpdesk, and answers go to Marky",
        marky_with_alignd,
    ),
    Act(
        "Harriet answers Julia, with alignd",
        f"happycustomer.com is as strict, but its SPF record does include {cast.SPF_INCLUDE}.",
        "delivered untouched, in Harriet's own name",
        harriet_with_alignd,
    ),
)


def _arrival(journey: Journey) -> tuple[Check, ...]:
    verdicts = _verdicts(journey.received or NOTHING)
    return (
        Check("the message is delivered", journey.received is not None),
        Check("Julia's server says dmarc=pass", any("dmarc=pass" in text for text in verdicts)),
    )


def _rewriting(sent: Mail, received: Mail) -> tuple[Check, ...]:
    author = received.field("From")
    return (
        Check(
            "From is an address of his own at the helpdesk and still names Marky Mark",
            _is_his(parseaddr(author)[1]) and "Marky Mark" in author,
        ),
        Check("answers go to Marky", f"<{cast.MARKY}>" in received.field("Reply-To")),
        Check("no Sender field is left", not received.fields("Sender")),
        Check(
            "X-Original-From keeps the author",
            received.fields("X-Original-From") == sent.fields("From"),
        ),
        Check("the Alignd field says why", "action=rewrite" in received.field("Alignd")),
        Check(
            "bounces go to another address of his own",
            _is_his(received.field("Return-Path").strip("<>"))
            and received.field("Return-Path").strip("<>") != parseaddr(author)[1],
        ),
        Check("the body is the same, byte for byte", received.body() == sent.body()),
    )


def _is_his(address: str) -> bool:
    """Whether *address* is a return address of Marky's, by its looks."""
    own = cast.MARKY.replace("@", "=")
    return address.startswith(f"{own}=") and address.endswith(f"@{cast.NOTIFICATIONS_DOMAIN}")


def _outcome(
    journey: Journey, comparisons: tuple[Comparison, ...], checks: tuple[Check, ...]
) -> Outcome:
    verdicts = _verdicts(journey.received or NOTHING)
    return Outcome("Julia's server", journey.answer, verdicts, comparisons, checks, journey.log)


def _compare(journey: Journey, name: str) -> Comparison:
    after = journey.received.field(name) if journey.received else None
    return Comparison(name, journey.sent.field(name), after)


def _envelope_sender(journey: Journey) -> Comparison:
    after = journey.received.field("Return-Path") if journey.received else None
    return Comparison("MAIL FROM", f"<{journey.sender}>", after)


def _verdicts(received: Mail) -> tuple[str, ...]:
    """Return what the receiver's own checks wrote on the message."""
    fields = received.fields("Authentication-Results")
    return tuple(text for text in fields if text.startswith(f"{cast.RECEIVER};"))
