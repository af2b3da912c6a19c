"""What comes back to a return address: what goes on, and what is refused."""

from ipaddress import ip_address

from alignd.config.domain_lists import SuffixList
from alignd.config.file import parse_configuration
from alignd.judgement.return_leg import ReturnJudgement, make_return_reviewer
from alignd.judgement.return_reasons import ReturnReason
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import NO_EDITS, HeaderField, Message
from alignd.resolver.zone import Zone
from alignd.return_path.address import DAY, Kind
from alignd.return_path.directory import make_directory
from alignd.return_path.keyring import Key, Keyring, KeyState
from tests.lab import cast
from tests.lab.settings import configuration, world

NOW = 20_000 * DAY + 5.0
SUFFIXES = SuffixList()
KEY = Key(bytes(range(32)), KeyState.SIGN)
CONFIGURATION = parse_configuration(configuration('[return]\nkeys = "/keys"'), "test")
DIRECTORY = make_directory(CONFIGURATION, {"/keys": Keyring({KEY.id: KEY}, KEY)})
REVIEWER = make_return_reviewer(CONFIGURATION, DIRECTORY, SUFFIXES, lambda: NOW)
JULIA_MX = "203.0.113.25"
ZONE = f"""\
customer.example. TXT "v=spf1 ip4:{JULIA_MX} -all"
_dmarc.customer.example. TXT "v=DMARC1; p=reject"
"""


def address(author: str = cast.MARKY, kind: Kind = Kind.AUTHOR) -> str:
    made = DIRECTORY.make(Mailbox.from_address(author), kind, CONFIGURATION, NOW)
    assert isinstance(made, Mailbox)
    return made.address


def answer(client: str = JULIA_MX) -> Message:
    header = (HeaderField("From", b"Julia <julia@customer.example>"),)
    return Message(cast.JULIA, (address(),), header, ip_address(client), helo=cast.RECEIVER)


def judged(message: Message, zone: str = ZONE) -> ReturnJudgement:
    return REVIEWER.judge(message, Zone.parse(world(zone), "test"))


def test_an_answer_that_passes_by_spf_alone_is_from_the_notifications_address() -> None:
    judgement = judged(answer())

    assert judgement.reason is ReturnReason.SPF_ALIGNED
    assert judgement.planned.envelope_sender == address(cast.JULIA, Kind.BOUNCE)


def test_a_forged_answer_is_refused() -> None:
    judgement = judged(answer("192.0.2.99"))

    assert judgement.reason is ReturnReason.DMARC_FAILS
    assert judgement.reply is not None
    assert (judgement.reply.code, judgement.planned) == ("550", NO_EDITS)
