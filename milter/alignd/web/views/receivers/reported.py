"""Says what reports tell of mail: the share that passed, where they disagree, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alignd.languages.texts import Texts, msgid
from alignd.ledger.answer import OTHER
from alignd.mail.printable import printable
from alignd.reports.receivers.disagreements import Cause, Disagreement, Kind
from alignd.reports.receivers.shares import Held
from alignd.web.heard import Heard

MAX_SHOWN = 100
"""Rows of a table, and disagreements."""

_CAUSES = {
    Cause.ADDRESS: msgid(
        "Our DKIM key signs there, and SPF authorises it: it is an address of our mail server "
        "that relay.addresses does not have."
    ),
    Cause.KEY: msgid(
        "The published DKIM key does not verify the signature: it was replaced, or something "
        "changes the mail after it is signed."
    ),
    Cause.NO_SIGNATURE: msgid("The DKIM signature that was to be there was missing."),
    Cause.ANOTHER_ANSWER: msgid(
        "Other receivers passed such mail on the same days. This one sees another DNS record, "
        "such as an old one, or a nameserver of the domain lags behind."
    ),
    Cause.DNS: msgid("The receiver could not get the record or the key from DNS."),
    Cause.ALIGNMENT: msgid("What passed is of another domain than the one in From."),
    Cause.NOT_AUTHORISED: msgid(
        "The SPF record of the domain did not authorise the address of our mail server."
    ),
    Cause.UNKNOWN: msgid("The report does not say enough to tell why."),
}
_FIXES = {
    Cause.ADDRESS: msgid(
        "The operator adds it to relay.addresses if he knows it for one of the mail server: a "
        "server of the customer may forward there, and a report may lie."
    ),
    Cause.KEY: msgid(
        "Compare the published key with that of the signer: “alignd doctor” does so for ours."
    ),
    Cause.NO_SIGNATURE: msgid(
        "The operator sees to it that the signer runs and signs for the domain, or mends [dkim]."
    ),
    Cause.ANOTHER_ANSWER: msgid(
        "See whether all nameservers of the domain have the same record; “Check now” asks them. "
        "An old one goes by itself within its TTL."
    ),
    Cause.DNS: msgid("If it lasts, the owner of the domain looks after its nameservers."),
    Cause.ALIGNMENT: msgid(
        "The operator finds out with “alignd explain” which return path and which signature such "
        "mail has, and whether the DMARC policy asks for strict alignment."
    ),
    Cause.NOT_AUTHORISED: msgid(
        "The owner publishes the SPF record on the page of the domain. If it is right now, it was "
        "another one on those days."
    ),
    Cause.UNKNOWN: msgid("“alignd explain” on such a message says what is predicted for it now."),
}


@dataclass(frozen=True, slots=True)
class ShareRow:
    """What one receiver says of such mail."""

    receiver: str
    messages: str
    """Of which it says whether they pass."""
    passed: str
    failed: str
    share: str
    """In percent."""
    predicted: str
    """What was to pass, in percent."""
    is_below: bool
    """Whether clearly less passed than was to."""


@dataclass(frozen=True, slots=True)
class DisagreementView:
    """Where a receiver contradicts alignd."""

    domain: str
    path: str
    """Of the page of the domain; empty where there is none."""
    what: str
    why: str
    """The likely reason."""
    fix: str
    address: str
    """Of ours; empty where it is not known."""
    dkim: str
    spf: str
    """What the mechanisms did, in English."""


def share_rows(held: Iterable[Held], texts: Texts) -> tuple[ShareRow, ...]:
    """A row for each that says something."""
    told = [each for each in held if each.told][:MAX_SHOWN]
    return tuple(
        ShareRow(
            receiver=printable(each.name),
            messages=texts.number(each.told),
            passed=texts.number(each.passed),
            failed=texts.number(each.failed),
            share=percent(each.passed, each.told, texts),
            predicted=percent(each.expected, each.told, texts),
            is_below=each.is_below,
        )
        for each in told
    )


def disagreement_views(
    found: Sequence[Disagreement], texts: Texts, *, has_path: bool = True
) -> tuple[DisagreementView, ...]:
    """The first MAX_SHOWN; *has_path* if the page of the domain is another one."""
    return tuple(_disagreement(each, texts, has_path=has_path) for each in found[:MAX_SHOWN])


def percent(part: float, whole: float, texts: Texts) -> str:
    """The share of *part*, rounded down: 100% is all of it."""
    share = int(100 * part / whole + 1e-9) if whole else 0
    return texts.text("{percent}%", percent=share)


def say_reports(heard: Heard | None, texts: Texts) -> str:
    """Whether reports are read at all."""
    if heard is None:
        return texts.text("What receivers said cannot be read from the ledger now.")
    if not heard.joined.reports:
        return texts.text("No report of a receiver was read yet.")
    return texts.plural(
        "{n} report of receivers was read, until {date}.",
        "{n} reports of receivers were read, until {date}.",
        heard.joined.reports,
        date=texts.date(heard.joined.newest),
    )


def _disagreement(found: Disagreement, texts: Texts, *, has_path: bool) -> DisagreementView:
    has_page = has_path and found.kind is Kind.LOST and found.domain not in ("", OTHER)
    return DisagreementView(
        domain=texts.text("Other domains") if found.domain == OTHER else printable(found.domain),
        path=f"/domains/{found.domain}" if has_page else "",
        what=_what(found, texts),
        why=texts.text(_CAUSES[found.cause]),
        fix=texts.text(_FIXES[found.cause]),
        address=printable(found.address),
        dkim=printable(found.dkim),
        spf=printable(found.spf),
    )


def _what(found: Disagreement, texts: Texts) -> str:
    receiver = printable(found.receiver)
    match found.kind:
        case Kind.OUTAGE:
            return texts.plural(
                "{n} message that was rewritten failed at {receiver}.",
                "{n} messages that were rewritten failed at {receiver}.",
                found.messages,
                receiver=receiver,
            )
        case Kind.LOST:
            return texts.plural(
                "{n} message that was to pass failed at {receiver}.",
                "{n} messages that were to pass failed at {receiver}.",
                found.messages,
                receiver=receiver,
            )
        case Kind.UNLISTED:
            return texts.plural(
                "{n} message came to {receiver} from an address that alignd does not know.",
                "{n} messages came to {receiver} from an address that alignd does not know.",
                found.messages,
                receiver=receiver,
            )
