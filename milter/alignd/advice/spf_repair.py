"""Repairs published SPF records, and makes one of several.

A record with an error passes nobody. A repair passes only those whom a term of it names plainly,
or it would open the domain to strangers; and nobody is refused for what is left out.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from alignd.mail.domain import Domain
from alignd.mail.printable import printable
from alignd.mailauth.spf_record import (
    BITS,
    MAX_TERM,
    SOFTEST_LAST,
    VERSION,
    SpfRecord,
    Term,
    parse_term,
    valid_term,
)

_SEPARATORS = re.compile(r"[ \t\r\n]+")  # the RFC has blanks alone, pyspf takes all of them
_GLUED_ALL = re.compile(r"(?P<term>.+)(?P<all>[-~?]all)", re.IGNORECASE)
_QUOTES = "\"'"
_WIDE = (10, 29)  # of IPv4 and IPv6; 28 is what is left of 128


@dataclass(frozen=True, slots=True)
class RepairedRecord:
    """Published records, repaired, in one."""

    record: SpfRecord
    """The valid terms."""
    dropped: tuple[str, ...] = ()
    """The terms that are left out, as people read them."""
    doubtful: tuple[str, ...] = ()
    """What may mean two things, so that nobody can repair the record but its owner."""
    is_softened: bool = False
    """Whether `-all` has become `~all`, because of what is left out."""


def repair_records(texts: Iterable[bytes], domain: Domain) -> RepairedRecord:
    """Make one valid record of the SPF records of *domain*, or of what resembles some.

    Several are an error to receivers (section 4.5): one has the terms of all.
    """
    readings = [_read(text, domain) for text in texts]
    dropped = [word for reading in readings for word in reading.dropped]
    terms = _merged([reading.terms for reading in readings])
    if len(readings) > 1 or not all(reading.is_plain for reading in readings):
        # It passes nobody now, and so would pass the whole world.
        dropped += [term.text for term in terms if term.passes_everybody]
        terms = [term for term in terms if not term.passes_everybody]
    softened = _with_soft_end(terms) if dropped else terms
    return RepairedRecord(
        SpfRecord(tuple(softened)),
        tuple(map(_for_people, dropped)),
        tuple(_for_people(doubt) for reading in readings for doubt in reading.doubts),
        is_softened=softened != terms,
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    """One text, read word by word."""

    terms: list[Term]
    dropped: list[str]
    doubts: list[str]
    is_plain: bool
    """Whether it is valid as it stands."""


def _read(text: bytes, domain: Domain) -> _Reading:
    start = text.lower().find(b"v=spf1") + len("v=spf1")
    body = text[start:].decode("latin-1").lstrip(",;")  # in the place of the blank
    if text[:1] in {b'"', b"'"}:  # quotes that were meant for the zone file
        body = body.removesuffix(text[:1].decode())
    words = [word for word in _SEPARATORS.split(body) if word]
    kept: list[Term] = []
    modifiers: set[str] = set()
    lost: list[int] = []
    readings = [_repaired(word) for word in words]
    if text[start : start + 1].isalnum():
        readings[0] = []  # "v=spf1a": nobody knows what stood behind the version
    for place, terms in enumerate(readings):
        usable = [term for term in terms if _is_usable(term, modifiers, domain)]
        kept += usable
        modifiers.update(term.name for term in usable if term.is_modifier)
        if not usable:
            lost.append(place)
    as_written = [word for word in body.split(" ") if word]
    is_plain = bool(VERSION.match(text)) and as_written == [term.text for term in kept]
    doubts = list(_doubts(words, readings))
    if not is_plain:
        doubts += [term.text for term in kept if _is_wide(term)]
    return _Reading(kept, [words[place] for place in lost], doubts, is_plain)


def _doubts(words: list[str], readings: list[list[Term]]) -> Iterator[str]:
    """The places where an invalid word leaves the meaning of a valid one open."""
    passing = [place for place, terms in enumerate(readings) if any(map(_may_pass, terms))]
    last_passing = passing[-1] if passing else -1
    for place, word in enumerate(words):
        if readings[place]:
            continue
        before, behind = words[place - 1 : place], words[place + 1 : place + 2]
        if before and readings[place - 1] and _may_go_on(before[0], word):
            yield f"{before[0]} {word}"
        if behind and readings[place + 1] and _is_other(word + behind[0]):
            yield f"{word} {behind[0]}"
        # It may have been an exception, which fails some of those that a later term passes.
        elif not re.match("[a-z0-9]", word, re.IGNORECASE) and last_passing > place:
            yield word


def _may_go_on(word: str, rest: str) -> bool:
    """Whether *word* may be the beginning of a longer term, cut by a blank."""
    return parse_term(word + rest) is not None or ("/" in word and _may_lack_a_digit(word))


def _may_lack_a_digit(text: str) -> bool:
    """Whether *text* with one more digit is another term.

    A prefix length that has lost its second digit is a network of half the world.
    """
    return any(parse_term(text + digit) for digit in string.digits)


def _is_wide(term: Term) -> bool:
    """Whether it passes a network that is wider than nearly any owner's.

    In a record with one fault, another is likely: a digit that is missing.
    """
    v4, v6 = term.prefix_lengths
    too_wide = {"ip4": v4 < _WIDE[0], "ip6": v6 < _WIDE[1]}
    if term.name in {"a", "mx"}:
        return any(too_wide.values())
    return too_wide.get(term.name, False)


def _is_other(joined: str) -> bool:
    term = parse_term(joined)
    return term is not None and term.name != "all"


def _may_pass(term: Term) -> bool:
    return not term.is_modifier and term.name != "all"


def _merged(records: list[list[Term]]) -> list[Term]:
    """The terms of all *records*, which pass every sender that one of them passes."""
    if len(records) == 1:
        return records[0]
    terms = [term for record in records for term in record]
    ends = [term for term in terms if term.name == "all"]
    redirects = {term.argument.lower() for term in terms if term.name == "redirect"}
    if ends or len(redirects) > 1:
        # The `all` of one record would make the redirect= of another unused; an include stays.
        terms = [_as_include(term) for term in terms]
    merged: dict[str, Term] = {}
    for term in terms:
        if term.name != "all":
            merged.setdefault(f"{term.name}=" if term.is_modifier else term.text.lower(), term)
    return [*merged.values(), *_softest(ends)]


def _softest(ends: list[Term]) -> list[Term]:
    # The softest, so that merging makes no mail fail; and every `+all`, for the caller to see.
    others = [end for end in ends if not end.passes_everybody]
    softest = sorted(others, key=lambda end: SOFTEST_LAST.index(end.qualifier))[-1:]
    return [*(end for end in ends if end.passes_everybody), *softest]


def _with_soft_end(terms: list[Term]) -> list[Term]:
    """*terms* without a hard fail at the end: whom the lost terms named is not refused."""
    redirects = [term for term in terms if term.name == "redirect"]
    if redirects and not any(term.name == "all" for term in terms):
        others = [term for term in terms if term.name != "redirect"]
        return [*others, *map(_as_include, redirects), valid_term("~all")]
    return [
        valid_term("~all") if term.name == "all" and term.qualifier == "-" else term
        for term in terms
    ]


def _for_people(word: str) -> str:
    return printable(word.encode("latin-1").decode(errors="backslashreplace"))


def _as_include(term: Term) -> Term:
    return valid_term(f"include:{term.argument}") if term.name == "redirect" else term


def _is_usable(term: Term, modifiers: set[str], domain: Domain) -> bool:
    if term.name in {"include", "redirect"} and _is_itself(term, domain):
        return False
    # Section 6: redirect= and exp= may stand once. pyspf refuses any modifier that stands twice.
    return not (term.is_modifier and term.name in modifiers)


def _is_itself(term: Term, domain: Domain) -> bool:
    # A record that includes itself is an error: its evaluation would never end.
    return term.names(domain) or term.argument.lower() in {"%{d}", "%{o}"}


def _repaired(written: str) -> list[Term]:
    """The terms that *written* was meant for; none when that is not sure."""
    if term := parse_term(written):
        return [term]
    text = written[1:-1] if written[0] in _QUOTES and written[-1] == written[0] else written
    text = text.rstrip(",;")
    if term := parse_term(text):
        # The comma may stand where a digit stood.
        is_network = term.name in BITS or "/" in text
        return [] if is_network and _may_lack_a_digit(text) else [term]
    # "... ip4:192.0.2.1" "-all": the strings of a record are joined without a blank (section 3.3).
    glued = _GLUED_ALL.fullmatch(text) if len(text) <= MAX_TERM else None
    term, end = (parse_term(glued["term"]), parse_term(glued["all"])) if glued else (None, None)
    if term is None or end is None or ("/" in term.text and _may_lack_a_digit(term.text)):
        return []
    return [term, end]
