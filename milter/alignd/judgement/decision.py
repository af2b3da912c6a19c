"""What to do with a message, and why: every rule of the product stands in `decide`."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from alignd.config.settings import Helpdesk, RewriteOn, Settings
from alignd.judgement.author import Author, Unreadable
from alignd.judgement.prediction import Prediction, spf_passes
from alignd.judgement.reasons import Action, Reason
from alignd.mail.domain import Domain
from alignd.mail.message import Message
from alignd.mailauth.dmarc import Policy
from alignd.mailauth.ternary import Ternary


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and the rule that decided."""

    action: Action
    reason: Reason


@dataclass(frozen=True, slots=True)
class Predictions:
    """What is predicted for one message."""

    as_sent: Prediction
    """For the message as it stands."""
    with_author_as_sender: Prediction | None
    """With the envelope sender moved to the author; None when that is no choice."""


def out_of_scope(message: Message, helpdesk: Helpdesk) -> Decision | None:
    """The decision to skip what is not a helpdesk message; None for a helpdesk message."""
    known = helpdesk.authenticated and bool(message.login)
    client = message.client
    if not known and (client is None or not any(client in net for net in helpdesk.networks)):
        return Decision(Action.SKIP, Reason.CLIENT_NOT_IN_SCOPE)
    if not helpdesk.headers.match(message):
        return Decision(Action.SKIP, Reason.HEADER_NOT_IN_SCOPE)
    return None


def decide(  # noqa: PLR0911  an arm a rule
    author: Author,
    predictions: Predictions | None,
    recipients: tuple[str, ...],
    settings: Settings,
    freemail: Container[Domain],
) -> Decision:
    """Decide on a helpdesk message; *predictions* are None when the author is unreadable.

    *freemail* are the domains that can never authorise this relay.
    """
    rules, domain = settings.rules, author.domain
    if domain is None or predictions is None:
        unreadable = author.unreadable or Unreadable.MALFORMED
        return Decision(Action.REWRITE, Reason(unreadable.value))
    as_sent, moved = predictions.as_sent, predictions.with_author_as_sender
    if _is_listed(domain, rules.exempt):
        return Decision(Action.PASS, Reason.EXEMPT)
    if as_sent.aligned is Ternary.YES:
        return Decision(Action.PASS, _why_aligned(as_sent))
    if moved is not None and moved.aligned is Ternary.YES:
        return Decision(Action.ENVELOPE, Reason.ENVELOPE_ALIGNED)
    if domain == settings.notifications.domain:
        return Decision(Action.PASS, Reason.OWN_DOMAIN)  # nothing better to rewrite it to
    if _is_listed(domain, rules.always):
        return Decision(Action.REWRITE, Reason.ALWAYS)
    if rules.freemail and domain in freemail:
        return Decision(Action.REWRITE, Reason.FREEMAIL)
    if _covers(rules.rewrite_on, as_sent.policy):
        return Decision(Action.REWRITE, _why_not_aligned(as_sent, moved))
    if any(_domain_of(recipient) == domain.name for recipient in recipients):
        return Decision(Action.REWRITE, Reason.RECIPIENT_DOMAIN)
    return Decision(Action.PASS, Reason.POLICY_NOT_COVERED)


def _covers(rewrite_on: RewriteOn, policy: Policy) -> bool:
    match rewrite_on:
        case RewriteOn.UNALIGNED:
            return True
        case RewriteOn.ANY_RECORD:
            return policy is not Policy.ABSENT
        case RewriteOn.ENFORCED:
            return policy in {Policy.QUARANTINE, Policy.REJECT, Policy.UNKNOWN}


def _why_aligned(prediction: Prediction) -> Reason:
    by_spf = spf_passes(prediction.spf) & prediction.spf_aligned
    return Reason.SPF_ALIGNED if by_spf is Ternary.YES else Reason.DKIM_ALIGNED


def _why_not_aligned(as_sent: Prediction, moved: Prediction | None) -> Reason:
    # What stands in the way is what the author's own address would meet, where that is a choice.
    nearest = moved or as_sent
    if Ternary.UNKNOWN in {as_sent.aligned, nearest.aligned}:
        return Reason.DNS_UNKNOWN
    if nearest.spf_aligned is Ternary.NO or spf_passes(nearest.spf) is Ternary.YES:
        return Reason.UNALIGNED
    if any(spf.counts for spf in nearest.spf):
        return Reason.RELAY_PARTLY_AUTHORISED
    return Reason.RELAY_NOT_AUTHORISED


def _is_listed(domain: Domain, listed: tuple[Domain, ...]) -> bool:
    return any(domain.is_within(entry) for entry in listed)


def _domain_of(address: str) -> str:
    return address.rpartition("@")[2].rstrip(".").lower()
