"""DNS answers from a master file instead of the network: for `explain --zone` and for tests.

The file (RFC 1035, section 5) holds absolute names of any domain, as if it were the root zone:
a name that it does not have does not exist. $TTL and $ORIGIN are allowed; wildcards follow
RFC 4592, and DNAME records RFC 6672. Two comments declare failures: `; SERVFAIL name [TYPE]` and
`; TIMEOUT name [TYPE]`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.name
import dns.node
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset
import dns.tokenizer
import dns.zonefile

from alignd.mailauth.dns import Answer, LookupFailed, RecordType
from alignd.resolver.wire import alias_below, to_name, to_rdtype, to_records, to_text

_FAILURE = re.compile(
    r"^[ \t]*;[ \t]*(SERVFAIL|TIMEOUT)[ \t]+(\S+)(?:[ \t]+(\w+))?[ \t\r]*$", re.MULTILINE
)
# dnspython takes a SOA record at the origin only, and the origin here is the root.
_SOA = re.compile(
    r"""^(?P<owner>[^\s;]*)(?P<ttl>(?:[ \t]+(?:\d\w*|IN))*)[ \t]+SOA[ \t][^()\n]*
        (?P<rest>\((?:[^;)]|;[^\n]*)*\))?""",
    re.MULTILINE | re.IGNORECASE | re.VERBOSE,
)
_DNSPYTHON_POSITION = re.compile(r"^<\w+>:\d+: ")
_MAX_CHAIN = 16  # CNAMEs that are followed, as dnspython does
_MAX_RECORD_LINES = 16
_DEFAULT_TTL = 0  # seconds: what a file without TTLs says may change at any time


class ZoneError(ValueError):
    """The text is not a master file; the message is `source:line: problem`."""


@dataclass(frozen=True, slots=True)
class ZoneAnswer:
    """What the zone has for a question: a failure, or the records of the chain of aliases."""

    rrsets: tuple[dns.rrset.RRset, ...] = ()
    exists: bool = True
    failure: str = ""


class Zone:
    """The names of a master file, as a Lookup."""

    def __init__(
        self, rrsets: list[dns.rrset.RRset], failures: dict[tuple[dns.name.Name, str], str]
    ) -> None:
        self._rrsets = {(rrset.name, rrset.rdtype): rrset for rrset in rrsets}
        self._has_dnames = any(type_ == dns.rdatatype.DNAME for _, type_ in self._rrsets)
        self._failures = failures
        # Every ancestor of a name exists, with or without records (RFC 8020, section 2).
        owners = {rrset.name for rrset in rrsets} | {name for name, _ in failures}
        self._names = {ancestor for owner in owners for ancestor in _ancestors(owner)}
        self._names.add(dns.name.root)

    @classmethod
    def parse(cls, text: str, source: str = "zone") -> Zone:
        """Read the *text* of a master file; *source* names it in errors.

        Raises:
            ZoneError: the text is not a master file.
        """
        try:
            return cls(*_read(text))
        except (dns.exception.DNSException, ValueError) as error:
            line = _first_bad_line(text)
            problem = _DNSPYTHON_POSITION.sub("", str(error)) or type(error).__name__
            raise ZoneError(f"{source}:{line}: {problem}") from error

    def look_up(
        self,
        name: str,
        record_type: RecordType,
        *,
        is_private: bool = False,  # noqa: ARG002  # nothing is written
    ) -> Answer | LookupFailed:
        rdtype = to_rdtype(record_type)
        try:
            outcome = self.find(to_name(name), rdtype)
        except (dns.exception.DNSException, UnicodeError):
            return Answer((), exists=False)  # a name that DNS cannot carry
        if outcome.failure:
            return LookupFailed(outcome.failure)
        wanted = [rrset for rrset in outcome.rrsets if rrset.rdtype == rdtype]
        records = to_records(wanted[-1]) if wanted else ()
        aliases = [rrset for rrset in outcome.rrsets if rrset.rdtype == dns.rdatatype.CNAME]
        alias_of = to_text(aliases[0][0].target) if aliases else ""
        return Answer(records, outcome.exists or bool(outcome.rrsets), alias_of)

    def has(self, name: str) -> bool:
        """Whether the file has something of *name* or of one below it, be it a DNAME above it.

        What a wildcard says of it is not its own.
        """
        try:
            written = to_name(name)
        except (dns.exception.DNSException, UnicodeError):
            return False
        return written in self._names or self._dname_above(written) is not None

    def find(self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> ZoneAnswer:
        """Follow aliases from *name* to records of that type."""
        chain: list[dns.rrset.RRset] = []
        for _ in range(_MAX_CHAIN):
            for type_ in ("", rdtype.name):
                if failure := self._failures.get((name, type_)):
                    return ZoneAnswer(failure="timeout" if failure == "TIMEOUT" else failure)
            if dname := self._dname_above(name):
                try:
                    alias = alias_below(dname, name)
                except dns.name.NameTooLong:
                    return ZoneAnswer(failure="YXDOMAIN")  # RFC 6672, section 2.2
                assert alias is not None, "it stands above the name"
                chain += [alias] if dname in chain else [dname, alias]
                name = alias[0].target
                continue
            owner = self._owner(name)
            if owner is None:
                return ZoneAnswer(tuple(chain), exists=False)
            if found := self._rrsets.get((owner, rdtype)):
                return ZoneAnswer((*chain, _named(found, name)))
            alias = self._rrsets.get((owner, dns.rdatatype.CNAME))
            if alias is None:
                return ZoneAnswer(tuple(chain))
            chain.append(_named(alias, name))
            name = alias[0].target
        return ZoneAnswer(failure="CNAME loop")

    def _dname_above(self, name: dns.name.Name) -> dns.rrset.RRset | None:
        """The DNAME record that answers for *name*: it hides what else is below its owner."""
        if not self._has_dnames:
            return None
        above = reversed(_ancestors(name)[1:])
        found = (self._rrsets.get((owner, dns.rdatatype.DNAME)) for owner in above)
        return next((dname for dname in found if dname), None)

    def _owner(self, name: dns.name.Name) -> dns.name.Name | None:
        """The name whose records answer for *name*, RFC 4592, section 3.3.1."""
        if name in self._names:
            return name
        encloser = next(ancestor for ancestor in _ancestors(name) if ancestor in self._names)
        wildcard = dns.name.Name((b"*", *encloser.labels))
        return wildcard if wildcard in self._names else None


def _read(
    text: str,
) -> tuple[list[dns.rrset.RRset], dict[tuple[dns.name.Name, str], str]]:
    manager = dns.zonefile.RRSetsReaderManager(dns.name.root, relativize=False)
    with _IndexedTransaction(manager, replacement=True, read_only=False) as transaction:
        dns.zonefile.Reader(
            dns.tokenizer.Tokenizer(_SOA.sub(_placeholder, text)),
            dns.rdataclass.IN,
            transaction,
            allow_directives={"$TTL", "$ORIGIN"},  # no $INCLUDE: it would read another file
            default_ttl=_DEFAULT_TTL,
        ).read()
    return manager.rrsets, dict(map(_failure, _FAILURE.finditer(text)))


class _IndexedTransaction(dns.zonefile.RRsetsReaderTransaction):
    """dnspython's, which looks through all records for those of one name: at each record."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
        self._index: defaultdict[dns.name.Name, dict[Any, dns.rdataset.Rdataset]]
        self._index = defaultdict(dict)

    def _put_rdataset(self, name: dns.name.Name, rdataset: dns.rdataset.Rdataset) -> None:
        super()._put_rdataset(name, rdataset)  # type: ignore[no-untyped-call]
        self._index[name][rdataset.rdtype, rdataset.covers] = rdataset

    def _get_node(self, name: dns.name.Name) -> dns.node.Node | None:
        if name not in self._index:
            return None
        node = dns.node.Node()  # type: ignore[no-untyped-call]
        node.rdatasets = list(self._index[name].values())
        return node


def _first_bad_line(text: str) -> int:
    """The line that makes *text* unreadable.

    dnspython has often read further when it complains, so its line numbers are of no use: the
    shortest beginning of the text that cannot be read ends with the line.
    """
    lines = text.split("\n")

    def fails(count: int) -> bool:
        try:
            _read("\n".join(lines[:count]))
        except (dns.exception.DNSException, ValueError):
            return True
        return False

    bad = bisect_left(range(len(lines) + 1), True, key=fails)
    # Half of a record that spans lines cannot be read either: look for the error behind it.
    while whole := [n for n in range(bad + 1, bad + _MAX_RECORD_LINES) if not fails(n)]:
        bad = bisect_left(range(len(lines) + 1), True, lo=whole[-1], key=fails)
    return min(bad, len(lines))


def _placeholder(soa: re.Match[str]) -> str:
    """A record with the owner of *soa*, on as many lines, of a type that nobody asks for."""
    return f"{soa['owner']}{soa['ttl']} TYPE65534 \\# 0" + "\n" * (soa["rest"] or "").count("\n")


def _failure(comment: re.Match[str]) -> tuple[tuple[dns.name.Name, str], str]:
    kind, name, type_ = comment.groups(default="")
    if type_:
        try:
            type_ = dns.rdatatype.from_text(type_).name
        except (dns.rdatatype.UnknownRdatatype, ValueError):
            raise ValueError(f"unknown record type {type_!r}") from None
    return (dns.name.from_text(name), type_), kind


def _ancestors(name: dns.name.Name) -> list[dns.name.Name]:
    """*name* and every name above it, the root last."""
    return [dns.name.Name(name.labels[start:]) for start in range(len(name.labels))]


def _named(rrset: dns.rrset.RRset, name: dns.name.Name) -> dns.rrset.RRset:
    copy = dns.rrset.RRset(name, rrset.rdclass, rrset.rdtype)
    copy.update(rrset)  # type: ignore[no-untyped-call]
    return copy
