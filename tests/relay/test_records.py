"""Generated records, read by receivers: a pass is one to all, and no policy is none to all.

The records are of the kind that owners get wrong. rspamd, libspf2 and libopendmarc read the same.
"""

import os
from collections.abc import Mapping
from ipaddress import ip_address

import pytest

from alignd.config.domain_lists import SuffixList
from alignd.config.file import parse_configuration
from alignd.judgement.prediction import Prediction, predict
from alignd.mail.domain import Domain
from alignd.mailauth.dmarc import Policy
from alignd.mailauth.ternary import Ternary
from alignd.resolver.zone import Zone
from tests.lab import cast
from tests.lab.processes import missing_programs
from tests.lab.settings import configuration
from tests.lab.suffixes import PUBLIC_SUFFIX_LIST
from tests.support.program import run_program
from tests.verifiers.generated import WORLD, Generated, generate
from tests.verifiers.records import SPFQUERY, Opinions

COUNT = int(os.environ.get("ALIGND_RECORDS", "150"))
LIMIT = 60 + COUNT
PROGRAMS = ("ip", "opendmarc", "rspamd", SPFQUERY)
SUFFIXES = SuffixList()
STRICTNESS = ("absent", "none", "quarantine", "unknown", "reject")
# The one exception, which docs/how-it-decides.md names: rspamd also reads what is included behind
# the match, and takes a term there that matches for the result.
READ_BEHIND_THE_MATCH, AND_THEN = "include:soft.example", ("R_SPF_SOFTFAIL", "pass")
# What rspamd says of mail that it fails, by the policy that it applies.
FAILS = {
    "DMARC_POLICY_REJECT": "reject",
    "DMARC_POLICY_QUARANTINE": "quarantine",
    "DMARC_POLICY_SOFTFAIL": "none",
}


def obstacle() -> str | None:
    """Say why the receivers cannot run here, or None."""
    if os.geteuid() != 0:
        return "the receivers need root for a network of their own"
    if missing := missing_programs(PROGRAMS):
        return f"not installed: {', '.join(missing)}"
    return None if PUBLIC_SUFFIX_LIST.exists() else f"there is no {PUBLIC_SUFFIX_LIST}"


pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
]


@pytest.fixture(scope="module")
def opinions() -> Mapping[str, Opinions]:
    """What receivers say, by domain."""
    lines = run_program("tests.verifiers.records", str(COUNT), timeout=LIMIT)
    found = map(Opinions.from_json, lines)
    return {each.domain: each for each in found}


def prediction(generated: Generated, sender: str) -> Prediction:
    """What alignd predicts for mail of the domain from its address."""
    changes = f'[relay]\naddresses = ["{generated.address}"]'
    relay = parse_configuration(configuration(changes), "test").relay
    zone = Zone.parse(WORLD + generated.zone)
    return predict(Domain(generated.domain), sender, relay, zone, SUFFIXES)


def test_what_counts_for_a_pass_is_one_to_all_receivers(
    opinions: Mapping[str, Opinions],
) -> None:
    counting = 0
    for generated in generate(COUNT):
        (spf,) = prediction(generated, f"marky@{generated.domain}").spf
        said = opinions[generated.domain]
        if spf.counts:
            counting += 1
            theirs = (said.rspamd_spf, said.libspf2)
            if READ_BEHIND_THE_MATCH in generated.spf and theirs == AND_THEN:
                continue
            assert theirs == ("R_SPF_ALLOW", "pass"), generated

    assert counting > COUNT / 10  # or the records are of no use


def test_a_policy_is_as_strict_as_that_of_any_receiver(opinions: Mapping[str, Opinions]) -> None:
    enforced = 0
    for generated in generate(COUNT):
        policy = prediction(generated, "marky@pass.example").policy
        said = opinions[generated.domain]
        for theirs in (said.opendmarc, FAILS.get(said.rspamd_unaligned, "")):
            enforced += theirs in {"reject", "quarantine"}
            at_least = STRICTNESS.index(theirs or "absent")
            assert STRICTNESS.index(policy.value) >= at_least, (generated, said)

    assert enforced > COUNT / 4


def test_what_aligns_does_so_for_all_receivers(opinions: Mapping[str, Opinions]) -> None:
    aligned = 0
    for generated in generate(COUNT):
        ours = prediction(generated, f"marky@mail.{generated.domain}")
        said = opinions[generated.domain]
        if ours.aligned is Ternary.YES and ours.policy is not Policy.ABSENT:
            aligned += 1
            # DMARC_BAD_POLICY: rspamd applies none, whatever passes.
            assert said.rspamd_below in {"DMARC_POLICY_ALLOW", "DMARC_BAD_POLICY", "DMARC_NA"}, (
                generated,
                said,
            )
            assert not said.opendmarc_strict, (generated, said)

    assert aligned > COUNT / 10


def test_the_addresses_are_those_of_the_relay() -> None:
    assert {generated.address for generated in generate(50)} == set(cast.RELAY_ADDRESSES)
    assert {ip_address(address).version for address in cast.RELAY_ADDRESSES} == {4, 6}
