"""Findings that depend on Postfix's version or spelling; the layouts and doctor agree."""

import pytest

from alignd.config.endpoint import Endpoint, InetEndpoint, UnixEndpoint
from alignd.config.file import parse_configuration
from alignd.doctor.chain import TIMEOUTS, examine_chain
from alignd.doctor.findings import Finding
from alignd.postfix.chain import read_chain
from alignd.postfix.config import PostfixConfig, Service, seconds
from alignd.postfix.layouts import Layout, shipped
from alignd.postfix.milters import read_milters
from tests.support.configtext import BASE

ENDPOINT = InetEndpoint("127.0.0.1", 8899)
GENERAL = {
    "milter_protocol": "6",
    "milter_connect_timeout": "5s",
    "milter_command_timeout": "5s",
    "milter_content_timeout": "20s",
    "queue_directory": "/var/spool/postfix",
    "non_smtpd_milters": "inet:127.0.0.1:8899",
}


def postfix(milters: str, version: str, **general: str) -> PostfixConfig:
    options = {"smtpd_milters": milters}
    listener = Service("smtp", "inet", "smtpd", False, None, options)
    return PostfixConfig(version, GENERAL | general, frozenset(), (listener,))


def findings(config: PostfixConfig, endpoint: Endpoint = ENDPOINT) -> list[Finding]:
    topics = examine_chain(parse_configuration(BASE, "alignd.conf"), read_chain(config, endpoint))
    return [finding for topic in topics for finding in topic.findings]


def found(config: PostfixConfig, endpoint: Endpoint = ENDPOINT) -> list[str]:
    return [finding.id.value for finding in findings(config, endpoint)]


@pytest.mark.parametrize(
    ("version", "action", "expected"),
    [
        pytest.param("3.7.11", "shutdown", ["milters-malformed"], id="not-known-before-3.11"),
        pytest.param("3.11.0", "shutdown", ["default-action-refuses"], id="known-and-not-proven"),
        pytest.param("3.11.0", "tempfail", [], id="proven"),
    ],
)
def test_an_action_of_a_newer_version(version: str, action: str, expected: list[str]) -> None:
    milters = f"{{ inet:127.0.0.1:8899, default_action={action} }}"

    assert found(postfix(milters, version)) == expected


def test_a_default_that_is_not_written_down() -> None:
    config = postfix("inet:127.0.0.1:8899", "3.11.0", milter_default_action="shutdown")

    assert found(config) == ["default-action-unset"]


@pytest.mark.parametrize(
    ("milter", "general", "fix"),
    [
        pytest.param(
            "{ inet:127.0.0.1:8899, default_action=tempfail, protocol=2 }",
            {},
            "protocol=6 in the braces of alignd, in smtpd_milters",
            id="in-braces",
        ),
        pytest.param(
            "{ inet:127.0.0.1:8899, default_action=tempfail }",
            {"milter_protocol": "2"},
            "postconf -e 'milter_protocol = 6'",
            id="in-main.cf",
        ),
    ],
)
def test_an_old_protocol_is_fixed_where_it_is_set(
    milter: str, general: dict[str, str], fix: str
) -> None:
    assert [finding.fix for finding in findings(postfix(milter, "3.7.11", **general))] == [fix]


@pytest.mark.parametrize(
    ("milter", "endpoint"),
    [
        pytest.param("inet:localhost:8899", ENDPOINT, id="loopback-by-name"),
        pytest.param("inet:[::1]:8899", ENDPOINT, id="loopback-over-ipv6"),
        pytest.param("unix:/var/run/a.sock", UnixEndpoint("/run/a.sock"), id="an-old-path"),
        pytest.param("unix:a.sock", UnixEndpoint("/var/spool/postfix/a.sock"), id="relative"),
    ],
)
def test_alignd_is_found_by_any_name(milter: str, endpoint: Endpoint) -> None:
    config = postfix(f"inet:localhost:named {{ {milter}, default_action=tempfail }}", "3.7.11")

    assert "alignd-not-in-chain" not in found(config, endpoint)


@pytest.mark.parametrize(
    ("layout", "file"),
    [(Layout.INLINE, "main.cf"), (Layout.INLINE, "master.cf"), (Layout.QUEUE_FIRST, "master.cf")],
)
def test_the_timeouts_that_are_asked_for_are_those_of_the_layouts(
    layout: Layout, file: str
) -> None:
    text = shipped(layout, file).rpartition("smtpd_milters = { ")[2].partition(" }")[0]

    (milter,) = read_milters(f"{{ {text} }}")
    written = {name: seconds(milter.settings[name]) for name in TIMEOUTS}
    assert written == TIMEOUTS
