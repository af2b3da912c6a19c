"""What a rule may look at, and every rule of the product, in `decide`."""

from __future__ import annotations

import math
from collections.abc import Callable, Container
from dataclasses import dataclass

from alignd.config.settings import Helpdesk, RewriteOn, Settings
from alignd.judgement.author import Author
from alignd.judgement.prediction import Prediction, spf_passes
from alignd.judgement.reasons import Reason
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import Message
from alignd.mailauth.dmarc import Policy
from alignd.mailauth.ternary import Ternary


@dataclass(frozen=True, slots=True)
class Predictions:
    """What is predicted for one message."""

    as_sent: Prediction
    """For the message as it stands."""
    with_author_as_sender: Prediction | None
    """With the envelope sender moved to the author; None when that is no choice."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """All that a rule may look at; a rule that needs more gets a field here.

    Judgements are cached by the evidence of a message (`alignd.judgement.evidence`): what a field
    is made of has to be in there. A property test draws messages that differ in each field, and
    wants variants for a new one.
    """

    is_client_in_scope: bool
    """Whether the client is a helpdesk's, by its address or its login."""
    is_header_in_scope: bool
    """Whether the message has the fields that helpdesk.headers asks for."""
    author: Author
    predictions: Predictions | None
    """None where nothing was asked: out of scope, or of an unreadable author."""
    is_to_author_domain: bool
    """Whether a recipient is in the author domain."""
    is_freemail: bool
    """Whether the author domain is a mailbox provider's."""
    good_until: float = math.inf
    """Unix time until which the rest holds, where some of it depends on the time."""

    @property
    def is_in_scope(self) -> bool:
        """Whether it is a helpdesk message."""
        return self.is_client_in_scope and self.is_header_in_scope


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What circumstances are made of besides the message and DNS."""

    helpdesk: Helpdesk | None
    """None where every message is in scope."""
    freemail: Container[Domain]
    now: float
    """Unix time. What is made of it holds for a while only: see `Circumstances.good_until`."""


def observe(
    message: Message,
    author: Author,
    surroundings: Surroundings,
    predict: Callable[[Mailbox], Predictions | None],
) -> Circumstances:
    """Gather the circumstances of *message*.

    *predict* asks DNS, and is called only where a prediction has a say in the decision.
    """
    helpdesk = surroundings.helpdesk
    client = helpdesk is None or is_client_in_scope(message, helpdesk)
    header = helpdesk is None or helpdesk.headers.match(message)
    mailbox, domain = None if author.unreadable else author.mailbox, author.domain
    return Circumstances(
        is_client_in_scope=client,
        is_header_in_scope=header,
        author=author,
        predictions=predict(mailbox) if client and header and mailbox else None,
        is_to_author_domain=domain is not None
        and any(_domain_of(recipient) == domain.name for recipient in message.recipients),
        is_freemail=domain in surroundings.freemail,
    )


def is_client_in_scope(message: Message, helpdesk: Helpdesk) -> bool:
    """Whether the client of *message* is a helpdesk's."""
    if helpdesk.authenticated and message.login:
        return True
    client = message.client
    return client is not None and any(client in network for network in helpdesk.networks)


def decide(circumstances: Circumstances, settings: Settings) -> Reason:  # noqa: C901, PLR0911
    """Apply the rules, a `return` each, in the order of `Rule`: the first that holds decides."""
    rules, author = settings.rules, circumstances.author
    if not circumstances.is_client_in_scope:
        return Reason.CLIENT_NOT_IN_SCOPE
    if not circumstances.is_header_in_scope:
        return Reason.HEADER_NOT_IN_SCOPE
    domain, predictions = author.domain, circumstances.predictions
    if domain is None or predictions is None:
        return author.unreadable or Reason.FROM_MALFORMED
    as_sent, moved = predictions.as_sent, predictions.with_author_as_sender
    if _is_listed(domain, rules.exempt):
        return Reason.EXEMPT
    if as_sent.aligned is Ternary.YES:
        return _why_aligned(as_sent)
    if moved is not None and moved.aligned is Ternary.YES:
        return Reason.ENVELOPE_ALIGNED
    if domain == settings.notifications.domain:
        return Reason.OWN_DOMAIN  # nothing better to rewrite it to
    if _is_listed(domain, rules.always):
        return Reason.ALWAYS
    if rules.freemail and circumstances.is_freemail:
        return Reason.FREEMAIL
    if _covers(rules.rewrite_on, as_sent.policy):
        return _why_not_aligned(as_sent, moved)
    if circumstances.is_to_author_domain:
        return Reason.RECIPIENT_DOMAIN
    return Reason.POLICY_NOT_COVERED


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
    # Explain the failure for the author's own address where the envelope sender could move there.
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
