"""Generates SPF and DMARC records as owners might write them, the same ones for the same seed."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.lab import cast
from tests.lab.cast import RELAY_IPV4, RELAY_IPV6

WORLD = f"""\
{cast.RELAY}. A {RELAY_IPV4}
{cast.RELAY}. AAAA {RELAY_IPV6}
other.example. A 198.51.100.1
other.example. AAAA 2001:db8:1::1
mx.example. MX 5 other.example.
mx.example. MX 10 {cast.RELAY}.
25.2.0.192.in-addr.arpa. PTR {cast.RELAY}.
pass.example. TXT "v=spf1 a:{cast.RELAY} -all"
fail.example. TXT "v=spf1 -all"
soft.example. TXT "v=spf1 ~a:{cast.RELAY} -all"
all.example. TXT "v=spf1 +all"
deep.example. TXT "v=spf1 include:pass.example -all"
*.ok.example. A 127.0.0.2
"""
_PASSES = (
    *(f"a:{cast.RELAY}", f"ip4:{RELAY_IPV4}", f"ip6:{RELAY_IPV6}", "mx:mx.example", "ptr:cz"),
    *("include:pass.example", "include:deep.example", "exists:%{i}.%{d}.ok.example"),
    *("exists:%{ir}.%{v}.%{l}.ok.example", "exists:%{h}.ok.example", "exists:%{d2r}.ok.example"),
    *("ip4:192.0.2.0/{4}", "ip6:2001:db8::/{6}", f"a:{cast.RELAY}/{{4}}", "mx:mx.example//{6}"),
)
_OTHERS = (
    *("a:other.example", "ip4:198.51.100.1", "ip6:2001:db8:1::/48", "include:fail.example"),
    *("include:soft.example", "include:all.example", "all", "ip4:0.0.0.0/0", "exists:no.example"),
    *(f"a:{cast.RELAY}.", "foo=bar", "foo=", "x.y=z", "exp=%{d}.example", "redirect=pass.example"),
    *("redirect=fail.example", "exists:%{p}.ok.example", "exists:%{s}.ok.example", "a:no.example"),
)
_LENGTHS = {"{4}": (32, 24, 16, 8, 7, 4, 1, 0), "{6}": (128, 64, 32, 16, 8, 7, 3, 0)}


@dataclass(frozen=True, slots=True)
class Generated:
    """A domain with what it publishes, and an address from which mail of it comes."""

    domain: str
    spf: str
    dmarc: tuple[str, ...]
    address: str

    @property
    def zone(self) -> str:
        """Its records. Mail of `mail.` below it passes SPF, for the alignment of that."""
        below = f'mail.{self.domain}. TXT "v=spf1 include:pass.example -all"'
        texts = [f'{self.domain}. TXT "{self.spf}"', below]
        texts += [f'_dmarc.{self.domain}. TXT "{_escaped(text)}"' for text in self.dmarc]
        return "\n".join(texts) + "\n"


def generate(count: int, seed: int = 13) -> Iterator[Generated]:
    """*count* domains."""
    chance = random.Random(seed)
    for number in range(count):
        address = chance.choice([RELAY_IPV4, RELAY_IPV6])
        yield Generated(f"d{number}.example", spf(chance), dmarc(chance), address)


def spf(chance: random.Random) -> str:
    """An SPF record, which often passes the relay."""
    terms = [_term(chance) for _ in range(chance.randint(1, 5))]
    end = chance.choice(["-all", "-all", "~all", "?all", ""])
    return " ".join(filter(None, ["v=spf1", *terms, end]))


def _term(chance: random.Random) -> str:
    term = chance.choice(_PASSES if chance.random() < 0.5 else _OTHERS)
    for place, lengths in _LENGTHS.items():
        term = term.replace(place, str(chance.choice(lengths)))
    return term if "=" in term else chance.choice(["", "", "", "", "+", "-", "~", "?"]) + term


_POLICIES = (
    "reject",
    "quarantine",
    "none",
    "",
    "r",
    "rej",
    "bogus",
    "Reject",
    "reject,",
    "q",
    "n",
)
_MODES = ("r", "s", "R", "S", "strict", "relaxed", "s,", "", "x", "'s'")
_ENDS = (";", "; ", "; ", ";", " ; ", ";;", " ", "\\; ", ",", ";\t")


def dmarc(chance: random.Random) -> tuple[str, ...]:
    """DMARC records, most often one, and most often with something odd in it."""
    return tuple(_dmarc(chance) for _ in range(1 + (chance.random() < 0.08)))


def _dmarc(chance: random.Random) -> str:
    version = chance.choice(["v=DMARC1"] * 8 + ["v=dmarc1", "V=DMARC1", "v = DMARC1", "v=DMARC"])
    tags = [f"p={_choice(chance, _POLICIES)}"]
    for name, values in {"sp": _POLICIES, "aspf": _MODES, "adkim": _MODES, "p": _POLICIES}.items():
        if chance.random() < {"p": 0.06}.get(name, 0.3):
            tags.append(f"{name}={_choice(chance, values)}")
    extra = ("rf=iodef", "rf=afrf", "pct=100", "fo=1", "ri=3600", "rua=mailto:a@b.example", "x=y")
    tags += chance.sample(extra, chance.choice([0, 0, 1, 2]))
    if chance.random() < 0.2:
        chance.shuffle(tags)
    tags.insert(len(tags) if chance.random() < 0.05 else 0, version)
    end = chance.choice(["; "] * 12 + list(_ENDS))
    front = chance.choice([""] * 15 + [" ", "\t", '"', "x "])
    text = front + end.join(tags) + chance.choice(["", "", ";", " "])
    return text if chance.random() > 0.1 else text.replace("=", chance.choice([" = ", "= ", " ="]))


def _choice(chance: random.Random, values: Sequence[str]) -> str:
    """The first three are meant, the others are mistakes."""
    return chance.choice(values[:3] if chance.random() < 0.6 else values)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
