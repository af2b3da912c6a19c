"""What is done with a message whose rewrite would fail DMARC too, and how that is foreseen."""

import time
from dataclasses import replace
from ipaddress import ip_address

import pytest

from alignd.config.file import parse_configuration
from alignd.config.signer import load_signer
from alignd.judgement.author import read_author
from alignd.judgement.own_mail import OwnMail
from alignd.judgement.prediction import spf_passes
from alignd.judgement.review import Judgement, Reviewer, make_reviewer
from alignd.mail.message import HeaderField, Message
from alignd.mailauth.dkim import PlannedSignature
from alignd.mailauth.dns import Answer, LookupFailed, RecordType
from alignd.mailauth.ternary import Ternary
from alignd.resolver.zone import Zone
from tests.lab.places import ROOT
from tests.lab.settings import configuration, world
from tests.support.selection import CASES

KEY = next(
    line.partition("TXT ")[2]
    for case in CASES
    if case.name == "signer-null-sender"
    for line in case.zone.splitlines()
    if line.startswith("easy1.")
)
OURS = "notifications.easysoftware.com"
OUR_KEY = f"easy1._domainkey.{OURS}. TXT {KEY}\n"
SIGNED = f'[dkim]\nsigns = [{{ domain = "{OURS}", selector = "easy1" }}]\n'


def reviewer_of(config: str = "") -> Reviewer:
    parsed = parse_configuration(configuration(config), "test")
    return make_reviewer(parsed, load_signer(parsed.dkim), time.time)


def message_of(envelope_sender: str, author: str = "marky@mycompany.com") -> Message:
    header = (HeaderField("From", f"Marky <{author}>".encode()),)
    recipients = ("julia@customer.example",)
    return Message(envelope_sender, recipients, header, ip_address("127.0.0.1"))


def judged(message: Message, zone: str, config: str = "") -> Judgement:
    return reviewer_of(config).judge(message, Zone.parse(world(zone)))


def outcome(message: Message, zone: str, config: str = "") -> str:
    reason = judged(message, zone, config).reason
    return f"{reason.action.value} {reason.value}"


POLICIES = ("absent", "none", "quarantine", "reject")
LEFT, MADE = "pass rewrite-would-fail", "rewrite rewrite-fails"
LESSER_HARM = {
    "absent": (LEFT, LEFT, LEFT, LEFT),
    "none": (LEFT, LEFT, LEFT, LEFT),
    "quarantine": (MADE, MADE, MADE, LEFT),
    "reject": (MADE, MADE, MADE, MADE),
}


def records(author_policy: str, our_policy: str) -> str:
    policies = {"mycompany.com": author_policy, OURS: our_policy}
    return "".join(
        # Without a policy, the name has another record: that of all tests would stand there.
        f'_dmarc.{name}. TXT "{"nothing" if policy == "absent" else f"v=DMARC1; p={policy}"}"\n'
        for name, policy in policies.items()
    )


@pytest.mark.parametrize("author_policy", POLICIES)
@pytest.mark.parametrize("our_policy", POLICIES)
def test_the_lesser_harm(author_policy: str, our_policy: str) -> None:
    zone = f'mycompany.com. TXT "v=spf1 -all"\n{records(author_policy, our_policy)}'

    expected = LESSER_HARM[author_policy][POLICIES.index(our_policy)]

    assert outcome(message_of(""), zone) == expected


def test_the_page_has_the_same_table() -> None:
    page = (ROOT / "docs/how-it-decides.md").read_text()
    words = {LEFT: "left alone", MADE: "rewritten"}
    for policies in (("absent", "none"), ("quarantine",), ("reject",)):
        for policy in policies:
            row = [words[each] for each in LESSER_HARM[policy]]
            assert row[0] == row[1]
            assert f"| {', '.join(policies)} | {' | '.join(row[1:])} |" in page


@pytest.mark.parametrize(
    ("sender", "zone", "config", "expected"),
    [
        pytest.param("", "", "", LEFT, id="null-sender-unsigned"),
        pytest.param("", OUR_KEY, SIGNED, "rewrite unaligned", id="null-sender-signed"),
        pytest.param("", "", SIGNED, LEFT, id="null-sender-signed-without-a-key"),
        pytest.param(
            "",
            f"; TIMEOUT easy1._domainkey.{OURS}.\n",
            SIGNED,
            "rewrite unaligned",
            id="null-sender-signed-with-a-key-that-nobody-knows",
        ),
        pytest.param(
            "marky@mycompany.com", "", "", "rewrite relay-not-authorised", id="our-spf-passes"
        ),
        pytest.param(
            "marky@mycompany.com",
            f'{OURS}. TXT "v=spf1 -all"\n',
            "",
            LEFT,
            id="our-spf-fails",
        ),
        pytest.param(
            "marky@mycompany.com",
            f"; SERVFAIL {OURS}.\n",
            "",
            "rewrite relay-not-authorised",
            id="our-spf-is-unknown",
        ),
        pytest.param(
            f"app@{OURS}",
            "",
            "",
            "rewrite relay-not-authorised",
            id="a-sender-that-is-ours-already",
        ),
    ],
)
def test_a_rewrite_is_asked_for_what_it_will_be(
    sender: str, zone: str, config: str, expected: str
) -> None:
    zone = f'mycompany.com. TXT "v=spf1 -all"\n{zone}'

    assert outcome(message_of(sender), zone, config) == expected


def rests_on_dkim(judgement: Judgement) -> bool:
    """Whether the message, or its rewrite, aligns by DKIM and not by SPF."""
    predictions, rewrite = judgement.circumstances.predictions, judgement.circumstances.rewrite
    made = [predictions and predictions.as_sent, rewrite and rewrite.prediction]
    return any(
        each.aligned is Ternary.YES
        and (spf_passes(each.spf) & each.spf_aligned) is not Ternary.YES
        for each in made
        if each
    )


def test_a_long_line_breaks_the_signature_of_a_rewrite() -> None:
    zone = f'mycompany.com. TXT "v=spf1 -all"\n{OUR_KEY}'
    short, long = message_of(""), replace(message_of(""), has_long_line=True)

    assert outcome(short, zone, SIGNED) == "rewrite unaligned"
    assert outcome(long, zone, SIGNED) == LEFT
    assert rests_on_dkim(judged(short, zone, SIGNED))


@pytest.mark.parametrize("sender", ["marky@mycompany.com", f"app@{OURS}"])
def test_a_rewrite_that_passes_by_spf_does_not_mind_its_lines(sender: str) -> None:
    zone = f'mycompany.com. TXT "v=spf1 -all"\n{OUR_KEY}'
    long = replace(message_of(sender), has_long_line=True)

    assert judged(long, zone, SIGNED).reason.action.value == "rewrite"
    assert not rests_on_dkim(judged(long, zone, SIGNED))


@pytest.mark.parametrize("author", ["", "Ann <a@x.example>, Bob <b@y.example>"])
def test_a_rewrite_of_nobody_knows_whom_is_made(author: str) -> None:
    message = message_of("")
    header = (HeaderField("From", author.encode()),) if author else ()

    assert outcome(replace(message, header=header), "") == MADE


class Changing:
    """A zone that may change, and that notes its questions."""

    def __init__(self, zone: str) -> None:
        self.zone = zone
        self.questions: list[tuple[str, RecordType]] = []

    def look_up(self, name: str, record_type: RecordType, **_: bool) -> Answer | LookupFailed:
        self.questions.append((name, record_type))
        return Zone.parse(world(self.zone)).look_up(name, record_type)


def test_what_is_remembered_of_our_mail_holds_while_dns_says_the_same() -> None:
    reviewer = reviewer_of()
    settings, own = reviewer.configuration, OwnMail(reviewer.suffixes)
    ours = settings.notifications.domain, settings.relay
    lookup = Changing("")

    first = own.predict(*ours, "", (), lookup)
    asked, lookup.questions = set(lookup.questions), []
    assert own.predict(*ours, "", (), lookup) is first
    assert set(lookup.questions) == asked  # so that the judgement knows until when it holds

    for name, record_type in asked:
        lookup.zone = f"; TIMEOUT {name}. {record_type.value}\n"
        fresh = OwnMail(reviewer.suffixes).predict(*ours, "", (), lookup)
        assert own.predict(*ours, "", (), lookup) == fresh, name
        assert own.predict(*ours, "", (), lookup) != first, name
    lookup.zone = ""
    assert own.predict(*ours, "", (), lookup) == first


def test_signatures_and_senders_of_our_mail_are_told_apart() -> None:
    reviewer = reviewer_of()
    settings, own, lookup = reviewer.configuration, OwnMail(reviewer.suffixes), Changing(OUR_KEY)
    ours = settings.notifications.domain, settings.relay
    signature = PlannedSignature(settings.notifications.domain, "easy1")
    bounces = settings.notifications.bounces.address

    passes = [
        own.predict(*ours, sender, signatures, lookup).passes
        for sender in ("", bounces)
        for signatures in ((), (signature,))
        for _ in range(2)
    ]

    assert passes == [False, False, True, True, True, True, True, True]


def test_our_mail_is_predicted_once_for_all_authors() -> None:
    reviewer = reviewer_of()
    ours = reviewer.configuration.notifications.domain, reviewer.configuration.relay
    own, lookup = OwnMail(reviewer.suffixes), Changing("")

    first = own.predict(*ours, f"marky=mycompany.com=abc2defg3haaa@{OURS}", (), lookup)

    for number in range(1000):
        sender = f"a{number}=b{number}.example=abc2defg3haaa@{OURS}"
        assert own.predict(*ours, sender, (), lookup) is first


SENDERS = ("marky", "julia", "m" * 64, "", "a+b", "marky")


@pytest.mark.parametrize("known", ["marky", "julia", "m" * 60])
@pytest.mark.parametrize(
    "record",
    [
        pytest.param("exists:%{{l}}.{0} -all", id="exists"),
        pytest.param("exists:%{{L}}.{0} -all", id="escaped"),
        pytest.param("exists:%{{l1r+}}.{0} -all", id="transformed"),
        pytest.param("include:%{{l}}.{0} -all", id="include"),
        pytest.param("redirect=%{{l}}.{0}", id="redirect"),
        pytest.param("-exists:%{{l}}.{0} ip4:192.0.2.25 ip6:2001:db8::25 -all", id="refuses"),
        pytest.param("a:%{{l}}.{0} -all", id="host"),
        pytest.param("exists:%{{s}}.{0} -all", id="address"),
        pytest.param("include:shared.{0} -all", id="in-an-include"),
        pytest.param("ip4:192.0.2.25 ip6:2001:db8::25 ?exists:%{{l}}.{0} -all", id="unreached"),
    ],
)
def test_where_spf_looks_at_the_local_part_each_sender_is_predicted(
    record: str, known: str
) -> None:
    reviewer = reviewer_of()
    ours = reviewer.configuration.notifications.domain, reviewer.configuration.relay
    own, lookup = (
        OwnMail(reviewer.suffixes),
        Changing(f"""\
{OURS}. TXT "v=spf1 {record.format(OURS)}"
{known}.{OURS}. TXT "v=spf1 ip4:192.0.2.25 ip6:2001:db8::25 -all"
{known}.{OURS}. A 192.0.2.25
{known}.{OURS}. AAAA 2001:db8::25
shared.{OURS}. TXT "v=spf1 exists:%{{l}}.{OURS} -all"
"""),
    )

    for local_part in SENDERS:
        sender = f"{local_part}@{OURS}" if local_part else ""
        fresh = OwnMail(reviewer.suffixes).predict(*ours, sender, (), lookup)

        assert own.predict(*ours, sender, (), lookup) == fresh, sender


def test_a_sender_whose_local_part_spf_looks_at_is_remembered_too() -> None:
    reviewer = reviewer_of()
    ours = reviewer.configuration.notifications.domain, reviewer.configuration.relay
    own, lookup = (
        OwnMail(reviewer.suffixes),
        Changing(f'{OURS}. TXT "v=spf1 a:%{{l}}.{OURS} -all"\n'),
    )
    marky, julia = f"marky@{OURS}", f"julia@{OURS}"

    first = own.predict(*ours, marky, (), lookup)
    own.predict(*ours, julia, (), lookup)

    assert own.predict(*ours, marky, (), lookup) is first


def test_the_dns_of_a_null_sender_is_asked_ahead() -> None:
    reviewer = reviewer_of(SIGNED)
    lookup = Changing(f'mycompany.com. TXT "v=spf1 -all"\n{OUR_KEY}')
    message = message_of("")
    reviewer.judge(message, lookup)

    ahead = reviewer.first_questions(message, read_author(message))

    assert set(lookup.questions) <= ahead
