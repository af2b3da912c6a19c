"""The decision on one message, as a person reads it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from alignd.advice import Advice
from alignd.console import printable
from alignd.decision import Action, Reason
from alignd.lookup import LookupFailed
from alignd.message import AddField, ChangeField, DeleteField, HeaderField
from alignd.prediction import ModelView, Prediction
from alignd.review import Review
from alignd.spf import SpfResult

_ACTIONS = {
    Action.SKIP: "left alone: not a helpdesk message",
    Action.PASS: "left alone",
    Action.ENVELOPE: "only the envelope sender moves",
    Action.REWRITE: "rewritten",
}

MEANINGS = {
    Reason.CLIENT_NOT_IN_SCOPE: (
        "the client is in none of helpdesk.networks, and nobody logged in"
    ),
    Reason.HEADER_NOT_IN_SCOPE: "a field that helpdesk.headers asks for is missing or different",
    Reason.EXEMPT: "rules.exempt names the author domain: it is never touched",
    Reason.SPF_ALIGNED: (
        "SPF passes from every relay address, for a domain that aligns with the author domain"
    ),
    Reason.DKIM_ALIGNED: (
        "a DKIM signature that receivers will verify aligns with the author domain"
    ),
    Reason.OWN_DOMAIN: "it is from the notifications domain already",
    Reason.POLICY_NOT_COVERED: "it would not pass, but rules.rewrite_on asks to leave it",
    Reason.ENVELOPE_ALIGNED: (
        "the author domain authorises this relay; only the envelope sender was elsewhere"
    ),
    Reason.FROM_MISSING: "there is no From field",
    Reason.FROM_SEVERAL_FIELDS: "there is more than one From field, and receivers differ",
    Reason.FROM_TOO_LONG: "From is too long to be read safely",
    Reason.FROM_MALFORMED: "From does not follow RFC 5322, and receivers differ",
    Reason.FROM_SEVERAL_MAILBOXES: "From names more than one mailbox, and receivers differ",
    Reason.ALWAYS: "rules.always names the author domain, and the message is not aligned",
    Reason.FREEMAIL: (
        "the author domain is a mailbox provider's, which can never authorise this relay"
    ),
    Reason.RECIPIENT_DOMAIN: (
        "a recipient is in the author domain, whose gateway blocks its own domain from outside"
    ),
    Reason.DNS_UNKNOWN: "DNS did not answer, so nobody can say that it would pass",
    Reason.UNALIGNED: (
        "the domain that SPF judges, that of the envelope sender, does not align with the "
        "author domain"
    ),
    Reason.RELAY_NOT_AUTHORISED: (
        "the SPF record of the author domain does not authorise this relay"
    ),
    Reason.RELAY_PARTLY_AUTHORISED: (
        "the SPF record of the author domain authorises some addresses of this relay, not all"
    ),
    Reason.INTERNAL_ERROR: "alignd failed to judge it (a bug, please report the log line)",
}
"""What each reason means, in a clause."""


def story(
    review: Review, header: tuple[HeaderField, ...], advice: Advice | None = None
) -> Iterator[str]:
    """The lines of the explanation; *header* is the whole header of the message.

    *advice* is for its author, where there is something to advise.
    """
    yield from map(printable, _story(review, header, advice))


def _story(
    review: Review, header: tuple[HeaderField, ...], advice: Advice | None
) -> Iterator[str]:
    decision = review.decision
    yield f"{decision.action.value}: {_ACTIONS[decision.action]}"
    yield f"reason: {decision.reason.value}: {MEANINGS[decision.reason]}"
    if review.author.detail:
        yield f"From: {review.author.detail}"
    if review.predictions is not None:
        yield from _checks(review.predictions.as_sent, "as sent")
        moved = review.predictions.with_author_as_sender
        if moved is not None:
            yield from _checks(moved, "with the author as envelope sender")
    if advice is not None:
        yield from _advice(advice)
    yield from _changes(review, header)
    if review.settings.rules.dry_run:
        yield ""
        yield "rules.dry_run is set: the milter logs this and changes nothing"


def _advice(advice: Advice) -> Iterator[str]:
    domain = advice.author.domain
    yield ""
    if advice.alternatives:
        publication = advice.alternatives[0].publication
        yield f"To keep the author's name, {domain} publishes, checked to pass:"
        yield f"  {publication.kind.value} record of {publication.name}"
        yield f"  {publication.value}"
    elif advice.cannot:
        yield from textwrap.wrap(f"No record would keep the author's name: {advice.cannot}", 80)
    yield f"The whole advice: alignd domain {domain}"


def _checks(prediction: Prediction, title: str) -> Iterator[str]:
    yield ""
    yield f"DMARC of {prediction.author_domain}, {title}:"
    for number, section, view in (
        ("RFC 7489", "3.2", prediction.rfc7489),
        ("RFC 9989", "4.10", prediction.rfc9989),
    ):
        yield f"  {number}: {prediction.verdict(view).value}; {_policy(view)} (section {section})"
    for spf in prediction.spf:
        yield f"  SPF from {spf.address} for {spf.domain or 'no domain'}: {spf.result.value}"
        yield f"    {spf.explanation} (RFC 7208)"
        if spf.result is SpfResult.PASS and not spf.counts:
            yield "    which passes the whole world, so that not every receiver counts it"
    yield f"  that domain aligns: {prediction.spf_aligned.value} (RFC 9989, section 4.4)"
    for dkim, aligned in zip(prediction.dkim, prediction.dkim_aligned, strict=True):
        name = f"{dkim.selector} of {dkim.domain or 'no domain'}"
        yield f"  DKIM {name} ({dkim.source.value}): {dkim.result.value}; aligns: {aligned.value}"
        yield f"    {dkim.explanation} (RFC 6376)"


def _policy(view: ModelView) -> str:
    discovery = view.discovery
    place = f" at _dmarc.{discovery.record_domain}" if discovery.record_domain else ""
    organization = discovery.organizational_domain
    if isinstance(organization, LookupFailed):
        return f"policy {discovery.policy.value}{place}, DNS: {organization.reason}"
    return f"policy {discovery.policy.value}{place}, organization {organization}"


def _changes(review: Review, header: tuple[HeaderField, ...]) -> Iterator[str]:
    if not review.edits:
        return
    yield ""
    yield "changes:"
    for edit in review.edits.header:
        if not isinstance(edit, AddField):
            yield from _shown("-", edit.name, _field(header, edit).value.decode(errors="replace"))
        if not isinstance(edit, DeleteField):
            yield from _shown("+", edit.name, edit.value)
    if review.edits.envelope_sender is not None:
        yield f"  - MAIL FROM:<{review.message.envelope_sender}>"
        yield f"  + MAIL FROM:<{review.edits.envelope_sender}>"


def _field(header: tuple[HeaderField, ...], edit: ChangeField | DeleteField) -> HeaderField:
    named = [field for field in header if field.name.lower() == edit.name.lower()]
    return named[edit.index - 1]


def _shown(sign: str, name: str, value: str) -> Iterator[str]:
    for line in f"{name}: {value}".split("\n"):
        yield f"  {sign} {line}"
