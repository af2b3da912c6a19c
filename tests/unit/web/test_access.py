"""Who may look: what is said of a user is believed from a trusted proxy or a token alone."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.config.file import parse_configuration
from alignd.web.access import (
    MAX_PATH,
    Allowed,
    Entrance,
    Means,
    Refusal,
    Refused,
    Request,
    Site,
    decide,
    decide_share,
    form_token,
    form_token_holds,
)
from alignd.web.tokens import Tokens
from tests.support.configtext import BASE

TOKEN = "correct-horse-battery-staple-0042"
OTHER = "another-horse-battery-staple-0043"
PROXY = "192.0.2.80"
LOCAL = "127.0.0.1"
HOST = "alignd.example"
LOCAL_HOST = "127.0.0.1:18880"
BEHIND_PROXY = (
    f'url = "https://{HOST}"\ntrusted_proxies = ["192.0.2.80/30"]\nuser_header = "X-Remote-User"'
)
WITH_TOKENS = f'url = "https://{HOST}"\ntokens = "/t"'
BOTH = f'{BEHIND_PROXY}\ntokens = "/t"'
USER = ("X-Remote-User", "ann")
BEARER = ("Authorization", f"Bearer {TOKEN}")
FORM = (("Origin", f"https://{HOST}"), ("Sec-Fetch-Site", "same-origin"))

Header = tuple[str, str]


def basic(login: str, password: str) -> Header:
    return "Authorization", f"Basic {b64encode(f'{login}:{password}'.encode()).decode()}"


def asked(
    web: str,
    *headers: Header,
    peer: str = PROXY,
    host: str = HOST,
    method: str = "GET",
    path: str = "/",
) -> Allowed | Refused:
    options = parse_configuration(f"{BASE}[web]\n{web}", "").web
    tokens = Tokens.parse(f"ann {TOKEN}\nbob {OTHER}\n") if options.tokens else None
    request = Request(peer, method, path, (("Host", host), *headers))
    return decide(request, Site.of(options.listen, options.url), Entrance(options, tokens))


def reason(answer: Allowed | Refused) -> Refusal | str:
    return answer.reason if isinstance(answer, Refused) else f"{answer.means.value} {answer.user}"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param((USER,), "proxy ann", id="the user whom it names"),
        pytest.param((("x-remote-USER", " ann "),), "proxy ann", id="in any case"),
        pytest.param((("X-Remote-User", "Ann Lee"),), "proxy Ann Lee", id="with a blank"),
        pytest.param(
            (("X-Remote-User", "Jiří".encode().decode("latin-1")),), "proxy Jiří", id="in UTF-8"
        ),
        pytest.param((), Refusal.USER_HEADER, id="nobody"),
        pytest.param((("X-Remote-User", ""),), Refusal.USER_HEADER, id="empty"),
        pytest.param((("X-Remote-User", " \t"),), Refusal.USER_HEADER, id="blank"),
        pytest.param((USER, USER), Refusal.USER_HEADER, id="twice"),
        pytest.param(
            (("X-Remote-User", "eve"), USER), Refusal.USER_HEADER, id="one of the browser's"
        ),
        pytest.param(
            (("X-Remote-User", "eve, ann"),), Refusal.USER_HEADER, id="joined to the browser's"
        ),
        pytest.param(
            (("X_Remote_User", "eve"), USER), Refusal.USER_HEADER, id="another with underscores"
        ),
        pytest.param((("X_Remote-User", "eve"),), Refusal.USER_HEADER, id="an underscore alone"),
        pytest.param((("X-Remote-User", "a\x00b"),), Refusal.USER_HEADER, id="NUL"),
        pytest.param((("X-Remote-User", "a\r\nb"),), Refusal.USER_HEADER, id="a line end"),
        pytest.param((("X-Remote-User", "a\x1b[2J"),), Refusal.USER_HEADER, id="an escape"),
        pytest.param((("X-Remote-User", "a\u202eb"),), Refusal.USER_HEADER, id="no Latin-1"),
        pytest.param((("X-Remote-User", "\xff"),), Refusal.USER_HEADER, id="no UTF-8"),
        pytest.param((("X-Remote-User", "a" * 201),), Refusal.USER_HEADER, id="too long"),
        pytest.param((BEARER,), Refusal.USER_HEADER, id="a token where there are none"),
    ],
)
def test_a_trusted_proxy_names_exactly_one_user(
    headers: tuple[Header, ...], expected: Refusal | str
) -> None:
    assert (
        reason(asked(BEHIND_PROXY, *headers)) is expected
        or reason(asked(BEHIND_PROXY, *headers)) == expected
    )


@pytest.mark.parametrize(
    "spoofed",
    [
        pytest.param((), id="as it is"),
        pytest.param((("X-Forwarded-For", PROXY),), id="forwarded for the proxy"),
        pytest.param((("Forwarded", f"for={PROXY}"),), id="RFC 7239"),
        pytest.param((("X-Real-IP", "127.0.0.1"),), id="really loopback"),
        pytest.param((("X-Forwarded-User", "ann"),), id="another field"),
    ],
)
@pytest.mark.parametrize("peer", ["192.0.2.84", LOCAL, "::1", "2001:db8::1", "", "ann", "@"])
def test_what_others_say_of_a_user_is_ignored(peer: str, spoofed: tuple[Header, ...]) -> None:
    assert reason(asked(BEHIND_PROXY, USER, *spoofed, peer=peer)) is Refusal.NOT_LOCAL


def test_a_proxy_is_known_by_its_ipv4_address_in_ipv6_too() -> None:
    assert asked(BEHIND_PROXY, USER, peer=f"::ffff:{PROXY}") == Allowed("ann", Means.PROXY)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param((BEARER,), "bearer ann", id="bearer"),
        pytest.param((("authorization", f"bEARER  {TOKEN} "),), "bearer ann", id="any case"),
        pytest.param((("Authorization", f"Bearer {OTHER}"),), "bearer bob", id="another's"),
        pytest.param((basic("ann", TOKEN),), "basic ann", id="basic, as browsers ask"),
        pytest.param((), Refusal.TOKEN, id="none"),
        pytest.param((("Authorization", ""),), Refusal.TOKEN, id="empty"),
        pytest.param((("Authorization", "Bearer"),), Refusal.TOKEN, id="no token"),
        pytest.param((("Authorization", TOKEN),), Refusal.TOKEN, id="no scheme"),
        pytest.param((("Authorization", f"Digest {TOKEN}"),), Refusal.TOKEN, id="another scheme"),
        pytest.param((("Authorization", f"Bearer {TOKEN}x"),), Refusal.TOKEN, id="longer"),
        pytest.param((("Authorization", f"Bearer {TOKEN[:-1]}"),), Refusal.TOKEN, id="shorter"),
        pytest.param((("Authorization", f"Bearer {TOKEN} x"),), Refusal.TOKEN, id="and more"),
        pytest.param((BEARER, BEARER), Refusal.TOKEN, id="twice"),
        pytest.param((("Authorization", "Bearer ann"),), Refusal.TOKEN, id="the name"),
        pytest.param((("Cookie", f"token={TOKEN}"),), Refusal.TOKEN, id="a cookie"),
        pytest.param((basic("bob", TOKEN),), Refusal.TOKEN, id="of another name"),
        pytest.param((basic("", TOKEN),), Refusal.TOKEN, id="of no name"),
        pytest.param((basic(TOKEN, ""),), Refusal.TOKEN, id="as the name"),
        pytest.param((("Authorization", "Basic !!!!"),), Refusal.TOKEN, id="no base64"),
        pytest.param((("Authorization", "Basic /////w=="),), Refusal.TOKEN, id="no text"),
        pytest.param((USER,), Refusal.TOKEN, id="a user without a proxy"),
    ],
)
@pytest.mark.parametrize("peer", ["203.0.113.9", LOCAL])
def test_a_token_opens_for_whoever_has_it(
    headers: tuple[Header, ...], expected: Refusal | str, peer: str
) -> None:
    assert reason(asked(WITH_TOKENS, *headers, peer=peer)) == expected


@pytest.mark.parametrize(
    ("headers", "peer", "expected"),
    [
        pytest.param((USER, BEARER), PROXY, "proxy ann", id="the proxy's word first"),
        pytest.param((BEARER,), PROXY, "bearer ann", id="a token through the proxy"),
        pytest.param((("X-Remote-User", ""), BEARER), PROXY, Refusal.USER_HEADER, id="unclear"),
        pytest.param((USER, BEARER), LOCAL, "bearer ann", id="a token past the proxy"),
        pytest.param((USER,), LOCAL, Refusal.TOKEN, id="neither"),
    ],
)
def test_a_proxy_and_tokens_go_together(
    headers: tuple[Header, ...], peer: str, expected: Refusal | str
) -> None:
    assert reason(asked(BOTH, *headers, peer=peer)) == expected


def test_tokens_that_could_not_be_read_open_to_nobody() -> None:
    options = parse_configuration(f"{BASE}[web]\n{WITH_TOKENS}", "").web
    request = Request(LOCAL, "GET", "/", (("Host", HOST), BEARER))

    answer = decide(request, Site.of(options.listen, options.url), Entrance(options, None))

    assert answer == Refused(Refusal.TOKEN)


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        pytest.param(LOCAL, (), "loopback ", id="this machine"),
        pytest.param("::1", (), "loopback ", id="by IPv6"),
        pytest.param("::ffff:127.0.0.1", (), "loopback ", id="mapped"),
        pytest.param("192.0.2.25", (), Refusal.NOT_LOCAL, id="another machine"),
        pytest.param("", (), Refusal.NOT_LOCAL, id="no address"),
        pytest.param(
            "192.0.2.25", (("X-Forwarded-For", LOCAL),), Refusal.NOT_LOCAL, id="said to be local"
        ),
        pytest.param(
            LOCAL, (("X-Forwarded-For", "203.0.113.9"),), Refusal.UNKNOWN_PROXY, id="by a proxy"
        ),
        pytest.param(LOCAL, (("Forwarded", "for=_x"),), Refusal.UNKNOWN_PROXY, id="RFC 7239"),
        pytest.param(LOCAL, (("VIA", "1.1 x"),), Refusal.UNKNOWN_PROXY, id="via"),
        pytest.param(LOCAL, (("X-Real-Ip", LOCAL),), Refusal.UNKNOWN_PROXY, id="real IP"),
    ],
)
def test_without_proxies_and_tokens_this_machine_alone_may_look(
    peer: str, headers: tuple[Header, ...], expected: Refusal | str
) -> None:
    assert reason(asked("", *headers, peer=peer, host=LOCAL_HOST)) == expected


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        (HOST, True),
        ("ALIGND.example", True),
        ("alignd.example.", True),
        ("alignd.example:443", True),
        (LOCAL_HOST, True),
        ("localhost:18880", True),
        ("[::1]:18880", True),
        ("alignd.example:80", False),
        ("alignd.example:18880", False),
        ("alignd.example.evil.example", False),
        ("evil.example", False),
        ("evil.example#alignd.example", False),
        ("user@alignd.example", False),
        ("alignd.example, evil.example", False),
        ("alignd.example:", False),
        ("alignd.example:443:443", False),
        ("127.0.0.1", False),
        ("localhost", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_host_is_the_one_of_the_configuration(host: str, is_ours: bool) -> None:
    answer = asked(BEHIND_PROXY, USER, host=host)

    assert reason(answer) == ("proxy ann" if is_ours else Refusal.HOST)


def test_two_hosts_or_none_are_refused() -> None:
    site = Site.of(None, parse_configuration(f"{BASE}[web]\n{BEHIND_PROXY}", "").web.url)
    twice = (("Host", HOST), ("Host", HOST))

    for headers in ((), twice):
        refused = decide_share(Request(PROXY, "GET", "/", headers), site)
        assert refused == Refused(Refusal.HOST)
        assert refused.status == 421


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("", id="none"),
        pytest.param("*", id="an asterisk"),
        pytest.param("x", id="relative"),
        pytest.param("http://evil.example/", id="a proxy request"),
        pytest.param("//evil.example/", id="another host"),
        pytest.param("/\\evil.example", id="a backslash"),
        pytest.param("/a\r\nSet-Cookie: x", id="a line end"),
        pytest.param("/a\x00", id="NUL"),
        pytest.param("/\ud800", id="no text"),
        pytest.param("/" + "a" * MAX_PATH, id="too long"),
        pytest.param("/" + "a" * 65_536, id="64 kB"),
    ],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    assert reason(asked(BEHIND_PROXY, USER, path=path)) is Refusal.PATH


def test_a_path_may_have_a_name_in_any_script() -> None:
    assert reason(asked(BEHIND_PROXY, USER, path="/domain/škoda.example")) == "proxy ann"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", ""])
def test_other_methods_are_refused(method: str) -> None:
    answer = asked(BEHIND_PROXY, USER, method=method)

    assert answer == Refused(Refusal.METHOD)
    assert isinstance(answer, Refused)
    assert answer.status == 405


@pytest.mark.parametrize(
    ("headers", "is_refused"),
    [
        pytest.param(FORM, False, id="a form of ours"),
        pytest.param((("Origin", f"https://{HOST}"),), False, id="of an old browser"),
        pytest.param(
            (("Origin", "null"), ("Sec-Fetch-Site", "same-origin")), False, id="no referrer"
        ),
        pytest.param((("Sec-Fetch-Site", "same-origin"),), False, id="without Origin"),
        pytest.param((), True, id="says nothing"),
        pytest.param((("Origin", "null"),), True, id="of nowhere"),
        pytest.param((("Origin", "https://evil.example"),), True, id="another site"),
        pytest.param((("Origin", f"http://{HOST}"),), True, id="another scheme"),
        pytest.param((("Origin", f"https://{HOST}:8443"),), True, id="another port"),
        pytest.param((("Origin", f"https://{HOST}.evil.example"),), True, id="longer"),
        pytest.param((FORM[0], FORM[0]), True, id="twice"),
        pytest.param((FORM[0], ("Sec-Fetch-Site", "cross-site")), True, id="cross-site"),
        pytest.param((FORM[0], ("Sec-Fetch-Site", "same-site")), True, id="a sister"),
        pytest.param((FORM[0], ("Sec-Fetch-Site", "none")), True, id="by nobody"),
        pytest.param((FORM[0], FORM[1], FORM[1]), True, id="said twice"),
        pytest.param((("Origin", "https://evil.example"), FORM[1]), True, id="contradicts itself"),
        pytest.param((("Referer", f"https://{HOST}/"),), True, id="a referrer is no proof"),
    ],
)
@pytest.mark.parametrize(
    ("web", "who"),
    [pytest.param(BEHIND_PROXY, USER, id="proxy"), (WITH_TOKENS, basic("ann", TOKEN))],
)
def test_another_site_cannot_have_a_browser_post(
    web: str, who: Header, headers: tuple[Header, ...], is_refused: bool
) -> None:
    posted = asked(web, who, *headers, method="POST")
    read = asked(web, who, *headers)

    assert (posted == Refused(Refusal.CROSS_SITE)) is is_refused
    assert isinstance(read, Allowed)


@pytest.mark.parametrize(
    ("site", "mode", "destination", "is_refused"),
    [
        pytest.param("cross-site", "navigate", "document", False, id="a link of a ticket"),
        pytest.param("none", "navigate", "document", False, id="a bookmark"),
        pytest.param("same-origin", "cors", "empty", False, id="our own script"),
        pytest.param("cross-site", "no-cors", "image", True, id="an image"),
        pytest.param("cross-site", "cors", "empty", True, id="a script of another site"),
        pytest.param("cross-site", "navigate", "iframe", True, id="a frame"),
        pytest.param("same-site", "no-cors", "script", True, id="a sister"),
    ],
)
def test_another_site_cannot_have_a_browser_load_a_page_as_part_of_its_own(
    site: str, mode: str, destination: str, *, is_refused: bool
) -> None:
    headers = (("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", destination))

    read = asked(BEHIND_PROXY, USER, *headers)

    assert (read == Refused(Refusal.CROSS_SITE)) is is_refused


def test_a_program_with_a_token_posts_without_a_form() -> None:
    answer = asked(WITH_TOKENS, BEARER, method="POST")

    assert answer == Allowed("ann", Means.BEARER)
    assert isinstance(answer, Allowed)
    assert not answer.needs_form_token
    assert Allowed("", Means.LOOPBACK).needs_form_token


def test_who_is_unknown_is_told_so_before_the_form_is_looked_at() -> None:
    answer = asked(WITH_TOKENS, method="POST")

    assert answer == Refused(Refusal.TOKEN)
    assert isinstance(answer, Refused)
    assert answer.status == 401


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("GET", (), None),
        ("GET", (("Sec-Fetch-Site", "cross-site"),), None),
        ("POST", FORM, None),
        ("POST", (("Origin", "https://evil.example"),), Refused(Refusal.CROSS_SITE)),
        ("PUT", FORM, Refused(Refusal.METHOD)),
    ],
)
def test_whoever_has_a_link_may_look_and_no_other_site_may_post(
    method: str, headers: tuple[Header, ...], expected: Refused | None
) -> None:
    site = Site.of(None, parse_configuration(f'{BASE}[web]\nurl = "https://{HOST}"', "").web.url)

    assert decide_share(Request("", method, "/x", (("Host", HOST), *headers)), site) == expected


NOW = 1_790_000_000.0
HOURS = 3600.0


def test_a_form_is_good_for_its_user_for_half_a_day_at_least() -> None:
    token = form_token(b"secret", "ann", NOW)

    assert form_token_holds(b"secret", "ann", token, NOW + 12 * HOURS)
    assert not form_token_holds(b"secret", "ann", token, NOW + 24 * HOURS)
    assert not form_token_holds(b"secret", "ann", token, NOW - 12 * HOURS)
    assert not form_token_holds(b"secret", "bob", token, NOW)
    assert not form_token_holds(b"secret", "", token, NOW)
    assert not form_token_holds(b"other", "ann", token, NOW)


@given(st.text())
def test_no_other_text_is_a_form_s(text: str) -> None:
    token = form_token(b"secret", "ann", NOW)

    assert form_token_holds(b"secret", "ann", text, NOW) == (text == token)


@given(
    st.lists(st.tuples(st.text(), st.text())),
    st.text(),
    st.text(),
    st.sampled_from(["", BEHIND_PROXY, WITH_TOKENS, BOTH]),
)
def test_nothing_that_is_sent_is_an_error_or_lets_a_stranger_in(
    headers: list[Header], path: str, host: str, web: str
) -> None:
    answer = asked(web, *headers, peer="203.0.113.9", host=host, path=f"/{path}")

    assert isinstance(answer, Refused)
