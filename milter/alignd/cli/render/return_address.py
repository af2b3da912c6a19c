"""Tells of return addresses: whose one is, and whether it holds; or which ones an author has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from alignd.cli.text import ERROR, GOOD, HEADING, WARNING, Line, Span, fold, verbatim
from alignd.config.settings import Settings
from alignd.mail.domain import Domain, DomainError
from alignd.mail.mailbox import Mailbox
from alignd.mailauth.ternary import Ternary
from alignd.return_path.address import BOUNCE_DAYS, DAY, Claim, Invalid, Kind, Unfit, claimed
from alignd.return_path.directory import Directory, Found, KeyTrouble, Nobody
from alignd.return_path.keyring import Key

_EPOCH = date(1970, 1, 1)
WHY_NONE = {
    Unfit.CHARACTERS: "it has a character that some servers on the way refuse",
    Unfit.TOO_LONG: "it would be longer than servers have to take",
    Unfit.OURS: "it is in the domain of the return addresses itself",
    Unfit.BLOCKED: "return.blocked names it",
}
"""Why the address of an author makes no return address."""
_REFUSED = {
    Invalid.FORM: "it has not the form of a return address",
    Invalid.FORGED: "no key has signed it so: it was changed, made up, or made for another domain",
    Invalid.RETIRED: "its key is retired",
    Invalid.EXPIRED: f"a bounce address is good for {BOUNCE_DAYS} days",
    Nobody.BLOCKED: "return.blocked names its author",
    Nobody.ELSEWHERE: "its domain has no return addresses in this configuration",
}
_SIGNED = {"", Invalid.RETIRED.value, Invalid.EXPIRED.value, Nobody.BLOCKED.value}
"""The reasons with which a return address is at least no forgery."""
_KINDS = {
    Kind.AUTHOR: "author: anybody may answer to it",
    Kind.BOUNCE: "bounce: for bounces alone",
}


@dataclass(frozen=True, slots=True)
class AddressReport:
    """What is told of one address."""

    asked: str
    holds: Ternary
    """Of an author: whether there is a return address."""
    reason: str = ""
    """A word for scripts, where it does not hold."""
    why: str = ""
    author: str = ""
    return_address: str = ""
    bounce_address: str = ""
    """The shared one, if that is where bounces go."""
    kind: Kind | None = None
    """Of a return address that was asked for."""
    key_id: str = ""
    key: Key | None = None
    """The one with this id, if it is listed."""
    made_on: date | None = None
    deliver_to: str = ""

    @property
    def good_until(self) -> date | None:
        """The last day of a bounce address (UTC)."""
        return self.made_on + timedelta(days=BOUNCE_DAYS) if self.made_on else None


def report_of_author(
    author: Mailbox, directory: Directory, settings: Settings, now: float
) -> AddressReport:
    """The return addresses that *author* has under *settings*, which have keys."""
    entry = directory.domains[settings.return_domain]
    if isinstance(entry.keyring, KeyTrouble):
        why = entry.keyring.problem
        return AddressReport(author.address, Ternary.UNKNOWN, "keys", why, author.address)
    made = directory.make(author, Kind.AUTHOR, settings, now)
    if not isinstance(made, Mailbox):
        reason, why = (made.value, WHY_NONE[made]) if made else ("off", "return.keys is not set")
        return AddressReport(author.address, Ternary.NO, reason, why, author.address)
    bounce = directory.make(author, Kind.BOUNCE, settings, now)
    is_own = isinstance(bounce, Mailbox) and settings.return_path.envelope == "author"
    sender = bounce if is_own and isinstance(bounce, Mailbox) else settings.notifications.bounces
    key = entry.keyring.signing
    return AddressReport(
        author.address,
        Ternary.YES,
        author=author.address,
        return_address=made.address,
        bounce_address=sender.address,
        key_id=key.id,
        key=key,
        made_on=_day(int(now // DAY)) if is_own else None,
        deliver_to=(entry.deliver_to or author).address,
    )


def report_of_return_address(asked: str, directory: Directory, now: float) -> AddressReport:
    """Whose return address *asked* is, and whether it holds."""
    found = directory.find(asked, now)
    claim = claimed(asked.rpartition("@")[0])
    holds, reason, why = _verdict(found, claim)
    if claim is None:
        return AddressReport(asked, holds, reason, why)
    made_on = claim.made_on(now)
    return AddressReport(
        asked,
        holds,
        reason,
        why,
        author=claim.author.address,
        kind=Kind.BOUNCE if claim.day else Kind.AUTHOR,
        key_id=claim.key_id,
        key=_key(claim, asked, directory),
        made_on=None if made_on is None else _day(made_on),
        deliver_to=found.deliver_to.address if isinstance(found, Found) else "",
    )


def _verdict(
    found: Found | Invalid | Nobody | KeyTrouble, claim: Claim | None
) -> tuple[Ternary, str, str]:
    """Whether it holds, and if not the word and the text for the reason."""
    match found:
        case Found():
            return Ternary.YES, "", ""
        case KeyTrouble(problem):
            return Ternary.UNKNOWN, "keys", problem
        case Invalid.UNKNOWN_KEY if claim:
            why = f"its key {claim.key_id} is not listed; another machine may have it"
            return Ternary.UNKNOWN, found.value, why
        case _:
            return Ternary.NO, found.value, _REFUSED[found]


def _key(claim: Claim, asked: str, directory: Directory) -> Key | None:
    try:
        entry = directory.domains.get(Domain.parse(asked.rpartition("@")[2]))
    except DomainError:
        return None
    if entry is None or isinstance(entry.keyring, KeyTrouble):
        return None
    return entry.keyring.keys.get(claim.key_id)


def _day(number: int) -> date:
    return _EPOCH + timedelta(days=number)


def report_lines(report: AddressReport) -> Iterator[Line]:
    yield Line.of(Span(report.asked, HEADING))
    yield from _headline(report)
    if report.kind is not None:
        is_signed = report.reason in _SIGNED
        yield from _pair("author" if is_signed else "says it is of", report.author)
        yield from _pair("kind", _KINDS[report.kind])
    yield from _address("return address", report.return_address)
    yield from _address("bounce address", report.bounce_address)
    if report.made_on:
        yield from _pair("made on", f"{report.made_on}, good until {report.good_until} (UTC)")
    yield from _pair("key", _key_text(report))
    yield from _pair("delivered to", report.deliver_to)


def _headline(report: AddressReport) -> list[Line]:
    match report.holds, report.kind:
        case Ternary.YES, None:
            return []
        case Ternary.YES, _:
            return fold("It holds.", "  ", "  ", GOOD)
        case Ternary.UNKNOWN, _:
            return fold(f"Cannot be told: {report.why}", "  ", "  ", WARNING)
        case _, None if report.author:
            return fold(f"No return address: {report.why}.", "  ", "  ", ERROR)
        case _:
            return fold(f"It does not hold: {report.why}.", "  ", "  ", ERROR)


def _key_text(report: AddressReport) -> str:
    if not report.key_id:
        return ""
    return f"{report.key_id} ({report.key.state.value if report.key else 'not listed'})"


def _address(name: str, address: str) -> list[Line]:
    return [verbatim(address, f"  {name:<16}")] if address else []


def _pair(name: str, value: str) -> list[Line]:
    return fold(value, f"  {name:<16}", " " * 18) if value else []


def report_json(report: AddressReport) -> dict[str, Any]:
    until = report.good_until
    return {
        "address": report.asked,
        "holds": {Ternary.YES: True, Ternary.NO: False, Ternary.UNKNOWN: None}[report.holds],
        "reason": report.reason or None,
        "why": report.why or None,
        "author": report.author or None,
        "return_address": report.return_address or None,
        "bounce_address": report.bounce_address or None,
        "kind": report.kind.value if report.kind else None,
        "key": report.key_id or None,
        "key_state": report.key.state.value if report.key else None,
        "made_on": report.made_on.isoformat() if report.made_on else None,
        "good_until": until.isoformat() if until else None,
        "deliver_to": report.deliver_to or None,
    }
