"""Whose message it is: what alignd reads in From, OpenDMARC, OpenDKIM and rspamd read too.

`python -m tests.readers` asks them. By hand, with thousands of values and other seeds, the same
was asked of mailauth 4.13 and of authheaders 0.16, which no Debian package has.
"""

import json
import os

import pytest

from alignd.judgement.author import read_author
from alignd.mail.message import HeaderField, Message
from tests.lab.processes import missing_programs
from tests.readers.values import AUTHOR, DECOY, DOMAINS, draw
from tests.support.program import run_program

SEED, COUNT = 1, 1200
LIMIT = 120

Reading = dict[str, str]
"""The domain that each receiver reads; empty where it reads none."""

# Read alike by all, whether it is in the grammar or not.
ALIKE = (
    *(
        f"Ann <ann@{AUTHOR}>",
        f"ann@{AUTHOR} (Ann)",
        f"Ann Lee < ann@{AUTHOR} >",
        f'"A" <a@{AUTHOR}>',
    ),
    *(f'"ann"@{AUTHOR}', f".Ann <ann@{AUTHOR}>", f"ann..b@{AUTHOR}", f"Ann <ann.@{AUTHOR}>"),
    *(f"Ann \\ Bob <ann@{AUTHOR}>", f"<{'a' * 200}@{AUTHOR}>", f"{'bounce-' * 12}@{AUTHOR}"),
    *(f"J\xf8rn <ann@{AUTHOR}>", f'"J\xf8rn" <ann@{AUTHOR}>', f"ann@{AUTHOR} (Ann (the) Lee)"),
    *(f"(Lee, Ann: [x]) <ann@{AUTHOR}>", f"<!#$%&'*+/=?^_`{{|}}~-@{AUTHOR}>", f"<.ann@{AUTHOR}>"),
)
# Read differently by one of these three at least.
DIFFERENT = (
    *(f'Ann <"a<b>"@{AUTHOR}>', f"(a (b)) Ann <ann@{AUTHOR}>", f"ann@{AUTHOR} , eve@{DECOY}"),
    *(f'(")"Lee, Ann" <ann@{AUTHOR}>', f"Ann (a (b)) <ann@{AUTHOR}>", f"ann@{AUTHOR}()(x)"),
    *(f"ann..b@{AUTHOR} ", f'"ann"@{AUTHOR} ', f'()"Ann (Support()" <ann@{AUTHOR}>'),
    *(f"Ann <ann@{AUTHOR}.>", f"Lee, Ann <ann@{AUTHOR}>", "Ann <ann@bücher.example>"),
)


def obstacle() -> str | None:
    """Say why the receivers cannot run here, or None."""
    if os.geteuid() != 0:
        return "the receivers need root for a network of their own"
    missing = missing_programs(("ip", "opendkim", "opendkim-genkey", "opendmarc", "rspamd"))
    return f"not installed: {', '.join(missing)}" if missing else None


pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
]


def field(text: str) -> bytes:
    octets = text.encode() if "bücher" in text else text.encode("latin-1")
    return b" " + octets


@pytest.fixture(scope="module")
def readings() -> dict[bytes, Reading]:
    """What the receivers read in each value."""
    values = [*map(field, (*ALIKE, *DIFFERENT)), *draw(SEED, COUNT)]
    lines = run_program(
        "tests.readers",
        lines=(json.dumps(value.decode("latin-1")) for value in values),
        timeout=LIMIT,
    )
    return dict(zip(values, map(json.loads, lines), strict=True))


def domain_of(value: bytes) -> str:
    """The author domain that alignd reads; empty where it takes From for unreadable."""
    header = (HeaderField("From", value.removeprefix(b" ").replace(b"\r\n", b"\n")),)
    author = read_author(Message("", (), header))
    return author.domain.name if author.domain else ""


def others(reading: Reading, domain: str) -> Reading:
    """What is read otherwise than as *domain*."""
    return {
        name: read
        for name, read in reading.items()
        # OpenDKIM signs for the drawn domains alone, and not for one that was mutated.
        if read != domain
        and not (name == "opendkim" and not read and domain not in DOMAINS)
        # rspamd names the organization of a domain without a record.
        and not (name == "rspamd" and read and domain.endswith(f".{read}"))
    }


def test_what_is_read_is_read_by_all(readings: dict[bytes, Reading]) -> None:
    read = {value: domain for value in readings if (domain := domain_of(value))}

    exceptions = {
        value: (domain, different)
        for value, domain in read.items()
        if (different := others(readings[value], domain))
    }

    assert len(read) > COUNT / 10
    assert not exceptions


@pytest.mark.parametrize("text", ALIKE)
def test_what_all_read_alike_is_readable(text: str, readings: dict[bytes, Reading]) -> None:
    assert set(readings[field(text)].values()) == {AUTHOR}
    assert domain_of(field(text)) == AUTHOR


@pytest.mark.parametrize("text", DIFFERENT)
def test_what_they_read_differently_is_not(text: str, readings: dict[bytes, Reading]) -> None:
    assert set(readings[field(text)].values()) != {AUTHOR}
    assert not domain_of(field(text))
