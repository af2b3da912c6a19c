"""Edits SPF records as texts: parses, repairs and merges them, adds mechanisms, splits strings.

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
MACRO = re.compile(r"%(?:[%_-]|\{[slodiphv](?:0*[1-9]\d{0,2})?r?[.+,/_=-]*\})", re.IGNORECASE)
"""One macro of a term, RFC 7208, section 7.1. The letters c, r and t are not among them: they may
stand in the explanation that exp= names, and nowhere else (section 7.2)."""

_VERSION = re.compile(rb"v=spf1(?: |$)", re.IGNORECASE)
# Quotes that were meant for the zone file, a blank in front, or no blank behind the version.
_RESEMBLANCE = re.compile(rb"[^!#-&(-~]*v=spf1(?!\d)", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s\x80-\xff]+")
_TERM = re.compile(
    r"(?P<qualifier>[-+~?]?)(?P<name>[a-z0-9]+)(?P<rest>(?:[:/].*)?)", re.IGNORECASE
)
_MODIFIER = re.compile(r"(?P<name>[a-z][a-z0-9_.-]*)=(?P<value>.*)", re.IGNORECASE)
_GLUED_ALL = re.compile(r"(?P<term>.+)(?P<all>[-~?+]all)", re.IGNORECASE)
_CIDR = re.compile(r"(?<!/)(?:/(?P<v4>0|[1-9]\d?))?(?://(?P<v6>0|[1-9]\d{0,2}))?$")
_ENDS_IN_MACRO = re.compile(rf"(?:{MACRO.pattern})$", re.IGNORECASE)
_TOP_LABEL = re.compile(r"(?!\d+$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.IGNORECASE)
_NETWORK = re.compile(r"(?P<address>[^/%]+)(?:/(?P<length>0|[1-9]\d{0,2}))?")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_QUAD = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")  # three times as fast as IPv4Address
_MAX_TERM = 512  # characters; a name of DNS has 253
_MAX_SPEC, _MAX_LABEL = 255, 63  # characters
_BITS = {"ip4": 32, "ip6": 128}
_SOFTEST_LAST = "-~?+"  # the qualifiers: fail, softfail, neutral, pass


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
        return self.text[0] if self.text[0] in _SOFTEST_LAST else "+"

    @property
    def prefix_lengths(self) -> tuple[int, int]:
        """The lengths of the prefixes to compare, of IPv4 and of IPv6, RFC 7208, section 5."""
        match self.name:
            case "a" | "mx":
                lengths = _CIDR.search(self.text)
                v4, v6 = (lengths["v4"], lengths["v6"]) if lengths else (None, None)
                return int(v4 or _BITS["ip4"]), int(v6 or _BITS["ip6"])
            case "ip4" | "ip6":
                _, _, written = self.text.partition("/")
                length = int(written) if written else _BITS[self.name]
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
        added = tuple(_valid(text) for text in texts)
        bodies = {_body(term) for term in added}
        kept = tuple(term for term in self.terms if _body(term) not in bodies)
        place = 0 if first else _end_of_evaluation(kept)
        return SpfRecord((*kept[:place], *added, *kept[place:]))


@dataclass(frozen=True, slots=True)
class RepairedRecord:
    """A published record, repaired."""

    record: SpfRecord
    """The valid terms."""
    dropped: tuple[str, ...]
    """The invalid terms."""


def find_records(texts: Iterable[bytes]) -> tuple[bytes, ...]:
    """Find the TXT records that receivers take for SPF, RFC 7208, section 4.5."""
    return tuple(text for text in texts if _VERSION.match(text))


def find_resembling(texts: Iterable[bytes]) -> tuple[bytes, ...]:
    """Find the TXT records that were meant for SPF, though no receiver takes them for it."""
    return tuple(text for text in texts if _RESEMBLANCE.match(text) and not _VERSION.match(text))


def repair_record(text: bytes, domain: Domain) -> RepairedRecord:
    """Parse the SPF record of *domain*, or what resembles one, and drop its invalid terms."""
    body = text.decode("latin-1")[text.lower().find(b"v=spf1") + len("v=spf1") :]
    kept: list[Term] = []
    dropped = []
    for written in filter(lambda part: part.strip("\"',;"), _SEPARATORS.split(body)):
        terms = _repaired(written)
        usable = [term for term in terms if _is_usable(term, kept, domain)]
        kept += usable
        if not usable:
            dropped.append(written)
    return RepairedRecord(SpfRecord(tuple(kept)), tuple(dropped))


def merge_records(records: tuple[SpfRecord, ...]) -> SpfRecord:
    """Merge *records* into one, since several are an error to receivers (section 4.5).

    It passes every sender that one of them passes.
    """
    if len(records) == 1:
        return records[0]
    terms = [term for record in records for term in record.terms]
    ends = [term for term in terms if term.name == "all"]
    redirects = {term.argument.lower() for term in terms if term.name == "redirect"}
    if ends or len(redirects) > 1:
        # The `all` of one record would make the redirect= of another unused; an include stays.
        terms = [_as_include(term) for term in terms]
    merged: dict[str, Term] = {}
    for term in terms:
        if term.name != "all":
            merged.setdefault(f"{term.name}=" if term.is_modifier else term.text.lower(), term)
    return SpfRecord((*merged.values(), *_softest(ends)))


def parse_term(text: str) -> Term | None:
    """Parse *text* as one term; None when some evaluator would not accept it."""
    return _parse(text)


def strings_of(value: str) -> tuple[str, ...]:
    """Split *value* into the character-strings of a TXT record."""
    cuts = range(0, len(value), MAX_STRING)
    return tuple(value[cut : cut + MAX_STRING] for cut in cuts) or ("",)


def _softest(ends: list[Term]) -> list[Term]:
    # The softest, so that merging makes no mail fail; but not `+all` beside another, since it
    # passes the whole world.
    without_plus = [end for end in ends if end.qualifier != "+"]
    return sorted(without_plus or ends, key=lambda end: _SOFTEST_LAST.index(end.qualifier))[-1:]


def _as_include(term: Term) -> Term:
    return _valid(f"include:{term.argument}") if term.name == "redirect" else term


def _end_of_evaluation(terms: tuple[Term, ...]) -> int:
    """The place in front of `all`, or else behind the last mechanism: what is there is reached."""
    for place, term in enumerate(terms):
        if term.name == "all":
            return place
    return max((place + 1 for place, term in enumerate(terms) if not term.is_modifier), default=0)


def _body(term: Term) -> str:
    return term.text.lstrip(_SOFTEST_LAST).lower().removesuffix(".")


def _is_usable(term: Term, kept: list[Term], domain: Domain) -> bool:
    if term.name in {"include", "redirect"} and _is_itself(term, domain):
        return False
    # Section 6: redirect= and exp= may stand once. pyspf refuses any modifier that stands twice.
    return not (term.is_modifier and any(_is_modifier(other, term.name) for other in kept))


def _is_modifier(term: Term, name: str) -> bool:
    return term.is_modifier and term.name == name


def _is_itself(term: Term, domain: Domain) -> bool:
    # A record that includes itself is an error: its evaluation would never end.
    return term.names(domain) or term.argument.lower() in {"%{d}", "%{o}"}


def _repaired(written: str) -> list[Term]:
    """Guess the terms that *written* was meant for; none when there is no good guess."""
    text = written.strip("\"'").rstrip(",;")
    if term := _parse(written) or _parse(text):
        return [term]
    # "... ip4:192.0.2.1" "-all": the strings of a record are joined without a blank (section 3.3).
    glued = _GLUED_ALL.fullmatch(text) if len(text) <= _MAX_TERM else None
    parts = [_parse(glued["term"]), _parse(glued["all"])] if glued else []
    return [part for part in parts if part] if all(parts) else []


def _valid(text: str) -> Term:
    term = _parse(text)
    if term is None:
        raise ValueError(f"not a term of an SPF record: {text!r}")
    return term


def _parse(text: str) -> Term | None:
    if len(text) > _MAX_TERM or not text.isascii() or not text.isprintable():
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
            lengths = _CIDR.search(rest)
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
    return int(v4 or 0) <= _BITS["ip4"] and int(v6 or 0) <= _BITS["ip6"]


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
    if match is None or int(match["length"] or 0) > _BITS[name]:
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
