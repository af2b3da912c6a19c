"""Judgements from memory: always those that would be made anew."""

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.config import file as configfile
from alignd.config.domain_lists import FreemailDomains, SuffixList
from alignd.config.settings import Dns
from alignd.config.signer import load_signer
from alignd.judgement.review import Review, Reviewer, sign
from alignd.mail.domain import Domain
from alignd.mail.message import HeaderField, Message, split_message
from alignd.mailauth.dmarc import record_name
from alignd.mailauth.dns import Answer, LookupFailed, RecordType
from alignd.mailauth.rfc9989 import walk_names
from alignd.mta.judgement_cache import DatedLookup, RememberingReviewer
from alignd.mta.transaction import Collected, interest_of
from alignd.resolver.resolver import Resolver
from alignd.resolver.zone import Zone
from tests.lab.nameserver import Nameserver
from tests.lab.settings import configuration, world
from tests.support.case import Case
from tests.support.selection import CASES

SUFFIXES, FREEMAIL = SuffixList(), FreemailDomains()
LENIENT = '[rules]\nrewrite_on = "enforced"\nfreemail = false\n'


class Dated:
    """A zone whose answers hold until *good_until*, and that notes its questions."""

    def __init__(self, zone: str, good_until: float = math.inf) -> None:
        self.good_until = good_until
        self.questions: list[tuple[str, RecordType]] = []
        self._zone = Zone.parse(world(zone))

    def look_up(self, name: str, record_type: RecordType) -> Answer | LookupFailed:
        self.questions.append((name, record_type))
        return self._zone.look_up(name, record_type)


def reviewer_of(config: str = "") -> Reviewer:
    parsed = configfile.parse(configuration(config), "test")
    return Reviewer(parsed, SUFFIXES, load_signer(parsed.dkim), FREEMAIL, time.time)


class Memory:
    """A reviewer that remembers, in the place where a session has it."""

    def __init__(self, reviewer: Reviewer) -> None:
        self._interest = interest_of(reviewer)
        self._remembering = RememberingReviewer(
            reviewer, lambda judgement: judgement.decision.reason.value
        )

    def review(self, message: Message, lookup: DatedLookup, queue_id: str = "") -> Review:
        precedent = self._remembering.judge(self._collect(message), lambda: lookup)

        assert precedent.note == precedent.judgement.decision.reason.value
        edits = sign(precedent.planned, precedent.judgement, queue_id)
        return Review(message, precedent.judgement, edits)

    def _collect(self, message: Message) -> Collected:
        collected = Collected(
            self._interest,
            f"<{message.envelope_sender}>".encode(),
            str(message.client) if message.client else None,
            message.login,
            leading_blank=True,
            body_comes=self._interest.whole_message,
        )
        for recipient in message.recipients:
            collected.add_recipient(f"<{recipient}>".encode())
        for field in message.header:
            collected.add_field(field.name, field.blank + field.value)
        collected.add_body(message.body or b"")
        return collected


def message_from(author: str, recipients: Sequence[str] = ("julia@customer.example",)) -> Message:
    header = (HeaderField("From", f"Marky <{author}>".encode()),)
    client = ip_address("127.0.0.1")
    return Message("helpdesk@x.example", tuple(recipients), header, client)


def message_of(case: Case) -> Message:
    header, body = split_message(case.message)
    return Message(
        envelope_sender=case.envelope_sender,
        recipients=case.recipients,
        header=header,
        client=ip_address(case.client),
        login=case.login or "",
        body=body,
    )


def same(one: Review, other: Review) -> bool:
    return (one.decision, one.edits, one.judgement) == (
        other.decision,
        other.edits,
        other.judgement,
    )


def test_every_case_is_judged_from_memory_as_anew() -> None:
    # All the cases of one configuration and zone share a memory, and each comes twice.
    shared: dict[tuple[str, str], Memory] = {}
    for case in [*CASES, *CASES]:
        reviewer = reviewer_of(case.config)
        memory = shared.setdefault((case.config, case.zone), Memory(reviewer))
        message, zone = message_of(case), Zone.parse(world(case.zone))

        remembered = memory.review(message, Dated(case.zone))

        assert same(remembered, reviewer.review(message, zone)), case.path


def test_a_known_author_costs_no_question() -> None:
    reviewer = Memory(reviewer_of())
    first, second = Dated(""), Dated("")

    reviewer.review(message_from("marky@mycompany.com"), first)
    reviewed = reviewer.review(message_from("marky@mycompany.com"), second, "TWO")

    assert first.questions
    assert not second.questions
    assert reviewed.edits.header[-1].name == "Alignd"
    assert "id=TWO" in getattr(reviewed.edits.header[-1], "value", "")


def test_what_is_asked_ahead_is_what_a_judgement_asks() -> None:
    needless = []
    for case in CASES:
        reviewer, message = reviewer_of(case.config), message_of(case)
        lookup = Dated(case.zone)
        author = reviewer.judge(message, lookup).author.domain
        ahead = reviewer.first_questions(message)

        if lookup.questions and author is not None:
            # Of the tree walk nothing is left to be asked later, nor of the senders' SPF records.
            walk = {question for question in lookup.questions if is_of_walk(question[0], author)}
            assert walk <= ahead, case.path
            assert {question[0] for question in lookup.questions} & {author.name} <= {
                name for name, _type in ahead
            }, case.path
        needless += [case.path] if ahead - set(lookup.questions) else []
    # A walk may end early, a sender may not have to move, and a scope may hang on a later field.
    assert len(needless) < len(CASES) / 10


def is_of_walk(name: str, author: Domain) -> bool:
    return name in {record_name(each) for each in walk_names(author)}


@pytest.mark.parametrize(
    "more",
    [
        pytest.param([HeaderField("Reply-To", b"")] * 100, id="many-fields"),
        pytest.param([HeaderField("Reply-To", b"x" * 10_000)], id="a-long-field"),
    ],
)
def test_what_would_fill_the_memory_is_not_kept(more: list[HeaderField]) -> None:
    reviewer, ordinary = Memory(reviewer_of()), message_from("marky@mycompany.com")
    message = replace(ordinary, header=(*ordinary.header, *more))

    for _ in range(2):
        lookup = Dated("")
        reviewer.review(message, lookup)

        assert lookup.questions


@pytest.mark.parametrize(
    "good_until",
    [
        pytest.param(0.0, id="an-answer-of-last-resort"),
        pytest.param(1_000_000.0, id="an-answer-that-is-due"),
    ],
)
def test_what_does_not_hold_is_judged_anew(good_until: float) -> None:
    reviewer = Memory(reviewer_of())
    before = Dated('mycompany.com. TXT "v=spf1 -all"\n', good_until)
    after = Dated('mycompany.com. TXT "v=spf1 include:spf.mailing.easy.cz -all"\n', good_until)

    reviewer.review(message_from("marky@mycompany.com"), before)
    reviewed = reviewer.review(message_from("marky@mycompany.com"), after)

    assert reviewed.decision.action.value == "envelope"


def test_a_record_that_changes_is_seen_when_its_ttl_is_over(nameserver: Nameserver) -> None:
    reviewer = Memory(reviewer_of())
    options = {"nameservers": [nameserver.address], "min_ttl": "0s", "timeout": "20s"}
    resolver = Resolver(Dns.model_validate(options), report=print)
    actions = defaultdict(list)
    for ttl in (0, 300):
        for spf in ("-all", "include:spf.mailing.easy.cz -all"):
            nameserver.serve(world(f't{ttl}.example. {ttl} TXT "v=spf1 {spf}"\n'))
            message = message_from(f"marky@t{ttl}.example")
            reviewed = reviewer.review(message, resolver.for_message())
            actions[ttl].append(reviewed.decision.action.value)

    assert actions == {0: ["rewrite", "envelope"], 300: ["rewrite", "rewrite"]}


@pytest.mark.parametrize(
    ("author", "recipient"),
    [
        pytest.param("marky@mycompany.com", "boss@mycompany.com", id="as-it-is"),
        pytest.param("marky@MyCompany.com", "boss@MYCOMPANY.com.", id="in-another-case"),
        pytest.param("marky@straße.example", "boss@xn--strae-oqa.example", id="as-an-a-label"),
        pytest.param("marky@key.example", "boss@\u212aey.example", id="with-a-kelvin-sign"),
    ],
)
def test_a_recipient_in_the_author_domain_is_not_judged_as_another(
    author: str, recipient: str
) -> None:
    reviewer = Memory(reviewer_of(LENIENT))

    reasons = [
        reviewer.review(message_from(author, to), Dated("")).decision.reason.value
        for to in (["julia@customer.example"], [recipient], ["julia@customer.example"])
    ]

    assert reasons == ["policy-not-covered", "recipient-domain", "policy-not-covered"]


VARIANTS = st.fixed_dictionaries({}, optional={
    "envelope_sender": st.sampled_from(["", "marky@a.example", "x@b.example"]),
    "recipients": st.lists(
        st.sampled_from(["j@a.example", "j@b.example", "j@c.example"]), max_size=2
    ).map(tuple),
    "client": st.sampled_from([None, ip_address("127.0.0.1"), ip_address("203.0.113.9")]),
    "login": st.sampled_from(["", "marky", "julia"]),
    "header": st.lists(
        st.builds(
            HeaderField,
            st.sampled_from(["From", "from", "Reply-To", "X-Host", "Authentication-Results"]),
            st.sampled_from([
                b"Marky <marky@a.example>",
                b"<x@b.example>",
                b"one",
                b"two",
                b"relay; dkim=pass header.d=a.example header.a=rsa-sha256",
            ]),
        ),
        max_size=3,
    ).map(tuple),
})  # fmt: skip
CONFIG = """\
[rules]
rewrite_on = "any-record"
[helpdesk]
headers = { "X-Host" = "*" }
[dkim]
trusted_authserv_ids = ["relay"]
[[tenant]]
match = { "X-Host" = "two" }
rules = { rewrite_on = "unaligned" }
"""
ZONE = 'a.example. TXT "v=spf1 include:spf.mailing.easy.cz -all"\nb.example. TXT "v=spf1 -all"\n'
REVIEWER = reviewer_of(CONFIG)


@given(st.lists(VARIANTS, max_size=12))
def test_whatever_differs_is_not_confused(variants: list[dict[str, object]]) -> None:
    memory = Memory(REVIEWER)
    ordinary = replace(
        message_from("marky@a.example"),
        header=(HeaderField("From", b"Marky <marky@a.example>"), HeaderField("X-Host", b"one")),
    )
    for variant in variants:
        message = replace(ordinary, **variant)  # type: ignore[arg-type]
        anew = REVIEWER.review(message, Zone.parse(world(ZONE)))

        assert same(memory.review(message, Dated(ZONE)), anew)
