"""A pass is a promise: of generated messages, none that is left alone fails at a receiver.

They leave a real relay with Postfix's defaults, and OpenDMARC and rspamd judge them, as they are
and as they would be without alignd; and mailauth, where `tests/lab/mailauth.py` finds it.
ALIGND_GENERATED and ALIGND_SEED set how many, and which.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from tests.lab.cast import NOTIFICATIONS_DOMAIN
from tests.relay.test_verifiers import obstacle
from tests.support.program import run_program
from tests.verifiers.generator import AS_SENT, generate
from tests.verifiers.sending import Sending
from tests.verifiers.verdict import Verdict

COUNT = int(os.environ.get("ALIGND_GENERATED", "150"))
SEED = int(os.environ.get("ALIGND_SEED", "13"))
SECONDS_EACH = 2

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(obstacle() is not None, reason=obstacle() or ""),
]


@dataclass(frozen=True)
class Judged:
    """One generated message from one address of the relay."""

    sending: Sending
    left: Verdict
    """What became of it."""
    as_sent: Verdict
    """What becomes of it without alignd."""

    def __str__(self) -> str:
        author = re.search(r"@(a\d+\.example)", self.sending.message.decode("latin-1"))
        domain = author[1] if author else "a."
        dns = [line[:300] for line in self.sending.zone.splitlines() if domain in line]
        return "\n".join(
            [
                str(self.left),
                f"without alignd: {self.as_sent}",
                f"MAIL FROM:<{self.sending.envelope_sender}>",
                self.sending.message[:1500].decode("latin-1"),
                *dns,
            ]
        )


@pytest.fixture(scope="module")
def judged() -> list[Judged]:
    sendings = {sending.name: sending for sending in generate(COUNT, SEED)}
    lines = run_program(
        "tests.verifiers",
        lines=(sending.to_json() for sending in sendings.values()),
        timeout=120 + COUNT * SECONDS_EACH,
    )
    verdicts = {
        (verdict.case, verdict.source): verdict for verdict in map(Verdict.from_json, lines)
    }
    return list(_pairs(sendings, verdicts))


def _pairs(
    sendings: Mapping[str, Sending], verdicts: Mapping[tuple[str, str], Verdict]
) -> Iterator[Judged]:
    for (name, source), verdict in verdicts.items():
        if not name.endswith(AS_SENT):
            yield Judged(sendings[name], verdict, verdicts[f"{name}{AS_SENT}", source])


def fails(verdict: Verdict) -> bool:
    """Whether a receiver says that DMARC fails, whatever it then does."""
    by_opendmarc = verdict.opendmarc.startswith(("fail", "rejected"))
    by_mailauth = verdict.mailauth.startswith(("fail", "exception"))
    return by_opendmarc or by_mailauth or verdict.rspamd.startswith(_FAILURES)


_FAILURES = ("DMARC_POLICY_REJECT", "DMARC_POLICY_QUARANTINE", "DMARC_POLICY_SOFTFAIL")


def passes(verdict: Verdict) -> bool:
    by_opendmarc = verdict.opendmarc.startswith("pass ")
    by_mailauth = not verdict.mailauth or verdict.mailauth.startswith("pass ")
    return by_opendmarc and by_mailauth and verdict.rspamd.startswith("DMARC_POLICY_ALLOW")


def test_every_message_is_judged(judged: list[Judged]) -> None:
    assert len(judged) == 2 * COUNT
    lost = [str(each) for each in judged if each.left.answer.startswith("lost")]
    assert not lost, lost[0]


def test_what_is_left_alone_because_it_passes_fails_nowhere(judged: list[Judged]) -> None:
    words = {"spf-aligned", "dkim-aligned", "envelope-aligned"}
    left = [each for each in judged if each.left.reason in words]
    wrong = [str(each) for each in left if fails(each.left)]

    assert left
    assert not wrong, f"{len(wrong)} of {len(left)}:\n" + "\n\n".join(wrong)


def test_what_no_policy_covers_is_refused_nowhere(judged: list[Judged]) -> None:
    left = [each for each in judged if each.left.reason == "policy-not-covered"]
    refused = ("DMARC_POLICY_REJECT", "DMARC_POLICY_QUARANTINE")
    wrong = [
        str(each)
        for each in left
        if each.left.opendmarc.startswith("rejected") or each.left.rspamd.startswith(refused)
    ]

    assert left
    assert not wrong, f"{len(wrong)} of {len(left)}:\n" + "\n\n".join(wrong)


def test_what_is_rewritten_passes_everywhere(judged: list[Judged]) -> None:
    # rewrite-fails says that it will not: of a null sender, with a line that breaks the signature.
    named = {"rewrite-fails"}
    rewritten = [
        each for each in judged if each.left.action == "rewrite" and each.left.reason not in named
    ]
    wrong = [
        str(each)
        for each in rewritten
        if not passes(each.left) or not each.left.opendmarc.endswith(NOTIFICATIONS_DOMAIN)
    ]

    assert rewritten
    assert not wrong, f"{len(wrong)} of {len(rewritten)}:\n" + "\n\n".join(wrong)


def test_little_is_rewritten_needlessly(judged: list[Judged]) -> None:
    """Needlessly: from no address of the relay does it fail as it was sent."""
    needless = Counter(
        each.left.reason
        for each in judged
        if each.left.action == "rewrite" and passes(each.as_sent)
    )
    passing = sum(passes(each.as_sent) for each in judged)
    print(Counter(f"{each.left.action} {each.left.reason}" for each in judged))
    print(f"{needless.total()} of {passing} that would pass are rewritten: {dict(needless)}")

    # Half of the parts are odd here as in no mail: of ordinary mail none is, see the cases.
    assert needless.total() <= passing / 4
