"""DMARC: tables of single facts, and both models against a small reference model of the RFCs."""

import re
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.config.domain_lists import SuffixList
from alignd.mail.domain import Domain
from alignd.mailauth.dmarc import (
    MAX_TEXTS,
    AlignmentMode,
    DmarcRecord,
    DmarcRecords,
    Policy,
    Reading,
    Tags,
    aligned,
)
from alignd.mailauth.dns import Answer, LookupFailed, RecordType
from alignd.mailauth.rfc7489 import Rfc7489
from alignd.mailauth.rfc9989 import Rfc9989, walk_names
from alignd.mailauth.ternary import Ternary

SUFFIXES = SuffixList()


@dataclass
class Records:
    """A Lookup of DMARC records by name; a failing name has None."""

    texts: dict[str, list[str] | None]
    asked: list[str]

    def look_up(self, name: str, record_type: RecordType, **_: bool) -> Answer | LookupFailed:
        assert record_type is RecordType.TXT
        self.asked.append(name)
        if not name.startswith("_dmarc."):
            below = any(place == name or place.endswith("." + name) for place in self.texts)
            return Answer((), exists=below)
        texts = self.texts.get(name.removeprefix("_dmarc."), [])
        if texts is None:
            return LookupFailed("SERVFAIL")
        return Answer(tuple(text.encode() for text in texts), exists=bool(texts))


def records(**texts: str | None) -> Records:
    named = {name.replace("_", "."): text for name, text in texts.items()}
    return Records({name: None if text is None else [text] for name, text in named.items()}, [])


@pytest.mark.parametrize(
    ("text", "policy", "subdomain", "nonexistent"),
    [
        pytest.param("v=DMARC1; p=reject", "reject", "reject", "reject", id="p-holds-below"),
        pytest.param("v=DMARC1;p=none;sp=reject", "none", "reject", "reject", id="sp-holds-below"),
        pytest.param("v=DMARC1; p=none; np=reject", "none", "none", "reject", id="np-alone"),
        pytest.param("V=DMARC1; P=Reject", "reject", "reject", "reject", id="case-is-folded"),
        pytest.param("v = DMARC1 ; p = reject ;", "reject", "reject", "reject", id="blanks"),
        pytest.param("v=DMARC1; x=y; p=reject", "reject", "reject", "reject", id="p-anywhere"),
        pytest.param("v=DMARC1; p=none; p=reject", "reject", "reject", "reject", id="last-wins"),
        pytest.param("v=DMARC1; p=reject; pct=0; t=y", "reject", "reject", "reject", id="test"),
        pytest.param("v=DMARC1; p=x; rua=mailto:a@b.cz", "none", "none", "none", id="rua-saves"),
        pytest.param("v=DMARC1; p=x", "none", "none", "none", id="nobody-to-tell"),
        pytest.param("v=DMARC1;", "none", "none", "none", id="no-policy"),
        # From here on receivers differ, and the strictest counts.
        pytest.param("v=DMARC1; p=reject; sp=x; rua=mailto:a@b", *["reject"] * 3, id="bad-sp"),
        pytest.param("v=DMARC1; p=reject; sp=", *["reject"] * 3, id="empty-sp"),
        pytest.param("v=DMARC1; p=reject; np=x", *["reject"] * 3, id="bad-np"),
        pytest.param("v=DMARC1; p=none; sp=rej", "none", "reject", "reject", id="short-sp"),
        pytest.param("v=DMARC1; p=none; sp=none; sp=reject", "none", *["reject"] * 2, id="two-sp"),
        pytest.param(
            "v=DMARC1; sp=reject; rua=mailto:a@b", "none", *["reject"] * 2, id="sp-alone"
        ),
        pytest.param("v=DMARC1; p=reject; p=none", *["reject"] * 3, id="the-first-of-two"),
        pytest.param("v=DMARC1; p=r", *["reject"] * 3, id="one-letter"),
        pytest.param("v=DMARC1; p=QUAR", *["quarantine"] * 3, id="a-beginning"),
        pytest.param("v=DMARC1; p=reject,", *["reject"] * 3, id="a-comma-behind"),
        pytest.param("v=DMARC1 p=reject", *["reject"] * 3, id="a-blank-for-a-semicolon"),
        pytest.param("v=DMARC1\\; p=reject\\; pct=100", *["reject"] * 3, id="backslashes"),
        pytest.param("v=DMARC1; p=none sp=reject", "none", *["reject"] * 2, id="none-behind-p"),
        pytest.param("v=DMARC1; p\t=\tre ject", *["reject"] * 3, id="blanks-inside"),
        pytest.param("v=DMARC1; p:reject", *["reject"] * 3, id="a-colon"),
        pytest.param("p=reject; v=DMARC1", *["reject"] * 3, id="v-last"),
        pytest.param("v=DMARC1; p=none;" + "x=y;" * 80, *["reject"] * 3, id="too-many-tags"),
        pytest.param("v=DMARC1; p=none; rua=" + "a" * 5000, *["reject"] * 3, id="too-long"),
        pytest.param("v=DMARC1; p=none; rua=mailto:a@b?p=reject", *["none"] * 3, id="in-a-uri"),
    ],
)
def test_policies_of_a_record(text: str, policy: str, subdomain: str, nonexistent: str) -> None:
    record = DmarcRecord.from_tags(Tags.parse(text))

    assert record.policy.value == policy
    assert record.subdomain_policy.value == subdomain
    assert record.nonexistent_policy.value == nonexistent


@pytest.mark.parametrize(
    ("tags", "dkim", "spf"),
    [
        pytest.param("", "r", "r", id="relaxed-by-default"),
        pytest.param("adkim=r; aspf=R", "r", "r", id="in-either-case"),
        pytest.param("adkim=s; aspf=r", "s", "r", id="one-each"),
        pytest.param("aspf=strict", "r", "s", id="written-out"),
        pytest.param("adkim=relaxed", "s", "r", id="rspamd-refuses-relaxed"),
        pytest.param("aspf=s,", "r", "s", id="a-comma-behind"),
        pytest.param("aspf=", "r", "s", id="empty"),
        pytest.param("adkim=x", "s", "r", id="nonsense"),
        pytest.param("aspf=r; aspf=s", "r", "s", id="the-last-of-two"),
        pytest.param("aspf=s; aspf=r", "r", "s", id="the-first-of-two"),
        pytest.param("pct=100 aspf=s", "r", "s", id="behind-a-blank"),
        pytest.param("rf=iodef", "r", "s", id="a-mistake-of-opendmarc"),
        pytest.param("rf=afrf,I", "r", "s", id="which-takes-beginnings"),
        pytest.param("rf=iodef; aspf=r", "r", "r", id="not-beside-aspf"),
        pytest.param("rf=afrf", "r", "r", id="nor-with-the-other-format"),
    ],
)
def test_alignment_is_strict_where_any_receiver_takes_it_so(
    tags: str, dkim: str, spf: str
) -> None:
    record = DmarcRecord.from_tags(Tags.parse(f"v=DMARC1; p=reject; {tags}"))

    assert (record.dkim_alignment.value, record.spf_alignment.value) == (dkim, spf)


@pytest.mark.parametrize(
    ("text", "exact", "lenient"),
    [
        pytest.param("v=DMARC1; p=reject", 1, 1, id="a-record"),
        pytest.param("v=DMARC1", 1, 1, id="the-version-alone"),
        pytest.param("v=dmarc1; p=reject", 0, 1, id="mailauth-ignores-case"),
        pytest.param(" v=DMARC1; p=none", 0, 1, id="and-blanks-in-front"),
        pytest.param("p=reject; v=DMARC1", 0, 1, id="opendmarc-takes-it-anywhere"),
        pytest.param("v=DMARC12", 0, 1, id="and-any-number"),
        pytest.param("v=DMARC1 p=reject", 0, 1, id="rspamd-needs-no-semicolon"),
        pytest.param("v=spf1 -all", 0, 0, id="spf"),
        pytest.param("see https://dmarc.org", 0, 0, id="prose"),
    ],
)
def test_what_counts_for_a_dmarc_record(text: str, exact: int, lenient: int) -> None:
    found = DmarcRecords(records(a_cz=text))

    assert len(found.at(Domain("a.cz"), Reading.EXACT)) == exact  # type: ignore[arg-type]
    assert len(found.at(Domain("a.cz"), Reading.LENIENT)) == lenient  # type: ignore[arg-type]


def test_several_records_are_none_or_the_strictest_of_them() -> None:
    texts = ["v=DMARC1; p=none; aspf=s", "v=DMARC1; p=reject; adkim=s", "v=spf1 -all"]
    found = DmarcRecords(Records({"a.cz": [*texts]}, []))

    exact = found.at(Domain("a.cz"), Reading.EXACT)
    lenient = found.at(Domain("a.cz"), Reading.LENIENT)

    assert isinstance(exact, tuple)
    assert isinstance(lenient, tuple)
    assert len(exact) == 2
    strict = AlignmentMode.STRICT
    assert [DmarcRecord.from_tags(tags) for tags in lenient] == [
        DmarcRecord(Policy.REJECT, Policy.REJECT, Policy.REJECT, strict, strict)
    ]


def test_records_among_too_many_texts_are_unknown() -> None:
    texts: list[str] = ["v=DMARC1; p=none", *map(str, range(MAX_TEXTS))]
    found = DmarcRecords(Records({"a.cz": texts}, []))

    assert isinstance(found.at(Domain("a.cz"), Reading.EXACT), LookupFailed)


def test_a_walk_has_at_most_eight_names() -> None:
    twelve = Domain("a.b.c.d.e.f.g.h.i.j.example.com")

    names = [domain.name for domain in walk_names(twelve)]

    assert names[:3] == [twelve.name, "f.g.h.i.j.example.com", "g.h.i.j.example.com"]
    assert names[-1] == "com"
    assert len(names) == 8
    assert [domain.name for domain in walk_names(Domain("com"))] == ["com"]


def test_a_walk_ends_at_psd() -> None:
    world = records(b_a_cz="v=DMARC1; psd=n", a_cz="v=DMARC1; p=reject")

    organization = Rfc9989(DmarcRecords(world)).organizational_domain(Domain("c.b.a.cz"))

    assert organization == Domain("b.a.cz")
    assert world.asked == ["_dmarc.c.b.a.cz", "_dmarc.b.a.cz"]


def test_rfc_7489_asks_at_most_two_names() -> None:
    world = records()

    Rfc7489(DmarcRecords(world), SUFFIXES).discover(Domain("c.b.a.cz"))

    assert world.asked == ["_dmarc.c.b.a.cz", "_dmarc.a.cz"]


@pytest.mark.parametrize(
    ("identifier", "mode", "expected"),
    [
        pytest.param("a.cz", "s", Ternary.YES, id="strict-accepts-the-name-itself"),
        pytest.param("m.a.cz", "s", Ternary.NO, id="strict-accepts-nothing-else"),
        pytest.param("m.a.cz", "r", Ternary.YES, id="relaxed-accepts-a-subdomain"),
        pytest.param("cz", "r", Ternary.NO, id="relaxed-does-not-accept-what-is-above"),
        pytest.param("b.cz", "r", Ternary.NO, id="another-organization-never"),
        pytest.param("xa.cz", "r", Ternary.NO, id="a-longer-label-is-another-name"),
    ],
)
def test_alignment(identifier: str, mode: str, expected: Ternary) -> None:
    world = records(a_cz="v=DMARC1; p=reject")
    for model in (Rfc7489(DmarcRecords(world), SUFFIXES), Rfc9989(DmarcRecords(world))):
        assert aligned(Domain(identifier), Domain("a.cz"), AlignmentMode(mode), model) is expected


def test_a_failure_above_leaves_relaxed_alignment_unknown() -> None:
    world = records(a_cz="v=DMARC1; p=reject", cz=None)
    model = Rfc9989(DmarcRecords(world))

    assert model.discover(Domain("a.cz")).policy is Policy.REJECT
    relaxed = aligned(Domain("m.a.cz"), Domain("a.cz"), AlignmentMode.RELAXED, model)
    assert relaxed is Ternary.UNKNOWN


# The reference model: written from the RFCs as plain functions over strings, sharing no code.

Zone = dict[str, list[str] | None]
VALUES = ("none", "quarantine", "reject")


class TemporaryError(Exception):
    """DNS failed where the reference model needs it."""


def ref_records(zone: Zone, name: str) -> list[dict[str, str]]:
    texts = zone.get(name, [])
    if texts is None:
        raise TemporaryError
    kept = [text for text in texts if re.match(r"[vV] *= *DMARC1 *(;|$)", text)]
    pairs = [[tag.split("=", 1) for tag in text.split(";") if "=" in tag] for text in kept]
    return [{name.strip().lower(): value.strip() for name, value in tags} for tags in pairs]


def ref_walk(zone: Zone, domain: str) -> list[tuple[str, dict[str, str]]]:
    labels, found = domain.split("."), []
    while labels:
        name = ".".join(labels)
        records = ref_records(zone, name)
        if len(records) == 1:
            found.append((name, records[0]))
            if records[0].get("psd") in ("y", "n"):
                break
        labels = labels[-7:] if len(labels) >= 8 else labels[1:]
    return found


def ref_org(domain: str, found: list[tuple[str, dict[str, str]]]) -> str:
    for name, tags in found:
        if tags.get("psd") == "n":
            return name
        if tags.get("psd") == "y" and name != domain:
            return ".".join(domain.split(".")[-(len(name.split(".")) + 1) :])
    return found[-1][0] if found else domain


def ref_policy(tags: dict[str, str], keys: list[str]) -> str:
    # Where the RFCs would not apply the record, some receiver applies what is good in it.
    policy = "none"
    for key in ["p", *reversed(keys)]:
        policy = tags[key] if tags.get(key) in VALUES else policy
    return policy


def ref_9989(zone: Zone, domain: str) -> tuple[str, str | None]:
    own = ref_records(zone, domain)
    if len(own) == 1:
        return ref_policy(own[0], []), domain
    found = ref_walk(zone, domain)
    org = ref_org(domain, found)
    exists = any(name == domain or name.endswith("." + domain) for name in zone)
    keys = ["sp"] if exists else ["np", "sp"]
    for name, tags in found:
        if name == org:
            return ref_policy(tags, keys), name
    if found and found[-1][1].get("psd") == "y":
        return ref_policy(found[-1][1], keys), found[-1][0]
    return "absent", None


def ref_7489(zone: Zone, domain: str) -> tuple[str, str | None]:
    org = SUFFIXES.registered_domain(Domain(domain)).name
    found, place, keys = ref_records(zone, domain), domain, []
    if not found:
        found, place, keys = ref_records(zone, org), org, [] if org == domain else ["sp"]
    if len(found) != 1:
        return "absent", None
    # A receiver of this RFC has never heard of np.
    known = {name: value for name, value in found[0].items() if name != "np"}
    return ref_policy(known, keys), place


NAMES = ("com", "a.com", "b.a.com", "c.b.a.com", "d.b.a.com", "e.com", "co.uk", "a.co.uk")
DEEP = ("1.2.3.4.5.6.b.a.com", "3.4.5.6.b.a.com", "2.3.4.5.6.b.a.com")
TEXT = st.builds(
    lambda *tags: "; ".join(["v=DMARC1", *filter(None, tags)]),
    st.sampled_from(["p=none", "p=quarantine", "p=reject", "p=bad", ""]),
    st.sampled_from(["sp=none", "sp=reject", "sp=bad", "", ""]),
    st.sampled_from(["np=none", "np=reject", "np=bad", "", ""]),
    st.sampled_from(["psd=y", "psd=n", "psd=u", "psd=x", "", "", ""]),
    st.sampled_from(["rua=mailto:a@b.cz", ""]),
)
ZONES = st.dictionaries(
    st.sampled_from(NAMES + DEEP),
    st.one_of(st.lists(TEXT, min_size=1, max_size=2), st.just(["v=spf1 -all"]), st.none()),
    max_size=6,
)


@given(ZONES, st.sampled_from(NAMES + DEEP))
def test_rfc_9989_agrees_with_the_reference_model(zone: Zone, name: str) -> None:
    model = Rfc9989(DmarcRecords(Records(zone, [])))

    discovery = model.discover(Domain(name))
    organization = model.organizational_domain(Domain(name))

    try:
        expected = ref_9989(zone, name)
    except TemporaryError:
        assert discovery.policy is Policy.UNKNOWN
    else:
        place = discovery.record_domain.name if discovery.record_domain else None
        wanted = expected if expected[0] != "absent" else ("absent", None)
        assert (discovery.policy.value, place) == wanted
    try:
        assert organization == Domain(ref_org(name, ref_walk(zone, name)))
    except TemporaryError:
        assert isinstance(organization, LookupFailed)


@given(ZONES, st.sampled_from(NAMES + DEEP))
def test_rfc_7489_agrees_with_the_reference_model(zone: Zone, name: str) -> None:
    discovery = Rfc7489(DmarcRecords(Records(zone, [])), SUFFIXES).discover(Domain(name))

    try:
        expected = ref_7489(zone, name)
    except TemporaryError:
        assert discovery.policy is Policy.UNKNOWN
        return
    place = discovery.record_domain.name if discovery.record_domain else None
    wanted = expected if expected[0] != "absent" else ("absent", None)
    assert (discovery.policy.value, place) == wanted


@given(ZONES, st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from("rs"))
def test_alignment_agrees_with_the_reference_model(
    zone: Zone, identifier: str, author: str, mode: str
) -> None:
    outcome = aligned(
        Domain(identifier),
        Domain(author),
        AlignmentMode(mode),
        Rfc9989(DmarcRecords(Records(zone, []))),
    )

    if identifier == author:
        expected = Ternary.YES
    elif mode == "s":
        expected = Ternary.NO
    else:
        expected = ref_relaxed(zone, identifier, author)
    assert outcome is expected


def ref_relaxed(zone: Zone, identifier: str, author: str) -> Ternary:
    try:
        org = ref_org(author, ref_walk(zone, author))
        if not (identifier == org or identifier.endswith("." + org)):
            return Ternary.NO
        same = ref_org(identifier, ref_walk(zone, identifier)) == org
    except TemporaryError:
        return Ternary.UNKNOWN
    return Ternary.YES if same else Ternary.NO


def test_the_public_suffix_list_of_a_suffix_is_itself() -> None:
    assert SUFFIXES.registered_domain(Domain("co.uk")) == Domain("co.uk")
    assert SUFFIXES.registered_domain(Domain("x.y.github.io")) == Domain("y.github.io")
    assert SUFFIXES.registered_domain(Domain("x.y.unknowntld")) == Domain("y.unknowntld")
