"""What would be different: records laid over DNS, and other relay addresses."""

from ipaddress import ip_address

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from alignd.advice.whatif import (
    AddressError,
    LaidOver,
    Outcome,
    Remembered,
    Subject,
    with_addresses,
)
from alignd.config.file import parse_configuration
from alignd.config.settings import Configuration
from alignd.ledger.answer import Finding
from alignd.mail.domain import Domain
from alignd.mailauth.dns import Answer, LookupFailed, RecordType
from alignd.resolver.zone import Zone
from tests.lab.cast import RELAY_IPV4, RELAY_IPV6
from tests.lab.settings import configuration

TXT, A = RecordType.TXT, RecordType.A
NEW = "192.0.2.77"

DNS = Zone.parse("""\
changed.example. TXT "old"
changed.example. A 192.0.2.1
same.example. TXT "same"
elsewhere.example. CNAME changed.example.
twice.example. CNAME elsewhere.example.
aliased.example. TXT "old"
own.wild.example. TXT "own"
; TIMEOUT slow.example
; SERVFAIL repaired.example
""")
WRITTEN = Zone.parse("""\
changed.example. TXT "new"
aliased.example. CNAME same.example.
into.example. CNAME changed.example.
dangling.example. CNAME nowhere.example.
below.new.example. TXT "below"
*.wild.example. TXT "wild"
moved.example. DNAME wild.example.
repaired.example. TXT "repaired"
; SERVFAIL broken.example
""")


@pytest.mark.parametrize(
    ("name", "kind", "answer"),
    [
        pytest.param("changed.example", TXT, Answer((b"new",)), id="written"),
        pytest.param("Changed.Example", TXT, Answer((b"new",)), id="in-capitals"),
        pytest.param("changed.example", A, Answer(("192.0.2.1",)), id="of-another-type"),
        pytest.param("same.example", TXT, Answer((b"same",)), id="not-written"),
        pytest.param("elsewhere.example", TXT, Answer((b"new",)), id="dns-leads-to-it"),
        pytest.param("twice.example", TXT, Answer((b"new",)), id="by-two-aliases"),
        pytest.param("aliased.example", TXT, Answer((b"same",)), id="an-alias-into-dns"),
        pytest.param("into.example", A, Answer(("192.0.2.1",)), id="an-alias-back-and-forth"),
        pytest.param("dangling.example", TXT, Answer(()), id="an-alias-of-nothing"),
        pytest.param("new.example", TXT, Answer(()), id="above-what-is-written"),
        pytest.param("any.wild.example", TXT, Answer((b"wild",)), id="a-wildcard"),
        pytest.param("own.wild.example", TXT, Answer((b"own",)), id="which-hides-nothing"),
        pytest.param("own.moved.example", TXT, Answer((b"own",)), id="a-whole-branch-moved"),
        pytest.param("nowhere.example", TXT, Answer((), exists=False), id="nowhere"),
        pytest.param("slow.example", TXT, LookupFailed("timeout"), id="dns-does-not-say"),
        pytest.param("broken.example", TXT, LookupFailed("SERVFAIL"), id="written-as-broken"),
        pytest.param("repaired.example", TXT, Answer((b"repaired",)), id="repaired"),
        pytest.param("a..b", TXT, Answer((), exists=False), id="no-name-of-dns"),
    ],
)
def test_records_are_laid_over_dns(
    name: str, kind: RecordType, answer: Answer | LookupFailed
) -> None:
    assert LaidOver(WRITTEN, DNS).look_up(name, kind) == answer


NAMES = ("a.example", "b.example", "x.b.example", "c.example", "d.example")
RECORDS = st.dictionaries(
    st.sampled_from(NAMES), st.sampled_from(["TXT one", *(f"CNAME {each}." for each in NAMES)])
)


def zone_of(records: dict[str, str]) -> Zone:
    return Zone.parse("".join(f"{name}. {record}\n" for name, record in records.items()))


@given(there=RECORDS, written=RECORDS, name=st.sampled_from(NAMES))
def test_dns_is_as_if_the_records_had_been_published(
    there: dict[str, str], written: dict[str, str], name: str
) -> None:
    dns = zone_of(there)
    # Of aliases that have no end DNS says nothing, not even where they begin.
    assume(not any(isinstance(dns.look_up(each, TXT), LookupFailed) for each in NAMES))

    laid_over = LaidOver(zone_of(written), dns).look_up(name, TXT)
    published = zone_of(there | written).look_up(name, TXT)

    assert laid_over == published
    assert getattr(laid_over, "alias_of", "") == getattr(published, "alias_of", "")


def test_both_judgements_have_the_same_answers() -> None:
    first = Remembered(DNS)
    first.look_up("changed.example", TXT)
    second = first.renewed(WRITTEN)

    assert second.look_up("Changed.example", TXT) == Answer((b"old",))
    assert second.look_up("below.new.example", TXT) == Answer((b"below",))
    assert first.look_up("below.new.example", TXT) == Answer((b"below",))


TENANTS = f"""
[[tenant]]
name = "own"
match = {{ X-Tenant = "own" }}
relay = {{ addresses = ["{RELAY_IPV4}"] }}
[[tenant]]
name = "plain"
match = {{ X-Tenant = "plain" }}
"""


def addresses(configured: Configuration) -> dict[str, list[str]]:
    labelled = configured.labelled_settings()
    return {name: [str(ip) for ip in each.relay.addresses] for name, each in labelled.items()}


@pytest.mark.parametrize(
    ("added", "removed", "own", "others"),
    [
        pytest.param([NEW], [], [RELAY_IPV4, NEW], [RELAY_IPV4, RELAY_IPV6, NEW], id="one-more"),
        pytest.param([], [RELAY_IPV6], [RELAY_IPV4], [RELAY_IPV4], id="one-less"),
        pytest.param([NEW], [RELAY_IPV4], [NEW], [RELAY_IPV6, NEW], id="another"),
        pytest.param(
            *([RELAY_IPV6], [], [RELAY_IPV4, RELAY_IPV6], [RELAY_IPV4, RELAY_IPV6]),
            id="that-some-have",
        ),
    ],
)
def test_addresses_change_for_every_tenant(
    added: list[str], removed: list[str], own: list[str], others: list[str]
) -> None:
    before = parse_configuration(configuration(TENANTS), "alignd.conf")
    after = with_addresses(before, [*map(ip_address, added)], [*map(ip_address, removed)])

    assert addresses(after) == {"": others, "own": own, "plain": others}
    assert addresses(before)["plain"] == [RELAY_IPV4, RELAY_IPV6]
    assert after.narrowed_to(after.labelled_settings()["own"]).relay.addresses == tuple(
        map(ip_address, own)
    )


@pytest.mark.parametrize(
    ("added", "removed", "problem"),
    [
        pytest.param([RELAY_IPV4], [], f"mail leaves from {RELAY_IPV4} already", id="there"),
        pytest.param([], [NEW], f"mail does not leave from {NEW}", id="not-there"),
        pytest.param([NEW], [NEW], f"{NEW} is both added and removed", id="both"),
        pytest.param([], [RELAY_IPV4], "no address of smtp2", id="the-last-one-of-a-tenant"),
    ],
)
def test_a_change_of_addresses_that_makes_no_sense_is_refused(
    added: list[str], removed: list[str], problem: str
) -> None:
    configured = parse_configuration(configuration(TENANTS), "alignd.conf")

    with pytest.raises(AddressError, match=problem):
        with_addresses(configured, [*map(ip_address, added)], [*map(ip_address, removed)])


@pytest.mark.parametrize(
    ("now", "then", "is_change"),
    [
        pytest.param(("pass", "spf-aligned"), ("pass", "spf-aligned"), False, id="the-same"),
        pytest.param(("pass", "spf-aligned"), ("rewrite", "unaligned"), True, id="another-action"),
        pytest.param(
            ("pass", "spf-aligned"), ("pass", "rewrite-would-fail"), True, id="left-to-fail"
        ),
        pytest.param(
            ("pass", "spf-aligned"), ("rewrite", "dns-unknown"), False, id="nobody-knows"
        ),
        pytest.param(("rewrite", "dns-unknown"), ("pass", "spf-aligned"), False, id="nor-before"),
    ],
)
def test_what_counts_as_a_change(
    now: tuple[str, str], then: tuple[str, str], is_change: bool
) -> None:
    outcome = Outcome(Subject(Domain("mycompany.com")), Finding(*now), Finding(*then))

    assert outcome.is_change is is_change
    assert outcome.is_unknown is ("dns-unknown" in {now[1], then[1]})
