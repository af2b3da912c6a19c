"""What a hostile author domain can publish so that judging its mail costs time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from alignd.mailauth.dns import Answer, LookupFailed, MailExchange, Record, RecordType

DOMAIN = "evil.example"
LARGEST = 65_000  # octets of a record; an answer over TCP has 65,535
_ROOM = 4096  # octets of the largest record that anybody evaluates


@dataclass(frozen=True)
class HostileDomain:
    """A Lookup whose every name has something to say."""

    name: str
    spf: str
    """The record at the domain."""
    included: str = ""
    """The record at every other name."""
    dmarc: tuple[str, ...] = ("v=DMARC1; p=reject",)
    others: dict[RecordType, tuple[Record, ...]] = field(default_factory=dict)
    texts: tuple[bytes, ...] = ()
    """What stands beside every TXT record."""

    def look_up(self, name: str, record_type: RecordType, **_: bool) -> Answer | LookupFailed:
        if record_type is not RecordType.TXT:
            return Answer(self.others.get(record_type, ()))
        if name.startswith("_dmarc."):
            return Answer((*self.texts, *(text.encode() for text in self.dmarc)))
        is_own = name.startswith(("bounces.", "author."))
        record = self.spf if is_own else self.included or self.spf
        return Answer((*self.texts, f"v=spf1 {record}".encode()))


def _filled(term: str, size: int = _ROOM - 20, end: str = " -all") -> str:
    return " ".join([term] * (size // (len(term) + 1))) + end


def _includes(count: int) -> str:
    return " ".join(f"include:i{n}.{DOMAIN}" for n in range(count))


def hostile_domains() -> Iterator[HostileDomain]:
    """One of every kind, each as large as it pays."""
    yield from _long_terms()
    yield from _many_terms()
    yield from _many_answers()
    yield from _dmarc()


def _long_terms() -> Iterator[HostileDomain]:
    specs = {
        "one-label": "x." + "a" * LARGEST + "!",
        "labels": "a." * (LARGEST // 2) + "b",
        "labels-and-a-macro": "%{d}." + "a." * (LARGEST // 2) + "b",
        "macros": "%{d}" * (LARGEST // 4),
        "open-macros": "%{" * (LARGEST // 2),
        "a-macro-without-end": "%{d" + "0" * LARGEST,
        "delimiters": "%{s1r" + ".-+,/_=" * (LARGEST // 7) + "}",
        "percents": "%%" * (LARGEST // 2),
        "slashes": "a.b" + "/1" * (LARGEST // 2),
        "hyphens": "a." + "a-" * (LARGEST // 2) + "!",
    }
    for name, spec in specs.items():
        for term in ("a", "exists", "include", "redirect"):
            sign = "=" if term == "redirect" else ":"
            yield HostileDomain(f"{term}-{name}", f"{term}{sign}{spec} -all")
        # As much of it as fits in a record that is evaluated, in terms that are.
        for size in (60, 250, 500):
            yield HostileDomain(f"many-{name}-{size}", _filled(f"exists:{spec[:size]}"))
    yield HostileDomain("colons", "ip6:" + ":" * LARGEST)
    yield HostileDomain("digits", "ip4:1.2.3.4/" + "1" * LARGEST)
    yield HostileDomain("names", "a" * LARGEST + "=x")
    yield HostileDomain("blanks", " " * LARGEST + "-all")
    yield HostileDomain("tabs", "a\t" * (LARGEST // 2))
    yield HostileDomain("not-ascii", "é" * (LARGEST // 2))


def _many_terms() -> Iterator[HostileDomain]:
    small = ("a", "mx", "?all", "ip4:1.2.3.4", "ip6:::1", "ip6:1:2:3:4:5:6:7:8", "x=%{d}%{i}")
    for term in small:
        yield HostileDomain(f"large-{term}", _filled(term, LARGEST))
        yield HostileDomain(f"full-{term}", _filled(term))
        yield HostileDomain(f"tree-of-{term}", _includes(10), _filled(term, 3900, " ?all"))
    modifiers = " ".join(f"m{n}=" for n in range(700))
    yield HostileDomain("modifiers", modifiers)
    yield HostileDomain("tree-of-modifiers", _includes(10), modifiers[:3900].rpartition(" ")[0])
    yield HostileDomain("modifiers-of-macros", " ".join(f"m{n}=%{{p}}" for n in range(400)))
    wide = " ".join(f"include:{'%{d}' * 60}.i{n}.example" for n in range(15))
    yield HostileDomain("includes-of-macros", wide)
    yield HostileDomain("tree-of-macros", _includes(9), wide)
    deep = "exists:" + "%{l1r+-}" * 30 + ".example"
    yield HostileDomain("macros-of-the-local-part", _filled(deep))
    yield HostileDomain("endless-include", f"include:x.{DOMAIN}", f"include:%{{d1r}}.{DOMAIN}")
    yield HostileDomain("endless-redirect", f"redirect=x.{DOMAIN}", "redirect=a.%{d}")
    numbers = (f"10.{n >> 8}.{n & 255}.1" for n in range(320))
    different = " ".join(f"ip4:{number}" for number in numbers)[:4000].rpartition(" ")[0]
    yield HostileDomain("networks", different)
    yield HostileDomain("tree-of-networks", _includes(10), f"{different} ?all")
    yield HostileDomain("tree-of-fails", _includes(10), f"{different} ?exists:x.example ?all")


def _many_answers() -> Iterator[HostileDomain]:
    hosts = tuple(str(IPv4Address(0x0A000000 + n)) for n in range(4000))
    sixes = tuple(f"2001:db8:1::{n:x}" for n in range(2300))
    addresses: dict[RecordType, tuple[Record, ...]] = {
        RecordType.A: hosts,
        RecordType.AAAA: sixes,
    }
    few = {RecordType.A: hosts[:90], RecordType.AAAA: sixes[:90]}
    exchanges = tuple(MailExchange(n, f"h{n}.{DOMAIN}") for n in range(10))
    names = tuple(f"n{n}.{DOMAIN}" for n in range(2000))
    ten = " ".join(f"mx:m{n}.{DOMAIN}" for n in range(10))
    yield HostileDomain("hosts", f"a:x.{DOMAIN}", others=addresses)
    yield HostileDomain("some-hosts", f"{_filled(f'a:x.{DOMAIN}', 200)}", others={**few})
    yield HostileDomain("mx", ten, others={**few, RecordType.MX: exchanges})
    yield HostileDomain("mx-of-hosts", ten, others={**addresses, RecordType.MX: exchanges})
    yield HostileDomain("thousands-of-mx", ten, others={RecordType.MX: exchanges * 300})
    yield HostileDomain("mx-of-nothing", ten, others={RecordType.MX: exchanges})
    pointers: dict[RecordType, tuple[Record, ...]] = {**few, RecordType.PTR: names}
    yield HostileDomain("ptr", " ".join(["ptr:x.example"] * 10), others=pointers)
    some: dict[RecordType, tuple[Record, ...]] = {**few, RecordType.PTR: names[:400]}
    yield HostileDomain("some-ptr", " ".join(["ptr:x.example"] * 10), others=some)
    yield HostileDomain("p-macros", _includes(9), "exists:%{p}%{p}%{p}.x.example", others=some)
    for number in (450, 4500):
        texts = tuple(f"{n}".encode() for n in range(number))
        yield HostileDomain(f"texts-{number}", _includes(10), "?all", texts=texts)
    long = (b"v=spf1" + b" " * LARGEST,)
    yield HostileDomain("large-texts", _includes(10), "?all", texts=long)


def _dmarc() -> Iterator[HostileDomain]:
    records = {
        "tags": "v=DMARC1; p=none;" + "a=b;" * (LARGEST // 4),
        "some-tags": "v=DMARC1; p=none;" + "ab=cd;" * 60,
        "full-of-tags": "v=DMARC1; p=none; rua=" + "mailto:a@b.example," * 200,
        "rua": "v=DMARC1; p=none; rua=" + "a" * LARGEST,
        "rua-of-schemes": "v=DMARC1; p=x; rua=" + "a+" * 1900 + "!",
        "blanks": "v=DMARC1; p=none;" + " " * LARGEST,
        "blanks-and-names": "v=DMARC1; p=none;" + "a   " * (4000 // 4),
        "semicolons": "v=DMARC1; p=none" + ";" * 4000,
        "version": "v" + " " * LARGEST + "=" + "v   " * 1000,
        "versions": "v " * (LARGEST // 2) + "v=DMARC1; p=none",
        "not-ascii": "v=DMARC1; p=none; " + "é" * 1900,
    }
    for name, record in records.items():
        yield HostileDomain(f"dmarc-{name}", "-all", dmarc=(record,))
    for number in (100, 450, 4000):
        several = ("v=DMARC1; p=none; sp=x; aspf=y",) * number
        yield HostileDomain(f"dmarc-records-{number}", "-all", dmarc=several)
    large = ("v=DMARC1; p=none;" + "rua=mailto:a@b.example;" * 60,) * 45
    yield HostileDomain("dmarc-large-records", "-all", dmarc=large)
    different = tuple(f"v=DMARC1; p=none; x={n};" + "y=z;" * 55 for n in range(250))
    yield HostileDomain("dmarc-different-records", "-all", dmarc=different)
