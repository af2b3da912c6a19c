"""The table of replies by which receivers say that a message is not authenticated.

A reply is free text; an enhanced status code says more, but not all receivers use the registered
ones: of those of RFC 7372, Google gives 7.27, 7.29 and 7.30 another meaning than the registry of
RFC 5248 does. So such a code counts only with the words that belong to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

MAX_REPLY = 1000
"""Characters of a reply that are looked at: the longest that are known have some 600."""


class Says(Enum):
    """What a receiver says of a message."""

    DMARC_FAILED = "dmarc-failed"
    NOT_AUTHENTICATED = "not-authenticated"
    """Neither SPF nor DKIM passes."""
    ALIGNMENT = "alignment"
    """Something passes, but not for the domain in From."""
    SPOOFED = "spoofed"
    """Mail in the receiver's own name does not come from outside."""
    SPF_FAILED = "spf-failed"
    DKIM_MISSING = "dkim-missing"
    """There is no DKIM signature that holds."""
    NO_POLICY = "no-policy"
    """The domain in From has no DMARC record."""
    REVERSE_DNS = "reverse-dns"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class Pattern:
    """One way of saying it."""

    name: str
    """Stable, for logs and scripts."""
    says: Says
    receiver: str
    """Whose words they are: a provider, a program, or "any"."""
    source: str
    """Where the reply was seen or is specified."""
    seen: str
    """The date of that, as far as it is known."""
    expression: re.Pattern[str] | None = None
    """Searched in the folded reply; none where the code is enough."""
    codes: frozenset[str] = frozenset()
    """Enhanced codes without their class, such as 7.26; any of them; none where words do."""
    word: str = ""
    """What *expression* cannot do without; a search for it alone is fast."""

    def matches(self, folded: str, code: str) -> bool:
        """Whether the reply *folded*, with the enhanced *code* without its class, is of it."""
        if (self.codes and code not in self.codes) or self.word not in folded:
            return False
        return self.expression is None or self.expression.search(folded) is not None


_GOOGLE = "https://support.google.com/a/answer/3726730"
_MICROSOFT = (
    "https://learn.microsoft.com/exchange/mail-flow-best-practices/"
    "non-delivery-reports-in-exchange-online/non-delivery-reports-in-exchange-online"
)
_RFC7372 = "https://www.rfc-editor.org/rfc/rfc7372"
_SAMPLING = "https://www.spamresource.com/2024/04/a-sampling-of-dmarc-rejection-examples.html"
_KUMOMTA = "https://github.com/KumoCorp/kumomta/blob/main/assets/community/bounces.toml"
_MIMECAST = "https://community.mimecast.com/s/article/Mimecast-SMTP-Error-Codes-842605754"
_NETEASE = "https://biecuoliao.com/pa/MBRrwEM.html"
_FIELD_MANUAL = "https://github.com/ActiveCampaign/smtp-field-manual"
_GAP = "[^.;]{0,80}"
"""What may stand between two words of one clause; bounded, so that a search is linear."""


def _pattern(
    name: str,
    says: Says,
    receiver: str,
    source: str,
    seen: str,
    expression: str = "",
    *codes: str,
    word: str = "",
) -> Pattern:
    compiled = re.compile(expression) if expression else None
    return Pattern(name, says, receiver, source, seen, compiled, frozenset(codes), word)


# The first that matches counts: what names its code before what is only worded, what says more
# before what says less.
PATTERNS = (
    _pattern(
        "google-dmarc",
        Says.DMARC_FAILED,
        "Google",
        _SAMPLING,
        "2024-04",
        rf"unauthenticated (?:e?mail) from {_GAP}[^;]{{0,80}}dmarc policy",
    ),
    _pattern(
        "microsoft-dmarc",
        Says.DMARC_FAILED,
        "Microsoft",
        _MICROSOFT,
        "2024-03",
        "",
        "7.509",
    ),
    _pattern(
        "microsoft-required-level",
        Says.ALIGNMENT,
        "Microsoft",
        "https://support.microsoft.com/outlook/fix-ndr-error-550-5-7-515-in-outlook-com",
        "2025-05",
        "",
        "7.515",
    ),
    _pattern(
        "google-no-policy",
        Says.NO_POLICY,
        "Google",
        _GOOGLE,
        "2025-08",
        r"dmarc",
        "7.31",
        "7.40",
    ),
    _pattern(
        "google-alignment",
        Says.ALIGNMENT,
        "Google",
        _GOOGLE,
        "2025-08",
        r"align",
        "7.32",
    ),
    _pattern(
        "google-hard-fail",
        Says.SPF_FAILED,
        "Google",
        _GOOGLE,
        "2024-02",
        r"spf record with a hard fail",
    ),
    _pattern("google-spf", Says.SPF_FAILED, "Google", _GOOGLE, "2025-08", r"\bspf\b", "7.27"),
    _pattern("google-dkim", Says.DKIM_MISSING, "Google", _GOOGLE, "2025-08", r"\bdkim\b", "7.30"),
    _pattern("google-tls", Says.TLS, "Google", _GOOGLE, "2025-08", r"\btls\b", "7.29"),
    _pattern(
        "google-ptr",
        Says.REVERSE_DNS,
        "Google",
        _GOOGLE,
        "2025-08",
        r"ptr record|forward dns entry",
        "7.23",
        "7.25",
    ),
    _pattern(
        "google-unauthenticated",
        Says.NOT_AUTHENTICATED,
        "Google",
        _GOOGLE,
        "2025-08",
        r"requires all senders to authenticate|sender is unauthenticated"
        r"|does not have authentication information|because it's unauthenticated",
    ),
    _pattern(
        "yahoo-unauthenticated",
        Says.NOT_AUTHENTICATED,
        "Yahoo",
        "https://senders.yahooinc.com/smtp-error-codes/",
        "2024-04",
        r"policy reasons|unauthenticated|not authenticated",
        "7.9",
    ),
    _pattern(
        "apple-dmarc",
        Says.DMARC_FAILED,
        "Apple",
        _SAMPLING,
        "2024-04",
        r"rejected due to \S{1,253} dmarc policy",
    ),
    _pattern(
        "comcast-dmarc",
        Says.DMARC_FAILED,
        "Comcast",
        _SAMPLING,
        "2024-04",
        r"message rejected due to dmarc",
    ),
    _pattern(
        "gmx-dmarc",
        Says.DMARC_FAILED,
        "GMX, WEB.DE and mail.com",
        "https://postmaster.mail.com/en/case?c=r2001",
        "2026",
        r"reject due to domain's dmarc policy",
    ),
    _pattern(
        "orange-dmarc",
        Says.DMARC_FAILED,
        "Orange",
        _KUMOMTA,
        "2025",
        r"mail rejected\W{0,3}dmarc check failed",
    ),
    _pattern(
        "mail-ru-dmarc",
        Says.DMARC_FAILED,
        "Mail.ru",
        "https://help.mail.ru/mail-help/postmaster/dmarc",
        "2019",
        r"due to domain owner dmarc policy",
    ),
    _pattern(
        "mimecast-dmarc",
        Says.DMARC_FAILED,
        "Mimecast",
        _MIMECAST,
        "2022-06",
        r"dmarc sender invalid",
    ),
    _pattern(
        "mimecast-dkim",
        Says.DKIM_MISSING,
        "Mimecast",
        _MIMECAST,
        "2022-06",
        r"dkim sender invalid",
    ),
    _pattern(
        "mimecast-spf",
        Says.SPF_FAILED,
        "Mimecast",
        _MIMECAST,
        "2022-06",
        r"spf sender invalid",
    ),
    _pattern(
        "mimecast-spoofing",
        Says.SPOOFED,
        "Mimecast",
        _MIMECAST,
        "2022-06",
        r"header[ -]based anti-spoofing policy|anti-spoofing policy - inbound not allowed",
    ),
    _pattern(
        "barracuda-spoofing",
        Says.SPOOFED,
        "Barracuda",
        _FIELD_MANUAL,
        "2025",
        r"rejecting spoofed message",
    ),
    _pattern(
        "opendmarc",
        Says.DMARC_FAILED,
        "OpenDMARC",
        "https://github.com/trusteddomainproject/OpenDMARC",
        "2021",
        r"rejected (?:by|per) dmarc policy",
    ),
    _pattern(
        "rspamd-dmarc",
        Says.DMARC_FAILED,
        "rspamd",
        "https://github.com/rspamd/rspamd/blob/master/src/plugins/lua/dmarc.lua",
        "2022-11",
        r"action set by dmarc",
    ),
    _pattern(
        "kumomta-dmarc",
        Says.DMARC_FAILED,
        "cloud filters",
        _KUMOMTA,
        "2025",
        r"rejected due to sender'?s dmarc policy|\bdmarcrejection\b",
    ),
    _pattern(
        "policyd-spf",
        Says.SPF_FAILED,
        "Postfix with policyd-spf",
        "https://packages.debian.org/bookworm/python3-spf-engine",
        "2023-04",
        r"message rejected due to: spf fail|due to: receiver policy for spf",
    ),
    _pattern(
        "netease-dmarc",
        Says.DMARC_FAILED,
        "NetEase (163.com, 126.com)",
        _NETEASE,
        "2020",
        r"\bmi:dma\b",
        word="mi:dma",
    ),
    _pattern(
        "netease-spf",
        Says.SPF_FAILED,
        "NetEase (163.com, 126.com)",
        "https://pastebin.com/knMf9Xef",
        "2018-10",
        r"\bmi:spf\b",
        word="mi:spf",
    ),
    _pattern(
        "microsoft-spf",
        Says.SPF_FAILED,
        "Microsoft",
        _MICROSOFT,
        "2024-03",
        r"sender policy framework violation",
    ),
    _pattern("rfc7372-spf", Says.SPF_FAILED, "any", _RFC7372, "2014-09", "", "7.23", "7.24"),
    _pattern(
        "rfc7372-dkim", Says.DKIM_MISSING, "any", _RFC7372, "2014-09", "", "7.20", "7.21", "7.22"
    ),
    _pattern("rfc7372-reverse-dns", Says.REVERSE_DNS, "any", _RFC7372, "2014-09", "", "7.25"),
    _pattern(
        "no-policy",
        Says.NO_POLICY,
        "any",
        _GOOGLE,
        "2025-08",
        rf"\b(?:no|without(?: an?)?|missing) (?:valid )?dmarc (?:record|policy)"
        rf"|dmarc record {_GAP}(?:missing|not found|does not exist)",
        word="dmarc",
    ),
    _pattern(
        "dmarc",
        Says.DMARC_FAILED,
        "any",
        _FIELD_MANUAL,
        "2025",
        rf"\bdmarc\b{_GAP}\b(?:fail|reject|den[iy]|violat|block|not pass|not align|unauthenti|"
        rf"polic)"
        rf"|\b(?:fail|reject|den[iy]|violat|block|refus|not pass|not accept|unauthenti)"
        rf"[a-z]{{0,10}}\b{_GAP}\bdmarc\b",
        word="dmarc",
    ),
    _pattern(
        "spf",
        Says.SPF_FAILED,
        "any",
        _FIELD_MANUAL,
        "2025",
        rf"\bspf\b{_GAP}\b(?:fail|reject|den[iy]|violat|not pass|not permit|not allow|"
        rf"not authori|hard)"
        rf"|\b(?:fail|reject|den[iy]|violat|block|not pass)[a-z]{{0,10}}\b{_GAP}\bspf\b"
        rf"|not (?:listed|permitted|authori[sz]ed) {_GAP}\bspf\b"
        r"|\bspf: \S{2,45} is not allowed to send",  # https://pastebin.com/etXwiYvq, 2015-11
        word="spf",
    ),
    _pattern(
        "dkim",
        Says.DKIM_MISSING,
        "any",
        _FIELD_MANUAL,
        "2025",
        rf"\bdkim\b{_GAP}\b(?:fail|reject|invalid|missing|required|not pass|not valid|bad)"
        rf"|\b(?:fail|reject|invalid|missing|without|no|bad)[a-z]{{0,10}} (?:valid )?{_GAP}"
        rf"\bdkim\b",
        word="dkim",
    ),
    _pattern("rfc7372-several", Says.NOT_AUTHENTICATED, "any", _RFC7372, "2014-09", "", "7.26"),
    _pattern(
        "reverse-dns",
        Says.REVERSE_DNS,
        "any",
        "https://smtp.codes/550",
        "2025",
        r"(?:reverse (?:dns|hostname|lookup)|\bptr\b|\brdns\b)",
    ),
)

_MAYBE = (
    "dmarc",
    "spoof",
    "spf",
    "dkim",
    "authent",
    "policy",
    "ptr",
    "reverse",
    "rdns",
    "tls",
    "7.",
    "dns",
    "mi:",
)
_CODE = re.compile(r"[245]\.(7\.[0-9]{1,3})(?![0-9])")
# Each line of a reply has the code again, and Postfix makes one line of them.
_AGAIN = re.compile(r" [45][0-9]{2}[- ](?:[45]\.[0-9]\.[0-9]{1,3} )?")
_URL = re.compile(r"https?://\S*")
_BLANKS = re.compile(r"\s+")


def folded(reply: str) -> str:
    """*reply* in lower case on one line, without the codes of its further lines and its URLs.

    What a reply links to says nothing of this message: many link to pages on DMARC.
    """
    text = _URL.sub("", reply[:MAX_REPLY].lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    return _AGAIN.sub(" ", _BLANKS.sub(" ", text))


def classify(reply: str, enhanced_code: str = "") -> Pattern | None:
    """The pattern of a *reply* that says that a message is not authenticated; None for others.

    *enhanced_code*, such as 5.7.26, is what the MTA has read in it; without one it is looked for.
    """
    text = folded(reply)
    found = _CODE.fullmatch(enhanced_code) or _CODE.search(text[:40])
    code = found[1] if found else ""
    if not code and not any(word in text for word in _MAYBE):
        return None
    return next((each for each in PATTERNS if each.matches(text, code)), None)
