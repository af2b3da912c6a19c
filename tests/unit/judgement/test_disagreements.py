"""Where receivers disagree with each other: what they say, what we answer, and why it is safe.

A message that some receivers fail is rewritten, because rewritten mail passes at all of them. So
every row names a case that rewrites, and the case proves it at every speed. Sources: the RFCs,
and what OpenDMARC 1.4.2, rspamd 3.4, mailauth, pyspf, spftrace, libspf2 and Mail::SPF were seen
to do.
"""

from dataclasses import dataclass

import pytest

from tests.support.selection import CASES


@dataclass(frozen=True)
class Disagreement:
    case: str
    some: str
    """Receivers that pass the message as it is, or may."""
    others: str
    """Receivers that do not; for them it is rewritten."""


SPF = (
    Disagreement("spf-plus-all", "all that follow RFC 7208", "rspamd does not count +all"),
    Disagreement("spf-plus-all-in-an-include", "RFC 7208, section 5.2", "rspamd leaves it out"),
    Disagreement("spf-wide-network", "RFC 7208", "rspamd leaves out ip4 and ip6 below /8"),
    Disagreement("spf-prefix-of-no-length", "RFC 7208, section 5.6", "libspf2: permerror"),
    Disagreement(
        "spf-another-term-matches",
        "RFC 7208, section 4.6.2: the first that matches",
        "rspamd sorts them, and takes another",
    ),
    Disagreement(
        "spf-another-term-matches-in-an-include",
        "RFC 7208, section 5.2: no match, go on",
        "rspamd: fail",
    ),
    Disagreement(
        "spf-redirect-in-front",
        "RFC 7208, section 6.1: only where nothing matches",
        "libspf2 follows it where it stands",
    ),
    Disagreement("spf-final-dot", "RFC 7208, section 7.1 allows it", "mailauth: permerror"),
    Disagreement("spf-modifier-with-a-dot", "RFC 7208, section 12", "libspf2: permerror"),
    Disagreement("spf-behind-the-buffer", "all others", "libspf2 keeps 63 networks of a record"),
    Disagreement(
        "spf-two-records", "rspamd takes one of them", "RFC 7208, section 4.5: permerror"
    ),
    Disagreement(
        "spf-syntax-error-behind-match",
        "rspamd, which stops at the match",
        "RFC 7208, section 4.6: permerror",
    ),
    Disagreement(
        "spf-third-void-lookup",
        "libspf2 and rspamd do not count; mailauth counts less",
        "pyspf, spftrace: permerror at the third, whatever asked",
    ),
    Disagreement("spf-eleventh-lookup", "libspf2, rspamd", "RFC 7208, section 4.6.4: permerror"),
    Disagreement(
        "spf-unused-redirect-counts",
        "spftrace, mailauth: it is never evaluated",
        "pyspf, Mail::SPF: the eleventh term",
    ),
    Disagreement(
        "dns-include-servfail",
        "rspamd, mailauth go on to the next term",
        "RFC 7208, section 5.2: temperror",
    ),
    Disagreement(
        "spf-ptr-in-doubt",
        "RFC 7208, section 5.5: no match, go on",
        "pyspf, Mail::SPF: temperror",
    ),
    Disagreement("spf-macro-malformed", "pyspf takes it as text", "RFC 7208, section 7.1"),
    Disagreement(
        "relay-authorised-over-ipv4-only",
        "those that the mail reaches over IPv4",
        "those that it reaches over IPv6",
    ),
)

DMARC = (
    Disagreement("dmarc-aspf-written-out", "the RFCs: a bad value, relaxed", "OpenDMARC: strict"),
    Disagreement("dmarc-aspf-twice", "those that take the last", "those that take the first"),
    Disagreement("dmarc-rf-iodef", "all others", "OpenDMARC notes rf down in aspf"),
    Disagreement("dmarc-sp-empty", "those that apply nothing then", "those that skip the tag"),
    Disagreement("dmarc-sp-bad", "RFC 9989, section 4.10.1: p=none or nothing", "rspamd: p"),
    Disagreement("dmarc-policy-cut-short", "the RFCs: no policy", "OpenDMARC: reject"),
    Disagreement("dmarc-policy-twice", "those that take the last", "those that take the first"),
    Disagreement("dmarc-no-semicolon", "the RFCs: no record", "rspamd applies it"),
    Disagreement("dmarc-blank-in-front", "the RFCs: no record", "OpenDMARC, mailauth apply it"),
    Disagreement("dmarc-version-last", "the RFCs: no record", "OpenDMARC applies it"),
    Disagreement("dmarc-two-records", "the RFCs: no policy", "OpenDMARC takes the first"),
    Disagreement(
        "organizations-differ-at-psd-n",
        "RFC 7489: one organization by the public suffix list",
        "RFC 9989: psd=n makes two",
    ),
    Disagreement(
        "organizations-differ-at-subdomain-record",
        "RFC 7489: one organization",
        "RFC 9989: the parent, without a record, is its own organization",
    ),
    Disagreement(
        "suffix-record-without-psd",
        "RFC 9989: co.uk becomes the organization of all below it",
        "RFC 7489: a public suffix is nobody's organization",
    ),
    Disagreement(
        "psd-that-is-no-public-suffix",
        "RFC 7489: one organization",
        "RFC 9989: psd=y parts those below it",
    ),
    Disagreement(
        "strict-author-with-subdomain-sender",
        "OpenDMARC, mailauth 4 take aspf=s for relaxed",
        "the RFCs, rspamd",
    ),
    Disagreement(
        "bad-np-with-strict-alignment",
        "RFC 9989: the record cannot be applied",
        "RFC 7489: np is unknown, aspf=s holds",
    ),
    Disagreement("psd-record-alone", "RFC 7489: no policy", "RFC 9989: the registry's holds"),
    Disagreement("policy-of-name-that-does-not-exist", "RFC 7489: sp=none", "RFC 9989: np=reject"),
    Disagreement(
        "two-records-below-one",
        "RFC 7489: discovery ends without a policy",
        "RFC 9989: the walk goes on to the organization's",
    ),
    Disagreement(
        "deep-author", "RFC 9989 may meet a record between", "RFC 7489: the organization's"
    ),
    Disagreement(
        "rule-enforced-test-mode",
        "RFC 7489 by pct=0, RFC 9989 by t=y: a lower policy",
        "each of the other's tag: the full policy",
    ),
    Disagreement(
        "servfail-above-a-subdomain-sender",
        "RFC 7489 does not ask there",
        "RFC 9989: temperror",
    ),
    Disagreement(
        "dns-dmarc-timeout",
        "OpenDMARC, Mail::DMARC: no record, let in",
        "rspamd, mailauth: temperror",
    ),
    Disagreement(
        "null-sender",
        "those that count a HELO pass for the author",
        "the RFCs: the HELO name does not align",
    ),
)

DKIM = (
    Disagreement("dkim-rsa-sha1", "dkimpy verifies it", "RFC 8301, section 3.1"),
    Disagreement("dkim-weak-key", "old verifiers", "RFC 8301, section 3.2"),
    Disagreement("dkim-two-keys", "those that take the good one", "those that take the other"),
    Disagreement("dkim-key-in-test-mode", "most count it", "RFC 6376, section 3.6.1: as unsigned"),
    Disagreement("dkim-part-of-body", "RFC 6376 allows it", "those that ignore l= since 2024"),
    Disagreement("dkim-expired", "dkimpy gives ten hours", "those that are exact, or late"),
    Disagreement("dkim-key-not-for-mail", "dkimpy ignores s=", "RFC 6376, section 3.6.1"),
    Disagreement("dkim-key-for-sha1-only", "dkimpy ignores h=", "RFC 6376, section 3.6.1"),
    Disagreement("dkim-identity-below-domain", "dkimpy ignores t=s", "RFC 6376, section 3.6.1"),
    Disagreement("signer-ed25519", "RFC 8463", "those that know RSA alone"),
    Disagreement("upstream-rsa-sha1", "the verifier upstream", "RFC 8301, section 3.1"),
)

FROM = (
    Disagreement("from-two-fields", "OpenDMARC judges the first", "rspamd: none; others reject"),
    Disagreement("from-two-mailboxes", "RFC 9989, section 5.3.1, of one domain", "others: none"),
    Disagreement("from-group", "those that look inside", "those that do not know RFC 6854"),
    Disagreement("from-unquoted-comma", "those that see one mailbox", "those that see two"),
    Disagreement("from-unquoted-at", "those that read the angle address", "those that read first"),
    Disagreement("from-route", "those that skip the route", "those that read its first domain"),
    Disagreement("from-trailing-dot", "those that drop it", "those that see another name"),
    Disagreement("from-idn-raw", "those that know IDNA", "rspamd: no such name; OpenDKIM: no key"),
    Disagreement("from-nested-comments", "those that count", "rspamd, mailauth: none"),
    Disagreement("from-quoted-local-part", "the last at sign", "mailauth: the first"),
    Disagreement("from-comment-with-address", "a comment", "an address"),
    Disagreement("from-comment-with-backslash", "a comment", "mailauth: an address behind it"),
    Disagreement("from-comment-in-brackets", "a comment", "mailauth: part of the domain"),
    Disagreement("from-domain-with-underscore", "RFC 5322", "authheaders: a shorter domain"),
    Disagreement("from-blank-behind-at", "the RFC's obsolete grammar", "rspamd: none"),
    Disagreement("from-two-at-signs", "the first at sign", "the last"),
    Disagreement("from-soft-hyphen", "those that map by UTS 46", "those that follow RFC 5891"),
    Disagreement(
        "from-encoded-word-in-address", "those that follow RFC 2047", "those that decode"
    ),
)

TABLE = SPF + DMARC + DKIM + FROM


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.case)
def test_where_receivers_disagree_the_message_is_rewritten(row: Disagreement) -> None:
    (case,) = [case for case in CASES if case.name == row.case]

    assert case.expected_action == "rewrite"


def test_no_row_stands_twice() -> None:
    assert len({row.case for row in TABLE}) == len(TABLE)
