"""What depends on the version of Postfix, and what two places say of the same thing."""

import pytest

from alignd.config.file import parse_configuration
from alignd.doctor.chain import TIMEOUTS, examine_chain
from alignd.postfix.chain import read_chain
from alignd.postfix.config import PostfixConfig, Service, seconds
from alignd.postfix.endpoint import Endpoint, InetEndpoint, UnixEndpoint
from alignd.postfix.layouts import Layout, shipped
from alignd.postfix.milters import read_milters
from tests.support.configtext import BASE

PLACE = InetEndpoint("127.0.0.1", 8899)
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


def found(config: PostfixConfig, place: Endpoint = PLACE) -> list[str]:
    topics = examine_chain(parse_configuration(BASE, "alignd.conf"), read_chain(config, place))
    return [finding.id.value for topic in topics for finding in topic.findings]


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
    ("milter", "place"),
    [
        pytest.param("inet:localhost:8899", PLACE, id="loopback-by-name"),
        pytest.param("inet:[::1]:8899", PLACE, id="loopback-over-ipv6"),
        pytest.param("unix:/var/run/a.sock", UnixEndpoint("/run/a.sock"), id="an-old-path"),
        pytest.param("unix:a.sock", UnixEndpoint("/var/spool/postfix/a.sock"), id="relative"),
    ],
)
def test_alignd_is_found_by_any_name(milter: str, place: Endpoint) -> None:
    config = postfix(f"inet:localhost:named {{ {milter}, default_action=tempfail }}", "3.7.11")

    assert "alignd-not-in-chain" not in found(config, place)


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
