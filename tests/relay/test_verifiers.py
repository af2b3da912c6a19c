"""The promise as receivers see it: what alignd lets out, they let in.

Every case leaves a real relay, with alignd and a signer in it, over IPv4 and over IPv6. Software
of other makers judges it: a Postfix with OpenDKIM and OpenDMARC, which rejects what fails and
checks SPF itself, by libspf2, and rspamd, on the bytes that this Postfix got.
"""

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from alignd.config.file import parse_configuration
from tests.lab.processes import missing_programs
from tests.lab.settings import configuration, world
from tests.lab.suffixes import PUBLIC_SUFFIX_LIST
from tests.support.case import Case, Speed
from tests.support.program import run_program
from tests.support.selection import CASES
from tests.verifiers.sending import Sending
from tests.verifiers.verdict import Verdict

PROGRAMS = ("ip", "opendkim", "opendkim-genkey", "opendmarc", "postfix", "rspamd")
LIMIT = 480

Verdicts = Mapping[str, Sequence[Verdict]]


@dataclass(frozen=True)
class Claim:
    """Patterns of what the verifiers say about a message; `rejected` is heard from OpenDMARC."""

    opendmarc: str
    rspamd: str
    reason: str


PASS = Claim("pass .*", "DMARC_POLICY_ALLOW .*", "an aligned identifier passes")
NO_RECORD = Claim("none .*", "DMARC_NA .*", "nothing to pass: the zone has no DMARC record")
LET_IN = Claim("(pass|fail|none|permerror) .*", ".*", "no receiver applies a policy")
FAILS = Claim("fail .*|rejected", ".*", "alignd knows that it fails, and does the lesser harm")
NO_CLAIM = Claim("((pass|fail|none) .*|rejected)", ".*", "alignd says nothing about receivers")
BY_REASON = {
    "policy-not-covered": LET_IN,
    "policy-not-covered-envelope": LET_IN,
    "exempt-envelope": NO_CLAIM,
    "own-domain-envelope": NO_CLAIM,
    "rewrite-would-fail": LET_IN,
    "rewrite-fails": FAILS,
}

# Where a verifier is known to say something else, or the case is not about what receivers say.
DIFFERENT = {
    "signer-key-behind-dname": Claim(
        "rejected", "", "OpenDKIM 2.11 gives up at the DNAME record of the answer"
    ),
    "dry-run": Claim("rejected", "", "alignd only says what it would do"),
    "dry-run-of-a-tenant": Claim("rejected", "", "alignd only says what it would do"),
    "dry-run-of-the-envelope": Claim("rejected", "", "alignd only says what it would do"),
    "return-address-dry-run": Claim("rejected", "", "alignd only says what it would do"),
    "null-sender-helo-aligns-with-ours": Claim(
        "pass easyredmine.com",
        "DMARC_POLICY_ALLOW easyredmine.com",
        "the notifications domain is that of the HELO name",
    ),
    "null-sender-our-policy-is-unknown": Claim(
        "none .*", "DMARC_DNSFAIL .*", "the policy of the notifications domain cannot be looked up"
    ),
    "null-sender-our-dns-is-silent": Claim(
        "(fail|permerror|temperror) .*|rejected", ".*", "the signer's key cannot be looked up"
    ),
    "spf-macro-of-local-part": Claim(
        "rejected", "", "OpenDMARC tells libspf2 the domain alone: the local part is postmaster"
    ),
}

# The relay's clients are at its own address here, so that Postfix completes their header before
# alignd sees it. What then is the reason, for the cases whose From is not the same afterwards:
COMPLETED = {
    "from-bare-address-behind-name": ("rewrite", "from-several-mailboxes"),
    "from-bracket-not-closed": ("rewrite", "from-several-mailboxes"),
    "from-careless-dots": ("rewrite", "from-malformed"),
    "from-comma-and-bare-address": ("rewrite", "from-several-mailboxes"),
    "from-missing": ("rewrite", "relay-not-authorised"),
    "from-missing-null-sender": ("rewrite", "from-malformed"),
    "from-nul": ("rewrite", "from-malformed"),
    "from-route": ("pass", "spf-aligned"),
    "from-square-brackets": ("rewrite", "from-several-mailboxes"),
    "from-trailing-dot": ("pass", "spf-aligned"),
    "from-two-bare-addresses": ("rewrite", "from-several-mailboxes"),
    "from-unquoted-comma": ("rewrite", "from-several-mailboxes"),
    "from-with-blanks-on-top": ("rewrite", "relay-not-authorised"),
    "header-missing": ("rewrite", "relay-not-authorised"),
    "return-address-of-nobody": ("rewrite", "from-several-mailboxes"),
}


def obstacle() -> str | None:
    """Say why the receivers cannot run here, or None."""
    if os.geteuid() != 0:
        return "the receivers need root for a network of their own"
    if missing := missing_programs(PROGRAMS):
        return f"not installed: {', '.join(missing)}"
    if not PUBLIC_SUFFIX_LIST.exists():
        return f"there is no {PUBLIC_SUFFIX_LIST}; the package is publicsuffix"
    return None


pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
]


def runs_here(case: Case) -> bool:
    is_sent = case.expected_action != "refuse" or "dry_run = true" in case.config
    return Speed.POSTFIX in case.speeds and is_sent


def sending(case: Case) -> Sending:
    return Sending(
        name=case.name,
        zone=case.zone,
        config=case.config,
        client=case.client,
        login=case.login,
        envelope_sender=case.envelope_sender,
        recipients=case.recipients,
        message=case.message,
    )


@pytest.fixture(scope="module")
def verdicts() -> Verdicts:
    """What became of every case, by its name."""
    lines = run_program(
        "tests.verifiers",
        lines=(sending(case).to_json() for case in CASES if runs_here(case)),
        timeout=LIMIT,
    )
    found = defaultdict(list)
    for verdict in map(Verdict.from_json, lines):
        found[verdict.case].append(verdict)
    return found


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name) for case in CASES if runs_here(case)]
)
def test_receivers_agree(case: Case, verdicts: Verdicts) -> None:
    assert verdicts[case.name]
    for verdict in verdicts[case.name]:
        claim = DIFFERENT.get(case.name) or claim_for(case, verdict)
        assert re.fullmatch(claim.opendmarc, verdict.opendmarc), f"{claim}\n{verdict}"
        assert re.fullmatch(claim.rspamd, verdict.rspamd), f"{claim}\n{verdict}"
    for verdict in verdicts[case.name]:
        # Or the receivers have judged something that the case is not about.
        expected = COMPLETED.get(case.name) or (case.expected_action, case.expected_reason)
        assert (verdict.action, verdict.reason) == expected


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(each, id=each.name)
        for each in CASES
        if each.expected_reason.endswith("-envelope")
    ],
)
def test_where_from_stays_a_failing_sender_is_replaced(case: Case, verdicts: Verdicts) -> None:
    for verdict in verdicts[case.name]:
        if verdict.evidence and "dry_run = true" not in case.config:
            assert "R_SPF_ALLOW" in verdict.evidence, verdict


def test_every_difference_is_of_a_case() -> None:
    assert {*DIFFERENT, *COMPLETED} <= {case.name for case in CASES if runs_here(case)}


def claim_for(case: Case, verdict: Verdict) -> Claim:
    """What the receivers have to say when alignd has done as it says in *verdict*."""
    if verdict.reason in BY_REASON:
        return BY_REASON[verdict.reason]
    match verdict.action, verdict.reason:
        case "rewrite", _:
            return pass_as_ours(case)
        case ("envelope", _) | ("pass", "spf-aligned" | "dkim-aligned"):
            return PASS if has_record(case) else NO_RECORD
        case _:
            return NO_CLAIM


def pass_as_ours(case: Case) -> Claim:
    """What the receivers have to say of mail from the domains that it is rewritten to."""
    parsed = parse_configuration(configuration(case.config), case.name)
    domains = {each for settings in parsed.all_settings for each in settings.own_domains}
    ours = "|".join(re.escape(each.name) for each in domains)
    reason = "the author domain is one of ours"
    return Claim(f"pass ({ours})", f"DMARC_POLICY_ALLOW ({ours})", reason)


def has_record(case: Case) -> bool:
    """Whether DMARC is published for a name that the message has in it."""
    published = re.findall(r"^_dmarc\.(\S+)\. ", world(case.zone), re.MULTILINE)
    return any(name.encode() in case.message.lower() for name in published)
