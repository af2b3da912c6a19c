"""What comes back, over the milter protocol to the real process of `alignd return`."""

import re
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from alignd.judgement.return_reasons import ReturnReason
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.mta import probe
from alignd.return_path.address import Kind, encode
from alignd.return_path.keyring import Key, KeyState
from tests.lab import cast
from tests.lab.alignd import Alignd, Fleet, run_return
from tests.lab.message import normalised
from tests.lab.milter_client import (
    ALL_ACTIONS,
    CHANGE_SENDER,
    NO_BODY,
    MilterConnection,
    Result,
)
from tests.lab.nameserver import Nameserver
from tests.lab.protocol import Command, Reply, strings
from tests.lab.readiness import free_ports, open_directory, wait_until
from tests.lab.return_addresses import KEY_FILE, KEYS, return_address
from tests.lab.settings import world
from tests.support.case import Case, Speed
from tests.support.scrape import Watched
from tests.support.selection import every_return_case
from tests.support.signing import DOMAIN, SELECTOR, Draft, new_key, public_key, txt

pytestmark = pytest.mark.wire

AT_RECIPIENT = {
    ReturnReason.NO_SUCH_ADDRESS.value,
    ReturnReason.KEYS_MISSING.value,
    ReturnReason.BOUNCE_ONLY.value,
}

RETURN = f'[return]\nkeys = "{KEY_FILE}"\n'
MX = cast.RECEIVER_IPV4
"""Which sends for the customer, and nobody else does."""
ZONE = world(f"""\
{cast.RECEIVER_DOMAIN}. TXT "v=spf1 ip4:{MX} -all"
_dmarc.{cast.RECEIVER_DOMAIN}. TXT "v=DMARC1; p=reject"
{cast.RECEIVER}. TXT "v=spf1 a -all"
{cast.RECEIVER}. A {MX}
_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"
""")
ANSWER = f"From: Julia <{cast.JULIA}>\r\nSubject: Re: printer\r\n\r\nYes.\r\n".encode()
BOUNCE = f"From: <MAILER-DAEMON@{cast.RECEIVER}>\r\n\r\nNobody here.\r\n".encode()


@pytest.fixture
def alignd(nameserver: Nameserver, fleet: Fleet) -> Alignd:
    nameserver.serve(ZONE)
    return fleet.returning(RETURN)


@pytest.fixture
def directory() -> Iterator[Path]:
    with open_directory() as directory:
        yield directory


def author() -> str:
    return return_address(Kind.AUTHOR, cast.MARKY)


def bounces() -> str:
    return return_address(Kind.BOUNCE, cast.MARKY)


def of_another_key() -> str:
    """A return address that another machine may have made."""
    key = Key(bytes(32), KeyState.SIGN)
    assert not KEYS.startswith(f"sign {key.id}")
    domain = Domain.parse(cast.NOTIFICATIONS_DOMAIN)
    made = encode(Mailbox.from_address(cast.MARKY), Kind.AUTHOR, domain, key, 0.0)
    assert isinstance(made, Mailbox)
    return made.address


def answer(alignd: Alignd, queue_id: str = "4bQxA1", message: bytes = ANSWER) -> Result:
    with MilterConnection(alignd.socket, client=MX) as mta:
        return mta.send(cast.JULIA, (author(),), message, queue_id=queue_id)


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

    decided = f"action={case.expected_action} reason={case.expected_reason}"
    if case.expected_reason in AT_RECIPIENT:
        # Postfix gives no queue id before the first recipient is taken.
        line = f"NOQUEUE: {decided} at=rcpt"
        wait_until(lambda: line in alignd.log(), "the line of the recipient")
    else:
        assert set(decided.split()) <= set(alignd.log_line(queue_id).split())
    if case.expected_reply:
        assert result.answer.reply is Reply.WITH_CODE
        assert result.answer.text.startswith(f"{case.expected_reply} ")
        assert case.expected_reason in result.answer.text
        return
    assert result.accepted
    assert result.envelope_sender == case.expected_envelope_sender
    assert normalised(result.message) == normalised(case.expected_message)


def test_each_recipient_is_answered_on_its_own(nameserver: Nameserver, directory: Path) -> None:
    nameserver.serve(ZONE)
    (port,) = free_ports(1)
    expected = {
        author().replace("marky", "mark"): "550 5.1.1 ",
        bounces(): "550 5.7.1 ",
        of_another_key(): "451 4.3.0 ",
        author(): "",
        author().upper(): "",
        cast.NOTIFICATIONS: "",
    }
    with run_return(
        directory / "alignd", nameserver.address, RETURN, metrics=f"127.0.0.1:{port}"
    ) as service:
        watched = Watched(service.alignd, port)
        with MilterConnection(service.alignd.socket, client=MX, helo=cast.RECEIVER) as mta:
            mta.tell(Command.MAIL, strings(f"<{cast.JULIA}>"))
            for recipient, said in expected.items():
                told = mta.tell(Command.RCPT, strings(f"<{recipient}>"))
                assert told.reply is (Reply.WITH_CODE if said else Reply.CONTINUE), recipient
                assert told.text.startswith(said)
            mta.tell(Command.HEADER, b"From\0 Julia <%s>\0" % cast.JULIA.encode())
            assert mta.tell(Command.END_OF_MESSAGE, b"", {"i": "Q1"}).modifications
            bounced = mta.send("", (bounces(),), BOUNCE)
            forged = mta.send(
                "", (bounces(),), BOUNCE.replace(cast.RECEIVER.encode(), b"mycompany.com")
            )
            assert bounced.accepted
            assert forged.answer.text.startswith("550 5.7.1 ")

        assert "reason=return-spf-aligned" in service.alignd.log_line("Q1")
        # Neither of these is in a log that says no addresses.
        assert not re.search(r"marky|julia", service.alignd.log())
        watched.wait_until_served()
        scrape = watched.scrape()
        assert scrape.counted("alignd_return_recipients_refused_total") == {
            ("return-no-such-address",): 1,
            ("return-bounce-only",): 1,
            ("return-keys-missing",): 1,
        }
        assert scrape.counted("alignd_return_bounces_total") == {
            ("forwarded",): 1,
            ("refused",): 1,
        }
        assert scrape.of("alignd_messages_total") == 3


@pytest.mark.parametrize(
    ("client", "said", "is_taken"),
    [
        pytest.param(MX, [], True, id="good"),
        pytest.param(MX, ["elsewhere.example"], False, id="bad"),
        pytest.param(MX, ["elsewhere.example", cast.RECEIVER], True, id="last"),
        pytest.param("192.0.2.99", [], False, id="somebody-else-s"),
    ],
)
def test_a_bounce_is_known_by_what_its_client_has_said_last(
    alignd: Alignd, client: str, said: list[str], is_taken: bool
) -> None:
    with MilterConnection(alignd.socket, client=client, helo=cast.RECEIVER) as mta:
        for name in said:
            mta.tell(Command.HELO, strings(name))
        result = mta.send("", (bounces(),), BOUNCE)

    assert result.accepted is is_taken
    assert is_taken or result.answer.text.startswith("550 5.7.1 ")


@pytest.mark.parametrize("name", [b"\xff\xfe", b"", b"x" * 10_000, b"a b%s\r\nc"])
def test_any_helo_harms_nobody(alignd: Alignd, name: bytes) -> None:
    with MilterConnection(alignd.socket, client=MX) as mta:
        mta.tell(Command.HELO, name + b"\0")
        result = mta.send("", (bounces(),), BOUNCE)

    assert not result.accepted
    assert result.answer.text[:1] in {"4", "5", ""}
    assert answer(alignd).accepted


def test_what_comes_back_is_seen_whole(alignd: Alignd) -> None:
    with MilterConnection(alignd.socket) as mta:
        unanswered, unasked = Command.RCPT.no_reply, Command.HELO.skip | NO_BODY
        assert not mta.steps & (unanswered | unasked)


def test_without_the_right_to_change_the_sender_nothing_goes_on(alignd: Alignd) -> None:
    with MilterConnection(alignd.socket, client=MX, actions=ALL_ACTIONS & ~CHANGE_SENDER) as mta:
        result = mta.send(cast.JULIA, (author(),), ANSWER)

    assert result.answer.reply is Reply.TEMPFAIL
    assert not result.answer.modifications


@pytest.mark.parametrize(
    ("body", "filler", "said"),
    [
        pytest.param(100, b"", {"reason=return-dkim-aligned"}, id="small"),
        pytest.param(
            6_000, b"", {"reason=return-spf-aligned", "limit=max_body_bytes"}, id="large-body"
        ),
        pytest.param(
            100,
            b"X-Filler: y\r\n" * 200,
            {"reason=return-spf-aligned", "limit=max_header_bytes"},
            id="large-header",
        ),
    ],
)
def test_a_signature_counts_no_more_where_not_all_was_kept(
    nameserver: Nameserver,
    fleet: Fleet,
    queue_ids: Iterator[str],
    body: int,
    filler: bytes,
    said: set[str],
) -> None:
    key = new_key(1024)
    record = f"v=DKIM1; k=rsa; p={public_key(key)}"
    nameserver.serve(
        ZONE
        + txt(f"{SELECTOR}._domainkey.{DOMAIN}.", record)
        + txt(f"{DOMAIN}.", f"v=spf1 ip4:{MX} -all")
        + txt(f"_dmarc.{DOMAIN}.", "v=DMARC1; p=reject")
    )
    limits = "[milter]\nmax_body_bytes = 5000\nmax_header_bytes = 5000\n"
    alignd = fleet.returning(RETURN + limits)
    message = replace(Draft(), body=b"x" * 60 + b"\r\n" * (body - 60)).message(key)
    queue_id = next(queue_ids)

    with MilterConnection(alignd.socket, client=MX) as mta:
        head, blank, rest = message.partition(b"\r\n\r\n")
        whole = head + b"\r\n" + filler.removesuffix(b"\r\n") + blank + rest if filler else message
        result = mta.send(f"ann@{DOMAIN}", (author(),), whole, queue_id=queue_id)

    assert result.accepted
    assert said <= set(alignd.log_line(queue_id).split())


def test_addresses_are_in_the_log_at_level_debug_alone(
    nameserver: Nameserver, fleet: Fleet
) -> None:
    nameserver.serve(ZONE)
    alignd = fleet.returning(f'{RETURN}[log]\nlevel = "debug"\n')

    assert answer(alignd, "4bQxB1").accepted
    with MilterConnection(alignd.socket, client=MX) as mta:
        assert not mta.send(cast.JULIA, (bounces(),), ANSWER).accepted

    line = alignd.log_line("4bQxB1")
    assert f"sender={cast.JULIA} author={cast.JULIA}" in line
    assert f'recipients="{author()}"' in line
    refused = alignd.log_line("NOQUEUE")
    assert refused.startswith("NOQUEUE: action=refuse reason=return-bounce-only at=rcpt ")
    assert f'sender={cast.JULIA} recipient="{bounces()}"' in refused


def test_a_reload_blocks_an_author(nameserver: Nameserver, directory: Path) -> None:
    nameserver.serve(ZONE)
    with run_return(directory / "alignd", nameserver.address, RETURN) as service:
        alignd = service.alignd
        assert answer(alignd).accepted
        path = alignd.config_path
        blocked = f'[return]\nblocked = ["{cast.MARKY}"]\n'
        path.write_text(path.read_text().replace("[return]\n", blocked))

        alignd.process.send_signal(signal.SIGHUP)
        alignd.wait_for_notice("RELOADING=1")
        alignd.wait_for_notice("READY=1")

        assert answer(alignd).answer.text.startswith("550 5.1.1 ")


@pytest.mark.parametrize("host", ["unix", "127.0.0.1"])
def test_a_probe_of_what_comes_back_is_answered_and_is_no_mail(
    directory: Path, nameserver: Nameserver, host: str
) -> None:
    port, metrics = free_ports(2)
    own = "" if host == "unix" else f'milter = "inet:{port}@{host}"\n'
    with run_return(
        directory / "alignd",
        nameserver.address,
        RETURN + own,
        metrics=f"127.0.0.1:{metrics}",
        environment={"WATCHDOG_USEC": "600000"},
    ) as service:
        alignd = service.alignd
        for _ in range(2):
            alignd.wait_for_notice("WATCHDOG=1")
        watched = Watched(alignd, metrics)
        watched.wait_until_served()
        scrape = watched.scrape()
        address = (host, port) if own else alignd.socket.partition(":")[2]
        family = socket.AF_INET if own else socket.AF_UNIX

        assert probe.answers_message(family, address, "Q1")

        wait_until(lambda: "probe answered" in alignd.log(), "the line of the probe")
        assert not scrape.of("alignd_messages_total")
        assert not scrape.of("alignd_fallbacks_total")
        assert not scrape.of("alignd_return_recipients_refused_total")
        line = alignd.log_line("Q1")
        assert "action=skip domain=alignd.invalid reason=return-not-addressed " in line
        assert not [name for name, _ in nameserver.questions if "alignd.invalid" in name]
