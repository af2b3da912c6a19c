"""Evaluates check_host() of RFC 7208 for one client address, in bounded work.

Everything that a record can ask for is counted, so that the worst record costs little more than
the worst that a sane owner publishes. Where receivers differ, the strictest of them is followed:
pyspf above all, which many of them run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from ipaddress import IPv4Address, ip_address

from alignd.mail.ip_address import IpAddress
from alignd.mailauth.dns import Lookup, LookupFailed, MailExchange, Record, RecordType
from alignd.mailauth.spf_macro import (
    MAX_NAME,
    count_macros,
    expand,
    is_read_alike,
    letters_of,
    truncate,
)
from alignd.mailauth.spf_reading import (
    IPV4,
    MAX_TERMS,
    NETWORKS,
    Directive,
    ReadRecord,
    read_record,
)
from alignd.mailauth.spf_record import MACRO, find_records

MAX_QUESTIONS = 50
"""DNS questions of one evaluation. Ten terms that look up ask 41 with three mx of ten hosts."""
MAX_ANSWER = 500
"""Records of one answer. Names with a hundred TXT records exist."""
MAX_ADDRESSES = 1000
"""Addresses that one evaluation compares."""
MAX_MACROS = 200
"""Macros that one evaluation expands."""
MAX_LOOKUP_TERMS = 30
"""Terms that ask DNS, of all records that one evaluation reads: rspamd 3.4 asks for all of them,
whether or not it needs them, and stops at 30."""
MIN_PREFIX = 8
"""rspamd takes a network with a shorter prefix for too wide to authorise anybody."""

_MAX_LOOKUPS, _MAX_VOID_LOOKUPS, _MAX_NAMES = 10, 2, 10  # RFC 7208, section 4.6.4
_HOST_NAME = re.compile(r"[a-z0-9._/*-]+")
_MAX_LABEL = 63  # octets, RFC 1035, section 2.3.4
_OF_THE_PERSON = frozenset("ls")  # the macros with a local part, RFC 7208, section 7.2


class SpfResult(Enum):
    """The results of RFC 7208, section 2.6."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    NONE = "none"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


_RESULTS = {
    "+": SpfResult.PASS,
    "-": SpfResult.FAIL,
    "~": SpfResult.SOFTFAIL,
    "?": SpfResult.NEUTRAL,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What an evaluation comes to."""

    result: SpfResult
    explanation: str
    """The term that decided, or what is wrong."""
    doubt: str = ""
    """Why some receivers do not take a pass for one."""


class _StoppedError(Exception):
    """The evaluation ends here, in an error."""

    def __init__(self, result: SpfResult, explanation: str) -> None:
        super().__init__(explanation)
        self.finding = Finding(result, explanation)


def _permanent(explanation: str) -> _StoppedError:
    return _StoppedError(SpfResult.PERMERROR, explanation)


@dataclass(slots=True)
class Workshop:
    """What the evaluations of one judgement share: DNS, records that are read, and their time."""

    lookup: Lookup
    processor_time: Callable[[], float]
    until: float
    """The processor time at which they have to end."""
    _read: dict[bytes, ReadRecord | str] = field(default_factory=dict)
    _numbers: dict[tuple[Record, ...], list[int]] = field(default_factory=dict)

    def record(self, text: bytes) -> ReadRecord | str:
        """Read a record, once; text says what is wrong with it."""
        known = self._read.get(text)
        if known is None:
            known = self._read[text] = read_record(text)
        return known

    def numbers(self, addresses: tuple[Record, ...]) -> list[int]:
        """The addresses of an answer as numbers, converted once."""
        known = self._numbers.get(addresses)
        if known is None:
            texts = (each for each in addresses if isinstance(each, str))
            known = self._numbers[addresses] = [int(ip_address(text)) for text in texts]
        return known

    @property
    def is_over(self) -> bool:
        """Whether the time is used up."""
        return self.processor_time() > self.until

    def check_time(self) -> None:
        """End the evaluation when the time is used up."""
        if self.is_over:
            raise _StoppedError(SpfResult.TEMPERROR, "more processor time than a message may take")


class CheckHost:
    """One evaluation. *local_part* and *domain* are those of the sender that is checked."""

    def __init__(
        self, workshop: Workshop, address: IpAddress, local_part: str, domain: str, helo: str
    ) -> None:
        self._workshop = workshop
        self._address = getattr(address, "ipv4_mapped", None) or address
        self._bits, self._number = self._address.max_prefixlen, int(self._address)
        self._local_part, self._sender_domain, self._helo = local_part, domain, helo
        self._lookups = self._questions = self._terms = self._lookup_terms = self._addresses = (
            self._macros
        ) = 0
        self.void_lookups = 0
        self.saw_local_part = False
        """Whether a macro has asked for it: other senders of the domain may get another result."""
        self._unsure = ""
        """The DNS failure that is an error to some receivers, though not by the RFC."""
        self._doubts: list[str] = []
        self._path: list[Directive] = []
        """The directives that matched and lead to the result, the innermost first."""
        self._unreached: list[tuple[Directive, str]] = []
        self._private: set[str] = set()
        """The names that macros made of the local part, and what DNS says of them leads to."""

    def run(self) -> Finding:
        """Evaluate the record of the sender's domain."""
        try:
            result, explanation = self._check(self._sender_domain)
        except _StoppedError as stopped:
            return stopped.finding
        if result is not SpfResult.PASS:
            return Finding(result, explanation)
        if self._unsure:
            return Finding(SpfResult.TEMPERROR, self._unsure)
        return Finding(result, explanation, self._doubt())

    def expansion(self, domain_spec: str, domain: str) -> str:
        """Expand a domain-spec in the record of *domain*; empty when it has an error."""
        if "%" in MACRO.sub("", domain_spec):
            return ""
        try:
            return self._expand(domain_spec, domain)
        except _StoppedError:
            return ""

    def _expand(self, domain_spec: str, domain: str) -> str:
        """Expand a domain-spec in the record of *domain* to a name in lower case."""
        if "%" not in domain_spec:
            return domain_spec.removesuffix(".").lower()
        self._macros += count_macros(domain_spec)
        if self._macros > MAX_MACROS:
            raise _permanent(f"more than {MAX_MACROS} macros")
        name = expand(domain_spec, lambda letter: self._value(letter, domain))
        if not name:
            raise _permanent(f"an empty name: {domain_spec}")
        if len(name) > MAX_NAME:
            self._doubts.append(f"{domain_spec} makes a name that receivers cut differently")
        name = truncate(name).lower()
        letters = letters_of(domain_spec)
        if letters & _OF_THE_PERSON or ("d" in letters and domain in self._private):
            self._private.add(name)
        return name

    def _check(self, domain: str) -> tuple[SpfResult, str]:
        record = self._record_of(domain)
        if record is None:
            return SpfResult.NONE, "no SPF record"
        self._enter(record, domain)
        for place, directive in enumerate(record.directives):
            mark = len(self._path)
            if not self._matches(directive, domain):
                del self._path[mark:]
                continue
            self._note_match(record, place)
            rest = record.directives[place + 1 :]
            self._unreached += [(each, domain) for each in rest if each.term.qualifier != "+"]
            return _RESULTS[directive.term.qualifier], directive.term.text
        if not record.redirect:
            return SpfResult.NEUTRAL, "no term matches"
        target = self._expand(record.redirect, domain)
        result, explanation = self._check(target)
        if result is SpfResult.NONE:
            raise _permanent(f"no SPF record to redirect to: {target}")
        return result, explanation

    def _record_of(self, domain: str) -> ReadRecord | None:
        answer = self._ask(domain, RecordType.TXT)
        texts = find_records(text for text in answer if isinstance(text, bytes))
        if not texts:
            return None
        if len(texts) > 1:
            raise _permanent("two or more SPF records")
        record = self._workshop.record(texts[0])
        if isinstance(record, str):
            raise _permanent(record)
        return record

    def _enter(self, record: ReadRecord, domain: str) -> None:
        """Do what pyspf does before it evaluates the first term of a record."""
        self._workshop.check_time()
        self._terms += len(record.directives)
        self._lookup_terms += record.lookup_terms
        if self._terms > MAX_TERMS:
            raise _permanent(f"more than {MAX_TERMS} terms")
        if record.doubt:
            self._doubts.append(record.doubt)
        if record.redirect:
            self._count_lookup()  # even beside `all`, where it is not followed
        if record.uses_ptr:
            self._validated_names()
        for include in record.includes:
            if self._expand(include.argument, domain) == domain:
                raise _permanent(f"a record that includes itself: {include.text}")

    def _matches(self, directive: Directive, domain: str) -> bool:
        term = directive.term
        match term.name:
            case "all":
                return True
            case "ip4" | "ip6":
                is_same = (term.name == "ip4") is (self._address.version == IPV4)
                return is_same and self._is_in(directive.network, directive)
        self._count_lookup()
        name = self._expand(term.argument, domain) if term.argument else domain
        looks_up: dict[str, Callable[[str], bool]] = {
            "include": self._includes,
            "exists": self._exists,
            "ptr": self._is_named,
            "mx": partial(self._is_mail_host, directive),
            "a": partial(self._is_host, directive),
        }
        return looks_up[term.name](name)

    def _exists(self, name: str) -> bool:
        return bool(self._ask(name, RecordType.A))

    def _is_named(self, name: str) -> bool:
        return any(_is_at_or_below(each, name) for each in self._validated_names())

    def _includes(self, name: str) -> bool:
        result, _ = self._check(name)
        if result is SpfResult.NONE:
            raise _permanent(f"no SPF record to include: {name}")
        return result is SpfResult.PASS

    def _is_mail_host(self, directive: Directive, name: str) -> bool:
        answer = self._ask(name, RecordType.MX)
        exchanges = [each for each in answer if isinstance(each, MailExchange)]
        if len(exchanges) > _MAX_NAMES:
            raise _permanent(f"more than {_MAX_NAMES} MX records: {name}")
        # All are looked up, as by pyspf: one that fails is an error, whichever matches.
        if name in self._private:
            self._private.update(each.host.lower() for each in exchanges)
        hosts = [self._host_addresses(each.host) for each in exchanges]
        return any(self._is_in(number, directive) for numbers in hosts for number in numbers)

    def _is_host(self, directive: Directive, name: str) -> bool:
        return any(self._is_in(number, directive) for number in self._host_addresses(name))

    def _host_addresses(self, name: str) -> list[int]:
        if not name:  # the host of a null MX (RFC 7505), which some count as a void lookup
            self._count_void_lookup()
            return []
        is_ipv4 = self._address.version == IPV4
        answer = self._ask(name, RecordType.A if is_ipv4 else RecordType.AAAA)
        self._addresses += len(answer)
        if self._addresses > MAX_ADDRESSES:
            raise _permanent(f"more than {MAX_ADDRESSES} addresses")
        return self._workshop.numbers(answer)

    def _is_in(self, network: int, directive: Directive) -> bool:
        rest = self._bits - directive.length(self._address.version)
        return (network ^ self._number) >> rest == 0

    def _validated_names(self) -> list[str]:
        """Look up the names of the client that resolve back to it, at most ten.

        By RFC 7208, section 5.5, a name whose lookup fails is skipped. Receivers with pyspf or
        Mail::SPF make it a temporary error, so that a pass that follows is not one everywhere.
        """
        try:
            answer = self._ask(self._address.reverse_pointer, RecordType.PTR)
        except _StoppedError as stopped:
            self._skip(stopped)
            return []
        names = [name.removesuffix(".") for name in answer if isinstance(name, str)]
        return [name for name in names[:_MAX_NAMES] if self._points_back(name)]

    def _points_back(self, name: str) -> bool:
        try:
            return self._number in self._host_addresses(name)
        except _StoppedError as stopped:
            self._skip(stopped)
            return False

    def _skip(self, stopped: _StoppedError) -> None:
        self._workshop.check_time()
        if stopped.finding.result is not SpfResult.TEMPERROR:
            raise stopped
        self._unsure = stopped.finding.explanation

    def _ask(self, name: str, record_type: RecordType) -> tuple[Record, ...]:
        name = name.lower()
        # Macros can make names that DNS cannot hold. Those of a local part that is not ASCII match
        # nothing (RFC 8616, section 4).
        if not _could_exist(name):
            return ()
        if not _HOST_NAME.fullmatch(name):
            # The resolver below mailauth calls such a name an error.
            self._doubts.append(f"not every resolver asks for {name}")
        self._workshop.check_time()
        self._questions += 1
        if self._questions > MAX_QUESTIONS:
            raise _permanent(f"more than {MAX_QUESTIONS} DNS questions")
        answer = self._workshop.lookup.look_up(name, record_type, is_private=name in self._private)
        if isinstance(answer, LookupFailed):
            raise _StoppedError(
                SpfResult.TEMPERROR, f"{record_type.value} {name}: {answer.reason}"
            )
        if not answer.records:
            self._count_void_lookup()
        if len(answer.records) > MAX_ANSWER:
            raise _permanent(f"more than {MAX_ANSWER} {record_type.value} records: {name}")
        return answer.records

    def _count_lookup(self) -> None:
        self._lookups += 1
        if self._lookups > _MAX_LOOKUPS:
            raise _permanent(f"more than {_MAX_LOOKUPS} DNS lookups")

    def _count_void_lookup(self) -> None:
        # RFC 7208, section 4.6.4, counted strictly: every empty answer, of any term, each time.
        self.void_lookups += 1
        if self.void_lookups > _MAX_VOID_LOOKUPS:
            raise _permanent(f"more than {_MAX_VOID_LOOKUPS} void lookups")

    def _value(self, letter: str, domain: str) -> str:
        # Noted here, and not where a name is asked for: one that DNS cannot hold never is.
        self.saw_local_part |= letter in _OF_THE_PERSON
        if letter == "p":
            return self._client_name(domain)
        is_ipv4 = self._address.version == IPV4
        return {
            "s": f"{self._local_part}@{self._sender_domain}",
            "l": self._local_part,
            "o": self._sender_domain,
            "d": domain,
            "i": _dotted(self._address),
            "v": "in-addr" if is_ipv4 else "ip6",
            "h": self._helo,
        }[letter]

    def _client_name(self, domain: str) -> str:
        """The value of %{p}, section 7.3."""
        names = self._validated_names()
        below = [name for name in names if _is_at_or_below(name, domain)]
        itself = [name for name in below if name.lower() == domain]
        return (*itself, *below, *names, "unknown")[0]

    def _note_match(self, record: ReadRecord, place: int) -> None:
        directive = record.directives[place]
        self._path.append(directive)
        if directive.is_negative:
            # rspamd 3.4 takes it for the result, though it stands in a record that is included.
            self._doubts.append(f"{directive.term.text} matches too")
        if place >= record.sure:
            self._doubts.append(f"not all receivers read as far as {directive.term.text}")

    def _doubt(self) -> str:
        """Why some receivers do not count the pass; empty when all do."""
        for directive in self._path:
            if problem := self._problem(directive):
                return problem
        if self._doubts:
            return self._doubts[0]
        if self._lookup_terms > MAX_LOOKUP_TERMS:
            return f"more than {MAX_LOOKUP_TERMS} terms that ask DNS"
        return self._contradiction(self._path[0])

    def _contradiction(self, matched: Directive) -> str:
        """Why rspamd 3.4 takes another term that matches for the result; empty when it does not.

        It looks at the terms of all records, however they are reached. An include behind the match
        is looked into where its own qualifier says that it is no pass.
        """
        for directive, domain in self._unreached:
            if directive.is_negative:
                may_win = _sorts_first(directive, matched)
            else:
                may_win = not directive.is_all
            if may_win and self._matches_unreached(directive, domain):
                return f"{directive.term.text} matches too"
            if self._doubts:  # by a term of a record that it includes
                return self._doubts[0]
        return ""

    def _problem(self, directive: Directive) -> str:
        """Why some receivers do not count a pass that this directive leads to."""
        term = directive.term
        if term.name == "all":
            return f"{term.text} passes the whole world"
        is_wide = directive.length(self._address.version) < MIN_PREFIX
        if is_wide and term.name in NETWORKS:
            return f"{term.text} is wider than /{MIN_PREFIX}"
        if not is_read_alike(term.argument):
            return f"receivers differ on the macros of {term.text}"
        return ""

    def _matches_unreached(self, directive: Directive, domain: str) -> bool:
        self._lookups = self.void_lookups = 0
        try:
            return self._matches(directive, domain) and directive.is_negative
        except _StoppedError as stopped:
            failed = stopped.finding.result is SpfResult.TEMPERROR
            return not failed or self._workshop.is_over


def _sorts_first(later: Directive, matched: Directive) -> bool:
    """Whether rspamd 3.4 may take *later* in the place of *matched*: it sorts what records hold.

    Measured: hosts stand before ip6; of two networks of a family the later one comes first unless
    they are the same; the addresses of two hosts come in any order.
    """
    kinds = [each.term.name if each.is_network else "host" for each in (later, matched)]
    if kinds[0] == kinds[1] != "host":
        return (later.network, later.lengths) != (matched.network, matched.lengths)
    return kinds in (["host", "host"], ["host", "ip6"])


def _is_at_or_below(name: str, domain: str) -> bool:
    return f".{name.lower()}".endswith("." + domain)


def _could_exist(name: str) -> bool:
    return (
        name.isascii()
        and len(name) <= MAX_NAME
        and all(0 < len(label) <= _MAX_LABEL for label in name.split("."))
    )


def _dotted(address: IpAddress) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return ".".join(address.exploded.replace(":", "").upper())
