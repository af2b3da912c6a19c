"""The options of Domain Connect: what hosts could not take is refused at its line."""

import pytest

from alignd.config.file import parse_configuration
from tests.support.configtext import BASE, problems

TABLE = '[domain_connect]\nprovider = "easysoftware.com"\n'
KEY = 'key_file = "/k"\n'
DELEGATE = '[dkim]\ndelegate = { selector = "easy1", target = "easy1.easysoftware.com" }\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            f"{TABLE}{DELEGATE}",
            ["8: domain_connect.provider needs domain_connect.key_file: the private key that "
             "signs links"],
            id="no key",
        ),
        pytest.param(
            f"{TABLE}{KEY}",
            ["8: domain_connect.provider needs relay.spf_include or dkim.delegate: else the "
             "template has no record"],
            id="no record",
        ),
        pytest.param(
            '[domain_connect]\nprovider = "easysoftware"',
            ["8: domain_connect.provider: must be a full host name such as 'smtp.example.com': "
             "'easysoftware'"],
            id="one label",
        ),
        pytest.param(
            f'[domain_connect]\nprovider = "{"a" * 60}.com"',
            [f"8: domain_connect.provider: not a name for DNS hosts: '{'a' * 60}.com'; write "
             "letters, digits and '._-', at most 63"],
            id="a long name",
        ),
        pytest.param(
            '[domain_connect]\nservice = "helpdesk mail"',
            ["8: domain_connect.service: not a name for DNS hosts: 'helpdesk mail'; write "
             "letters, digits and '._-', at most 63"],
            id="a blank",
        ),
        pytest.param(
            '[domain_connect]\nkey_name = "a.b"',
            ["8: domain_connect.key_name: not one label of a name in DNS: 'a.b'; write "
             "'_dcpubkeyv1'"],
            id="two labels",
        ),
        pytest.param(
            '[domain_connect]\nprovider_name = "a\\u0007"',
            ["8: domain_connect.provider_name: not a name to show: 'a\\x07'; at most 255 "
             "characters"],
            id="a control character",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_at_its_line(text: str, expected: list[str]) -> None:
    assert problems(f"{BASE}{text}") == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{TABLE}{KEY}{DELEGATE}", id="on"),
        pytest.param('[domain_connect]\nprovider = ""\nservice = "x"', id="off"),
    ],
)
def test_what_agrees_is_taken(text: str) -> None:
    assert parse_configuration(f"{BASE}{text}", "alignd.conf").conflicts() == ()
