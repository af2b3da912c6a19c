"""The words of the log, each with its meaning and its fix: actions, reasons, limits and errors.

The log, the trace field, `alignd explain`, `alignd reasons` and alignd-reasons(7) use these words.
All that is known of a word stands beside it, and a word without its text does not come about.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Self


@dataclass(frozen=True, slots=True)
class Text:
    """A word, and what there is to say of it."""

    word: str
    """Stable, for logs, the trace field and scripts."""
    meaning: str
    """A clause, without a full stop."""
    fix: str
    """What a supporter or operator does about it: sentences."""
    options: tuple[str, ...] = ()
    """The options that have a say in it."""


class Word(Enum):
    """A word of the log; its value is how it is spelled."""

    _value_: str
    text: Text

    def __new__(cls, text: Text) -> Self:
        """Make a member of what is said of it."""
        member = object.__new__(cls)
        member._value_ = text.word
        member.text = text
        return member

    @property
    def key(self) -> str:
        """The key that the word stands behind in a log line."""
        raise NotImplementedError


class Action(Word):
    """What happens to a message."""

    SKIP = Text("skip", "it is no helpdesk message, and is left alone", "None needed.")
    PASS = Text("pass", "it is left alone, byte for byte", "None needed.")
    ENVELOPE = Text(
        "envelope",
        "only the envelope sender moves: to the author, or to the notifications where From stays "
        "by a rule",
        "None needed.",
    )
    REWRITE = Text(
        "rewrite",
        "From moves to the notifications domain, and Reply-To leads to the author",
        "The reason says what would make it unnecessary.",
    )
    REFUSE = Text(
        "refuse",
        "it is refused for good (550 or 554), so that its sender hears of it",
        "The reason says what is wrong with it.",
    )

    FORWARD = Text(
        "forward",
        "it goes on to the agent as it came, but for the envelope sender",
        "None needed.",
    )
    DEFER = Text(
        "defer",
        "it gets a temporary failure (451), so that its sender tries again",
        "The reason says what it waits for.",
    )

    @property
    def key(self) -> str:
        return "action"


class Failure(Word):
    """The action in the log where alignd failed to judge or to change a message."""

    FALLBACK = Text(
        "fallback",
        "alignd failed to judge it, and rewrites it without; a second line has the outcome",
        "It is a bug: please report the error of this line.",
    )
    TEMPFAIL = Text(
        "tempfail",
        "alignd failed to change it, so that it got a temporary failure and nothing left",
        "It is a bug: please report the error of this line. In the queue-first layout Postfix "
        "tries again by itself.",
    )

    @property
    def key(self) -> str:
        return "action"


class Rule(Enum):
    """The rules by name, in the order in which `decide` tries them.

    The names are stable, for scripts; docs/how-it-decides.md tells them in the same order.
    """

    SCOPE = "helpdesk-message"
    AUTHOR = "readable-author"
    EXEMPT = "exempt"
    ALIGNED = "aligned"
    ENVELOPE = "envelope-alignable"
    OWN_DOMAIN = "own-domain"
    ALWAYS = "always-rewritten"
    POLICY = "policy-covered"
    RECIPIENT = "recipient-domain"
    OTHERWISE = "otherwise"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonText(Text):
    """A reason, and what there is to say of it."""

    action: Action
    """What happens to a message for this reason."""
    rule: Rule | None
    """The rule that it comes from; None where no rule decided."""


_ONE_MAILBOX = (
    "Have the application write one From field with one mailbox, in the grammar of RFC 5322: "
    "`alignd explain` says what is wrong with this one."
)
_PUBLISH = (
    "`alignd domain` prints the SPF record that the company has to publish. Its DKIM key for the "
    "signer behind alignd would do as well."
)


_SENDER_FAILED = (
    "Bounces go to the new envelope sender; rules.align_envelope = false would leave the old one."
)
_REWRITE_FAILS = (
    "It happens to mail with a null envelope sender, which receivers judge by the HELO name. Have "
    "the notifications domain signed behind alignd, and say so in dkim.signs or dkim.opendkim. "
    "Where it is signed, have the application break lines of more than 998 octets. `alignd "
    "explain` says which it was, and `alignd doctor` what to publish."
)


class Expected(Enum):
    """What receivers are expected to make of a message, by what was done with it."""

    ALIGNED = "aligns"
    """It passes in its author's name."""
    OURS = "ours"
    """It passes in the name of the notifications domain."""
    FAILURE = "failure"
    """It fails, or nobody has asked: a rule, or rules.dry_run, has it so all the same."""
    NOTHING = "nothing"
    """Nothing was predicted."""


class Reason(Word):
    """Why, in the order of the rules."""

    text: ReasonText
    action: Action
    """What happens to a message for this reason."""
    rule: Rule | None
    """The rule that it comes from; None where no rule decided."""

    def __init__(self, text: ReasonText) -> None:
        """Have at hand what every message asks for."""
        self.action, self.rule = text.action, text.rule

    CLIENT_NOT_IN_SCOPE = ReasonText(
        "client-not-in-scope",
        "the client is not in helpdesk.networks, and did not log in",
        "If it is a helpdesk's, add its network to helpdesk.networks, or let it log in.",
        ("helpdesk.networks", "helpdesk.authenticated"),
        action=Action.SKIP,
        rule=Rule.SCOPE,
    )
    HEADER_NOT_IN_SCOPE = ReasonText(
        "header-not-in-scope",
        "a field that helpdesk.headers asks for is missing or different",
        "If it is a helpdesk's message, correct helpdesk.headers to what it really has.",
        ("helpdesk.headers",),
        action=Action.SKIP,
        rule=Rule.SCOPE,
    )
    FROM_MISSING = ReasonText(
        "from-missing",
        "there is no From field",
        _ONE_MAILBOX,
        action=Action.REWRITE,
        rule=Rule.AUTHOR,
    )
    FROM_SEVERAL_FIELDS = ReasonText(
        "from-several-fields",
        "there is more than one From field, and receivers differ",
        _ONE_MAILBOX,
        action=Action.REWRITE,
        rule=Rule.AUTHOR,
    )
    FROM_TOO_LONG = ReasonText(
        "from-too-long",
        "From is too long to be read safely",
        _ONE_MAILBOX,
        action=Action.REWRITE,
        rule=Rule.AUTHOR,
    )
    FROM_MALFORMED = ReasonText(
        "from-malformed",
        "receivers read From differently, or cannot read it",
        _ONE_MAILBOX,
        action=Action.REWRITE,
        rule=Rule.AUTHOR,
    )
    FROM_SEVERAL_MAILBOXES = ReasonText(
        "from-several-mailboxes",
        "From names more than one mailbox, and receivers differ",
        _ONE_MAILBOX,
        action=Action.REWRITE,
        rule=Rule.AUTHOR,
    )
    EXEMPT = ReasonText(
        "exempt",
        "rules.exempt names the author domain: its From is never touched",
        "If receivers block its mail, remove the domain from rules.exempt.",
        ("rules.exempt",),
        action=Action.PASS,
        rule=Rule.EXEMPT,
    )
    EXEMPT_ENVELOPE = ReasonText(
        "exempt-envelope",
        "rules.exempt names the author domain; From stays, but the envelope sender failed SPF and "
        "moves to one that passes",
        f"{_SENDER_FAILED} If receivers block it all the same, remove the domain from "
        "rules.exempt.",
        ("rules.exempt", "rules.align_envelope"),
        action=Action.ENVELOPE,
        rule=Rule.EXEMPT,
    )
    SPF_ALIGNED = ReasonText(
        "spf-aligned",
        "SPF passes from every relay address, for a domain that aligns with the author domain",
        "None needed.",
        action=Action.PASS,
        rule=Rule.ALIGNED,
    )
    DKIM_ALIGNED = ReasonText(
        "dkim-aligned",
        "a DKIM signature that receivers will verify aligns with the author domain",
        "None needed, while nothing behind alignd changes the message or stops the signer.",
        action=Action.PASS,
        rule=Rule.ALIGNED,
    )
    ENVELOPE_ALIGNED = ReasonText(
        "envelope-aligned",
        "the author domain authorises this relay; only the envelope sender was elsewhere",
        "None needed. Bounces go to the author; rules.align_envelope = false would rewrite "
        "instead.",
        ("rules.align_envelope",),
        action=Action.ENVELOPE,
        rule=Rule.ENVELOPE,
    )
    OWN_DOMAIN = ReasonText(
        "own-domain",
        "it is from the notifications domain already",
        "If receivers block it, fix SPF or DKIM of the notifications domain.",
        ("notifications.address",),
        action=Action.PASS,
        rule=Rule.OWN_DOMAIN,
    )
    OWN_DOMAIN_ENVELOPE = ReasonText(
        "own-domain-envelope",
        "it is from the notifications domain already; the envelope sender failed SPF and moves to "
        "one that passes",
        f"{_SENDER_FAILED} If receivers block it all the same, fix SPF or DKIM of the "
        "notifications domain.",
        ("notifications.address", "notifications.envelope_sender", "rules.align_envelope"),
        action=Action.ENVELOPE,
        rule=Rule.OWN_DOMAIN,
    )
    ALWAYS = ReasonText(
        "always",
        "rules.always names the author domain, and the message is not aligned",
        "If it need not be, remove the domain from rules.always.",
        ("rules.always",),
        action=Action.REWRITE,
        rule=Rule.ALWAYS,
    )
    FREEMAIL = ReasonText(
        "freemail",
        "the author domain is a mailbox provider's, which can never authorise this relay",
        "The agent uses an address of the company's own domain.",
        ("rules.freemail",),
        action=Action.REWRITE,
        rule=Rule.ALWAYS,
    )
    DNS_UNKNOWN = ReasonText(
        "dns-unknown",
        "DNS did not answer, so nobody can say that it would pass",
        "If it lasts, look at the nameservers of alignd, then at those of the author domain: "
        "`alignd explain` names the question that failed.",
        ("rules.rewrite_on", "dns.nameservers", "dns.timeout", "dns.stale"),
        action=Action.REWRITE,
        rule=Rule.POLICY,
    )
    UNALIGNED = ReasonText(
        "unaligned",
        "the domain that SPF judges, that of the envelope sender, does not align with the "
        "author domain",
        "The application sends with the author's address as envelope sender, or the company has "
        "its mail signed with its own DKIM key behind alignd.",
        ("rules.rewrite_on", "rules.align_envelope"),
        action=Action.REWRITE,
        rule=Rule.POLICY,
    )
    RELAY_NOT_AUTHORISED = ReasonText(
        "relay-not-authorised",
        "the SPF record of the author domain does not authorise this relay",
        _PUBLISH,
        ("rules.rewrite_on",),
        action=Action.REWRITE,
        rule=Rule.POLICY,
    )
    RELAY_PARTLY_AUTHORISED = ReasonText(
        "relay-partly-authorised",
        "the SPF record of the author domain authorises some addresses of this relay, not all",
        f"Often it is the IPv6 address that is missing. {_PUBLISH}",
        ("rules.rewrite_on", "relay.addresses"),
        action=Action.REWRITE,
        rule=Rule.POLICY,
    )
    RECIPIENT_DOMAIN = ReasonText(
        "recipient-domain",
        "a recipient is in the author domain, whose gateway blocks its own domain from outside",
        _PUBLISH,
        action=Action.REWRITE,
        rule=Rule.RECIPIENT,
    )
    POLICY_NOT_COVERED = ReasonText(
        "policy-not-covered",
        "rules.rewrite_on asks to leave it, though it would not pass",
        'If receivers block it, set rules.rewrite_on = "unaligned".',
        ("rules.rewrite_on",),
        action=Action.PASS,
        rule=Rule.OTHERWISE,
    )
    POLICY_NOT_COVERED_ENVELOPE = ReasonText(
        "policy-not-covered-envelope",
        "rules.rewrite_on asks to leave From, though it would not pass; the envelope sender "
        "failed SPF and moves to one that passes",
        f"{_SENDER_FAILED} If receivers block it all the same, set rules.rewrite_on = "
        '"unaligned".',
        ("rules.rewrite_on", "rules.align_envelope"),
        action=Action.ENVELOPE,
        rule=Rule.OTHERWISE,
    )
    REWRITE_WOULD_FAIL = ReasonText(
        "rewrite-would-fail",
        "the rules ask for a rewrite, but it would fail DMARC too, and to leave the message alone "
        "does less harm",
        _REWRITE_FAILS,
        ("notifications.address",),
        action=Action.PASS,
        rule=None,
    )
    REWRITE_FAILS = ReasonText(
        "rewrite-fails",
        "the rules ask for a rewrite, and it is made, but it will fail DMARC as the message would "
        "without it",
        _REWRITE_FAILS,
        ("notifications.address",),
        action=Action.REWRITE,
        rule=None,
    )
    TOO_MANY_FIELDS = ReasonText(
        "too-many-fields",
        "a rewrite would have to remove more header fields than milter.max_edits, and Postfix "
        "cannot queue such a message",
        "No sane program sends it. If one does, find out why it adds so many Sender, "
        "DKIM-Signature or ARC fields.",
        ("milter.max_edits",),
        action=Action.REFUSE,
        rule=None,
    )
    INTERNAL_ERROR = ReasonText(
        "internal-error",
        "alignd failed to judge it, which is a bug",
        "Please report the log line before it, with action=fallback: it says where it failed.",
        action=Action.REWRITE,
        rule=None,
    )

    @property
    def key(self) -> str:
        return "reason"

    def expected(self, *, is_dry: bool = False) -> Expected:
        """What receivers are to make of it; *is_dry* if rules.dry_run has kept it as it was."""
        if self.action is Action.SKIP:
            return Expected.NOTHING
        is_changed = self.action is not Action.PASS and not is_dry
        if self.rule is Rule.ALIGNED or (self is Reason.ENVELOPE_ALIGNED and is_changed):
            return Expected.ALIGNED
        if self in {Reason.OWN_DOMAIN, Reason.OWN_DOMAIN_ENVELOPE}:
            return Expected.OURS
        is_rewritten = self.action is Action.REWRITE and is_changed
        if is_rewritten and self is not Reason.REWRITE_FAILS:
            return Expected.OURS
        return Expected.FAILURE


def reason_of(word: str) -> Reason | None:
    """The reason that is spelled *word*, if it is one on the mail of a helpdesk."""
    return next((each for each in Reason if each.value == word), None)


OUTBOUND_ACTIONS = tuple(
    action for action in Action if any(reason.action is action for reason in Reason)
)
"""The actions on the mail of a helpdesk."""


class Limit(Word):
    """The limit in the log where a message was not kept whole."""

    HEADER = Text(
        "max_header_bytes",
        "its header is larger than is kept, and what lies beyond is not read",
        "Raise milter.max_header_bytes if such mail is wanted.",
        ("milter.max_header_bytes",),
    )
    BODY = Text(
        "max_body_bytes",
        "its body is larger than is kept, so that DKIM signatures on it do not count",
        "Raise milter.max_body_bytes if they have to.",
        ("milter.max_body_bytes",),
    )

    @property
    def key(self) -> str:
        return "limit"


class Refusal(Word):
    """The error in the log where the MTA does not let alignd work."""

    NO_ENVELOPE = Text(
        "no-envelope",
        "the MTA ended a message that it never began, and got a temporary failure",
        "It does not speak the milter protocol well: look at what connects to the socket.",
    )
    EDITS_REFUSED = Text(
        "edits-refused",
        "the MTA does not let alignd change messages, so that it got a temporary failure",
        "Set milter_protocol = 6 in main.cf, or leave it at its default.",
        ("milter.socket",),
    )

    @property
    def key(self) -> str:
        return "error"
