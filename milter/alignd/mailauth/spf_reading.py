"""Reads SPF records for their evaluation, in time linear in their length, and what is odd in them.

A record that is too large or has an error in it is none; one that some receivers do not read as
the RFC means it, or not to its end, is noted for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address

from alignd.mailauth.spf_macro import count_macros
from alignd.mailauth.spf_record import Term, parse_term

MAX_RECORD = 4096
"""Octets of a record. RFC 7208, section 3.4, wants 450, so that the answer fits in 512; resolvers
ask for 4,096 at most over UDP (RFC 6891, section 6.2.5), and no answer so large is sane."""
MAX_TERMS = 1000
"""Terms of all records that one evaluation reads. Eleven records of 450 octets have 400."""
IPV4 = 4  # the version of an address
NETWORKS = frozenset({"a", "mx", "ip4", "ip6"})
"""The mechanisms that take a prefix length."""

_LIBSPF2_SIZE = 508  # octets of compiled mechanisms that libspf2 1.2 keeps of a record


@dataclass(slots=True)  # not frozen: that would make it three times as slow to build
class Directive:
    """A mechanism, prepared for many evaluations."""

    term: Term
    lengths: tuple[int, int]
    """The prefix lengths for IPv4 and IPv6."""
    network: int = 0
    """The address of ip4 or ip6 as a number."""

    @property
    def is_network(self) -> bool:
        return self.term.name in {"ip4", "ip6"}

    @property
    def is_all(self) -> bool:
        return self.term.name == "all"

    @property
    def is_negative(self) -> bool:
        """Whether it says of an address, rather than of all, that it does not pass."""
        return self.term.qualifier != "+" and self.term.name not in {"all", "include"}

    def length(self, version: int) -> int:
        return self.lengths[0 if version == IPV4 else 1]


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """A record without an error in it."""

    directives: tuple[Directive, ...]
    redirect: str
    """The domain-spec of redirect=; empty when there is none."""
    sure: int
    """How many directives all receivers read: libspf2 1.2 ends where its buffer is full, and goes
    by a redirect= at the place where it stands."""
    uses_ptr: bool
    """Whether a term has the macro %{p}, whose lookups pyspf makes before it evaluates."""
    lookup_terms: int
    doubt: str

    @property
    def includes(self) -> list[Term]:
        return [each.term for each in self.directives if each.term.name == "include"]


def read_record(text: bytes) -> ReadRecord | str:
    if len(text) > MAX_RECORD:
        return f"a record of more than {MAX_RECORD} octets"
    if not text.isascii():
        return "a record that is not ASCII"
    words = [word for word in text.decode("ascii").split(" ")[1:] if word]
    if len(words) > MAX_TERMS:
        return f"more than {MAX_TERMS} terms"
    directives: list[Directive] = []
    modifiers: dict[str, Term] = {}
    sure, size, doubt = 0, 0, ""
    for word in words:
        term = parse_term(word)
        if term is None:
            return f"not a term: {word}"
        doubt = doubt or _oddity(term)
        if term.is_modifier:
            if term.name in modifiers:
                # pyspf refuses any modifier that stands twice, RFC 7208, section 6, these two.
                return f"{term.name}= stands twice"
            modifiers[term.name] = term
            continue
        directives.append(_directive(term))
        if size < _LIBSPF2_SIZE and "redirect" not in modifiers:
            sure += 1
        size += _libspf2_size(term)
    return ReadRecord(
        directives=tuple(directives),
        redirect=modifiers["redirect"].argument if "redirect" in modifiers else "",
        sure=sure,
        uses_ptr="%{p" in text.decode("ascii").lower(),
        lookup_terms=sum(not each.is_network for each in directives) + len(modifiers),
        doubt=doubt,
    )


def _oddity(term: Term) -> str:
    """Why some receivers refuse a record with *term*; empty when none does."""
    is_error = (
        # mailauth 4: a final dot, and a modifier without a value.
        term.argument.endswith(".")
        or (term.is_modifier and not term.argument)
        # libspf2 1.2: a dot in the name of a modifier, and the length 0 of a prefix.
        or (term.is_modifier and "." in term.name)
        or ("/0" in term.text and term.name in NETWORKS and 0 in term.prefix_lengths)
    )
    return f"{term.text} is an error to some receivers" if is_error else ""


def _libspf2_size(term: Term) -> int:
    """What a mechanism takes of the buffer of libspf2, or a little more."""
    match term.name:
        case "ip4":
            return 8
        case "ip6":
            return 20
        case _:
            name = term.argument and 8 + len(term.argument) + 8 * count_macros(term.argument)
            return 4 + (name or 0) + 4 * ("/" in term.text)


def _directive(term: Term) -> Directive:
    network = 0
    if term.name == "ip4":
        network = int.from_bytes(bytes(map(int, term.argument.split("."))), "big")
    elif term.name == "ip6":
        network = int(IPv6Address(term.argument))
    return Directive(term, term.prefix_lengths, network)
