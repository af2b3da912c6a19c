"""A signature that alignd counts verifies everywhere: at OpenDKIM, at rspamd and in dkimpy.

Each message goes to them as it would arrive: the relay has added a Received field, and its signer
a signature. The other way round, what all of them take is counted, or it is listed here why not.

`ALIGND_SIGNATURES=5000` draws as many, instead of some dozens.
"""

import json
import os
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import dkim
import pytest

from alignd.mailauth.dns import Answer, RecordType
from tests.lab.processes import missing_programs
from tests.support.program import run_program
from tests.support.signatures import (
    COUNTED,
    DNS,
    KEY,
    NOT_COUNTED,
    ODD,
    ON_THE_WAY,
    PLAIN,
    SOUND,
    ZONE,
    counts,
    messages,
)
from tests.support.signing import BODY, DOMAIN, Draft
from tests.verifiers.signatures import Opinion, Question

PROGRAMS = ("ip", "opendkim", "rspamd")
DRAWN = int(os.environ.get("ALIGND_SIGNATURES", "60"))
LIMIT = 300 + DRAWN

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own needs root"),
    pytest.mark.skipif(bool(missing_programs(PROGRAMS)), reason="verifiers are not installed"),
]


def drawn(number: int, random_source: random.Random) -> Draft:
    """A signature with several oddities, or none."""
    pool = [*SOUND.values(), *SOUND.values(), *ODD.values()]
    first = random_source.choice(pool)
    for other in random_source.choices(pool, k=random_source.choice((0, 1, 1, 2, 3))):
        changed = [each for each in other.tags if each not in PLAIN.tags and each[0] in "ditqxyls"]
        first = first.with_tags(**dict(changed))
        if other.between != PLAIN.between:
            first = replace(first, between=other.between)
        if other.body != BODY and first.hashed_octets is None:
            first = replace(first, body=other.body)
    return first.with_tags(n=str(number))


@dataclass(frozen=True)
class Sent:
    """A message: as alignd sees it, and as it arrives."""

    seen: bytes
    arrives: bytes

    @classmethod
    def of(cls, seen: bytes) -> "Sent":
        above = b"".join(name.encode() + b":" + value + b"\r\n" for name, value in ON_THE_WAY)
        return cls(seen, above + seen)


def everything() -> dict[str, Sent]:
    source = random.Random(20)
    found = messages()
    found |= {f"drawn-{each}": drawn(each, source).message(KEY) for each in range(DRAWN)}
    return {name: Sent.of(message) for name, message in found.items()}


SENT = everything()


def dkimpy_takes(message: bytes) -> bool:
    count = len(re.findall(rb"^DKIM-Signature:", message, re.MULTILINE))
    return any(dkimpy_takes_one(message, index) for index in range(count))


def dkimpy_takes_one(message: bytes, index: int) -> bool:
    verifier = dkim.DKIM(message)
    try:
        is_good = verifier.verify(index, dnsfunc=published)
    except (dkim.DKIMException, ValueError, IndexError):
        return False
    return bool(is_good) and bytes(verifier.domain).lower() == DOMAIN.encode()


def published(name: bytes, **_: object) -> bytes | None:
    answer = DNS.look_up(name.decode().rstrip("."), RecordType.TXT)
    return answer.texts[0] if isinstance(answer, Answer) and answer.texts else None


@pytest.fixture(scope="module")
def opinions() -> Mapping[str, Opinion]:
    questions = [Question(name, sent.arrives) for name, sent in SENT.items()]
    lines = [json.dumps(ZONE), *(question.to_json() for question in questions)]
    said = run_program("tests.verifiers.signatures", lines=lines, timeout=LIMIT)
    return {each.name: each for each in map(Opinion.from_json, said)}


def takers(name: str, opinions: Mapping[str, Opinion]) -> dict[str, bool]:
    opinion = opinions[name]
    return {
        "opendkim": DOMAIN in map(str.lower, opinion.opendkim),
        "rspamd": DOMAIN in map(str.lower, opinion.rspamd),
        "dkimpy": dkimpy_takes(SENT[name].arrives),
    }


@pytest.mark.parametrize("name", SENT)
def test_what_counts_verifies_everywhere(name: str, opinions: Mapping[str, Opinion]) -> None:
    if counts(SENT[name].seen):
        assert all(takers(name, opinions).values())


@pytest.mark.parametrize("name", COUNTED)
def test_what_all_take_counts(name: str, opinions: Mapping[str, Opinion]) -> None:
    assert all(takers(name, opinions).values())
    assert counts(SENT[name].seen)


@pytest.mark.parametrize("name", NOT_COUNTED)
def test_what_some_do_not_take_does_not_count(name: str, opinions: Mapping[str, Opinion]) -> None:
    assert not counts(SENT[name].seen)
    assert not all(takers(name, opinions).values())
