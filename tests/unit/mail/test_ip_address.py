"""Every IP address has one value, however it is written."""

from ipaddress import ip_address

import pytest

from alignd.mail.ip_address import parse_ip_address


@pytest.mark.parametrize(
    ("text", "same"),
    [
        pytest.param("192.0.2.25", "192.0.2.25", id="ipv4"),
        pytest.param("2001:DB8:0::25", "2001:db8::25", id="ipv6"),
        pytest.param("::ffff:192.0.2.25", "192.0.2.25", id="ipv4-mapped"),
    ],
)
def test_addresses(text: str, same: str) -> None:
    assert parse_ip_address(text) == ip_address(same)


@pytest.mark.parametrize("text", ["", "relay.example", "192.0.2", "[::1]", "192.0.2.0/24"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        parse_ip_address(text)
