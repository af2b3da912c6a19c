"""The page over HTTP, from the real process of `alignd web`, as friends and strangers ask it."""

import http.client
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from alignd.ledger.database import open_database
from alignd.mail.domain import Domain
from alignd.return_path.keyring import Keyring
from alignd.web.headers import Kind, headers_of
from alignd.web.sharing import ShareLink, new_id, token_of
from tests.lab.ledger_rows import REPORTER, hear
from tests.lab.readiness import PATIENCE, open_directory, wait_until
from tests.support.web import KEYS, LIMIT, SHARE_HOST, Web, read_all, run_web, run_window

pytestmark = pytest.mark.wire

HEARD_DAYS_AGO = 12
"""A day on which mycompany.com sent mail that was left alone, and nothing changed."""
ALLOWED = (
    "/receivers",
    "/receivers.json",
    "/",
    "/domains.json",
    "/domains/mycompany.com",
    "/domains/mycompany.com.json",
)


@contextmanager
def run_both() -> Iterator[Web]:
    """A page on the ledger of the story."""
    with (
        open_directory() as directory,
        run_window(directory) as window,
        run_web(directory, window) as web,
    ):
        engine = open_database(f"sqlite:///{directory / 'ledger.sqlite'}")
        hear(engine, "mycompany.com", [HEARD_DAYS_AGO], time.time())
        engine.dispose()
        yield web


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with run_both() as web:
        yield web
        assert "page failed" not in web.log()


def assert_headers(answer: http.client.HTTPResponse, kind: Kind) -> None:
    for name, value in headers_of(kind).items():
        assert answer.headers.get_all(name) == [value], name
    assert "Server" not in answer.headers
    assert "Set-Cookie" not in answer.headers


def test_the_list_comes_from_the_window(web: Web) -> None:
    answer, text = web.ask("/")
    assert answer.status == 200
    assert_headers(answer, Kind.PAGE)
    assert '<a href="/domains/mycompany.com">mycompany.com</a>' in text
    answer, text = web.ask("/domains.json?state=rewrite&search=my")
    assert_headers(answer, Kind.DATA)
    assert [each["domain"] for each in json.loads(text)["domains"]] == ["mycompany.com"]


def test_what_receivers_said_comes_from_the_window(web: Web) -> None:
    answer, text = web.ask("/receivers")
    assert answer.status == 200
    assert_headers(answer, Kind.PAGE)
    assert "postbox.example" in text
    assert REPORTER in text
    answer, text = web.ask("/receivers.json")
    assert_headers(answer, Kind.DATA)
    found = json.loads(text)
    assert [each["messages"] for each in found["replies"]] == [4]
    assert [(each["name"], each["passed"]) for each in found["left_alone"]] == [(REPORTER, 93)]
    assert "refused 4 messages that were to pass" in web.ask("/")[1]
    assert "postbox.example" in web.ask("/domains/mycompany.com")[1]
    assert "postbox.example" not in web.ask("/domains/good.example")[1]


def test_html_in_a_name_is_shown_and_is_none(web: Web) -> None:
    _, text = web.ask("/")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.example" in text
    assert "<script>alert" not in text


@pytest.mark.parametrize("path", ALLOWED)
def test_head_has_the_headers_and_nothing_else(web: Web, path: str) -> None:
    answer, text = web.ask(path, "HEAD")
    assert (answer.status, text) == (200, "")
    assert int(answer.headers["Content-Length"]) > 0
    assert_headers(answer, Kind.DATA if path.endswith(".json") else Kind.PAGE)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "X"])
@pytest.mark.parametrize("path", ["/", "/domains.json", "/nothing"])
def test_other_methods_are_refused_at_every_path(web: Web, method: str, path: str) -> None:
    answer = web.send(f"{method} {path} HTTP/1.1\r\nHost: localhost:{web.port}\r\n"
                      "Connection: close\r\n\r\n".encode())  # fmt: skip
    head = answer.partition(b"\r\n\r\n")[0].decode()
    assert head.startswith("HTTP/1.1 405 "), head
    assert_raw_headers(head, Kind.DATA)


def assert_raw_headers(head: str, kind: Kind) -> None:
    for name, value in headers_of(kind).items():
        assert f"{name}: {value}".lower() in head.lower(), head


RAW = {
    "no-request": (b"hello\r\n\r\n", 400),
    "no-host": (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 421),
    "two-hosts": (b"GET / HTTP/1.1\r\nHost: %(host)s\r\nHost: evil.example\r\n"
                  b"Connection: close\r\n\r\n", 421),
    "another-host": (b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 421),
    "a-url-of-another-site": (b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n"
                              b"Connection: close\r\n\r\n", 421),
    "a-path-that-is-not-utf-8": (b"GET /%%ff HTTP/1.1\r\nHost: %(host)s\r\n"
                                 b"Connection: close\r\n\r\n", 400),
    "a-line-end-in-a-path": (b"GET /a%%0d%%0ab HTTP/1.1\r\nHost: %(host)s\r\n"
                             b"Connection: close\r\n\r\n", 400),
    "by-a-proxy": (b"GET / HTTP/1.1\r\nHost: %(host)s\r\nX-Forwarded-For: 192.0.2.1\r\n"
                   b"Connection: close\r\n\r\n", 403),
    "an-endless-head": (b"GET / HTTP/1.1\r\nHost: %(host)s\r\nX: " + b"x" * 65_536, 431),
    "a-body-that-is-too-long": (b"POST /domains/a.example/check HTTP/1.1\r\nHost: %(host)s\r\n"
                                b"Content-Length: 1000000\r\n\r\n" + b"x" * 100_000, 413),
    "a-body-in-chunks-that-is-too-long": (
        b"POST /domains/a.example/check HTTP/1.1\r\nHost: %(host)s\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + (b"400\r\n" + b"x" * 1024 + b"\r\n") * 9, 413),
    "a-length-that-is-none": (b"POST / HTTP/1.1\r\nHost: %(host)s\r\nContent-Length: -1\r\n"
                              b"\r\n", 400),
    "both-a-length-and-chunks": (b"POST / HTTP/1.1\r\nHost: %(host)s\r\nContent-Length: 3\r\n"
                                 b"Transfer-Encoding: gzip\r\n\r\nabc", 501),
}  # fmt: skip


@pytest.mark.parametrize(("octets", "status"), RAW.values(), ids=RAW)
def test_what_is_no_request_of_ours_is_refused_with_all_headers(
    web: Web, octets: bytes, status: int
) -> None:
    answer = web.send(octets.replace(b"%(host)s", b"localhost:%d" % web.port).replace(b"%%", b"%"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == b"%d" % status, head
    assert_raw_headers(head.decode(), Kind.DATA)
    assert b"evil" not in answer
    assert len(body) < 200


def test_no_answer_leads_to_another_site(web: Web) -> None:
    for path in ("//evil.example/", "//evil.example/..", "/%2f/evil.example", "/\\evil.example"):
        answer, text = web.ask(path)
        assert answer.status in (400, 404)
        assert "Location" not in answer.headers
        assert '"//' not in text


def test_a_post_of_another_site_is_refused(web: Web) -> None:
    answer, _ = web.ask("/domains/mycompany.com/check", "POST", Origin="http://evil.example")
    assert answer.status == 403


def test_a_bad_form_is_refused_in_a_page(web: Web) -> None:
    origin = f"http://127.0.0.1:{web.port}"
    answer, text = web.ask("/domains/mycompany.com/check", "POST", Origin=origin)
    assert answer.status == 403
    assert_headers(answer, Kind.PAGE)
    assert "This form is too old" in text


PAGES = ("/", "/domains.json", "/domains/mycompany.com", "/domains/mycompany.com.json",
         "/domains/mycompany.com/check", "/domains/mycompany.com/letter", "/relays",
         "/relays.json", "/receivers", "/receivers.json", "/nothing")  # fmt: skip


def test_the_listener_of_links_has_no_page_of_the_other(web: Web) -> None:
    for path in PAGES:
        for method in ("GET", "HEAD"):
            answer, text = web.ask(path, method, share=True)
            assert answer.status == 404, path
            assert "good.example" not in text
    # Nor by naming the host of the other one.
    answer, _ = web.ask("/", share=True, Host=f"localhost:{web.port}")
    assert answer.status == 421
    answer, _ = web.ask("/", Host=SHARE_HOST)
    assert answer.status == 421


def test_a_link_opens_its_domain(web: Web) -> None:
    link = ShareLink(Domain("mycompany.com"), "", "cs", new_id(3, time.time(), b"\xa5" * 8))
    token = token_of(link, Keyring.parse(KEYS).signing)
    answer, text = web.ask(f"/{token}", share=True)
    assert answer.status == 200
    assert_headers(answer, Kind.SHARE)
    assert '<html lang="cs">' in text
    assert token not in web.log()
    assert web.ask(f"/{token}")[0].status == 404


def test_who_is_slow_is_cut_off_and_holds_nobody_up(web: Web) -> None:
    silent = [web.connect() for _ in range(20)]
    trickling = web.connect()
    trickling.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
    began = time.monotonic()
    ended = False
    try:
        assert web.ask("/")[0].status == 200
        trickling.settimeout(0.5)
        # It is never silent, and never done.
        while not ended and time.monotonic() - began < LIMIT:
            try:
                trickling.sendall(b"X: y\r\n")
                ended = trickling.recv(100) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True
        assert ended
        for peer in silent:
            assert read_all(peer) == b""
        assert time.monotonic() - began < LIMIT
    finally:
        for peer in (*silent, trickling):
            peer.close()
    assert web.ask("/")[0].status == 200


def test_who_comes_while_all_places_are_taken_is_answered_when_they_are_free(web: Web) -> None:
    taken = [web.connect() for _ in range(130)]
    try:
        # Those of links have places of their own.
        assert web.ask("/nothing", share=True)[0].status == 404
        assert web.ask("/")[0].status == 200
    finally:
        for peer in taken:
            peer.close()


def test_no_address_and_no_name_is_in_the_log(web: Web) -> None:
    web.ask("/domains/secret.example", Host="evil.example")
    wait_until(lambda: "a request for a page was refused" in web.log(), "the line")
    for text in ("127.0.0.1 ", "secret.example", "evil.example"):
        assert text not in web.log()


def test_a_hup_changes_nothing_and_term_ends_it_in_seconds() -> None:
    with run_both() as web:
        idle = web.connect()
        web.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "restart it" in web.log(), "the line")
        assert web.ask("/")[0].status == 200
        began = time.monotonic()
        web.process.terminate()
        assert web.process.wait(timeout=PATIENCE) == 0
        assert time.monotonic() - began < 6
        assert web.notices.take("STOPPING=1")
        assert web.log().rstrip().endswith("page is served no longer")
        idle.close()


def test_a_ledger_that_is_away_is_told_of_and_comes_back() -> None:
    with open_directory() as directory, run_web(directory, directory / "window.sock") as web:
        answer, text = web.ask("/")
        assert answer.status == 503
        assert "The service that keeps the ledger does not answer" in text
        with run_window(directory):
            wait_until(lambda: web.ask("/")[0].status == 200, "the list")
            wait_until(lambda: "the page reads the ledger again" in web.log(), "the line")
