"""Advice proves itself: an owner who publishes the record passes, or was told why he cannot."""

import base64
import json
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dkim
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from alignd.cli.main import main
from alignd.cli.render.json import judgement_json
from alignd.config.domain_lists import SuffixList
from alignd.config.file import parse_configuration
from alignd.config.signer import load_signer
from alignd.judgement.reasons import Action, Reason
from alignd.judgement.review import Judgement, Reviewer, make_reviewer
from alignd.mail.domain import Domain
from alignd.mail.message import HeaderField, Message
from alignd.mailauth.dns import Answer, Lookup, RecordType
from alignd.mailauth.spf import SpfResult, evaluate_spf
from alignd.resolver.zone import Zone
from tests.lab import cast
from tests.lab.settings import configuration, world
from tests.support.customers import SHARED, Customer, Way, customers
from tests.support.spftrace import second_evaluation

CUSTOMERS = list(customers(each=9))
TOGETHER = 40
"""Customers in one zone file."""
OTHERS = ("198.51.100.5", "198.51.100.7", "203.0.113.3", "203.0.113.200", "2001:db8:ffff::5")
"""Where other mail of customers comes from; from the fourth, only that of nobody."""
DELEGATE = '[dkim]\ndelegate = { selector = "easy1", target = "easy1.dkim.easy.cz" }\n'
SUFFIXES = SuffixList()  # once: it takes 50 ms to read
VOUCHED = {Reason.SPF_ALIGNED, Reason.DKIM_ALIGNED, Reason.ENVELOPE_ALIGNED}


@cache
def signing_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_key() -> str:
    public = signing_key().public_key()
    return base64.b64encode(
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).decode()


def private_key() -> bytes:
    return signing_key().private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )


def zone_text(*parts: str) -> str:
    key = f"v=DKIM1; k=rsa; p={public_key()}"
    return world(f'easy1.dkim.easy.cz. TXT "{key[:250]}" "{key[250:]}"\n{SHARED}{"".join(parts)}')


@cache
def zone_of(customer: Customer) -> Zone:
    return Zone.parse(zone_text(customer.zone))


@cache
def reviewer(changes: str = "") -> Reviewer:
    settings = parse_configuration(configuration(changes), "test")
    return make_reviewer(settings, load_signer(settings.dkim), lambda: 0.0, SUFFIXES)


def judge(author_domain: str, sender: str, lookup: Lookup, changes: str = "") -> Judgement:
    """What the milter makes of a message from a helpdesk."""
    message = Message(
        sender,
        ("julia@recipient.example",),
        (HeaderField("From", f"Marky <agent@{author_domain}>".encode()),),
        client=ip_address("127.0.0.1"),
    )
    return reviewer(changes).judge(message, lookup)


@pytest.fixture(scope="module")
def advised(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `alignd domain --json` prints for every customer, by domain."""
    directory = tmp_path_factory.mktemp("advice")
    (directory / "alignd.conf").write_text(configuration(DELEGATE))
    files = ("--file", "names", "--zone", "zone", "--config", "alignd.conf")
    advices: dict[str, Any] = {}
    # dnspython reads a file in a time that grows with the square of its names.
    for start in range(0, len(CUSTOMERS), TOGETHER):
        together = CUSTOMERS[start : start + TOGETHER]
        (directory / "zone").write_text(zone_text(*(customer.zone for customer in together)))
        (directory / "names").write_text("\n".join(customer.domain for customer in together))
        advices |= run(directory, *files)
    return advices


def run(directory: Path, *arguments: str) -> dict[str, Any]:
    paths = (str(directory / a) if (directory / a).is_file() else a for a in arguments)
    outcome = CliRunner().invoke(main, ["domain", "--json", *paths])
    assert outcome.stderr == ""
    advices = map(json.loads, outcome.stdout.splitlines())
    return {advice["domain"]: advice for advice in advices}


def each_customer() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("customer", CUSTOMERS, ids=lambda customer: customer.domain)


def published(customer: Customer, alternative: list[dict[str, Any]]) -> Customer:
    for record in alternative:
        customer = customer.publishing(
            record["name"], record["type"], record["value"], record["replaces"]
        )
    return customer


def is_spf(alternative: list[dict[str, Any]]) -> bool:
    value: str = alternative[0]["value"]
    return value.startswith("v=spf1")


def test_there_are_hundreds_of_customers() -> None:
    assert len({customer.domain for customer in CUSTOMERS}) == len(CUSTOMERS) >= 300


@each_customer()
def test_who_publishes_what_is_advised_passes(customer: Customer, advised: dict[str, Any]) -> None:
    for alternative in advised[customer.domain]["publish"]:
        zone = zone_of(published(customer, alternative))
        signs = f'signs = [{{ domain = "{customer.domain}", selector = "easy1" }}]'
        changes = "" if is_spf(alternative) else DELEGATE + signs

        for sender in (f"agent@{customer.domain}", cast.BOUNCES):
            judged = judge(customer.domain, sender, zone, changes)
            assert judged.reason.action in {Action.PASS, Action.ENVELOPE}
            assert judged.reason in VOUCHED
            if is_spf(alternative):
                moved = judged.planned.envelope_sender
                assert (moved or sender) == f"agent@{customer.domain}"
        assert all(record["checked"] for record in alternative)


@each_customer()
def test_so_says_a_second_evaluator(customer: Customer, advised: dict[str, Any]) -> None:
    for alternative in advised[customer.domain]["publish"]:
        zone = zone_of(published(customer, alternative))
        if not is_spf(alternative):
            assert verifies(customer.domain, alternative[0]["name"], zone)
            continue
        for address in cast.RELAY_ADDRESSES:
            theirs = second_evaluation(address, f"agent@{customer.domain}", cast.RELAY, zone)
            assert theirs.verdict == "pass"
            assert theirs.dns_terms_used <= 10
            assert theirs.void_lookups_used <= min(2, alternative[0]["void_lookups"])


def verifies(domain: str, name: str, lookup: Lookup) -> bool:
    """Whether a message that is signed with the delegated key verifies against *lookup*."""
    message = f"From: agent@{domain}\r\n\r\nHello\r\n".encode()
    selector = name.partition("._domainkey.")[0].encode()
    signature = dkim.sign(
        message, selector, domain.encode(), private_key(), include_headers=[b"From"]
    )

    def text_of(asked: bytes, timeout: int = 5) -> bytes:
        del timeout
        answer = lookup.look_up(asked.decode().removesuffix("."), RecordType.TXT)
        assert isinstance(answer, Answer)
        (record,) = answer.records
        assert isinstance(record, bytes)
        return record

    return dkim.verify(signature + message, dnsfunc=text_of) is True


@each_customer()
def test_nobody_elses_mail_suffers(customer: Customer, advised: dict[str, Any]) -> None:
    before = zone_of(customer)
    sender, helo = f"ann@{customer.domain}", Domain("elsewhere.example")
    for alternative in advised[customer.domain]["publish"]:
        after = zone_of(published(customer, alternative))
        for address in map(ip_address, OTHERS):
            was = evaluate_spf(address, sender, helo, before).result
            is_ = evaluate_spf(address, sender, helo, after).result
            assert is_ is SpfResult.PASS or was is not SpfResult.PASS
            if len(customer.spf) == 1 and was not in {SpfResult.PERMERROR, SpfResult.NONE}:
                assert is_ is was


@each_customer()
def test_what_is_counted_is_what_the_longest_way_costs(
    customer: Customer, advised: dict[str, Any]
) -> None:
    for alternative in advised[customer.domain]["publish"]:
        zone = zone_of(published(customer, alternative))
        counted, value = alternative[0]["lookups"], alternative[0]["value"]
        theirs = second_evaluation("203.0.113.200", f"ann@{customer.domain}", "x.example", zone)
        assert not is_spf(alternative) or theirs.dns_terms_used <= counted <= 10
        # A redirect= that an `all` switches off costs nothing there, elsewhere it does.
        unused = "redirect=" in value and "all" in value.lower()
        if theirs.verdict not in {"permerror", "none"} and is_spf(alternative):
            assert theirs.dns_terms_used == counted - unused


@each_customer()
def test_what_is_expected_is_advised(customer: Customer, advised: dict[str, Any]) -> None:
    advice = advised[customer.domain]
    ways = [is_spf(alternative) for alternative in advice["publish"]]

    match customer.way:
        case Way.SPF:
            assert ways[0]
            assert not ways[-1]
        case Way.SPF_ALONE:
            assert ways == [True]
        case Way.DKIM:
            assert ways == [False]
        case Way.NONE | Way.PASSES:
            assert ways == []
    assert (advice["cannot"] is not None) is (customer.way is Way.NONE)
    assert advice["cannot"] != ""


@each_customer()
def test_the_rest_is_what_explain_says(customer: Customer, advised: dict[str, Any]) -> None:
    zone = zone_of(customer)
    sender = f"agent@{customer.domain}"
    judged = judge(customer.domain, sender, zone)

    expected, advice = judgement_json(Message(sender, (), ()), judged), advised[customer.domain]

    assert list(advice) == [
        *("domain", "action", "reason", "dmarc", "spf", "dkim", "publish", "cannot"),
        "reports",
    ]
    for name in ("action", "reason", "dmarc", "spf", "dkim"):
        assert advice[name] == expected[name]
