"""What postconf prints becomes parameters and services."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.postfix.config import PostfixConfig, read_services, seconds, version_number

FIELDS = """\
127.0.0.1:10026/inet/service = 127.0.0.1:10026
127.0.0.1:10026/inet/chroot = y
127.0.0.1:10026/inet/process_limit = 20
127.0.0.1:10026/inet/command = smtpd -o smtpd_milters=
smtp/unix/chroot = -
smtp/unix/process_limit = -
smtp/unix/command = smtp
"""
OPTIONS = "127.0.0.1:10026/inet/smtpd_milters =\n127.0.0.1:10026/inet/mynetworks = a = b\n"


@pytest.mark.parametrize("chroot_by_default", [True, False])
def test_services(chroot_by_default: bool) -> None:
    listener, client = read_services(FIELDS, OPTIONS, chroot_by_default=chroot_by_default)

    assert (listener.name, listener.port, listener.program) == (
        "127.0.0.1:10026",
        "10026",
        "smtpd",
    )
    assert (listener.is_chrooted, listener.process_limit) == (True, 20)
    assert listener.options == {"smtpd_milters": "", "mynetworks": "a = b"}
    assert (client.is_chrooted, client.process_limit) == (chroot_by_default, None)


def test_what_a_service_says_comes_before_what_holds_in_general() -> None:
    services = read_services(FIELDS, OPTIONS, chroot_by_default=False)
    general = {"smtpd_milters": "unix:/a", "myhostname": "a.example"}
    postfix = PostfixConfig("3.7.11", general, frozenset(), services)

    assert postfix.value("smtpd_milters", services[0]) == ""
    assert postfix.value("smtpd_milters", services[1]) == "unix:/a"
    assert postfix.value("myhostname", services[0]) == "a.example"
    assert postfix.is_written("smtpd_milters", services[0])
    assert not postfix.is_written("smtpd_milters", services[1])


@given(st.text(), st.text())
def test_any_output_is_read(fields: str, options: str) -> None:
    read_services(fields, options, chroot_by_default=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5", 5), ("30s", 30), ("2m", 120), ("1h", 3600), ("1d", 86400), ("1w", 604800)],
)
def test_times(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "s", "-1s", "1.5s", "5 s", "soon", "\u0665s\n"])
def test_no_times(text: str) -> None:
    assert seconds(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3.7.11", (3, 7, 11)), ("3.11-20260101", (3, 11)), ("6 x", (6,)), ("", ()), ("x", ())],
)
def test_versions(text: str, expected: tuple[int, ...]) -> None:
    assert version_number(text) == expected
