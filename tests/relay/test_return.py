"""The way back on real servers: what reaches the agent, and what must not happen.

Each attack comes with a control that shows it working where one defence is missing.
docs/return-path.md has the table of threats, with the names of these tests.
"""

import re
import socket
import time
from collections.abc import Iterator
from itertools import count

import pytest

from alignd.return_path.address import BOUNCE_DAYS, DAY, Kind
from tests.lab import cast
from tests.lab.postfix import Postfix, obstacle
from tests.lab.processes import missing_programs
from tests.lab.readiness import wait_until
from tests.lab.return_addresses import return_address
from tests.lab.sink import Arrival, Inbox
from tests.lab.submission import SmtpClient, SubmissionReply
from tests.lab.way_back import (
    BOTNET,
    CIRCULAR,
    EVIL,
    HELPDESK_PORT,
    INSIDE,
    INSTANCE,
    JULIAS,
    NAIVE_SIGNER,
    NO_LIMITS,
    NO_MILTERS,
    NOTIFICATIONS_MX,
    OUTBOUND_RULES,
    RELAY,
    STAFF,
    TICKETS,
    TICKETS_DOMAIN,
    UNSIGNED_MAP,
    WayBackLab,
    run_way_back,
)

PROGRAMS = ("ip", "opendkim", "opendkim-genkey", "opendmarc", "postfix")
MISSING = obstacle() or ", ".join(missing_programs(PROGRAMS))

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.usefixtures("lab"),
    pytest.mark.skipif(bool(MISSING), reason=f"needs root, or {MISSING}"),
]

JULIA, UNSIGNED_JULIA = "julia@customer.com", "julia@unsigned.com"
VICTIM = "victim@victim.com"
SHARED = tuple(
    f"{name}@{cast.NOTIFICATIONS_DOMAIN}"
    for name in ("helpdesk", "bounces", "postmaster", "abuse", "dmarc-reports")
)
WAYS = pytest.mark.parametrize("server", [INSTANCE, INSIDE], ids=["instance", "inside"])
MARKYS_ADDRESS = return_address(Kind.AUTHOR, cast.MARKY)
OURS = "dmarc=pass header.from=notifications.easysoftware.com"

_numbers = count()


@pytest.fixture(scope="module")
def lab() -> Iterator[WayBackLab]:
    with run_way_back() as lab:
        yield lab


class Letter:
    """A message with a Message-ID of its own, which also shows in bounces of it."""

    def __init__(self, author: str, *, body: bytes = b"Hello\r\n", fields: str = "") -> None:
        self.id = f"<{next(_numbers)}@letters.example>"
        header = f"From: Somebody <{author}>\r\nTo: you@there.example\r\nSubject: printer\r\n"
        header += f"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: {self.id}\r\n{fields}"
        self.content = f"{header}\r\n".encode() + body

    def reached(self, inbox: Inbox, *, at: str = "") -> Arrival:
        """Wait until it is there, or a bounce of it; *at* is whom it must be for."""

        def is_it(arrival: Arrival) -> bool:
            return self.is_in(arrival) and (not at or at in arrival.recipients)

        return inbox.wait_for(is_it)

    def is_in(self, arrival: Arrival) -> bool:
        return self.id.encode() in arrival.message


def field(arrival: Arrival, name: str) -> str:
    """The topmost field of that name, unfolded."""
    found = re.search(
        rb"^%s:[ \t]*((?:.*\r\n)(?:[ \t].*\r\n)*)" % name.encode(), arrival.message, re.M | re.I
    )
    return " ".join(found[1].decode(errors="replace").split()) if found else ""


def address_in(arrival: Arrival, name: str) -> str:
    found = re.search(r"<(.*)>", field(arrival, name))
    assert found, field(arrival, name)
    return found[1]


def dmarc(arrival: Arrival) -> str:
    """What the receiver's own OpenDMARC wrote."""
    found = re.search(rb"^Authentication-Results: \S+; (dmarc=.*)\r$", arrival.message, re.M)
    return re.sub(r" \(.*\)", "", found[1].decode()) if found else ""


def from_julia(letter: Letter, sender: str, recipient: str) -> SubmissionReply:
    """Send it by way of her company's server."""
    with SmtpClient(
        HELPDESK_PORT, server=JULIAS, source=JULIAS, helo="pc.customer.com"
    ) as session:
        return session.send(sender, [recipient], letter.content)


def from_helpdesk(
    letter: Letter, recipient: str, *, relay: str = RELAY, agent: str = cast.MARKY
) -> SubmissionReply:
    source = cast.HELPDESK_IPV4
    with SmtpClient(HELPDESK_PORT, server=relay, source=source, helo=cast.HELPDESK) as session:
        return session.send(agent, [recipient], letter.content)


def from_stranger(
    letter: Letter,
    sender: str,
    recipient: str = MARKYS_ADDRESS,
    *,
    server: str = INSTANCE,
    port: int = 25,
) -> SubmissionReply:
    with SmtpClient(port, server=server, source=EVIL, helo="mail.evil.com") as session:
        return session.send(sender, [recipient], letter.content)


def postfix_at(lab: WayBackLab, server: str) -> Postfix:
    return {RELAY: lab.relay, INSTANCE: lab.instance, INSIDE: lab.inside}[server]


def forged(address: str) -> str:
    """Change the last letter of the tag."""
    local_part, _, domain = address.partition("@")
    return f"{local_part[:-1]}{'b' if local_part.endswith('a') else 'a'}@{domain}"


# What must work


@pytest.mark.parametrize("julia", [JULIA, UNSIGNED_JULIA], ids=["signing", "not-signing"])
def test_an_answer_to_the_from_address_reaches_the_agent(lab: WayBackLab, julia: str) -> None:
    question, answer = Letter(cast.MARKY), Letter(julia)
    from_helpdesk(question, julia)
    from_julia(answer, julia, address_in(question.reached(lab.julia), "From"))
    arrival = answer.reached(lab.marky)

    domain = julia.partition("@")[2]
    is_signed = julia == JULIA
    assert arrival.recipients == (cast.MARKY,)
    assert arrival.envelope_sender == return_address(Kind.BOUNCE, julia)
    assert dmarc(arrival) == (f"dmarc=pass header.from={domain}" if is_signed else OURS)
    assert address_in(arrival, "From" if is_signed else "Reply-To") == julia


def test_a_tenants_answers_reach_its_mailbox_through_the_relay_itself(lab: WayBackLab) -> None:
    question = Letter(cast.MARKY, fields="X-Relay-Tenant: tickets\r\n")
    answer = Letter(UNSIGNED_JULIA)
    from_helpdesk(question, UNSIGNED_JULIA, relay=INSIDE)
    address = address_in(question.reached(lab.julia), "From")
    from_julia(answer, UNSIGNED_JULIA, address)
    arrival = answer.reached(lab.marky)

    assert address == return_address(Kind.AUTHOR, cast.MARKY, TICKETS_DOMAIN)
    assert (arrival.recipients, dmarc(arrival)) == ((TICKETS,), OURS)


def test_an_address_in_capitals_is_the_same(lab: WayBackLab) -> None:
    answer = Letter(JULIA)
    from_julia(answer, JULIA, MARKYS_ADDRESS.upper())

    assert dmarc(answer.reached(lab.marky, at=cast.MARKY)) == "dmarc=pass header.from=customer.com"


@pytest.mark.parametrize("relay", [RELAY, INSIDE], ids=["instance", "inside"])
@pytest.mark.parametrize("mailbox", ["dead", "gone"], ids=["at-rcpt", "later"])
def test_a_bounce_reaches_the_agent(lab: WayBackLab, mailbox: str, relay: str) -> None:
    letter = Letter(cast.MARKY)
    reply = from_helpdesk(letter, f"{mailbox}@customer.com", relay=relay)
    arrival = letter.reached(lab.marky)

    assert reply.is_taken
    assert (arrival.envelope_sender, arrival.recipients) == ("", (cast.MARKY,))
    assert b"multipart/report" in arrival.message
    assert dmarc(arrival).startswith("dmarc=pass ")


def test_a_bounce_of_an_answer_reaches_julia(lab: WayBackLab) -> None:
    answer = Letter(JULIA)
    from_julia(answer, JULIA, return_address(Kind.AUTHOR, "dead@mycompany.com"))
    bounce = answer.reached(lab.julia)

    assert (bounce.envelope_sender, bounce.recipients) == ("", (JULIA,))
    assert dmarc(bounce).startswith("dmarc=pass ")


def test_without_spf_of_its_name_the_relays_bounce_dies_unless_it_is_signed(
    lab: WayBackLab,
) -> None:
    names = rf"^({cast.RELAY}|smtp3\.easyredmine\.com)\. TXT .*\n"
    lab.nameserver.serve(re.sub(names, "", lab.zone, flags=re.M))
    try:
        signed, unsigned = Letter(cast.MARKY), Letter(cast.MARKY)
        from_helpdesk(unsigned, "dead@customer.com")
        wait_until(lambda: "DMARC fails" in lab.relay.log(), "the bounce to be refused")
        from_helpdesk(signed, "dead@customer.com", relay=INSIDE)
        arrival = signed.reached(lab.marky)
    finally:
        lab.nameserver.serve(lab.zone)

    assert dmarc(arrival) == OURS
    assert not any(unsigned.is_in(each) for each in lab.marky.arrivals)


def test_a_bounce_that_the_agents_server_refuses_is_counted(lab: WayBackLab) -> None:
    letter = Letter("dead@mycompany.com")
    from_helpdesk(letter, "dead@customer.com", agent="dead@mycompany.com")
    notice = letter.reached(lab.julia, at=STAFF)

    assert notice.envelope_sender == f"double-bounce@{NOTIFICATIONS_MX}"
    assert "reason=return-bounce-refused" in lab.back.alignd.log()


@WAYS
@pytest.mark.parametrize("address", SHARED)
def test_a_shared_address_is_deliverable(lab: WayBackLab, address: str, server: str) -> None:
    letter = Letter(JULIA)
    with SmtpClient(25, server=server, source=JULIAS, helo="mx.customer.com") as session:
        reply = session.send(JULIA, [address], letter.content)
    delivery = postfix_at(lab, server).wait_for_delivery(reply.queue_id)

    assert f"to=<{STAFF}>, orig_to=<{address}>" in postfix_at(lab, server).log()
    assert delivery.status in {
        "sent",
        "bounced",
    }  # Julia did not sign, so the staff may not have it


@pytest.mark.parametrize("trouble", ["killed", "away", "hanging"])
def test_outgoing_mail_does_not_depend_on_the_map(lab: WayBackLab, trouble: str) -> None:
    letters = [Letter(cast.MARKY) for _ in range(10)]

    def send_all() -> float:
        started = time.monotonic()
        for letter in letters:
            assert from_helpdesk(letter, JULIA, relay=INSIDE).is_taken
        return time.monotonic() - started

    with SmtpClient(25, server=INSIDE, source=JULIAS) as answering:
        answering.ask(f"MAIL FROM:<{JULIA}>")
        if trouble == "killed":
            lab.kill_map()
            seconds = send_all()
        elif trouble == "away":
            with lab.no_map():
                asked = answering.ask(f"RCPT TO:<{MARKYS_ADDRESS}>")
                seconds = send_all()
            assert asked.code == 451
        else:
            with lab.stopped_map():
                answering.begin(f"RCPT TO:<{MARKYS_ADDRESS}>")
                seconds = send_all()
            assert answering.answer().code == 250
        answered = answering.ask(f"RCPT TO:<{MARKYS_ADDRESS}>")

    assert answered.code == 250
    assert seconds < 10
    assert all(letter.reached(lab.julia) for letter in letters)


def test_a_bounce_waits_for_the_map(lab: WayBackLab) -> None:
    letter, log_before = Letter(cast.MARKY), len(lab.relay.log())
    with lab.no_map():
        from_helpdesk(letter, "dead@customer.com")
        put_off = "to=<marky.mark=mycompany.com=.*status=deferred"
        wait_until(lambda: re.search(put_off, lab.relay.log()[log_before:]), "a bounce that waits")

    assert letter.reached(lab.marky).envelope_sender == ""


def test_a_loop_ends_at_its_first_turn(lab: WayBackLab) -> None:
    letter = Letter(JULIA)
    from_julia(letter, JULIA, return_address(Kind.AUTHOR, CIRCULAR))
    bounce = letter.reached(lab.julia)

    assert (bounce.envelope_sender, bounce.recipients) == ("", (JULIA,))
    assert b"554 5.4.6" in bounce.message
    assert not any(letter.is_in(each) for each in lab.marky.arrivals)


def test_eight_bits_keep_their_signature_at_a_server_without_them(lab: WayBackLab) -> None:
    letter = Letter(
        JULIA,
        body="Grüße\r\n".encode(),
        fields="MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n",
    )
    from_julia(letter, JULIA, return_address(Kind.AUTHOR, "marky@old.com"))
    arrival = letter.reached(lab.marky)

    assert b"\xc3\xbc" in arrival.message
    assert b"dkim=pass" in arrival.message


# What must not happen: open relay


@WAYS
@pytest.mark.parametrize(
    "recipient",
    [
        pytest.param(VICTIM, id="elsewhere"),
        pytest.param(forged(return_address(Kind.AUTHOR, VICTIM)), id="forged"),
        pytest.param(f"victim=victim.com@{cast.NOTIFICATIONS_DOMAIN}", id="without-a-tag"),
        pytest.param(f"victim%victim.com@{cast.NOTIFICATIONS_DOMAIN}", id="percent"),
        pytest.param(f"victim.com!victim@{cast.NOTIFICATIONS_DOMAIN}", id="bang"),
        pytest.param(
            return_address(Kind.AUTHOR, VICTIM).replace(cast.NOTIFICATIONS_DOMAIN, TICKETS_DOMAIN),
            id="of-another-domain",
        ),
    ],
)
def test_nobody_is_relayed(recipient: str, server: str) -> None:
    letter = Letter("spam@evil.com")
    reply = from_stranger(letter, "spam@evil.com", recipient, server=server)

    assert 550 <= reply.code <= 554


def test_control_without_signed_addresses_everybody_is_relayed(lab: WayBackLab) -> None:
    letter = Letter("spam@evil.com")
    address = forged(return_address(Kind.AUTHOR, VICTIM))
    reply = from_stranger(letter, "spam@evil.com", address, server=INSIDE, port=UNSIGNED_MAP)

    assert reply.is_taken
    assert letter.reached(lab.julia).recipients == (VICTIM,)


# What must not happen: a forged sender


@WAYS
@pytest.mark.parametrize(
    "author",
    [
        pytest.param("ceo@juliacorp.cz", id="of-a-company"),
        pytest.param(cast.NOTIFICATIONS, id="of-ourselves"),
        pytest.param(return_address(Kind.AUTHOR, cast.HARRIET), id="of-another-agent"),
        pytest.param("ceo@happycustomer.com", id="of-a-customer-that-authorises-the-relay"),
    ],
)
def test_a_forged_sender_is_refused(author: str, server: str) -> None:
    letter = Letter(author)
    own = from_stranger(letter, "spam@evil.com", server=server)
    as_author = from_stranger(letter, author, server=server)

    assert (own.code, as_author.code) == (550, 550)
    assert "DMARC fails" in own.text or "in our domain" in own.text


def test_control_by_outbound_rules_a_forged_company_is_laundered(lab: WayBackLab) -> None:
    letter = Letter("ceo@juliacorp.cz")
    from_stranger(letter, "spam@evil.com", server=INSIDE, port=OUTBOUND_RULES)

    assert dmarc(letter.reached(lab.marky)) == OURS


def test_control_by_a_naive_signer_we_are_forged_ourselves(lab: WayBackLab) -> None:
    letter = Letter(cast.NOTIFICATIONS)
    from_stranger(letter, "spam@evil.com", server=INSIDE, port=NAIVE_SIGNER)

    assert dmarc(letter.reached(lab.marky)) == OURS


def test_control_by_outbound_rules_a_customer_is_forged(lab: WayBackLab) -> None:
    letter = Letter("ceo@happycustomer.com")
    from_stranger(letter, "ceo@happycustomer.com", server=INSIDE, port=OUTBOUND_RULES)

    assert dmarc(letter.reached(lab.marky)) == "dmarc=pass header.from=happycustomer.com"


# What must not happen: backscatter, and return addresses for strangers


@pytest.mark.parametrize("sender", [VICTIM, "victim@careless.com"], ids=["fails", "all-may"])
def test_a_sender_that_is_not_proven_gets_no_bounce_address(lab: WayBackLab, sender: str) -> None:
    letter = Letter("spam@evil.com")
    from_stranger(letter, sender)

    assert letter.reached(lab.marky).envelope_sender == cast.BOUNCES


def test_control_a_sender_that_a_stranger_may_use_gets_one_and_spam_reaches_him(
    lab: WayBackLab,
) -> None:
    minting, spam = Letter("spam@evil.com"), Letter("spam@evil.com")
    from_stranger(minting, "victim@hosted.com")
    minted = minting.reached(lab.marky).envelope_sender
    reply = from_stranger(spam, "", minted)

    assert minted == return_address(Kind.BOUNCE, "victim@hosted.com")
    assert reply.is_taken
    assert spam.reached(lab.julia).recipients == ("victim@hosted.com",)


def test_a_forgery_sends_no_bounce_to_whom_it_names() -> None:
    letter = Letter("ceo@juliacorp.cz")
    reply = from_stranger(letter, VICTIM)

    assert reply.code == 550


def test_control_without_alignd_a_forgery_bounces_to_whom_it_names(lab: WayBackLab) -> None:
    letter = Letter("ceo@juliacorp.cz")
    from_stranger(letter, VICTIM, server=INSIDE, port=NO_MILTERS)
    bounce = letter.reached(lab.julia)

    assert (bounce.envelope_sender, bounce.recipients) == ("", (VICTIM,))


# What must not happen: harvesting


@WAYS
def test_nobody_learns_who_exists(lab: WayBackLab, server: str) -> None:
    addresses = [
        forged(return_address(Kind.AUTHOR, each)) for each in (cast.MARKY, "dead@mycompany.com")
    ]
    asked_before = len(lab.marky.arrivals)
    with SmtpClient(25, server=server, source=EVIL) as session:
        verified = session.ask(f"VRFY {MARKYS_ADDRESS}")
        session.ask("MAIL FROM:<spam@evil.com>")
        replies = [session.ask(f"RCPT TO:<{each}>").text.replace(each, "") for each in addresses]

    assert verified.code == 502
    assert "User unknown" in replies[0]
    assert replies[0] == replies[1]
    assert len(lab.marky.arrivals) == asked_before


def test_control_without_signed_addresses_bounces_tell_who_does_not_exist(lab: WayBackLab) -> None:
    letter = Letter("spam@evil.com")
    address = forged(return_address(Kind.AUTHOR, "dead@mycompany.com"))
    from_stranger(letter, "harvest@hosted.com", address, server=INSIDE, port=UNSIGNED_MAP)
    bounce = letter.reached(lab.julia)

    assert bounce.recipients == ("harvest@hosted.com",)
    assert re.search(
        rb"Recipient: rfc822; dead@mycompany.com\r\n(.*\r\n)*Status: 5.1.1", bounce.message
    )


# What must not happen: guessing


@WAYS
def test_who_guesses_is_cut_off(server: str) -> None:
    with SmtpClient(25, server=server, source=BOTNET) as session:
        session.ask("MAIL FROM:<spam@evil.com>")
        codes = [session.ask(f"RCPT TO:<{forged(MARKYS_ADDRESS)}>").code for _ in range(10)]
        last = session.ask(f"RCPT TO:<{forged(MARKYS_ADDRESS)}>")

    assert codes == [550] * 10
    assert (last.code, "too many errors" in last.text) == (421, True)


def test_control_without_limits_who_guesses_goes_on() -> None:
    with SmtpClient(NO_LIMITS, server=INSIDE, source=BOTNET) as session:
        session.ask("MAIL FROM:<spam@evil.com>")
        codes = [session.ask(f"RCPT TO:<{forged(MARKYS_ADDRESS)}>").code for _ in range(100)]

    assert codes == [550] * 100


def test_who_comes_back_to_guess_is_kept_out() -> None:
    greetings = [b"220"]
    while greetings[-1] == b"220" and len(greetings) < 100:
        with socket.create_connection((INSTANCE, 25), 60, (BOTNET, 0)) as connection:
            greetings.append(connection.recv(3))

    assert greetings[-1] == b"421"
    assert len(greetings) < 65


# What must not happen: replay


@WAYS
def test_an_old_bounce_address_is_refused(server: str) -> None:
    old = return_address(Kind.BOUNCE, cast.MARKY, now=time.time() - (BOUNCE_DAYS + 1) * DAY)
    reply = from_stranger(Letter("spam@evil.com"), "", old, server=server)

    assert (reply.code, "User unknown" in reply.text) == (550, True)


def test_control_a_younger_bounce_address_is_good(lab: WayBackLab) -> None:
    letter = Letter("spam@evil.com")
    young = return_address(Kind.BOUNCE, cast.MARKY, now=time.time() - (BOUNCE_DAYS - 1) * DAY)
    reply = from_stranger(letter, "", young)

    assert reply.is_taken
    assert letter.reached(lab.marky).recipients == (cast.MARKY,)


@WAYS
def test_a_bounce_address_takes_nothing_but_bounces(server: str) -> None:
    address = return_address(Kind.BOUNCE, cast.MARKY)
    reply = from_stranger(Letter("spam@evil.com"), "spam@evil.com", address, server=server)

    assert (reply.code, "nothing but bounces" in reply.text) == (550, True)


def test_control_without_alignd_a_bounce_address_takes_anything(lab: WayBackLab) -> None:
    letter, address = Letter("spam@evil.com"), return_address(Kind.BOUNCE, cast.MARKY)
    from_stranger(letter, "spam@evil.com", address, server=INSIDE, port=NO_MILTERS)

    assert letter.reached(lab.marky).recipients == (cast.MARKY,)


# What must not happen: forwarded spam burns the relay's address


def test_forwarded_spam_leaves_from_an_address_and_a_name_of_its_own(lab: WayBackLab) -> None:
    spam, letter = Letter("spam@evil.com"), Letter("harriet@staff.com")
    from_stranger(spam, "spam@evil.com")
    came_from = field(spam.reached(lab.marky), "Received")
    with lab.markys_blocks(INSTANCE):
        from_helpdesk(letter, cast.MARKY, agent="harriet@staff.com")
        arrival = letter.reached(lab.marky)

    assert came_from.startswith(f"from {NOTIFICATIONS_MX} (unknown [{INSTANCE}])")
    assert arrival.recipients == (cast.MARKY,)


def test_control_inside_the_relay_forwarded_spam_burns_its_address(lab: WayBackLab) -> None:
    spam, letter = Letter("spam@evil.com"), Letter("harriet@staff.com")
    from_stranger(spam, "spam@evil.com", server=INSIDE)
    came_from = field(spam.reached(lab.marky), "Received")
    with lab.markys_blocks(INSIDE):
        reply = from_helpdesk(letter, cast.MARKY, relay=INSIDE, agent="harriet@staff.com")
        delivery = lab.inside.wait_for_delivery(reply.queue_id)

    assert f"[{INSIDE}]" in came_from
    assert (delivery.status, "too much spam" in delivery.answer) == ("bounced", True)
