"""What every request meets before it is answered, and what every answer has."""

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from alignd.config.option_types import ListenAddress
from alignd.web.access import Refusal, form_token
from alignd.web.app.pages import make_pages
from alignd.web.app.requests import MAX_BODY, SENTENCES, request_of
from alignd.web.desk.examined import CheckProblem, TooSoon, Trouble
from alignd.web.headers import Kind, headers_of
from alignd.web.tokens import Tokens
from tests.lab.ledger_rows import NOW
from tests.support.desks import HOST, ORIGIN, Setting, open_desk

TOKEN = "t" * 32
CHECK = "/domains/mycompany.com/check"
FORM = {"token": form_token(b"s" * 32, "", NOW)}


@pytest.fixture
def setting(story: str) -> Iterator[Setting]:
    with open_desk(story) as setting:
        yield setting


def ask(application: Flask, path: str, method: str = "GET", **options: Any) -> TestResponse:
    options.setdefault("base_url", ORIGIN)
    return application.test_client().open(path, method=method, buffered=True, **options)


def post(setting: Setting, path: str = CHECK, **options: Any) -> TestResponse:
    options.setdefault("headers", {"Origin": ORIGIN})
    return ask(make_pages(setting.desk), path, "POST", **options)


def assert_headers(answer: TestResponse, kind: Kind) -> None:
    for name, value in headers_of(kind).items():
        assert answer.headers.getlist(name) == [value], name
    assert "Set-Cookie" not in answer.headers
    assert "Server" not in answer.headers


ANSWERS = {
    "the-list": ("/", "GET", 200, Kind.PAGE),
    "the-list-for-programs": ("/domains.json", "GET", 200, Kind.DATA),
    "a-domain": ("/domains/mycompany.com", "GET", 200, Kind.PAGE),
    "a-domain-for-programs": ("/domains/mycompany.com.json", "GET", 200, Kind.DATA),
    "a-domain-in-letters-beyond-ascii": ("/domains/m%C3%BCnchen.example", "GET", 200, Kind.PAGE),
    "head": ("/", "HEAD", 200, Kind.PAGE),
    "nothing": ("/nothing", "GET", 404, Kind.PAGE),
    "nothing-for-programs": ("/nothing.json", "GET", 404, Kind.DATA),
    "no-domain": ("/domains/..", "GET", 404, Kind.PAGE),
    "html-for-a-domain": ("/domains/%3Cb%3Ex%3C%2Fb%3E", "GET", 404, Kind.PAGE),
    "a-name-that-is-too-long": (f"/domains/{'x' * 1800}", "GET", 404, Kind.PAGE),
    "no-such-asset": ("/static/nothing.css", "GET", 404, Kind.PAGE),
    "an-asset-above": ("/static/..%2f__init__.py", "GET", 404, Kind.PAGE),
    "looking-at-what-is-written-to": (CHECK, "GET", 405, Kind.PAGE),
    "writing-to-what-is-looked-at": ("/", "POST", 405, Kind.PAGE),
    "another-method": ("/", "PUT", 405, Kind.DATA),
    "options": ("/", "OPTIONS", 405, Kind.DATA),
    "a-path-with-a-line-end": ("/a%0d%0ab", "GET", 400, Kind.DATA),
    "64-kilobytes": (f"/domains/{'x' * 65_536}", "GET", 400, Kind.DATA),
}


@pytest.mark.parametrize(("path", "method", "status", "kind"), ANSWERS.values(), ids=ANSWERS)
def test_every_answer_has_its_headers(
    setting: Setting, path: str, method: str, status: int, kind: Kind
) -> None:
    answer = ask(make_pages(setting.desk), path, method, headers={"Origin": ORIGIN})

    assert answer.status_code == status
    assert_headers(answer, kind)
    if status == 405:
        assert answer.headers["Allow"]
    assert setting.heard.failures == []


@pytest.mark.parametrize("path", ["//evil.example/", "/\xff", "nothing", "", "/\\evil.example"])
def test_what_a_server_may_pass_on_as_a_path_is_none(setting: Setting, path: str) -> None:
    answer = ask(make_pages(setting.desk), "/", environ_overrides={"PATH_INFO": path})
    assert answer.status_code == 400
    assert_headers(answer, Kind.DATA)


def test_an_asset_may_be_kept_and_is_asked_for_anew(setting: Setting, tmp_path: Path) -> None:
    application = make_pages(setting.desk)
    (tmp_path / "x.css").write_text("p{}")
    application.static_folder = str(tmp_path)
    answer = ask(application, "/static/x.css")
    assert_headers(answer, Kind.ASSET)
    again = ask(application, "/static/x.css", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    assert_headers(again, Kind.ASSET)


def test_a_bug_is_an_answer_without_a_word_of_it(setting: Setting) -> None:
    setting.dns.failure = RuntimeError("secret")
    answer = ask(make_pages(setting.desk), "/domains/a.example")
    assert answer.status_code == 500
    assert_headers(answer, Kind.PAGE)
    assert b"secret" not in answer.data
    assert b"Traceback" not in answer.data
    assert list(map(str, setting.heard.failures)) == ["secret"]


@pytest.mark.parametrize(
    ("options", "status", "why"),
    [
        pytest.param({"base_url": "http://evil.example:18880"}, 421, "host", id="another-host"),
        pytest.param({"environ_base": {"REMOTE_ADDR": "192.0.2.7"}}, 403, "not-local",
                     id="from-elsewhere"),
        pytest.param({"headers": {"X-Forwarded-For": "192.0.2.7"}}, 403, "unknown-proxy",
                     id="by-a-proxy-that-nobody-named"),
        pytest.param({"method": "POST", "headers": {"Origin": "http://evil.example"}}, 403,
                     "cross-site", id="by-another-site"),
        pytest.param({"method": "POST", "headers": {"Origin": ORIGIN},
                      "data": b"x" * (MAX_BODY + 1)}, 413, "body", id="a-body-that-is-too-long"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/domains.json", CHECK, "/static/alignd.css", "/nothing"])
def test_who_is_refused_is_so_at_every_path_alike(
    setting: Setting, path: str, options: dict[str, Any], status: int, why: str
) -> None:
    answer = ask(make_pages(setting.desk), path, **options)

    assert answer.status_code == status
    assert_headers(answer, Kind.DATA)
    assert setting.heard.refusals == [why]
    assert setting.dns.checked == []
    assert setting.ledger.asked == 0


def test_with_tokens_nobody_looks_without_one(setting: Setting) -> None:
    setting = setting.with_options(tokens="file")
    object.__setattr__(setting.desk, "tokens", Tokens.parse(f"marky {TOKEN}"))
    application = make_pages(setting.desk)
    refused = ask(application, "/")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer realm=")
    assert_headers(refused, Kind.DATA)
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert ask(application, "/", headers=bearer).status_code == 200
    # A browser does not send it by itself, so that a program needs no form.
    assert ask(application, CHECK, "POST", headers=bearer).status_code == 303
    assert setting.dns.checked == ["mycompany.com"]


def test_a_listener_for_all_is_asked_by_those_whom_a_proxy_names(setting: Setting) -> None:
    proxies = {"trusted_proxies": (ip_network("127.0.0.0/8"),),
               "user_header": "X-Remote-User"}  # fmt: skip
    setting = setting.with_options(listen=ListenAddress("0.0.0.0", 18880), **proxies)
    application = make_pages(setting.desk)
    assert ask(application, "/").status_code == 403
    named = {"X-Remote-User": "marky", "Origin": ORIGIN}
    assert ask(application, "/", headers=named).status_code == 200
    own = {"token": form_token(b"s" * 32, "marky", NOW)}
    assert ask(application, CHECK, "POST", headers=named, data=own).status_code == 303
    assert ask(application, CHECK, "POST", headers=named, data=FORM).status_code == 403


@pytest.mark.parametrize(
    "form",
    [
        pytest.param({}, id="none"),
        pytest.param({"token": "x" * 26}, id="another"),
        pytest.param({"token": form_token(b"s" * 32, "", NOW - 90_000)}, id="one-of-yesterday"),
        pytest.param({f"f{n}": "x" for n in range(200)}, id="two-hundred-fields"),
    ],
)
def test_a_check_needs_the_token_of_a_form(setting: Setting, form: dict[str, str]) -> None:
    answer = post(setting, data=form)
    assert answer.status_code == 403
    assert_headers(answer, Kind.PAGE)
    assert setting.dns.checked == []


@pytest.mark.parametrize(
    ("result", "query", "said"),
    [
        (CheckProblem(Trouble.BUSY), "checked=busy", "Prøv igen om lidt"),
        (TooSoon(4.2), "checked=later&again=5", "om 5 sekunder"),
    ],
)
def test_a_check_leads_back_to_the_page(
    setting: Setting, result: CheckProblem | TooSoon, query: str, said: str
) -> None:
    setting.dns.result = result
    answer = post(setting, f"{CHECK}?language=da", data=FORM)
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/domains/mycompany.com?{query}&language=da"
    assert_headers(answer, Kind.PAGE)
    assert setting.dns.checked == ["mycompany.com"]
    page = make_pages(setting.desk).test_client().get(answer.headers["Location"], base_url=ORIGIN)
    assert said in page.get_data(as_text=True)


def test_a_script_is_told_what_came_of_a_check(setting: Setting) -> None:
    headers = {"Origin": ORIGIN, "Accept": "application/json"}
    answer = post(setting, headers=headers, data=FORM)
    assert answer.status_code == 503
    assert answer.json
    assert (answer.json["outcome"], answer.json["trouble"]) == ("problem", "dns")
    setting.dns.result = TooSoon(4.2)
    answer = post(setting, headers=headers, data=FORM)
    assert answer.status_code == 429
    assert answer.json
    assert (answer.json["outcome"], answer.json["seconds"]) == ("too-soon", 4.2)
    assert "in 5 seconds" in answer.json["sentence"]
    assert answer.headers["Retry-After"] == "5"
    answer = post(setting, headers=headers)
    assert (answer.status_code, answer.json and answer.json["error"]) == (403, "form")


def test_the_form_of_a_page_is_good(setting: Setting) -> None:
    text = ask(make_pages(setting.desk), "/domains/mycompany.com").get_data(as_text=True)
    assert f'name="token" value="{FORM["token"]}"' in text


def test_the_headers_of_wsgi_are_those_that_were_sent() -> None:
    request = request_of(
        {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/domains/m\xc3\xbcnchen.example",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": HOST,
            "HTTP_X_REMOTE_USER": "marky",
            "CONTENT_TYPE": "text/plain",
            "wsgi.url_scheme": "http",
        }
    )
    assert request.path == "/domains/münchen.example"
    assert request.all("host") == [HOST]
    assert request.all("x-remote-user") == ["marky"]
    assert request.all("content-type") == ["text/plain"]
    assert len(request.headers) == 3


def test_every_refusal_has_a_sentence() -> None:
    assert set(SENTENCES) == set(Refusal)
