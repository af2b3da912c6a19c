"""Judgements from memory: always those that would be made anew."""

import gc
import math
import os
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import cache
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.config.domain_lists import SuffixList
from alignd.config.file import parse_configuration
from alignd.config.nameservers import nameservers_of
from alignd.config.settings import Configuration, DnsOptions
from alignd.config.signer import load_signer
from alignd.judgement.author import read_author
from alignd.judgement.decision import Circumstances
from alignd.judgement.evidence import wanted_by
from alignd.judgement.reasons import Reason
from alignd.judgement.review import Judgement, Reviewer, make_reviewer
from alignd.mail.domain import Domain
from alignd.mail.message import HeaderField, Message, split_message
from alignd.mailauth.dmarc import record_name
from alignd.mailauth.dns import Answer, LookupFailed, RecordType
from alignd.mailauth.rfc9989 import walk_names
from alignd.mta import judgement_cache
from alignd.mta.judgement_cache import JudgementCache
from alignd.mta.suspects import Suspects
from alignd.mta.transaction import Transaction, transaction_of
from alignd.mta.verdict import DatedLookup
from alignd.resolver.resolver import Resolver
from alignd.resolver.zone import Zone
from alignd.return_path.address import Kind
from alignd.telemetry.log import MessageLog
from alignd.telemetry.metrics import Metrics
from tests.lab.nameserver import Nameserver
from tests.lab.return_addresses import directory_of, return_address
from tests.lab.settings import configuration, world
from tests.support.case import Case
from tests.support.clock import Clock
from tests.support.selection import CASES
from tests.support.signing import new_key, public_key, txt

SUFFIXES = SuffixList()
LENIENT = '[rules]\nrewrite_on = "enforced"\nfreemail = false\n'


@cache
def zone_of(text: str) -> Zone:
    return Zone.parse(world(text))


@cache
def configured(config: str = "") -> Configuration:
    return parse_configuration(configuration(config), "test")


class Broken:
    """A public suffix list with a bug."""

    def registered_domain(self, domain: Domain) -> Domain:
        raise RuntimeError(f"a bug, met by {domain}")


class Dated:
    """A zone whose answers hold until *good_until*, and that notes its questions."""

    def __init__(self, zone: str, good_until: float = math.inf) -> None:
        self.good_until = good_until
        self.questions: list[tuple[str, RecordType]] = []
        self._zone = zone_of(zone)

    def look_up(self, name: str, record_type: RecordType, **_: bool) -> Answer | LookupFailed:
        self.questions.append((name, record_type))
        return self._zone.look_up(name, record_type)


def reviewer_of(config: str = "", now: Callable[[], float] = time.time) -> Reviewer:
    parsed = configured(config)
    signer, directory = load_signer(parsed.dkim), directory_of(parsed)
    return make_reviewer(parsed, signer, now, SUFFIXES, directory=directory)


class Memory:
    """The judgements of a reviewer, cached as in a worker."""

    def __init__(self, reviewer: Reviewer, clock: Callable[[], float] = time.monotonic) -> None:
        with Path(os.devnull).open("w") as nowhere:
            log = MessageLog(nowhere)
        metrics, notes = Metrics(1).of_worker(0), Suspects(1).of_worker(0)
        self.log = log
        self.cache = JudgementCache(reviewer, log, metrics, notes, clock)
        self._wanted = wanted_by(reviewer.configuration)

    def judge(self, message: Message, lookup: DatedLookup) -> Judgement:
        cached = self.cache.judge(self.transaction_of(message), lambda: lookup)

        assert f"reason={cached.judgement.reason.value}" in cached.log_text
        return cached.judgement

    def judges_as(self, reviewer: Reviewer, message: Message, zone: str) -> bool:
        """Whether it says of *message* what *reviewer* does, to the MTA and to the log."""
        anew = reviewer.judge(seen_whole(message), zone_of(zone))
        cached = self.cache.judge(self.transaction_of(message), lambda: Dated(zone))
        return cached.judgement == without_predictions(anew) and (
            cached.log_text == self.log.rendered(**anew.summary)
        )

    def transaction_of(self, message: Message) -> Transaction:
        return transaction_of(message, self._wanted)


def without_predictions(judgement: Judgement) -> Judgement:
    return replace(
        judgement, circumstances=replace(judgement.circumstances, predictions=None, rewrite=None)
    )


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


def seen_whole(message: Message) -> Message:
    """The *message* with what is to be known of its lines, found out in another way."""
    text = b"".join(field.line for field in message.header) + b"\r\n" + (message.body or b"")
    lines = text.split(b"\r\n")
    return replace(
        message,
        has_long_line=any(len(line) > 998 for line in lines),
        has_broken_line=any(
            len(line) == 998 and after[:1] == b" " for line, after in pairwise(lines)
        ),
    )


def test_every_case_is_judged_from_memory_as_anew() -> None:
    # All the cases of one configuration and zone share a memory, and each comes twice.
    shared: dict[tuple[str, str], Memory] = {}
    for case in [*CASES, *CASES]:
        reviewer = reviewer_of(case.config)
        memory = shared.setdefault((case.config, case.zone), Memory(reviewer))

        assert memory.judges_as(reviewer, message_of(case), case.zone), case.path


def test_a_known_author_costs_no_question() -> None:
    memory = Memory(reviewer_of())
    first, second = Dated(""), Dated("")

    anew = memory.judge(message_from("marky@mycompany.com"), first)

    assert memory.judge(message_from("marky@mycompany.com"), second) is anew
    assert first.questions
    assert not second.questions


def test_what_is_asked_ahead_is_what_a_judgement_asks() -> None:
    needless = []
    for case in CASES:
        reviewer, message = reviewer_of(case.config), message_of(case)
        lookup = Dated(case.zone)
        author = reviewer.judge(message, lookup).circumstances.author.domain
        ahead = reviewer.first_questions(message, read_author(message))

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


def test_an_author_that_was_read_is_not_read_again() -> None:
    wanted = wanted_by(configured())
    transaction = transaction_of(message_from("marky@mycompany.com"), wanted)
    read = transaction.author = read_author(transaction.judged_message())

    transaction.add_field("Reply-To", b" marky@mycompany.com")
    assert transaction.author is read

    transaction.add_field("From", b" julia@customer.example")
    assert transaction.author is None


@pytest.mark.parametrize(
    "more",
    [
        pytest.param([HeaderField("Reply-To", b"")] * 100, id="many-fields"),
        pytest.param([HeaderField("Reply-To", b"x" * 10_000)], id="a-long-field"),
    ],
)
def test_what_would_fill_the_memory_is_not_kept(more: list[HeaderField]) -> None:
    memory, ordinary = Memory(reviewer_of()), message_from("marky@mycompany.com")
    message = replace(ordinary, header=(*ordinary.header, *more))

    for _ in range(2):
        lookup = Dated("")
        memory.judge(message, lookup)

        assert lookup.questions


def hostile_message(kind: str, number: int) -> Message:
    """A message of an author of its own, as large as one that is kept may be."""
    author, ordinary = f"a{number}@d{number}.example", message_from(f"a{number}@d{number}.example")
    match kind:
        case "names":
            value = f'"{"n" * 300}" <{author}>'.encode()
            return replace(ordinary, header=(HeaderField("From", value),))
        case "fields":
            more = [HeaderField(name, b"x@y") for name in ("Sender", "Reply-To") * 12]
            return replace(ordinary, header=(*ordinary.header, *more))
        case "recipients":
            hosts = (f"j@{each}.{'h' * 50}.example" for each in range(50))
            header = (HeaderField("From", f"Jürgen <{author}>".encode()),)
            return replace(ordinary, header=header, recipients=tuple(hosts))
        case _:
            return ordinary


@pytest.mark.parametrize("kind", ["ordinary", "names", "fields", "recipients"])
def test_judgements_take_no_more_memory_than_their_bound(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = 96 * 1024  # and not what a worker has: while it is traced, Python is slow
    monkeypatch.setattr(judgement_cache, "CACHE_OCTETS", bound)
    memory = Memory(reviewer_of())
    lookup = Dated('*.example. TXT "v=spf1 -all"\n')
    for number in range(40):  # what else is kept by the process, and once
        memory.judge(hostile_message(kind, number), lookup)
    gc.freeze()  # so that to collect is quick
    tracemalloc.start()
    held = []
    for number in range(40, 140):
        memory.judge(hostile_message(kind, number), lookup)
        lookup.questions.clear()
        gc.collect()  # what a judgement leaves behind, which is not held
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    gc.unfreeze()

    assert bound / 3 < held[-1] <= max(held) < bound


def test_a_judgement_of_a_thousand_recipients_is_not_kept() -> None:
    memory = Memory(reviewer_of())
    hosts = (f"j@{each}.{'h' * 50}.example" for each in range(1000))
    header = (HeaderField("From", "Jürgen <marky@mycompany.com>".encode()),)
    message = replace(message_from("x@y"), header=header, recipients=tuple(hosts))

    for _ in range(2):
        lookup = Dated("")
        memory.judge(message, lookup)

        assert lookup.questions


@pytest.mark.parametrize(
    "good_until",
    [
        pytest.param(0.0, id="an-answer-of-last-resort"),
        pytest.param(time.monotonic(), id="an-answer-that-is-due"),
    ],
)
def test_what_does_not_hold_is_judged_anew(good_until: float) -> None:
    memory = Memory(reviewer_of())
    before = Dated('mycompany.com. TXT "v=spf1 -all"\n', good_until)
    after = Dated('mycompany.com. TXT "v=spf1 include:spf.mailing.easy.cz -all"\n', good_until)

    memory.judge(message_from("marky@mycompany.com"), before)
    judgement = memory.judge(message_from("marky@mycompany.com"), after)

    assert judgement.reason.action.value == "envelope"


def test_a_record_that_changes_is_seen_when_its_ttl_is_over(nameserver: Nameserver) -> None:
    memory = Memory(reviewer_of())
    options = {"nameservers": [nameserver.address], "min_ttl": "0s", "timeout": "20s"}
    settings = DnsOptions.model_validate(options)
    resolver = Resolver(settings, nameservers_of(settings), print)
    actions = defaultdict(list)
    for ttl in (0, 300):
        for spf in ("-all", "include:spf.mailing.easy.cz -all"):
            nameserver.serve(world(f't{ttl}.example. {ttl} TXT "v=spf1 {spf}"\n'))
            message = message_from(f"marky@t{ttl}.example")
            judgement = memory.judge(message, resolver.for_message())
            actions[ttl].append(judgement.reason.action.value)

    assert actions == {0: ["rewrite", "envelope"], 300: ["rewrite", "rewrite"]}


DAY = 86_400.0
STEPS = pytest.mark.parametrize(
    "step", [pytest.param(-DAY, id="back"), pytest.param(DAY, id="ahead")]
)


@STEPS
def test_a_wall_clock_that_is_set_keeps_no_judgement_and_ends_none(step: float) -> None:
    date, clock = Clock(20_000 * DAY), Clock(1_000.0)
    memory = Memory(reviewer_of(now=date), clock)
    before = Dated('mycompany.com. TXT "v=spf1 -all"\n', clock() + 300)
    after = Dated('mycompany.com. TXT "v=spf1 include:spf.mailing.easy.cz -all"\n')
    actions = [memory.judge(message_from("marky@mycompany.com"), before).reason.action.value]
    date.now += step
    for seconds in (299.0, 2.0):
        clock.now += seconds
        judgement = memory.judge(message_from("marky@mycompany.com"), after)
        actions.append(judgement.reason.action.value)

    assert actions == ["rewrite", "rewrite", "envelope"]


def test_a_bounce_address_is_always_of_today() -> None:
    date, clock = Clock(20_000 * DAY - 60), Clock(1_000.0)
    memory = Memory(reviewer_of('[return]\nkeys = "return.keys"\n', date), clock)
    message, days = message_from("marky@mycompany.com"), [date.now]
    for seconds in (0.0, 59.0, 2.0, DAY - 2, 1.0):
        date.now += seconds
        clock.now += seconds
        lookup = Dated("")
        judgement = memory.judge(message, lookup)
        bounces = return_address(Kind.BOUNCE, "marky@mycompany.com", now=date.now)

        assert judgement.planned.envelope_sender == bounces
        days += [date.now] if lookup.questions else []

    assert [day // DAY for day in days] == [19_999, 19_999, 20_000, 20_001]


def test_an_unjudged_message_has_a_bounce_address_of_today() -> None:
    clock = Clock(20_000 * DAY - 60)
    reviewer = reviewer_of('[return]\nkeys = "return.keys"\n', clock)
    memory, message = Memory(reviewer, clock), message_from("marky@mycompany.com")
    unjudged = memory.cache.rewrite_unjudged(memory.transaction_of(message))

    assert unjudged.good_until == 20_000 * DAY
    assert unjudged.judgement.planned.envelope_sender == return_address(
        Kind.BOUNCE, "marky@mycompany.com", now=clock.now
    )


@pytest.mark.parametrize("config", ["", 'envelope = "shared"\n'], ids=["off", "shared"])
def test_a_judgement_without_a_bounce_address_does_not_end_at_midnight(config: str) -> None:
    date, clock = Clock(20_000 * DAY - 60), Clock(1_000.0)
    options = f'[return]\nkeys = "return.keys"\n{config}' if config else ""
    memory = Memory(reviewer_of(options, date), clock)
    anew = memory.judge(message_from("marky@mycompany.com"), Dated(""))
    date.now += 120
    clock.now += 120

    assert memory.judge(message_from("marky@mycompany.com"), Dated("")) is anew


@pytest.mark.parametrize(
    ("author", "recipient"),
    [
        pytest.param("marky@mycompany.com", "boss@mycompany.com", id="as-it-is"),
        pytest.param("marky@MyCompany.com", "boss@MYCOMPANY.com.", id="in-another-case"),
        pytest.param("marky@key.example", "boss@\u212aey.example", id="with-a-kelvin-sign"),
    ],
)
def test_a_recipient_in_the_author_domain_is_not_judged_as_another(
    author: str, recipient: str
) -> None:
    memory = Memory(reviewer_of(LENIENT))

    reasons = [
        memory.judge(message_from(author, to), Dated("")).reason.value
        for to in (["julia@customer.example"], [recipient], ["julia@customer.example"])
    ]

    assert reasons == ["policy-not-covered", "recipient-domain", "policy-not-covered"]


Change = Callable[[Message, Clock], Message]


def with_field(name: str, value: bytes) -> Change:
    return lambda message, _: replace(message, header=(*message.header, HeaderField(name, value)))


def without_header(message: Message, _clock: Clock) -> Message:
    return replace(message, header=())


def sent(**changes: object) -> Change:
    return lambda message, _: replace(message, **changes)  # type: ignore[arg-type]


def at(now: float) -> Change:
    def change(message: Message, clock: Clock) -> Message:
        clock.now = max(clock.now, now)
        return message

    return change


LONG_LINES = [
    with_field("Subject", b"x" * 999),
    with_field("X-Whatever", b"x\n " + b"x" * 999),
    sent(body=b"short\r\n" * 10_000 + b"x" * 999 + b"\r\n"),
    # Of these, the lines are long no more.
    with_field("X-Whatever", b"x" * 986 + b"\n x"),
    sent(body=b"short\r\n" * 10_000 + b"x" * 998 + b"\r\n x\r\n"),
]
SIGNATURE = b"v=1; a=rsa-sha256; d=a.example; s=s1; h=from; bh=AAAA; b=AAAA"

RAW = HeaderField("From", b"Ji\xf8\xed <marky@a.example>")
CHARSETS = (b"windows-1250", b"windows-1251", b"koi8-r")


def test_a_judgement_that_raised_is_a_rewrite_for_a_while() -> None:
    clock = Clock(1_000_000.0)
    parsed = configured()
    broken = make_reviewer(parsed, load_signer(parsed.dkim), clock, Broken())
    memory, message = Memory(broken, clock), message_from("marky@mycompany.com")
    with pytest.raises(RuntimeError, match="a bug"):
        memory.judge(message, Dated(""))
    memory.cache.rewrite_unjudged(memory.transaction_of(message))

    lookup = Dated("")
    assert memory.judge(message, lookup).reason is Reason.INTERNAL_ERROR
    assert lookup.questions == []
    with pytest.raises(RuntimeError, match="met by other"):
        memory.judge(message_from("marky@other.example"), lookup)

    clock.now += judgement_cache.FAILED_SECONDS + 1
    with pytest.raises(RuntimeError, match="met by mycompany"):
        memory.judge(message, lookup)


ONE = HeaderField("X-Host", b"one")
OURS = "notifications.easysoftware.com"
# What a message may differ in from another, for each field of Circumstances.
VARIANTS: dict[str, list[Change]] = {
    "is_client_in_scope": [
        *(sent(client=each) for each in (None, ip_address("203.0.113.9"))),
        *(sent(client=None, login=each) for each in ("marky", "julia")),
    ],
    "is_header_in_scope": [without_header, with_field("X-Host", b"two")],
    "author": [
        without_header,
        *(with_field(name, b"<x@b.example>") for name in ("From", "from")),
        sent(header=(HeaderField("From", b"<x@b.example>"), HeaderField("x-host", b"one"))),
        sent(header=(RAW, HeaderField("X-Host", b"one"))),
        *(with_field("Content-Type", b"text/plain; charset=%s" % each) for each in CHARSETS),
        *(
            sent(header=(RAW, HeaderField("Content-Type", b"charset=%s" % each)))
            for each in CHARSETS
        ),
    ],
    "predictions": [
        *(sent(envelope_sender=each) for each in ("", "marky@a.example", "x@b.example")),
        with_field(
            "Authentication-Results", b"relay; dkim=pass header.d=a.example header.a=rsa-sha256"
        ),
        with_field("DKIM-Signature", b"d=a.example; a=rsa-sha256"),
        *LONG_LINES,
        *(with_field("DKIM-Signature", SIGNATURE + each) for each in (b"", b"; t=5", b"; i=x@y")),
        with_field("DKIM-Signature", SIGNATURE.replace(b"from", b"from:message-id")),
        with_field("Message-ID", b"<1@a.example>"),
        with_field("Authentication-Results", b"relay; dkim=none"),
    ],
    "is_to_author_domain": [
        sent(recipients=each)
        for each in [(), ("j@a.example",), ("j@b.example", "j@c.example"), ("j@strict.example",)]
    ]
    + [
        sent(recipients=(f"j={domain}=abcdefghij@{place}",))
        for domain in ("a.example", "A.Example", "b.example")
        for place in (OURS, OURS.upper(), "elsewhere.example", "a.example")
    ],
    "is_freemail": [
        sent(header=(HeaderField("From", b"<x@gmail.com>"), HeaderField("X-Host", b"one")))
    ],
    "rewrite": [
        sent(envelope_sender=each, header=(HeaderField("From", b"<x@b.example>"), ONE))
        for each in ("", "x@b.example", "x@notifications.easysoftware.com")
    ],
    "good_until": [at(86_340.0), at(86_460.0)],  # Thursday 23:59, Friday 00:01
}
# Beyond these, what edits depend on.
REPLIES_TO = (
    b"one",
    b"<x@b.example>",
    b"(a @ b)",
    b'"x@b.example"',
    b"one @ two",
    b"<y@b.example>",
)
REPLIES = [with_field("Reply-To", value) for value in REPLIES_TO]
CONFIG = """\
[rules]
rewrite_on = "any-record"
[helpdesk]
headers = { "X-Host" = "*" }
[dkim]
trusted_authserv_ids = ["relay"]
[return]
keys = "return.keys"
[[tenant]]
match = { "X-Host" = "two" }
rules = { rewrite_on = "unaligned" }
return = { keys = "" }
"""
ZONE = """\
a.example. TXT "v=spf1 include:spf.mailing.easy.cz -all"
b.example. TXT "v=spf1 -all"
""" + txt("s1._domainkey.a.example.", f"p={public_key(new_key())}")
ORDINARY = replace(
    message_from("marky@a.example"),
    header=(HeaderField("From", b"Marky <marky@a.example>"), HeaderField("X-Host", b"one")),
)
# By field first, or the field with the most variants would crowd out the others.
ANY = st.sampled_from([*filter(None, VARIANTS.values()), REPLIES]).flatmap(st.sampled_from)


@given(st.lists(st.lists(ANY, max_size=4), max_size=12))
def test_whatever_differs_is_not_confused(variants: list[list[Change]]) -> None:
    clock = Clock()
    reviewer = reviewer_of(CONFIG, clock)
    memory = Memory(reviewer, clock)
    for variant in variants:
        message = ORDINARY
        for change in variant:
            message = change(message, clock)

        assert memory.judges_as(reviewer, message, ZONE)


@pytest.mark.parametrize(
    "change", LONG_LINES, ids=["field", "fold", "body", "broken-field", "broken-body"]
)
@pytest.mark.parametrize("long_first", [False, True], ids=["short-first", "long-first"])
def test_a_message_with_a_long_line_is_not_judged_as_one_without(
    change: Change, long_first: bool
) -> None:
    reviewer = reviewer_of('[dkim]\ntrusted_authserv_ids = ["relay"]\n')
    memory = Memory(reviewer)
    passed = b"relay; dkim=pass header.d=b.example header.s=s header.a=rsa-sha256"
    short = replace(
        message_from("marky@b.example"),
        header=(
            HeaderField("From", b"Marky <marky@b.example>"),
            HeaderField("Authentication-Results", passed),
        ),
    )
    messages = {"dkim-aligned": short, "relay-not-authorised": change(short, Clock())}
    turns = sorted(messages.items(), reverse=long_first) * 2

    for reason, message in turns:
        assert memory.judge(message, Dated(ZONE)).reason.value == reason


def test_every_field_of_the_circumstances_has_variants() -> None:
    assert set(VARIANTS) == {field.name for field in fields(Circumstances)}


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "good_until"])
def test_the_variants_of_a_field_differ_in_it(name: str) -> None:
    reviewer, zone = reviewer_of(CONFIG), zone_of(ZONE)

    seen = {
        getattr(reviewer.judge(change(ORDINARY, Clock()), zone).circumstances, name)
        for change in [sent(), *VARIANTS[name]]
    }

    assert len(seen) > 1
