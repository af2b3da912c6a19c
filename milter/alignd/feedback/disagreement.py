"""What a receiver's reply means for what alignd did, and what there is to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from alignd.feedback.decision import Decision
from alignd.feedback.patterns import Pattern, Says
from alignd.feedback.postfix_log import Delivery, Status
from alignd.judgement.reasons import Action, Expected


class Kind(Enum):
    """What the reply is, beside the prediction."""

    LOST = "lost"
    """It was left alone since it would pass, and a receiver says that it does not."""
    OUTAGE = "outage"
    """It was rewritten, and a receiver refuses it all the same."""
    ENVELOPE = "envelope"
    """DMARC as predicted, but the envelope sender is refused."""
    FORETOLD = "foretold"
    """alignd knew, and a rule or rules.dry_run had it left alone."""
    ADVICE = "advice"
    """It is of nothing that alignd predicts."""
    BOUNCE = "bounce"
    """It is a bounce that this Postfix has written, and its sender does not hear of it."""
    OUTSIDE = "outside"
    """alignd predicted nothing for this message."""
    UNKNOWN = "unknown"
    """It is not known what alignd did with the message."""

    @property
    def is_disagreement(self) -> bool:
        """Whether the receiver contradicts what alignd thought of the message."""
        return self in {Kind.LOST, Kind.OUTAGE, Kind.ENVELOPE}


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One reply that says that a message is not authenticated; no address, no text of it."""

    kind: Kind
    queue_id: str
    decision: Decision | None
    receiver: str
    pattern: Pattern
    is_final: bool
    """Whether it bounced; else Postfix tries again."""
    when: float | None


_DMARC = frozenset({Says.DMARC_FAILED, Says.NOT_AUTHENTICATED, Says.ALIGNMENT, Says.SPOOFED})
_PREDICTED = _DMARC | {Says.SPF_FAILED, Says.DKIM_MISSING}


def disagreement_of(
    delivery: Delivery,
    pattern: Pattern,
    decision: Decision | None,
    *,
    is_own_bounce: bool = False,
) -> Disagreement:
    """Hold what a receiver says against what was decided; *is_own_bounce* if nothing was."""
    if decision is None:
        kind = Kind.BOUNCE if is_own_bounce else Kind.UNKNOWN
    else:
        kind = kind_of(decision, pattern.says)
    is_final = delivery.status is Status.BOUNCED
    return Disagreement(
        kind, delivery.queue_id, decision, delivery.receiver, pattern, is_final, delivery.when
    )


def kind_of(decision: Decision, says: Says) -> Kind:
    """What it means that a receiver *says* this of a message with this *decision*."""
    reason = decision.known_reason
    expected = reason.expected(is_dry=decision.is_dry) if reason else Expected.NOTHING
    if reason is None or expected is Expected.NOTHING:
        return Kind.OUTSIDE
    if says not in _PREDICTED:
        return Kind.ADVICE
    if expected is Expected.ALIGNED:
        return _where_it_was_to_pass(says)
    if expected is Expected.OURS:
        return Kind.OUTAGE
    has_new_sender = reason.action is Action.ENVELOPE and not decision.is_dry
    return Kind.ENVELOPE if has_new_sender and says is Says.SPF_FAILED else Kind.FORETOLD


def _where_it_was_to_pass(says: Says) -> Kind:
    if says is Says.DKIM_MISSING:  # it passes by SPF, and some ask for both
        return Kind.ADVICE
    return Kind.LOST if says in _DMARC else Kind.ENVELOPE


_FIXES = {
    Kind.LOST: "`alignd explain` and `alignd domain` on the domain. Is an address of this relay "
    "missing in relay.addresses, or its signature broken behind alignd? Until it is found, name "
    "the domain in rules.always.",
    Kind.OUTAGE: "Rewritten mail fails: run `alignd doctor` now, and look at SPF, DKIM and DMARC "
    "of the notifications domain.",
    Kind.ENVELOPE: "The envelope sender fails SPF: rules.align_envelope moves it, and its new "
    "domain has to authorise every address of this relay.",
    Kind.FORETOLD: "alignd would not have left it alone: see what `alignd reasons` says of its "
    "reason.",
    Kind.BOUNCE: "Bounces of this relay are refused, so that agents never hear of mail that did "
    "not arrive: the HELO name needs an SPF record. Run `alignd doctor`.",
    Kind.OUTSIDE: "alignd did not look at it: if it is a helpdesk's, see the options in "
    "[helpdesk].",
    Kind.UNKNOWN: "The line of alignd on it is not in this log, or came too long before.",
}
_ADVICE = {
    Says.DKIM_MISSING: "This receiver asks for a DKIM signature too: `alignd domain` has the "
    "record that the company publishes.",
    Says.NO_POLICY: "This receiver asks that the author domain has a DMARC record; p=none will "
    "do.",
    Says.REVERSE_DNS: "The address of this relay needs a PTR record that leads back to it: run "
    "`alignd doctor`.",
    Says.TLS: "This receiver asks for TLS: set smtp_tls_security_level = may in Postfix.",
}


def fix_for(kind: Kind, says: Says) -> str:
    """What an operator does about it."""
    return _ADVICE.get(says, _FIXES[Kind.FORETOLD]) if kind is Kind.ADVICE else _FIXES[kind]
