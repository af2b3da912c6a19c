"""Hundreds of customers with all kinds of DNS, and for what they publish."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum

from alignd.mailauth.spf_record import strings_of
from tests.lab import cast

INCLUDE = f"include:{cast.SPF_INCLUDE}"
PROVIDERS = 12
SHARED = "".join(
    [
        *(
            f'_spf.p{n}.example. TXT "v=spf1 ip4:203.0.113.{n} ip6:2001:db8:{n}::/48 ~all"\n'
            for n in range(PROVIDERS)
        ),
        # Costs four lookups with its own.
        '_spf.big.example. TXT "v=spf1 include:_spf.p0.example include:_spf.p1.example'
        ' include:_spf.p2.example ?all"\n',
        '_spf.broken.example. TXT "v=spf1 ip4:203.0.113.999 -all"\n',
        "; SERVFAIL _spf.down.example\n",
    ]
)


class Way(Enum):
    """What is to be expected of the advice."""

    SPF = "an SPF record, and a DKIM key"
    SPF_ALONE = "an SPF record"
    DKIM = "a DKIM key alone"
    NONE = "nothing helps"
    PASSES = "nothing is needed"


@dataclass(frozen=True, slots=True)
class Published:
    """One record of a customer."""

    name: str
    type: str
    value: str

    @property
    def line(self) -> str:
        """The record in a master file."""
        if self.type != "TXT":
            return f"{self.name}. {self.type} {self.value}"
        escaped = (
            string.replace("\\", "\\\\").replace('"', '\\"') for string in strings_of(self.value)
        )
        return f"{self.name}. TXT " + " ".join(f'"{string}"' for string in escaped)


@dataclass(frozen=True, slots=True)
class Customer:
    """A company with its DNS."""

    kind: str
    domain: str
    way: Way
    records: tuple[Published, ...] = ()
    failures: tuple[str, ...] = field(default=())

    @property
    def zone(self) -> str:
        """Its part of a master file."""
        return "".join(f"{line}\n" for line in (*(r.line for r in self.records), *self.failures))

    @property
    def spf(self) -> tuple[str, ...]:
        """Its SPF records."""
        return tuple(
            record.value
            for record in self.records
            if record.name == self.domain and record.value.startswith("v=spf1")
        )

    def publishing(self, name: str, type_: str, value: str, replaces: list[str]) -> "Customer":
        """The customer that has done what it was told."""
        kept = (
            record
            for record in self.records
            if not (record.name == name and record.type in {"TXT", "CNAME"})
            or record.value.removesuffix(".") not in replaces
        )
        dot = "." if type_ == "CNAME" else ""
        return replace(self, records=(*kept, Published(name, type_, value + dot)))


Kind = Callable[["_Company"], Customer]
KINDS: dict[str, Kind] = {}


def customers(each: int, seed: int = 5) -> Iterator[Customer]:
    """*each* customers of every kind, the same ones for the same *seed*."""
    generator = random.Random(seed)
    for kind, make in KINDS.items():
        for number in range(each):
            yield make(_Company(kind, f"{kind}{number}.example", number, generator))


def _kind(make: Kind) -> Kind:
    KINDS[make.__name__.removeprefix("_").replace("_", "-")] = make
    return make


@dataclass(frozen=True, slots=True)
class _Company:
    kind: str
    domain: str
    number: int
    random: random.Random

    @property
    def end(self) -> str:
        return self.random.choice(["-all", "~all", "?all", "-ALL"])

    def terms(self, count: int = 3) -> list[str]:
        choices = [
            *("a", "mx", f"a:www.{self.domain}", f"mx:{self.domain}/28", "a/24//64"),
            *("ip4:198.51.100.7", "ip4:198.51.100.16/28", "ip6:2001:db8:ffff::/48"),
            *(f"include:_spf.p{n}.example" for n in self.random.sample(range(PROVIDERS), 3)),
        ]
        return self.random.sample(choices, self.random.randint(0, count))

    def record(self, *terms: str) -> str:
        return " ".join(["v=spf1", *terms])

    def hosts(self, addresses: str = "46") -> list[Published]:
        domain = self.domain
        records = [Published(domain, "MX", f"10 mail.{domain}.")]
        for name in (domain, f"www.{domain}", f"mail.{domain}"):
            if "4" in addresses:
                records.append(Published(name, "A", "198.51.100.5"))
            if "6" in addresses:
                records.append(Published(name, "AAAA", "2001:db8:ffff::5"))
        return records

    def dmarc(self, at: str = "", tags: str = "") -> list[Published]:
        policy = self.random.choice(["none", "quarantine", "reject"])
        value = f"v=DMARC1; p={policy}{tags}"
        return [Published(f"_dmarc.{at or self.domain}", "TXT", value)]

    def customer(
        self,
        *spf: str,
        way: Way = Way.SPF,
        hosts: str = "46",
        more: list[Published] | None = None,
        dmarc: list[Published] | None = None,
        failures: tuple[str, ...] = (),
    ) -> Customer:
        own = [Published(self.domain, "TXT", text) for text in spf]
        other = Published(self.domain, "TXT", "google-site-verification=v=spf1")
        policy = self.dmarc() if dmarc is None else dmarc
        records = (*own, other, *self.hosts(hosts), *policy, *(more or []))
        return Customer(self.kind, self.domain, way, records, failures)


@_kind
def _no_record(company: _Company) -> Customer:
    if company.number % 2:
        return Customer(company.kind, company.domain, Way.SPF)  # nor any other, not even its name
    return company.customer()


@_kind
def _plain(company: _Company) -> Customer:
    return company.customer(company.record(*company.terms(), company.end))


@_kind
def _several(company: _Company) -> Customer:
    records = {company.record(*company.terms(2), company.end) for _ in range(5)}
    return company.customer(*sorted(records)[: company.random.randint(2, 3)])


@_kind
def _broken(company: _Company) -> Customer:
    fault = [
        *("foo", "ip4:1.2.3", "ip4:198.51.100.300", "include:", "all:x", "a:%{d", "exists"),
        *("redirect=a.example redirect=b.example", "ip6:2001:db8::g", "mx/33", "a,", "ptr:x"),
        *("ip4:198.51.100.9-all", f"include:{company.domain}", "ip4:198.51.100.8,mx", "\té"),
    ][company.number % 16]
    terms = [*company.terms(2), fault]
    company.random.shuffle(terms)
    return company.customer(company.record(*terms, company.end))


@_kind
def _resembling(company: _Company) -> Customer:
    text = company.record(*company.terms(2), company.end)
    odd = [f" {text}", f'"{text}"', text.replace(" ", "\t"), text.replace("v=spf1 ", "v=spf1;")]
    return company.customer(odd[company.number % 4])


@_kind
def _ten_includes(company: _Company) -> Customer:
    includes = [f"include:_spf.p{n}.example" for n in range(10)]
    return company.customer(company.record(*includes, company.end), way=Way.DKIM)


@_kind
def _ten_lookups_of_others(company: _Company) -> Customer:
    terms = ["include:_spf.big.example", *(f"include:_spf.p{n}.example" for n in range(3, 9))]
    return company.customer(company.record(*terms, company.end), way=Way.DKIM)


@_kind
def _nine_lookups(company: _Company) -> Customer:
    includes = [f"include:_spf.p{n}.example" for n in range(9)]
    return company.customer(company.record(*includes, company.end))


@_kind
def _eleven_lookups(company: _Company) -> Customer:
    includes = [f"include:_spf.p{n}.example" for n in range(11)]
    return company.customer(company.record(*includes, company.end), way=Way.DKIM)


@_kind
def _redirect(company: _Company) -> Customer:
    target = f"_spf.{company.domain}"
    here = company.record(*company.terms(1), f"redirect={target}")
    there = Published(target, "TXT", company.record(*company.terms(2), company.end))
    return company.customer(here, more=[there])


@_kind
def _redirect_to_nothing(company: _Company) -> Customer:
    return company.customer(company.record(*company.terms(1), "redirect=_spf.void.example"))


@_kind
def _macros(company: _Company) -> Customer:
    term = company.random.choice(
        [
            "exists:%{i}._spf.%{d}",
            f"exists:%{{ir}}.%{{v}}.{company.domain}",
            "include:%{d2}",
            "a:%{h}",
            "exists:%{l1r-}.%{o}",
        ]
    )
    if term == "include:%{d2}":
        term = f"include:_spf.p{company.number % PROVIDERS}.%{{d1}}"
    return company.customer(company.record(term, *company.terms(1), company.end))


@_kind
def _long(company: _Company) -> Customer:
    networks = [f"ip4:198.51.100.{n * 4}/30" for n in range(company.random.randint(11, 40))]
    return company.customer(company.record(*networks, *company.terms(1), company.end))


@_kind
def _strict(company: _Company) -> Customer:
    tags = company.random.choice(["; aspf=s", "; adkim=s", "; aspf=s; adkim=s"])
    record = company.record(*company.terms(), company.end)
    return company.customer(record, dmarc=company.dmarc(tags=tags))


@_kind
def _psd(company: _Company) -> Customer:
    registry = replace(company, domain=f"shop.{company.domain}")
    policy = company.dmarc(tags="; psd=y")
    return registry.customer(company.record(*registry.terms(2), company.end), dmarc=policy)


@_kind
def _subdomain(company: _Company) -> Customer:
    parent = company.customer(company.record(*company.terms(), company.end))
    author = replace(company, domain=f"helpdesk.{company.domain}")
    own = [author.record("mx", author.end)] if company.number % 2 else []
    return author.customer(*own, more=list(parent.records), dmarc=[])


@_kind
def _subdomain_of_strict(company: _Company) -> Customer:
    tags = "; aspf=s; adkim=s; sp=quarantine"
    author = replace(company, domain=f"helpdesk.{company.domain}")
    return author.customer(author.record(author.end), dmarc=company.dmarc(tags=tags))


@_kind
def _hosts_over_ipv4_only(company: _Company) -> Customer:
    terms = ["a", "mx", f"a:www.{company.domain}", *company.terms(1)]
    return company.customer(company.record(*dict.fromkeys(terms), company.end), hosts="4")


@_kind
def _hosts_over_ipv6_only(company: _Company) -> Customer:
    terms = ["a", "mx", f"a:www.{company.domain}", *company.terms(1)]
    return company.customer(company.record(*dict.fromkeys(terms), company.end), hosts="6")


@_kind
def _relay_over_ipv4_only(company: _Company) -> Customer:
    return company.customer(company.record("ip4:192.0.2.25", *company.terms(2), company.end))


@_kind
def _relay_over_ipv6_only(company: _Company) -> Customer:
    terms = ["ip6:2001:db8::/64", *company.terms(1)]
    return company.customer(company.record(*terms, company.end))


@_kind
def _null_mx(company: _Company) -> Customer:
    null = Published(company.domain, "MX", "0 .")
    made = company.customer(company.record(*(["mx"] if company.number % 2 else []), "-all"))
    others = tuple(record for record in made.records if record.type != "MX")
    return replace(made, records=(*others, null))


@_kind
def _no_all(company: _Company) -> Customer:
    return company.customer(company.record(*company.terms()))


@_kind
def _plus_all(company: _Company) -> Customer:
    every = company.random.choice(["+all", "all"])
    return company.customer(company.record(*company.terms(), every))


@_kind
def _ptr(company: _Company) -> Customer:
    term = company.random.choice(["ptr", f"ptr:{company.domain}", "?ptr"])
    return company.customer(company.record(term, company.end))


@_kind
def _exists(company: _Company) -> Customer:
    exists = [f"exists:void{n}.{company.domain}" for n in range(company.random.randint(1, 4))]
    return company.customer(company.record(*exists, company.end))


@_kind
def _not_this_relay(company: _Company) -> Customer:
    term = company.random.choice(
        [
            *("-ip4:192.0.2.0/24", "?ip6:2001:db8::/32", f"?{INCLUDE}", f"~{INCLUDE}"),
            f"-all {INCLUDE}",
        ]
    )
    # rspamd takes a network that covers the relay for the result, even behind our include.
    way = Way.DKIM if term.endswith(("/24", "/32")) else Way.SPF
    return company.customer(company.record(term, company.end), way=way)


@_kind
def _dead_include(company: _Company) -> Customer:
    dead = company.random.choice(["_spf.void.example", "_spf.broken.example"])
    return company.customer(company.record(f"include:{dead}", *company.terms(1), company.end))


@_kind
def _wildcard(company: _Company) -> Customer:
    wildcard = [
        Published(f"*.{company.domain}", "TXT", company.record("mx", company.end)),
        Published(f"*.{company.domain}", "MX", f"10 mail.{company.domain}."),
    ]
    hosts = [*company.hosts(), *company.dmarc()]
    domain = f"any.{company.domain}"
    return Customer(company.kind, domain, Way.SPF_ALONE, (*wildcard, *hosts))


@_kind
def _old_key(company: _Company) -> Customer:
    name = f"easy1._domainkey.{company.domain}"
    old = [Published(name, "TXT", "v=DKIM1; p="), Published(name, "CNAME", "old.example.")]
    record = company.record(*company.terms(), company.end)
    return company.customer(record, more=[old[company.number % 2]])


@_kind
def _alias(company: _Company) -> Customer:
    target = f"hosting.{company.domain}"
    records = (
        Published(company.domain, "CNAME", f"{target}."),
        Published(target, "TXT", company.record(company.end)),
    )
    return Customer(company.kind, company.domain, Way.DKIM, records)


@_kind
def _include_is_down(company: _Company) -> Customer:
    terms = ["include:_spf.down.example", *company.terms(1)]
    return company.customer(company.record(*terms, company.end), way=Way.DKIM)


@_kind
def _policy_is_down(company: _Company) -> Customer:
    failure = f"; TIMEOUT _dmarc.{company.domain}"
    record = company.record(*company.terms(), company.end)
    return company.customer(record, dmarc=[], failures=(failure,), way=Way.NONE)


@_kind
def _authorised(company: _Company) -> Customer:
    return company.customer(company.record("mx", INCLUDE, company.end), way=Way.PASSES)


@_kind
def _freemail(company: _Company) -> Customer:
    providers = [
        *("gmail.com", "seznam.cz", "outlook.com", "yahoo.com", "centrum.cz", "gmx.de", "web.de"),
        *("hotmail.com", "icloud.com", "atlas.cz", "volny.cz", "aol.com", "email.cz", "post.cz"),
    ]
    domain = providers[company.number % len(providers)]
    record = Published(domain, "TXT", company.record("redirect=_spf.p0.example"))
    return Customer(company.kind, domain, Way.NONE, (record,))
