"""The reasons of the return leg: why mail to a return address goes on, or is refused."""

from __future__ import annotations

from alignd.judgement.reasons import Action, ReasonText, Word

_FORGED = (
    "Nobody who receives mail would take it. If it was no forgery, its sender has to repair SPF "
    "or DKIM of the domain in From."
)


class ReturnReason(Word):
    """Why, in the order in which they are looked for."""

    text: ReasonText
    action: Action
    """What happens to a message for this reason."""

    def __init__(self, text: ReasonText) -> None:
        """Have at hand what every message asks for."""
        self.action = text.action

    BOUNCE_REFUSED = ReasonText(
        "return-bounce-refused",
        "it is Postfix's own notice that a bounce could not be delivered, so that nobody else "
        "hears of it",
        "The agent's server refuses bounces, or the mailbox is gone: return.blocked is for "
        "authors whose address no longer works.",
        ("return.blocked",),
        action=Action.PASS,
        rule=None,
    )
    NOT_ADDRESSED = ReasonText(
        "return-not-addressed",
        "no recipient is a return address, and it is left alone",
        "None needed.",
        ("return.domain",),
        action=Action.SKIP,
        rule=None,
    )
    NO_SUCH_ADDRESS = ReasonText(
        "return-no-such-address",
        "a recipient has the form of a return address and is none: forged, retired, blocked or, "
        "for a bounce, too old",
        "`alignd address` says what is wrong with it. Postfix refuses it before alignd is asked, "
        "if its map is in place.",
        ("return.keys", "return.blocked"),
        action=Action.REFUSE,
        rule=None,
    )
    KEYS_MISSING = ReasonText(
        "return-keys-missing",
        "the key that a return address names is not there, so that nobody can say whether it is "
        "good",
        "Look at the file of return.keys: every machine has to know a key before one signs.",
        ("return.keys",),
        action=Action.DEFER,
        rule=None,
    )
    BOUNCE_ONLY = ReasonText(
        "return-bounce-only",
        "a recipient is a return address for bounces, and the envelope sender is not null",
        "None needed: people answer to From, and only bounces go to the envelope sender.",
        action=Action.REFUSE,
        rule=None,
    )
    LOOP = ReasonText(
        "return-loop",
        "it has been at this return address before",
        "The agent's mailbox, or one that it forwards to, forwards to his own return address: end "
        "that.",
        action=Action.REFUSE,
        rule=None,
    )
    OWN_BOUNCE = ReasonText(
        "return-own-bounce",
        "it is a bounce of this machine's own Postfix: From moves to the notifications address, "
        "so that the agent's server takes it",
        "None needed.",
        ("relay.hostname", "notifications.address"),
        action=Action.REWRITE,
        rule=None,
    )
    FROM_UNREADABLE = ReasonText(
        "return-from-unreadable",
        "its From is missing, or receivers read it differently, so that nothing can be proven of "
        "it",
        "Its sender has to write one From field with one mailbox, in the grammar of RFC 5322.",
        action=Action.REFUSE,
        rule=None,
    )
    OWN_DOMAIN = ReasonText(
        "return-own-domain",
        "its From is in a domain that rewritten mail is from, and no signature of that domain "
        "verifies",
        _FORGED,
        ("notifications.address", "return.domain"),
        action=Action.REFUSE,
        rule=None,
    )
    DNS_UNKNOWN = ReasonText(
        "return-dns-unknown",
        "DNS did not answer, so that nobody can say whether it is forged; what is certain without "
        "that answer does not wait",
        "If it lasts, look at the nameservers of alignd, then at those of the domain in From.",
        ("dns.nameservers", "dns.timeout"),
        action=Action.DEFER,
        rule=None,
    )
    DMARC_FAILS = ReasonText(
        "return-dmarc-fails",
        "it fails DMARC, and the domain in From asks to quarantine or reject such mail",
        _FORGED,
        action=Action.REFUSE,
        rule=None,
    )
    DKIM_ALIGNED = ReasonText(
        "return-dkim-aligned",
        "it passes DMARC by a signature that survives on the way to the agent",
        "None needed.",
        action=Action.FORWARD,
        rule=None,
    )
    SPF_ALIGNED = ReasonText(
        "return-spf-aligned",
        "it passes by SPF alone, which ends at this relay: From moves to the notifications "
        "address, and Reply-To leads to its author",
        "None needed. If its author wants to keep From, the company has to sign its mail with "
        "DKIM.",
        ("notifications.address", "notifications.display_name"),
        action=Action.REWRITE,
        rule=None,
    )
    DKIM_BREAKS = ReasonText(
        "return-dkim-breaks",
        "it passes DMARC by a signature that breaks on the way to the agent: From moves to the "
        "notifications address, and Reply-To leads to its author",
        "None needed. Postfix breaks lines over 998 octets, which RFC 5322 does not allow.",
        ("notifications.address", "notifications.display_name"),
        action=Action.REWRITE,
        rule=None,
    )
    NO_POLICY = ReasonText(
        "return-no-policy",
        "it is not proven to be its author's, and the domain in From asks for nothing in that "
        "case",
        "None needed.",
        action=Action.FORWARD,
        rule=None,
    )
    TOO_MANY_FIELDS = ReasonText(
        "return-too-many-fields",
        "more header fields would have to change than milter.max_edits",
        "No ordinary program writes so many signatures, or names so many recipients.",
        ("milter.max_edits",),
        action=Action.REFUSE,
        rule=None,
    )
    INTERNAL_ERROR = ReasonText(
        "return-internal-error",
        "alignd failed to judge it, which is a bug, and its sender tries again",
        "Please report the log line before it, with action=fallback: it says where it failed.",
        action=Action.DEFER,
        rule=None,
    )

    @property
    def key(self) -> str:
        return "reason"
