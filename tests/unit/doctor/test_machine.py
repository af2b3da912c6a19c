"""Findings about limits, lists, nameservers and versions that no test can plant in a relay."""

from datetime import date

import pytest

from alignd.config.domain_lists import SuffixList
from alignd.config.option_types import Nameserver
from alignd.config.settings import DnsOptions, MilterOptions
from alignd.doctor.facts import DescriptorLimit
from alignd.doctor.findings import Finding, FindingId, Note, Remark, Skipped, Unknown
from alignd.doctor.machine import examine_limits, examine_resolver, examine_suffixes
from alignd.doctor.outbound import examine_version
from alignd.mailauth.dns import LookupFailed
from alignd.postfix.config import PostfixConfig

LOCAL = Nameserver("127.0.0.1")


def said(remark: Remark) -> FindingId | type[Remark]:
    return remark.id if isinstance(remark, Finding) else type(remark)


@pytest.mark.parametrize(
    ("released", "expected"),
    [
        pytest.param(date(2026, 10, 23), [], id="a-month-old"),
        pytest.param(date(2025, 11, 24), [], id="a-year-old"),
        pytest.param(date(2025, 11, 23), [FindingId.SUFFIX_LIST_OLD], id="older-than-a-year"),
        pytest.param(None, [Unknown], id="of-unknown-age"),
    ],
)
def test_the_age_of_the_public_suffix_list(
    released: date | None, expected: list[FindingId | type[Remark]]
) -> None:
    assert [said(each) for each in examine_suffixes(released, date(2026, 11, 24))] == expected


def test_the_package_of_the_list_says_its_date() -> None:
    assert SuffixList.released() == date(2026, 10, 23)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        pytest.param("3.7.10", [FindingId.POSTFIX_MISPLACES_EDITS], id="before-it-was-fixed"),
        pytest.param("3.7.0", [FindingId.POSTFIX_MISPLACES_EDITS], id="the-first-of-the-branch"),
        pytest.param("3.7.11", [], id="fixed"),
        pytest.param("3.10.5", [], id="another-branch"),
        pytest.param("", [], id="no-version"),
    ],
)
def test_versions_of_postfix(version: str, expected: list[FindingId]) -> None:
    postfix = PostfixConfig(version, {}, frozenset(), ())

    assert [said(each) for each in examine_version(postfix)] == expected


@pytest.mark.parametrize(
    ("server", "took", "expected"),
    [
        pytest.param(LOCAL, 0.001, [Note], id="a-local-one-that-answers"),
        pytest.param(LOCAL, 0.2, [FindingId.RESOLVER_SLOW], id="a-slow-one"),
        pytest.param(LOCAL, LookupFailed("timeout"), [FindingId.RESOLVER_SILENT], id="none"),
        pytest.param(LOCAL, None, [Skipped], id="not-asked"),
        pytest.param(Nameserver("::1", 5353), 0.001, [Note], id="a-local-one-over-ipv6"),
        pytest.param(
            Nameserver("192.0.2.53"), 0.001, [FindingId.RESOLVER_REMOTE, Note], id="a-remote-one"
        ),
    ],
)
def test_nameservers(
    server: Nameserver,
    took: float | LookupFailed | None,
    expected: list[FindingId | type[Remark]],
) -> None:
    assert [said(each) for each in examine_resolver(DnsOptions(), {server: took})] == expected


def test_no_nameserver_at_all_is_unknown() -> None:
    unknown = Unknown("no nameserver")

    assert list(examine_resolver(DnsOptions(), unknown)) == [unknown]


def test_a_line_that_names_no_nameserver_is_noted() -> None:
    (note, _) = examine_resolver(DnsOptions(), {LOCAL: None}, ("/etc/resolv.conf:2: odd",))

    assert note == Note("/etc/resolv.conf:2: odd; Postfix does not ask it, either")


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        pytest.param(2100, [], id="room-for-all"),
        pytest.param(2099, [FindingId.DESCRIPTORS_FEW], id="one-too-few"),
        pytest.param(10, [FindingId.DESCRIPTORS_FEW], id="next-to-none"),
    ],
)
def test_descriptors(limit: int, expected: list[FindingId]) -> None:
    found = examine_limits(MilterOptions(), None, DescriptorLimit(limit, "a limit"), cores=2)

    assert [said(each) for each in found] == expected
