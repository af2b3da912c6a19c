"""The page: who may look must be said before others can reach it, and links need their keys."""

import pytest

from alignd.config.file import parse_configuration
from alignd.config.option_types import ListenAddress
from tests.support.configtext import BASE, problems

PROXY = 'trusted_proxies = ["192.0.2.1"]\nuser_header = "X-Remote-User"\n'
SHARE = 'share_keys = "/k"\nshare_url = "https://help.example"\n'
OPEN = (
    "web.listen can be reached from other machines: set web.trusted_proxies and "
    "web.user_header, or web.tokens"
)
SAME = "web.share_listen must differ from web.listen: who has a link sees no list"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('listen = "192.0.2.25:80"', [f"8: {OPEN}"], id="open to others"),
        pytest.param('listen = "0.0.0.0:80"', [f"8: {OPEN}"], id="open on every address"),
        pytest.param('listen = "[::]:80"', [f"8: {OPEN}"], id="open on every IPv6 address"),
        pytest.param('listen = "web.example:80"', [f"8: {OPEN}"], id="open at a name"),
        pytest.param(
            'trusted_proxies = ["127.0.0.1"]',
            ["8: web.trusted_proxies needs web.user_header: the field that says who looks"],
            id="a proxy that says nothing",
        ),
        pytest.param(
            'user_header = "X-User"',
            ["8: web.user_header needs web.trusted_proxies: who is believed what it says"],
            id="a user whom nobody names",
        ),
        pytest.param(
            'share_listen = "127.0.0.1:18881"',
            [
                "8: web.share_listen needs web.share_keys",
                "8: web.share_listen needs web.share_url",
            ],
            id="links without keys",
        ),
        pytest.param(
            f'{SHARE}share_listen = "127.0.0.1:18880"', [f"10: {SAME}"], id="one address for both"
        ),
        pytest.param(
            f'{SHARE}share_listen = "0.0.0.0:18880"', [f"10: {SAME}"], id="every address"
        ),
        pytest.param(
            f'{SHARE}share_listen = "localhost:18880"', [f"10: {SAME}"], id="another spelling"
        ),
        pytest.param(
            f'{SHARE}url = "https://HELP.example:443/list"',
            [
                "9: web.share_url must have another host or port than web.url, so that browsers "
                "keep them apart"
            ],
            id="one origin for both",
        ),
        pytest.param(
            'language = "da"\nlanguages = ["en"]',
            ["8: web.language 'da' is none of web.languages"],
            id="a language that there is not",
        ),
        pytest.param(
            'trusted_proxies = ["0.0.0.0/0"]\nuser_header = "X-User"',
            ["8: web.trusted_proxies: would trust everybody's word for who he is: '0.0.0.0/0'"],
            id="everybody is a proxy",
        ),
        pytest.param(
            'trusted_proxies = ["127.0.0.1"]\nuser_header = "X_User"',
            [
                "9: web.user_header: not the name of a header field: 'X_User'; write letters, "
                "digits and '-', such as 'X-Remote-User'"
            ],
            id="a field that WSGI takes for another",
        ),
        pytest.param(
            'trusted_proxies = ["127.0.0.1"]\nuser_header = "X-Forwarded-For"',
            ["9: web.user_header: says something else than who a user is: 'X-Forwarded-For'"],
            id="an address is no user",
        ),
        pytest.param(
            'url = "https://user@alignd.example?x"',
            [
                "8: web.url: not the URL of a page: 'https://user@alignd.example?x'; "
                "write 'https://alignd.example.com', or '' for none"
            ],
            id="no plain URL",
        ),
        pytest.param(
            'share_url = "http://help.example"',
            ["8: web.share_url: must be https://, since links are secrets: 'http://help.example'"],
            id="links without TLS",
        ),
    ],
)
def test_what_would_not_be_safe_is_told_at_its_line(text: str, expected: list[str]) -> None:
    assert problems(f"{BASE}[web]\n{text}") == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param('listen = ""', id="no page"),
        pytest.param('listen = "[::1]:80"', id="loopback by IPv6"),
        pytest.param('listen = "localhost:80"', id="loopback by name"),
        pytest.param(f'listen = "0.0.0.0:80"\n{PROXY}', id="behind a proxy"),
        pytest.param('listen = "0.0.0.0:80"\ntokens = "/t"', id="with tokens"),
        pytest.param(f'{SHARE}share_listen = "0.0.0.0:18881"', id="links beside the page"),
        pytest.param(f'{SHARE}share_listen = "127.0.0.1:1"\nlisten = ""', id="links alone"),
        pytest.param('share_url = "http://127.0.0.1:18881"', id="a link to this machine"),
    ],
)
def test_what_is_safe_is_taken(text: str) -> None:
    assert parse_configuration(f"{BASE}[web]\n{text}", "alignd.conf").conflicts() == ()


@pytest.mark.parametrize(
    ("written", "origin", "whole"),
    [
        ("https://Alignd.Example/", "https://alignd.example", "https://alignd.example"),
        ("https://a.example:443/x/", "https://a.example", "https://a.example/x"),
        ("http://a.example:443", "http://a.example:443", "http://a.example:443"),
        ("http://[0:0::1]:80/x", "http://[::1]", "http://[::1]/x"),
    ],
)
def test_a_url_is_known_as_browsers_spell_it(written: str, origin: str, whole: str) -> None:
    url = parse_configuration(f'{BASE}[web]\nurl = "{written}"', "").web.url

    assert url
    assert (url.origin, str(url)) == (origin, whole)


def test_two_addresses_overlap_where_one_socket_shuts_the_other_out() -> None:
    here = ListenAddress("192.0.2.25", 80)

    assert here.overlaps(ListenAddress("0.0.0.0", 80))
    assert not here.overlaps(ListenAddress("0.0.0.0", 81))
    assert not here.overlaps(ListenAddress("192.0.2.26", 80))
