"""The parts of advice: wildcards, DNS with a record laid over it, and counted lookups."""

import pytest

from alignd.advice.dkim import Delegation, delegation
from alignd.advice.publication import Overlay
from alignd.advice.spf_cost import ENDLESS, count_lookups
from alignd.advice.spf_repair import repair_records
from alignd.advice.wildcard import wildcard_of
from alignd.config.settings import Delegate, DkimOptions
from alignd.config.signer import load_signer
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.mailauth.dns import Answer, LookupFailed, RecordType
from alignd.resolver.zone import Zone

TXT, A = RecordType.TXT, RecordType.A

WORLD = Zone.parse("""\
*.wild.cz. TXT "v=spf1 -all"
*.wild.cz. MX 10 mail.wild.cz.
mail.wild.cz. A 192.0.2.1
own.wild.cz. TXT "v=spf1 mx -all"
plain.cz. TXT "v=spf1 a -all"
target.cz. TXT "key"
_spf.a.cz. TXT "v=spf1 a mx include:_spf.b.cz -all include:behind.cz"
_spf.b.cz. TXT "v=spf1 exists:%{i}.b.cz ptr redirect=_spf.c.cz"
_spf.c.cz. TXT "v=spf1 ip4:192.0.2.0/24 ~all"
loop.cz. TXT "v=spf1 include:pool.cz -all"
pool.cz. TXT "v=spf1 include:loop.cz -all"
below.alignd-looks-for-a-wildcard.signed.cz. TXT "so that it exists, as some say of any name"
below.none.signed.cz. TXT "and so does another"
; SERVFAIL down.cz
; SERVFAIL alignd-looks-for-a-wildcard.dark.cz
""")


@pytest.mark.parametrize(
    ("name", "wildcard"),
    [
        pytest.param("any.wild.cz", "*.wild.cz", id="a-name-that-is-not-there"),
        pytest.param("one.any.wild.cz", "*.wild.cz", id="nor-the-one-above-it"),
        pytest.param("own.wild.cz", "", id="a-name-with-records-of-its-own"),
        pytest.param("wild.cz", "", id="the-name-above-the-wildcard"),
        pytest.param("plain.cz", "", id="no-wildcard-anywhere"),
        pytest.param("void.cz", "", id="nothing-at-all"),
        pytest.param("none.signed.cz", "", id="where-every-name-exists"),
    ],
)
def test_whose_records_a_name_has(name: str, wildcard: str) -> None:
    assert wildcard_of(Domain(name), WORLD) == wildcard


def test_a_wildcard_that_dns_cannot_say_is_unknown() -> None:
    assert wildcard_of(Domain("any.dark.cz"), WORLD) == LookupFailed("SERVFAIL")


OVERLAY = Overlay(
    WORLD,
    texts={"new.plain.cz": (b"one", b"two")},
    aliases={"s._domainkey.plain.cz": Domain("target.cz"), "dead.plain.cz": Domain("void.cz")},
)


@pytest.mark.parametrize(
    ("name", "record_type", "answer"),
    [
        pytest.param("New.plain.cz", TXT, Answer((b"one", b"two")), id="a-text"),
        pytest.param("new.plain.cz", A, Answer(()), id="which-makes-its-name-exist"),
        pytest.param("_domainkey.plain.cz", TXT, Answer(()), id="and-the-names-above-it"),
        pytest.param("s._domainkey.plain.cz", TXT, Answer((b"key",)), id="an-alias"),
        pytest.param("dead.plain.cz", TXT, Answer(()), id="an-alias-of-nothing-exists"),
        pytest.param("plain.cz", TXT, Answer((b"v=spf1 a -all",)), id="what-is-not-laid-over"),
        pytest.param("void.cz", TXT, Answer((), exists=False), id="what-is-nowhere"),
        pytest.param("down.cz", TXT, LookupFailed("SERVFAIL"), id="what-is-unknown"),
    ],
)
def test_answers_of_an_overlay(
    name: str, record_type: RecordType, answer: Answer | LookupFailed
) -> None:
    assert OVERLAY.look_up(name, record_type) == answer


def test_an_alias_is_known_for_one() -> None:
    answer = OVERLAY.look_up("s._domainkey.plain.cz", TXT)

    assert isinstance(answer, Answer)
    assert answer.alias_of == "target.cz"


def literally(domain_spec: str, domain: Domain) -> str:
    return domain_spec.replace("%{d}", domain.name)


@pytest.mark.parametrize(
    ("record", "lookups"),
    [
        pytest.param("v=spf1 ip4:192.0.2.1 ip6:2001:db8:: -all", 0, id="networks-are-free"),
        pytest.param("v=spf1 a mx ptr exists:%{i}.x.cz -all", 4, id="others-cost-one-each"),
        pytest.param("v=spf1 a -all mx", 1, id="behind-all-nothing-is-asked"),
        pytest.param("v=spf1 exp=e.x.cz -all", 0, id="an-explanation-is-free"),
        pytest.param("v=spf1 include:_spf.a.cz -all", 7, id="with-all-that-is-included"),
        pytest.param("v=spf1 redirect=_spf.c.cz", 1, id="a-redirect"),
        pytest.param("v=spf1 redirect=_spf.a.cz", 7, id="is-followed"),
        pytest.param("v=spf1 redirect=_spf.a.cz -all", 1, id="but-not-where-all-decides"),
        pytest.param("v=spf1 include:_spf.%{d} -all", 4, id="macros-are-expanded"),
        pytest.param("v=spf1 include:void.cz -all", 1, id="an-include-of-nothing"),
        pytest.param("v=spf1 include:loop.cz -all", ENDLESS, id="a-loop-is-endless"),
        pytest.param("v=spf1" + " include:void.cz" * 4000, ENDLESS, id="so-are-thousands"),
    ],
)
def test_lookups_are_counted(record: str, lookups: int) -> None:
    owner = Domain("b.cz")

    assert (
        count_lookups(repair_records((record.encode(),), owner).record, owner, literally, WORLD)
        == lookups
    )


def test_what_dns_cannot_say_cannot_be_counted() -> None:
    owner = Domain("x.cz")
    record = repair_records((b"v=spf1 include:down.cz -all",), owner).record

    assert count_lookups(record, owner, literally, WORLD) == LookupFailed("TXT down.cz: SERVFAIL")


KEYS = Zone.parse("""\
mycompany.cz. TXT "v=spf1 -all"
*.mycompany.cz. TXT "v=spf1 a -all"
alias.cz. TXT "v=spf1 -all"
*.alias.cz. CNAME www.nowhere.cz.
own.cz. TXT "v=spf1 -all"
*.own.cz. TXT "v=spf1 a -all"
easy1._domainkey.own.cz. TXT "v=DKIM1; p="
""")


@pytest.mark.parametrize(
    ("domain", "replaces"),
    [
        pytest.param("mycompany.cz", (), id="what-a-wildcard-answers"),
        pytest.param("alias.cz", (), id="nor-the-alias-of-one"),
        pytest.param("own.cz", (b"v=DKIM1; p=",), id="a-record-of-the-name-itself"),
    ],
)
def test_a_delegated_key_stands_in_the_place_of(domain: str, replaces: tuple[bytes, ...]) -> None:
    delegate = Delegate.model_validate({"selector": "easy1", "target": "easy1.dkim.easy.cz"})
    author, nobody = Mailbox("marky", Domain(domain)), load_signer(DkimOptions())

    made = delegation(delegate, author, nobody, KEYS)

    assert isinstance(made, Delegation)
    assert made.publication.replaces == replaces
