"""A result that a client writes never counts, whatever a real OpenDKIM in front leaves in.

OpenDKIM runs in front, with the authserv-id that alignd trusts, and removes what it can parse.
`ALIGND_FORGERIES=5000` draws as many, instead of some dozens.
"""

import json
import os
import random
import time
from collections.abc import Mapping

import pytest

from alignd.mail.message import Message, split_message
from alignd.mailauth.authentication_results import read_upstream
from alignd.mailauth.dkim_key import DkimResult
from alignd.resolver.zone import Zone
from tests.lab.cast import RECEIVER as VERIFIER
from tests.lab.processes import missing_programs
from tests.support.program import run_program
from tests.support.signing import (
    BODY,
    DOMAIN,
    HEADER,
    Draft,
    Header,
    new_key,
    public_key,
    txt,
    written,
)
from tests.verifiers.signatures import Opinion, Question

DRAWN = int(os.environ.get("ALIGND_FORGERIES", "80"))
LIMIT = 120 + DRAWN
VICTIM = "mycompany.com"
PASS = f"dkim=pass header.d={VICTIM}"

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own needs root"),
    pytest.mark.skipif(bool(missing_programs(("ip", "opendkim"))), reason="no OpenDKIM"),
]

KEY = new_key()
ZONE = "".join(
    txt(f"s1._domainkey.{domain}.", f"v=DKIM1; p={public_key(KEY)}") for domain in (DOMAIN, VICTIM)
)
DNS = Zone.parse(ZONE)
FROM_VICTIM: Header = tuple(
    (name, f" Ann <ann@{VICTIM}>".encode() if name == "From" else value) for name, value in HEADER
)

# As verifiers write it, so that it would count if OpenDKIM left it in.
GENUINE = [
    f"{VERIFIER};\r\n\t{PASS} header.i=@{VICTIM} header.a=rsa-sha256 header.s=s1 header.b=AbCd/x;"
    "\r\n\tdkim-atps=neutral",
    f"{VERIFIER}; spf=pass (x: domain of a@b.c designates 1.2.3.4) smtp.mailfrom=a@b.c; {PASS}",
    f"{VERIFIER}; iprev=pass (x) policy.iprev=2001:db8::1; {PASS} header.s=s1; dmarc=none",
    f'{VERIFIER}; dkim=pass reason="1024-bit key; x" header.d={VICTIM}',
    f'{VERIFIER} 1; dkim=fail reason="a b" header.d=y.example; {PASS}',
    f'{VERIFIER}; spf=none smtp.mailfrom="a b" smtp.helo=x; {PASS} (c) header.s=s1 (d)',
    f"{VERIFIER}; spf=pass smtp.mailfrom=a=b.c=d; {PASS}",
]
# What OpenDKIM's parser takes otherwise than others do.
FORGED = [
    f"{VERIFIER}; dkim/1=pass header.d={VICTIM}",
    f"{VERIFIER}; dkim=pass foo.bar=x header.d={VICTIM}",
    f"{VERIFIER}; {'spf=pass smtp.mailfrom=a@b.c; ' * 20}{PASS}",
    f"{VERIFIER}; spf=none smtp.mailfrom=; {PASS}",
    f"{VERIFIER}; spf=none smtp.mailfrom=a.; {PASS}",
    f"{VERIFIER}; spf=none smtp.mailfrom=.a; {PASS}",
    f"{VERIFIER}; spf=none smtp.mailfrom=a..b; {PASS}",
    f"{VERIFIER}; none; {PASS}",
    f"{VERIFIER}; dkim=pass Header.d={VICTIM}",
    f"{VERIFIER}; dkim=pass header .d={VICTIM} x",
    f"{VERIFIER}; x=pass (a\\) b) smtp.x=y; {PASS}",
    f'{VERIFIER}; x=pass reason="(x" smtp.x=y; {PASS}',
    f"{VERIFIER} (x) 2; {PASS}",
    f"{VERIFIER}; {PASS} {'header.x=y ' * 40}",
    f"{VERIFIER}; {'a.' * 300}a=pass; {PASS}",
    f'"{VERIFIER}"; {PASS}',
    f"{VERIFIER}.; {PASS}",
]
PIECES = [*' \t;=.()"\\/,:@-_1ax\x0b\x0c\x80', "\r\n ", "(x)", '"x"', "x=y", "; ", "smtp.x=", PASS]

# What has OpenDKIM give up on a message, and leave in whatever is in it.
SKELETON = f"v=1; a=rsa-sha256; d={VICTIM}; s=s1; h=from; bh=AAAA; b=AAAA"
GIVES_UP = {
    "no-tag-list": "hello",
    "time-of-letters": f"{SKELETON}; t=soon",
    "expiry-of-nothing": f"{SKELETON}; x=",
    "8-bit": f"{SKELETON}; y=\xe9",
}
ODD_FROM = {
    "open-comment": f" Ann (x <ann@{VICTIM}>",
    "open-string": f' "Ann <ann@{VICTIM}>',
    "backslash": f" Ann \\( <ann@{VICTIM}>",
}


def mutated(source: random.Random) -> str:
    text = source.choice(GENUINE)
    for _ in range(source.choice((1, 1, 1, 2, 2, 3))):
        at, count = source.randrange(len(text) + 1), source.choice((0, 0, 0, 1, 1, 2, 5))
        piece = source.choice(PIECES) if count < 2 else ""
        text = text[:at] + piece + text[at + count :]
    return text


def with_results(*results: str, header: Header = FROM_VICTIM) -> bytes:
    fields = tuple(("Authentication-Results", f" {each}".encode("latin-1")) for each in results)
    return written((*fields, *header), BODY)


def injection() -> bytes:
    """Signed with a key of the attacker's own domain, and the result in its i=."""
    hidden = f"a; {PASS} header.i=@{DOMAIN}"
    encoded = "".join(f"={ord(each):02X}" if each in "; =@" else each for each in hidden)
    return Draft(header=FROM_VICTIM).with_tags(i=f"{encoded}@{DOMAIN}").message(KEY)


def everything() -> dict[str, bytes]:
    source = random.Random(4)
    found = {f"genuine-{at}": with_results(each) for at, each in enumerate(GENUINE)}
    found |= {f"forged-{at}": with_results(each) for at, each in enumerate(FORGED)}
    for name, value in GIVES_UP.items():
        field = ("DKIM-Signature", f" {value}".encode("latin-1"))
        found[f"gives-up-{name}"] = with_results(GENUINE[0], header=(field, *FROM_VICTIM))
        beside = ("DKIM-Signature", f" {SKELETON}".encode())
        found[f"gives-up-beside-{name}"] = with_results(
            GENUINE[0], header=(beside, field, *FROM_VICTIM)
        )
    for name, value in ODD_FROM.items():
        header = tuple((n, value.encode() if n == "From" else v) for n, v in HEADER)
        found[f"from-{name}"] = with_results(GENUINE[0], header=header)
    found["injection"] = injection()
    found |= {
        f"drawn-{at}": with_results(*(mutated(source) for _ in range(source.choice((1, 1, 2)))))
        for at in range(DRAWN)
    }
    return found


MESSAGES = everything()


@pytest.fixture(scope="module")
def behind_opendkim() -> Mapping[str, Message]:
    signed = Question("signed", Draft().message(KEY), is_for_rspamd=False)
    questions = [Question(name, text, is_for_rspamd=False) for name, text in MESSAGES.items()]
    lines = [json.dumps(ZONE), *(each.to_json() for each in (signed, *questions))]
    said = run_program("tests.verifiers.signatures", lines=lines, timeout=LIMIT)
    opinions = map(Opinion.from_json, said)
    return {each.name: parsed(each.message) for each in opinions}


def parsed(message: bytes) -> Message:
    return Message("", (), split_message(message)[0])


def passes(message: Message) -> set[str]:
    """The domains of which alignd believes that a signature passes."""
    checked = read_upstream(message, (VERIFIER,), DNS, time.time())
    return {str(each.domain) for each in checked if each.result is DkimResult.PASS}


def says_pass(message: Message) -> bool:
    fields = message.fields("Authentication-Results")
    return any(b"=pass" in each.value and VICTIM.encode() in each.value for each in fields)


@pytest.mark.parametrize("name", MESSAGES)
def test_what_a_client_writes_does_not_count(
    name: str, behind_opendkim: Mapping[str, Message]
) -> None:
    assert VICTIM not in passes(behind_opendkim[name])


@pytest.mark.parametrize("name", [name for name in MESSAGES if name.startswith("genuine")])
def test_the_form_that_verifiers_write_would_count(name: str) -> None:
    assert passes(parsed(MESSAGES[name])) == {VICTIM}


@pytest.mark.parametrize(
    "name",
    [name for name in MESSAGES if name.startswith(("gives-up", "from", "injection"))],
)
def test_opendkim_leaves_it_in(name: str, behind_opendkim: Mapping[str, Message]) -> None:
    assert says_pass(behind_opendkim[name])


def test_what_opendkim_writes_counts(behind_opendkim: Mapping[str, Message]) -> None:
    assert passes(behind_opendkim["signed"]) == {DOMAIN}


def test_a_field_below_that_of_the_verifier_does_not_count() -> None:
    # A verifier that removes nothing.
    message = with_results(f"{VERIFIER}; dkim=none", GENUINE[0])

    assert passes(parsed(message)) == set()


def test_a_second_field_of_the_verifier_about_something_else_is_no_hindrance() -> None:
    message = with_results(f"{VERIFIER}; dmarc=pass header.from={VICTIM}", GENUINE[0])

    assert passes(parsed(message)) == {VICTIM}
