"""What a rule may look at, every rule of the product, in `decide`, and what `settle` amends."""

from __future__ import annotations

import math
from collections.abc import Callable, Container
from dataclasses import dataclass

from alignd.config.settings import Helpdesk, RewriteOn, Settings
from alignd.judgement.author import Author
from alignd.judgement.own_sender import OwnSender
from alignd.judgement.prediction import Prediction, spf_passes
from alignd.judgement.reasons import Action, Reason
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.mail.message import Message
from alignd.mailauth.dmarc import Policy
from alignd.mailauth.spf import SpfResult
from alignd.mailauth.ternary import Ternary
from alignd.return_path.recipient import recipient_domain


@dataclass(frozen=True, slots=True)
class Predictions:
    """What is predicted for one message."""

    as_sent: Prediction
    """For the message as it stands."""
    with_author_as_sender: Prediction | None
    """With the envelope sender moved to the author; None when that is no choice."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """How a message would leave if it were rewritten."""

    sender: OwnSender
    envelope_sender: str
    prediction: Prediction
    """What receivers would say of it."""


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
    rewrite: Rewrite | None = None
    """None until `decide` has chosen something that `settle` may amend for it."""

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
    return_domains: Container[str] = ()
    """Those in which a recipient may be a return address."""


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
        and any(
            recipient_domain(recipient, surroundings.return_domains) == domain.name
            for recipient in message.recipients
        ),
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
    if domain in settings.own_domains:
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


_WITH_OUR_SENDER = {
    Reason.EXEMPT: Reason.EXEMPT_ENVELOPE,
    Reason.OWN_DOMAIN: Reason.OWN_DOMAIN_ENVELOPE,
    Reason.POLICY_NOT_COVERED: Reason.POLICY_NOT_COVERED_ENVELOPE,
}
"""Reasons that leave From alone though it does not align, and those that move its sender."""
_REFUSED = {SpfResult.FAIL, SpfResult.PERMERROR}
_MAY_PASS = {SpfResult.PASS, SpfResult.TEMPERROR}
_HARM = {
    Policy.ABSENT: 0,
    Policy.NONE: 0,
    Policy.QUARANTINE: 1,
    Policy.UNKNOWN: 2,
    Policy.REJECT: 3,
}
"""How bad it is to fail DMARC: nothing is done, the spam folder, who knows, refused."""


def may_be_amended(reason: Reason, circumstances: Circumstances, settings: Settings) -> bool:
    """Whether `settle` may amend *reason*, so that the rewrite has to be predicted."""
    if reason in _WITH_OUR_SENDER:
        predictions, moves = circumstances.predictions, settings.rules.align_envelope
        return moves and predictions is not None and _sender_fails(predictions.as_sent)
    return reason.action is Action.REWRITE


def settle(reason: Reason, circumstances: Circumstances) -> Reason:
    """Amend what the rules have chosen, where receivers would refuse even that.

    A failing envelope sender moves, where another one passes SPF. A rewrite that is certain to
    fail DMARC is made only where to leave the message alone would do more harm.
    """
    rewrite, predictions = circumstances.rewrite, circumstances.predictions
    if rewrite is None:
        return reason
    if reason in _WITH_OUR_SENDER:
        moved = predictions.with_author_as_sender if predictions else None
        helps = spf_passes(rewrite.prediction.spf) is Ternary.YES
        helps = helps or (moved is not None and moved.aligned is Ternary.YES)
        return _WITH_OUR_SENDER[reason] if helps else reason
    unknown = rewrite.prediction.policy is Policy.UNKNOWN
    if unknown or rewrite.prediction.aligned is not Ternary.NO:
        return reason
    harm, harm_rewritten = _harm(reason, predictions), _HARM[rewrite.prediction.policy]
    leaves = harm <= 0 or harm < harm_rewritten
    return Reason.REWRITE_WOULD_FAIL if leaves else Reason.REWRITE_FAILS


def _harm(reason: Reason, predictions: Predictions | None) -> float:
    """How bad it is to leave alone a message that *reason* would have rewritten."""
    if predictions is None or reason is Reason.RECIPIENT_DOMAIN:
        # Nobody knows how From will be read; the gateway of the author domain refuses it.
        return _HARM[Policy.REJECT]
    as_sent = predictions.as_sent
    # What may still pass is better than what is certain to fail.
    return _HARM[as_sent.policy] - (0.5 if as_sent.aligned is Ternary.UNKNOWN else 0)


def _sender_fails(as_sent: Prediction) -> bool:
    """Whether SPF alone is a reason to refuse, and another sender would cost no DMARC pass."""
    results = {spf.result for spf in as_sent.spf}
    may_align = as_sent.spf_aligned is not Ternary.NO and bool(results & _MAY_PASS)
    return bool(results & _REFUSED) and not may_align and as_sent.aligned is not Ternary.YES


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
