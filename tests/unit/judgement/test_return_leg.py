"""What comes back to a return address: what goes on, and what is refused."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignd.config.domain_lists import SuffixList
from alignd.config.file import parse_configuration
from alignd.judgement.forwarding import MARK_FIELD, MAX_MARKS
from alignd.judgement.reasons import Action
from alignd.judgement.return_leg import ReturnJudgement, make_return_reviewer
from alignd.judgement.return_reasons import ReturnReason
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import NO_EDITS, ChangeField, HeaderField, Message, split_message
from alignd.resolver.zone import Zone
from alignd.return_path.address import DAY, Kind
from alignd.return_path.directory import Found, KeyTrouble, make_directory
from alignd.return_path.keyring import Key, Keyring, KeyState
from tests.lab import cast
from tests.lab.settings import configuration, world
from tests.support.edits import apply_edits
from tests.support.signing import Draft, new_key, public_key, txt

NOW = 20_000 * DAY + 5.0
SUFFIXES = SuffixList()
KEY, RETIRED = Key(bytes(range(32)), KeyState.SIGN), Key(bytes(32), KeyState.RETIRED)
KEYRING = Keyring({KEY.id: KEY, RETIRED.id: RETIRED}, KEY)
CONFIGURATION = parse_configuration(configuration('[return]\nkeys = "return.keys"'), "test")
DIRECTORY = make_directory(CONFIGURATION, {"return.keys": KEYRING})
REVIEWER = make_return_reviewer(CONFIGURATION, DIRECTORY, SUFFIXES, lambda: NOW)
JULIA, AUTHOR_DOMAIN, BELOW = cast.JULIA, cast.RECEIVER_DOMAIN, f"mail.{cast.RECEIVER_DOMAIN}"
MX, STRANGER = cast.RECEIVER_IPV4, "203.0.113.66"
SIGNER = new_key(1024)
BODY = b"It works again.\r\n"


def address(author: str = cast.MARKY, kind: Kind = Kind.AUTHOR) -> str:
    made = DIRECTORY.make(Mailbox.from_address(author), kind, CONFIGURATION, NOW)
    assert isinstance(made, Mailbox)
    return made.address


def answer(**changes: object) -> Message:
    header = (HeaderField("From", b"Julia <julia@customer.example>"),)
    message = Message(JULIA, (address(),), header, ip_address(MX), helo=cast.RECEIVER, body=BODY)
    return replace(message, **changes)  # type: ignore[arg-type]


def from_(value: str) -> tuple[HeaderField, ...]:
    return (HeaderField("From", value.encode()),)


ZONE = f"""\
{AUTHOR_DOMAIN}. TXT "v=spf1 ip4:{MX} -all"
_dmarc.{AUTHOR_DOMAIN}. TXT "v=DMARC1; p=reject"
"""


def judged(message: Message, zone: str = ZONE) -> ReturnJudgement:
    return REVIEWER.judge(message, Zone.parse(world(zone), "test"))


@dataclass(frozen=True)
class World:
    """What a stranger or Julia sends, and what DNS says; None where it says nothing."""

    sender: str
    spf: str | None
    policy: str | None
    signed_by: str | None
    key: str | None

    def judged(self) -> ReturnJudgement:
        sender = self.sender.rpartition("@")[2] or cast.RECEIVER
        zone = record(sender, self.spf) + record(f"_dmarc.{AUTHOR_DOMAIN}", self.policy)
        if self.signed_by:
            zone += record(f"s1._domainkey.{self.signed_by}", self.key)
        header, body = split_message(signed(self.signed_by))
        return judged(answer(envelope_sender=self.sender, header=header, body=body), zone)

    def completions(self) -> Iterator["World"]:
        """All that DNS may say once it answers."""
        yield from itertools.starmap(
            World,
            itertools.product(
                [self.sender],
                SPF if self.spf is None else [self.spf],
                POLICIES if self.policy is None else [self.policy],
                [self.signed_by],
                KEYS if self.key is None else [self.key],
            ),
        )


def record(name: str, text: str | None) -> str:
    if text is None:
        return f"; SERVFAIL {name} TXT\n"
    return txt(f"{name}.", text) if text else ""


@cache
def signed(domain: str | None) -> bytes:
    names = ("from", "subject")
    header = (("From", b" Julia <julia@customer.example>"), ("Subject", b" Re: printer"))
    draft = Draft(names=names, header=header, body=BODY)
    if domain is None:
        return b"".join(b"%s:%s\r\n" % (name.encode(), value) for name, value in header) + b"\r\n"
    return draft.with_tags(d=domain, h=":".join(names)).message(SIGNER)


SPF = (f"v=spf1 ip4:{MX} -all", "v=spf1 -all", "v=spf1 +all")
POLICIES = (
    "",
    "v=DMARC1; p=none",
    "v=DMARC1; p=quarantine",
    "v=DMARC1; p=reject",
    "v=DMARC1; p=reject; aspf=s; adkim=s",
)
KEYS = (f"v=DKIM1; p={public_key(SIGNER)}", "")
SENDERS = (JULIA, f"julia@{BELOW}", "x@evil.example", "")
SIGNERS = (None, AUTHOR_DOMAIN, BELOW, "evil.example")
WORLDS = [
    World(*each)
    for each in itertools.product(SENDERS, (*SPF, None), (*POLICIES, None), SIGNERS, (*KEYS, None))
    if each[3] is not None or each[4] == KEYS[0]
]
STAYS = {ReturnReason.DKIM_ALIGNED, ReturnReason.NO_POLICY}


@pytest.fixture(scope="module")
def outcomes() -> dict[World, ReturnReason]:
    return {each: each.judged().reason for each in WORLDS}


def expected(world: World) -> ReturnReason:
    """What the RFCs ask for, where nothing is unknown and no receiver differs."""
    policy = world.policy or ""

    def aligns(domain: str | None) -> bool:
        # Without a record there is no organization to RFC 9989, and so no relaxed alignment.
        is_below = domain in {BELOW, cast.RECEIVER} and policy != "" and "aspf=s" not in policy
        return domain == AUTHOR_DOMAIN or is_below

    by_spf = world.spf == SPF[0] and aligns(world.sender.rpartition("@")[2] or cast.RECEIVER)
    by_dkim = world.key == KEYS[0] and aligns(world.signed_by)
    if not by_spf and not by_dkim:
        is_enforced = "p=reject" in policy or "p=quarantine" in policy
        return ReturnReason.DMARC_FAILS if is_enforced else ReturnReason.NO_POLICY
    return ReturnReason.DKIM_ALIGNED if by_dkim else ReturnReason.SPF_ALIGNED


def test_what_dns_answers_is_judged_as_dmarc_has_it(
    outcomes: dict[World, ReturnReason],
) -> None:
    known = {each: found for each, found in outcomes.items() if None not in answers(each)}

    assert len(known) > 300
    assert known == {each: expected(each) for each in known}


def answers(world: World) -> tuple[str | None, ...]:
    return (world.spf, world.policy, world.key)


def test_what_is_decided_without_an_answer_holds_whatever_the_answer_is(
    outcomes: dict[World, ReturnReason],
) -> None:
    for each, found in outcomes.items():
        later = {outcomes[answered] for answered in each.completions()}
        fails = later & {ReturnReason.DMARC_FAILS}
        if found is ReturnReason.DNS_UNKNOWN:
            # It waits for nothing that would make no difference.
            assert fails < later, each
            assert fails, each
        elif found is ReturnReason.DMARC_FAILS:
            assert later == fails, each
        else:
            assert not fails, each
        if found is ReturnReason.DKIM_ALIGNED:
            assert later == {found}, each


def test_a_record_that_one_rfc_alone_asks_for_may_want_strict_alignment() -> None:
    domain = f"eu.{BELOW}"
    author = f"julia@{domain}"
    message = answer(header=(signature(BELOW, author), *from_(author)))
    zone = record(f"_dmarc.{BELOW}", "v=DMARC1; p=reject; psd=n")
    zone += record(f"s1._domainkey.{BELOW}", KEYS[0])

    assert judged(message, zone).reason is ReturnReason.DKIM_ALIGNED
    unknown = zone + record(f"_dmarc.{AUTHOR_DOMAIN}", None)
    assert judged(message, unknown).reason is ReturnReason.DNS_UNKNOWN


REFUSALS = {
    "a forged address": ("x" + address(), JULIA, ReturnReason.NO_SUCH_ADDRESS),
    "a bounce address for an answer": (
        address(kind=Kind.BOUNCE),
        JULIA,
        ReturnReason.BOUNCE_ONLY,
    ),
    "a bounce address for a bounce": (address(kind=Kind.BOUNCE), "", None),
    "an author's address for a bounce": (address(), "", None),
    "an author's address": (address(), JULIA, None),
    "an author's address in capitals": (address().upper(), JULIA, None),
    "the shared address": (cast.NOTIFICATIONS, JULIA, None),
    "an address elsewhere": ("somebody@elsewhere.example", JULIA, None),
    "no address": ("somebody", JULIA, None),
}


@pytest.mark.parametrize(("recipient", "sender", "reason"), REFUSALS.values(), ids=REFUSALS)
def test_a_recipient_is_refused_alone_and_with_its_message(
    recipient: str, sender: str, reason: ReturnReason | None
) -> None:
    refusal = REVIEWER.refusal_of_recipient(sender, recipient)

    assert (refusal and refusal[0]) == reason
    judgement = judged(answer(envelope_sender=sender, recipients=(recipient,)))
    if refusal is not None:
        assert (judgement.reason, judgement.reply) == refusal


def test_a_message_is_refused_for_the_first_reason_of_its_recipients() -> None:
    recipients = (address(kind=Kind.BOUNCE), address(), "x" + address())

    judgement = judged(answer(recipients=recipients))

    assert judgement.reason is ReturnReason.NO_SUCH_ADDRESS


def test_keys_that_cannot_be_read_refuse_nobody_for_good() -> None:
    trouble = make_directory(CONFIGURATION, {"return.keys": KeyTrouble("its mode is 0644")})
    reviewer = make_return_reviewer(CONFIGURATION, trouble, SUFFIXES, lambda: NOW)

    refusal = reviewer.refusal_of_recipient(JULIA, address())

    assert refusal is not None
    assert refusal[0] is ReturnReason.KEYS_MISSING
    assert not refusal[1].is_for_good


NOTICE = answer(
    envelope_sender="",
    recipients=(address(kind=Kind.BOUNCE),),
    header=from_("MAILER-DAEMON@smtp2.easyredmine.com (Mail Delivery System)"),
    client=ip_address("127.0.0.1"),
    helo="localhost",
)
NO_BOUNCES_OF_OURS = {
    "from another machine": {"client": ip_address(STRANGER)},
    "of a client that logged in": {"login": "marky"},
    "of another author": {"header": from_("root@smtp2.easyredmine.com")},
    "of another's server": {"header": from_("MAILER-DAEMON@mx.customer.example")},
    "with a sender": {"envelope_sender": "root@smtp2.easyredmine.com", "recipients": (address(),)},
}


def test_a_bounce_of_our_own_postfix_goes_on_from_the_notifications_address() -> None:
    for client in (None, ip_address("127.0.0.1"), ip_address("::1")):
        for domain in ("smtp2.easyredmine.com", "back.easyredmine.com", cast.NOTIFICATIONS_DOMAIN):
            header = from_(f"MAILER-DAEMON@{domain} (Mail Delivery System)")

            judgement = judged(replace(NOTICE, client=client, header=header))

            assert judgement.reason is ReturnReason.OWN_BOUNCE
            assert judgement.planned.envelope_sender is None
            assert isinstance(judgement.planned.header[0], ChangeField)


@pytest.mark.parametrize("changes", NO_BOUNCES_OF_OURS.values(), ids=NO_BOUNCES_OF_OURS)
def test_what_is_no_bounce_of_ours_is_judged_like_any(changes: dict[str, object]) -> None:
    message = replace(NOTICE, **changes)  # type: ignore[arg-type]

    assert judged(message).reason not in {ReturnReason.OWN_BOUNCE, ReturnReason.BOUNCE_REFUSED}


def test_a_client_without_an_address_proves_nothing_by_spf() -> None:
    assert judged(answer(client=None)).reason is ReturnReason.DMARC_FAILS


HELOS = {
    "an address literal": "[203.0.113.25]",
    "nothing": "",
    "a name of one label": "localhost",
    "octets": "\x00\xff",
    "a name with a hole": "mx..customer.example",
}


@pytest.mark.parametrize("helo", HELOS.values(), ids=HELOS)
def test_a_helo_that_is_no_domain_passes_for_no_null_sender(helo: str) -> None:
    zone = f'{ZONE}localhost. TXT "v=spf1 ip4:{MX} -all"\n'

    assert judged(answer(helo=helo), zone).reason is ReturnReason.SPF_ALIGNED
    assert judged(answer(helo=helo, envelope_sender=""), zone).reason is ReturnReason.DMARC_FAILS


def test_a_mark_counts_for_its_author_in_its_domain_and_for_no_address() -> None:
    mark = address(kind=Kind.MARK).partition("@")[0]
    others = [address(), address().partition("@")[0], f"{mark}x", "", "\xe9", "=" * 900]
    harriet = address(cast.HARRIET, Kind.MARK).partition("@")[0]

    def reason(*marks: str) -> ReturnReason:
        fields = tuple(HeaderField(MARK_FIELD, each.encode()) for each in marks)
        return judged(answer(header=(*answer().header, *fields))).reason

    assert reason(mark) is reason(f" {mark.upper()} ") is ReturnReason.LOOP
    assert reason(*others, harriet) is ReturnReason.SPF_ALIGNED
    assert reason(*["x"] * MAX_MARKS) is ReturnReason.SPF_ALIGNED
    assert reason(*["x"] * (MAX_MARKS + 1)) is ReturnReason.LOOP


def test_what_goes_on_is_refused_at_its_second_sight() -> None:
    first = judged(answer())

    header = apply_edits(answer().header, first.planned.header)
    again = judged(answer(header=header, envelope_sender=first.planned.envelope_sender))

    assert first.reply is None
    assert again.reason is ReturnReason.LOOP


froms = st.sampled_from(
    [
        "Julia <julia@customer.example>",
        "julia@mail.customer.example",
        f"Helpdesk <{cast.NOTIFICATIONS}>",
        f"Marky <{address()}>",
        "x@evil.example",
        "MAILER-DAEMON@smtp2.easyredmine.com",
        "MAILER-DAEMON@mx.customer.example",
        "julia@customer.example, x@evil.example",
        f"x@evil.example, {cast.NOTIFICATIONS}",
        "MAILER-DAEMON",
        "",
    ]
)
recipients = st.sampled_from(
    [
        address(),
        address(cast.HARRIET),
        address(kind=Kind.BOUNCE),
        f"x{address()}",
        cast.NOTIFICATIONS,
        "somebody@elsewhere.example",
    ]
)
extra_fields = st.sampled_from(
    [
        ("Reply-To", "other@customer.example"),
        ("Sender", "x@evil.example"),
        ("Alignd", "action=forward; reason=return-dkim-aligned"),
        (MARK_FIELD, address(cast.HARRIET, Kind.MARK).partition("@")[0]),
        (MARK_FIELD, "x"),
        ("DKIM-Signature", "x"),
    ]
)


@cache
def signature(domain: str, author: str) -> HeaderField:
    draft = Draft(names=("from",), header=(("From", b" " + author.encode()),), body=BODY)
    value = draft.with_tags(d=domain, h="from").signed(SIGNER)
    return HeaderField("DKIM-Signature", value.removeprefix(b" "))


@dataclass(frozen=True)
class Attempt:
    """A message of anybody, and the world that it meets."""

    sender: str
    author: str
    to: list[str]
    extra: list[tuple[str, str]]
    signed_by: str | None
    client: str | None
    spf: str | None
    policy: str | None

    def message(self) -> Message:
        signatures = [signature(self.signed_by, self.author)] if self.signed_by else []
        extra = [HeaderField(name, value.encode()) for name, value in self.extra]
        return Message(
            self.sender,
            tuple(self.to),
            (*signatures, *from_(self.author), *extra),
            ip_address(self.client) if self.client else None,
            helo=cast.RECEIVER,
            body=BODY,
        )

    def zone(self) -> str:
        sender_domain = self.sender.rpartition("@")[2] or cast.RECEIVER
        zone = record(sender_domain, self.spf) + record(f"_dmarc.{AUTHOR_DOMAIN}", self.policy)
        return zone + (
            record(f"s1._domainkey.{self.signed_by}", KEYS[0]) if self.signed_by else ""
        )


attempts = st.builds(
    Attempt,
    st.sampled_from([*SENDERS, cast.NOTIFICATIONS, address(), "victim@gmail.com", "a b@x"]),
    froms,
    st.lists(recipients, min_size=1, max_size=3),
    st.lists(extra_fields, max_size=3),
    st.sampled_from([None, AUTHOR_DOMAIN, "evil.example", cast.NOTIFICATIONS_DOMAIN]),
    st.sampled_from([MX, STRANGER, "127.0.0.1", "::1", None]),
    st.sampled_from([*SPF, None]),
    st.sampled_from([*POLICIES, None]),
)


@settings(max_examples=300)
@given(attempts)
def test_nothing_of_a_stranger_is_believed_but_what_is_proven(attempt: Attempt) -> None:
    message, author, signed_by = attempt.message(), attempt.author, attempt.signed_by

    judgement = judged(message, attempt.zone())

    reason, edits = judgement.reason, judgement.planned
    assert (judgement.reply is not None) is (reason.action in {Action.REFUSE, Action.DEFER})
    if reason.action not in {Action.FORWARD, Action.REWRITE}:
        assert edits == NO_EDITS
    if judgement.reply is None and f"@{cast.NOTIFICATIONS_DOMAIN}" in author:
        assert signed_by == cast.NOTIFICATIONS_DOMAIN
    left = apply_edits(message.header, edits.header)
    (new_from,) = (each.value.decode() for each in left if each.name == "From")
    if reason.action is Action.FORWARD and AUTHOR_DOMAIN in author:
        assert signed_by == AUTHOR_DOMAIN or attempt.policy in POLICIES[:2]
    if reason.action is Action.REWRITE:
        assert new_from.endswith(f"<{cast.NOTIFICATIONS}>")
    if reason.action in {Action.FORWARD, Action.REWRITE}:
        assert (edits.envelope_sender is None) is (attempt.sender == "")
    if edits.envelope_sender not in {None, cast.BOUNCES}:
        made = DIRECTORY.find(edits.envelope_sender or "", NOW)
        assert isinstance(made, Found)
        assert (made.address.kind, made.address.author.address) == (Kind.BOUNCE, attempt.sender)
        assert (attempt.spf, attempt.client) == (SPF[0], MX)
        assert cast.NOTIFICATIONS_DOMAIN not in attempt.sender
