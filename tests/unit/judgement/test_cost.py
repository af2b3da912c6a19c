"""No message costs more processor time than a worker can spare, whatever its author publishes."""

import time
from dataclasses import dataclass
from ipaddress import ip_address

import pytest

from alignd.config.domain_lists import SuffixList
from alignd.config.file import parse_configuration
from alignd.config.signer import load_signer
from alignd.judgement.review import Reviewer, make_reviewer
from alignd.mail.message import HeaderField, Message
from alignd.mailauth.dns import Answer, LookupFailed, RecordType
from alignd.resolver.zone import Zone
from tests.lab import cast
from tests.lab.settings import configuration, world
from tests.support.hostile import DOMAIN, HostileDomain, hostile_domains

OURS = f'{cast.SPF_INCLUDE}. TXT "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"\n'
BOUND = 0.1  # seconds of processor time
TRIES = 5
ADDRESSES = [f"192.0.2.{n}" for n in range(20, 24)] + [f"2001:db8::{n}" for n in range(20, 24)]
# The sender differs from the author, so that the envelope is tried too: sixteen evaluations. Both
# are deep, so that each walk has eight names.
SENDER = f"{'a+b-c.' * 10}@bounces.{'x.' * 20}{DOMAIN}"
AUTHOR = f"author.{'x.' * 20}{DOMAIN}"
MESSAGE = Message(
    SENDER,
    ("julia@recipient.example",),
    (HeaderField("From", f"Marky <agent@{AUTHOR}>".encode()),),
    client=ip_address("127.0.0.1"),
)


@dataclass(frozen=True)
class BesideOurs:
    """A Lookup with the notifications domain, which is no part of the hostile one."""

    hostile: HostileDomain
    ours: Zone

    def look_up(self, name: str, record_type: RecordType, **_: bool) -> Answer | LookupFailed:
        is_ours = name.endswith((cast.NOTIFICATIONS_DOMAIN, cast.SPF_INCLUDE))
        return (self.ours if is_ours else self.hostile).look_up(name, record_type)


@pytest.fixture(scope="module")
def reviewer() -> Reviewer:
    settings = parse_configuration(configuration(f"[relay]\naddresses = {ADDRESSES}"), "test")
    signer, suffixes = load_signer(settings.dkim), SuffixList()
    return make_reviewer(settings, signer, time.time, suffixes, time.thread_time)


@pytest.mark.parametrize("domain", list(hostile_domains()), ids=lambda domain: domain.name)
def test_the_worst_domains_are_judged_within_the_bound(
    domain: HostileDomain, reviewer: Reviewer
) -> None:
    ours, spent = Zone.parse(world(OURS)), []
    for _ in range(TRIES):
        begin = time.thread_time()
        judgement = reviewer.judge(MESSAGE, BesideOurs(domain, ours))
        spent.append(time.thread_time() - begin)
        if spent[-1] < BOUND:
            break

    assert min(spent) < BOUND
    assert judgement.reason.action.value == "rewrite"
    predictions = judgement.circumstances.predictions
    assert predictions is not None
    assert all(len(spf.explanation) <= 200 for spf in predictions.as_sent.spf)
    assert all(spf.explanation.isprintable() for spf in predictions.as_sent.spf)
    assert predictions.with_author_as_sender is not None
