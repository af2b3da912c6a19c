"""Edits SPF records as texts: parses terms, adds mechanisms, splits into strings.

Terms stay as their owner wrote them. A term counts as valid only when every evaluator accepts it
(RFC 7208, sections 7.1 and 12, and the stricter of pyspf and spftrace), because one invalid term
makes the whole record an error (section 4.6).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address

from alignd.mail.domain import Domain
from alignd.mail.ip_address import IpAddress

MAX_STRING = 255
"""Octets of one character-string of a TXT record, RFC 1035, section 3.3."""
MAX_TERM = 512
"""Characters of a term that is read at all; a name of DNS has 253."""
BITS = {"ip4": 32, "ip6": 128}
"""The longest prefix of each mechanism that names a network."""
SOFTEST_LAST = "-~?+"
"""The qualifiers: fail, softfail, neutral, pass."""
CIDR = re.compile(r"(?<!/)(?:/(?P<v4>0|[1-9]\d?))?(?://(?P<v6>0|[1-9]\d{0,2}))?$")
"""The prefix lengths at the end of a or mx."""
MACRO = re.compile(r"%(?:[%_-]|\{[slodiphv](?:0*[1-9]\d{0,2})?r?[.+,/_=-]*\})", re.IGNORECASE)
"""One macro of a term, RFC 7208, section 7.1. The letters c, r and t are not among them: they may
stand in the explanation that exp= names, and nowhere else (section 7.2)."""

VERSION = re.compile(rb"v=spf1(?: |$)", re.IGNORECASE)
"""The beginning of what receivers take for SPF, RFC 7208, section 4.5."""

# Quotes that were meant for the zone file, a blank in front, or no blank behind the version.
_RESEMBLANCE = re.compile(rb"[^!#-&(-~]*v=spf1(?!\d)", re.IGNORECASE)
_TERM = re.compile(
    r"(?P<qualifier>[-+~?]?)(?P<name>[a-z0-9]+)(?P<rest>(?:[:/].*)?)", re.IGNORECASE
)
_MODIFIER = re.compile(r"(?P<name>[a-z][a-z0-9_.-]*)=(?P<value>.*)", re.IGNORECASE)
_ENDS_IN_MACRO = re.compile(rf"(?:{MACRO.pattern})$", re.IGNORECASE)
_TOP_LABEL = re.compile(r"(?!\d+$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.IGNORECASE)
_NETWORK = re.compile(r"(?P<address>[^/%]+)(?:/(?P<length>0|[1-9]\d{0,2}))?")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_QUAD = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")  # three times as fast as IPv4Address

_MAX_SPEC, _MAX_LABEL = 255, 63  # characters


@dataclass(frozen=True, slots=True)
class Term:
    """A valid mechanism or modifier."""

    text: str
    """As its owner wrote it."""
    name: str
    """In lower case."""
    argument: str = ""
    """The domain-spec or network without its prefix length; empty when there is none."""
    is_modifier: bool = False

    @property
    def qualifier(self) -> str:
        """The sign in front of a mechanism; "+" where there is none."""
        return self.text[0] if self.text[0] in SOFTEST_LAST else "+"

    @property
    def passes_everybody(self) -> bool:
        """Whether it is `all` with a "+", written or not."""
        return self.name == "all" and self.qualifier == "+"

    @property
    def prefix_lengths(self) -> tuple[int, int]:
        """The lengths of the prefixes to compare, of IPv4 and of IPv6, RFC 7208, section 5."""
        match self.name:
            case "a" | "mx":
                lengths = CIDR.search(self.text)
                v4, v6 = (lengths["v4"], lengths["v6"]) if lengths else (None, None)
                return int(v4 or BITS["ip4"]), int(v6 or BITS["ip6"])
            case "ip4" | "ip6":
                _, _, written = self.text.partition("/")
                length = int(written) if written else BITS[self.name]
                return length, length
            case _:
                return 0, 0

    def names(self, domain: Domain) -> bool:
        """Whether the argument is *domain*, written out without a macro."""
        return self.argument.lower().removesuffix(".") == domain.name


@dataclass(frozen=True, slots=True)
class SpfRecord:
    """A valid record."""

    terms: tuple[Term, ...]

    @property
    def text(self) -> str:
        """The record, ASCII."""
        return " ".join(("v=spf1", *(term.text for term in self.terms)))

    @property
    def has_all(self) -> bool:
        """Whether there is an `all`, so that redirect= is not used (RFC 7208, section 6.1)."""
        return any(term.name == "all" for term in self.terms)

    def with_mechanisms(self, texts: Iterable[str], *, first: bool = False) -> SpfRecord:
        """Add mechanisms in front of `all`, or with *first* in front of everything.

        A mechanism that the record has already, with any qualifier, is moved.
        """
        added = tuple(valid_term(text) for text in texts)
        bodies = {_body(term) for term in added}
        kept = tuple(term for term in self.terms if _body(term) not in bodies)
        place = 0 if first else _end_of_evaluation(kept)
        return SpfRecord((*kept[:place], *added, *kept[place:]))


def find_records(texts: Iterable[bytes]) -> tuple[bytes, ...]:
    """Find the TXT records that receivers take for SPF, RFC 7208, section 4.5."""
    return tuple(text for text in texts if VERSION.match(text))


def find_resembling(texts: Iterable[bytes]) -> tuple[bytes, ...]:
    """Find the TXT records that were meant for SPF, though no receiver takes them for it."""
    return tuple(text for text in texts if _RESEMBLANCE.match(text) and not VERSION.match(text))


def strings_of(value: str) -> tuple[str, ...]:
    """Split *value* into the character-strings of a TXT record."""
    cuts = range(0, len(value), MAX_STRING)
    return tuple(value[cut : cut + MAX_STRING] for cut in cuts) or ("",)


def quoted_strings(text: str) -> tuple[str, ...]:
    """The character-strings of *text* as a master file has them (RFC 1035, section 5.1)."""
    escaped = (each.replace("\\", "\\\\").replace('"', '\\"') for each in strings_of(text))
    return tuple(f'"{string}"' for string in escaped)


def _end_of_evaluation(terms: tuple[Term, ...]) -> int:
    """The place in front of `all`, or else behind the last mechanism: what is there is reached."""
    for place, term in enumerate(terms):
        if term.name == "all":
            return place
    return max((place + 1 for place, term in enumerate(terms) if not term.is_modifier), default=0)


def _body(term: Term) -> str:
    return term.text.lstrip(SOFTEST_LAST).lower().removesuffix(".")


def valid_term(text: str) -> Term:
    """Parse a term that has to be valid.

    Raises:
        ValueError: it is not.
    """
    term = parse_term(text)
    if term is None:
        raise ValueError(f"not a term of an SPF record: {text!r}")
    return term


def parse_term(text: str) -> Term | None:
    """Parse a term as it stands; None when some receiver would not take it."""
    if len(text) > MAX_TERM or not text.isascii() or not text.isprintable():
        return None
    if modifier := _MODIFIER.fullmatch(text):
        return _modifier(text, modifier["name"].lower(), modifier["value"])
    mechanism = _TERM.fullmatch(text)
    if mechanism is None:
        return None
    return _mechanism(text, mechanism["name"].lower(), mechanism["rest"])


def _modifier(text: str, name: str, value: str) -> Term | None:
    valid = _is_domain(value) if name in {"redirect", "exp"} else "%" not in MACRO.sub("", value)
    return Term(text, name, value, is_modifier=True) if valid else None


def _mechanism(text: str, name: str, rest: str) -> Term | None:
    match name:
        case "all":
            return Term(text, name) if not rest else None
        case "ip4" | "ip6":
            argument = _network(name, rest.removeprefix(":")) if rest.startswith(":") else None
            return Term(text, name, argument) if argument else None
        case "a" | "mx":
            lengths = CIDR.search(rest)
            argument = rest[: lengths.start()] if lengths else rest
            fits = not lengths or _fit(lengths["v4"], lengths["v6"])
            return Term(text, name, argument[1:]) if fits and _is_argument(argument) else None
        case "include" | "exists" | "ptr":
            needed = name != "ptr"
            valid = _is_argument(rest) and (rest or not needed)
            return Term(text, name, rest[1:]) if valid else None
        case _:
            return None


def _fit(v4: str | None, v6: str | None) -> bool:
    return int(v4 or 0) <= BITS["ip4"] and int(v6 or 0) <= BITS["ip6"]


def _is_argument(text: str) -> bool:
    return not text or (text[0] == ":" and _is_domain(text[1:]))


def _is_domain(spec: str) -> bool:
    """Whether *spec* is a domain-spec, section 7.1."""
    if not spec or len(spec) > _MAX_SPEC or "%" in MACRO.sub("", spec):
        return False
    if _ENDS_IN_MACRO.search(spec):
        return True
    labels = spec.removesuffix(".").split(".")
    sizes = all(0 < len(label) <= _MAX_LABEL for label in labels)
    return len(labels) > 1 and sizes and _TOP_LABEL.fullmatch(labels[-1]) is not None


def _network(name: str, text: str) -> str | None:
    match = _NETWORK.fullmatch(text)
    if match is None or int(match["length"] or 0) > BITS[name]:
        return None
    if name == "ip4":
        return match["address"] if _QUAD.fullmatch(match["address"]) else None
    try:
        IPv6Address(match["address"])
    except AddressValueError:
        return None
    return match["address"]


def mechanism_for(address: IpAddress) -> str:
    """Write the mechanism that matches *address* alone (RFC 7208, section 5.6)."""
    return f"ip{address.version}:{address}"
