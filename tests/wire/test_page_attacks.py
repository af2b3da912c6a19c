"""Attacks on the real `alignd web`: by strangers, by who has a link, by DNS, by other web sites.

`docs/page.md` has the table of threats, and which of these tests holds what.
"""

import base64
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from alignd.doctor.findings import FindingId, Topic, error, topic_report
from alignd.doctor.report.document import report_text
from alignd.doctor.report.file import save_report
from alignd.ledger.answer import Finding
from alignd.ledger.database import open_database
from alignd.ledger.window.client import SocketAsks
from alignd.ledger.window.reader import LedgerReader
from alignd.ledger.writer import Writer
from alignd.mail.domain import Domain
from alignd.return_path.keyring import Keyring
from alignd.web.app.server import CROWDED_SECONDS, REQUEST_SECONDS
from alignd.web.headers import Kind, headers_of
from alignd.web.sharing import DAY, ShareLink, new_id, token_of
from tests.lab.ledger_rows import PASSED, REWRITTEN, Mail, write
from tests.lab.nameserver import Nameserver, run_nameserver
from tests.lab.readiness import PATIENCE, free_ports, open_directory, wait_until
from tests.lab.settings import configuration, world
from tests.support.web import KEYS, LIMIT, SHARE_HOST, Web, run_web, run_window
from tests.support.web_pages import Page

pytestmark = pytest.mark.wire

BAIT = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><svg onload=alert(3)>"
"""What would be executed, did any page take it for HTML."""
OTHER_TENANT = "secret-tenant"
RELAY = "secret-relay.internal.example"
TOKEN = "t" * 20 + "0123456789abcdef"
SUPPORTER = "ann"
TIMES = 12
QUICK = 3.0
"""Seconds, in which who does nothing wrong is answered, whatever others do."""
HUGE = 1_000_000_000
_ESCAPED = BAIT.replace('"', '\\"')
ZONE = world(
    f'mycompany.com. TXT "v=spf1 -all"\nmycompany.com. TXT "{_ESCAPED}"\n'
    f'_dmarc.mycompany.com. TXT "v=DMARC1; p=reject; rua=mailto:{_ESCAPED}"\n'
    'good.example. TXT "v=spf1 -all"\n_dmarc.good.example. TXT "v=DMARC1; p=reject"\n'
    'macro.example. TXT "v=spf1 exists:%{s}.<svg/onload=alert(4)>.%{d} '
    'redirect=<img/src=x/onerror=alert(5)>.example"\n'
    '_dmarc.macro.example. TXT "v=DMARC1; p=reject"\n'
)
MORE = (
    Mail("mycompany.com", REWRITTEN, 4321, tenant=OTHER_TENANT),
    Mail("mycompany.com", PASSED, 5, days_ago=2, tenant=BAIT[:60]),
    Mail("mycompany.com", Finding("rewrite", BAIT[:60]), 5, days_ago=1, tenant=BAIT[:60]),
    Mail("macro.example", REWRITTEN, 1),
)


def token(
    domain: str = "mycompany.com", *, tenant: str = "", keys: str = KEYS, days: int = 3
) -> str:
    now = time.time()
    if days < 0:
        now, days = now + (days - 1) * DAY, 1
    link = ShareLink(Domain(domain), tenant, "en", new_id(days, now, os.urandom(8)))
    return token_of(link, Keyring.parse(keys).signing)


def id_of(link: str) -> str:
    """The id of the link with this token: the last part of what it says."""
    said = link[33:].upper()
    return base64.b32decode(said + "=" * (-len(said) % 8)).decode().rpartition("\0")[2]


class Silent(Nameserver):
    """Answers nothing, and counts what it was asked of the domain of an attacker."""

    asked = 0

    def respond(self, data: bytes, *, over_udp: bool) -> bytes | None:
        assert data or over_udp
        self.asked += b"\x04evil\x07example\x00" in data.lower()
        return None


@contextmanager
def run_page(options: str = "", nameserver: Nameserver | None = None) -> Iterator[Web]:
    with ExitStack() as running:
        dns = running.enter_context(run_nameserver(nameserver))
        if nameserver is None:
            dns.serve(ZONE)
        directory = running.enter_context(open_directory())
        window = running.enter_context(run_window(directory, MORE))
        engine = open_database(f"sqlite:///{directory / 'ledger.sqlite'}")
        write(engine, [Mail("good.example", PASSED, 1)], Writer(RELAY, "outbound", "9", "d"),
              time.time())  # fmt: skip
        options = options.replace("DIRECTORY", str(directory))
        finding = error(FindingId.HELO_UNRESOLVED, BAIT, BAIT, BAIT)
        report = report_text((topic_report(Topic.HELO, [finding]),), BAIT, 1, time.time())
        save_report(directory / "report.json", report)
        (directory / "tokens").write_text(f"{SUPPORTER} {TOKEN}\n")
        (directory / "tokens").chmod(0o600)
        options += f'\ndoctor = "{directory}/report.json"\n'
        yield running.enter_context(
            run_web(directory, window, options=options, nameserver=dns.address)
        )


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    """One for all attacks that leave nothing behind; none of them may make it fail or talk."""
    with run_page() as web:
        yield web
        log = web.log()
        assert "a page failed" not in log
        for each in ("127.0.0.1 ", "127.0.0.1:1", "evil", "mycompany", "alert", *USED):
            assert each not in log, log


class Answer:
    """An answer over HTTP, every one of which has its headers and no cookie."""

    def __init__(self, answer: http.client.HTTPResponse, text: str) -> None:
        self.status, self.headers, self.text = answer.status, answer.headers, text
        assert "Set-Cookie" not in answer.headers
        assert "Server" not in answer.headers
        policy = answer.headers["Content-Security-Policy"]
        assert policy in {headers_of(kind)["Content-Security-Policy"] for kind in Kind}
        assert "unsafe" not in policy
        for name in ("X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy",
                     "Cache-Control", "X-Robots-Tag"):  # fmt: skip
            assert len(answer.headers.get_all(name, [])) == 1, name


USED: list[str] = []
"""Tokens of links that were asked for."""


def shared(web: Web, link: str, path: str = "", method: str = "GET", **fields: str) -> Answer:
    USED.append(link)
    return ask(web, f"/{link}{path}", method, share=True, **fields)


def ask(web: Web, path: str, method: str = "GET", *, share: bool = False, **fields: str) -> Answer:
    return Answer(*web.ask(path, method, share=share, **fields))


def form_of(text: str) -> str:
    """The token of the form of a page."""
    found = re.search(r'name="token" value="([a-z2-7]{26})"', text)
    assert found
    return found[1]


def post(
    web: Web, path: str, form: str, *, share: bool = False, **fields: str
) -> tuple[int, str, http.client.HTTPMessage]:
    """POST a form as a page of the site itself would."""
    port = web.share_port if share else web.port
    host = SHARE_HOST if share else f"127.0.0.1:{port}"
    origin = f"https://{host}" if share else f"http://{host}"
    headers = {
        "Host": host,
        "Origin": origin,
        "Content-Type": "application/x-www-form-urlencoded",
        **{name.replace("_", "-"): value for name, value in fields.items()},
    }
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as peer:
        peer.request("POST", path, f"token={form}", headers)
        answer = peer.getresponse()
        checked = Answer(answer, answer.read().decode())
        return checked.status, checked.text, checked.headers


# What a proxy and the server could read in two ways.
_AGAIN = b"GET /second HTTP/1.1\r\nHost: %(host)s\r\nConnection: close\r\n\r\n"
TWO_WAYS = {
    "a-length-beside-chunks": b"POST /a HTTP/1.1\r\nHost: %(host)s\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + _AGAIN,
    "chunks-of-http-1.0": b"POST /a HTTP/1.0\r\nHost: %(host)s\r\nConnection: keep-alive\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + _AGAIN,
    "two-lengths": b"POST /a HTTP/1.1\r\nHost: %(host)s\r\nContent-Length: 3\r\n"
    b"Content-Length: 0\r\n\r\nabc" + _AGAIN,
    "chunks-behind-a-control-character": b"POST /a HTTP/1.1\r\nHost: %(host)s\r\n"
    b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + _AGAIN,
    "a-negative-chunk": b"POST /a HTTP/1.1\r\nHost: %(host)s\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n-1\r\n" + _AGAIN,
    "a-blank-before-a-colon": b"GET /a HTTP/1.1\r\nHost : %(host)s\r\n\r\n" + _AGAIN,
    "a-bare-line-feed": b"GET /a HTTP/1.1\r\nHost: %(host)s\nX: y\r\n\r\n" + _AGAIN,
    "a-bare-carriage-return": b"GET /a HTTP/1.1\r\nHost: %(host)s\rX: y\r\n\r\n" + _AGAIN,
    "a-target-of-another-site": b"GET http://evil.example/ HTTP/1.1\r\nHost: %(host)s\r\n"
    b"\r\n" + _AGAIN,
    "a-target-that-is-no-url": b"GET http://[ HTTP/1.1\r\nHost: %(host)s\r\n\r\n" + _AGAIN,
    "a-length-of-5000-digits": b"POST /a HTTP/1.1\r\nHost: %(host)s\r\nContent-Length: "
    + b"1" * 5000 + b"\r\n\r\n" + _AGAIN,
}  # fmt: skip


@pytest.mark.parametrize("octets", TWO_WAYS.values(), ids=TWO_WAYS)
@pytest.mark.parametrize("share", [False, True], ids=["pages", "links"])
def test_what_can_be_read_in_two_ways_is_refused_and_ends_the_connection(
    web: Web, octets: bytes, *, share: bool
) -> None:
    host = SHARE_HOST if share else f"localhost:{web.port}"
    answer = web.send(octets.replace(b"%(host)s", host.encode()), share=share)
    head = answer.partition(b"\r\n\r\n")[0].decode()
    assert re.match(r"HTTP/1\.[01] (400|501) ", head), head
    assert len(re.findall(rb"HTTP/1\.[01] [0-9]{3} ", answer)) == 1, answer
    assert "evil" not in answer.decode()
    for name, value in headers_of(Kind.DATA).items():
        assert f"{name}: {value}".lower() in head.lower(), head


LARGE: Mapping[str, tuple[bytes, int]] = {
    "a-body-of-a-gigabyte": (b"POST /a HTTP/1.1\r\nHost: %%(host)s\r\n"
                             b"Content-Length: %d\r\n\r\n" % HUGE, 413),
    "a-head-of-a-megabyte": (b"GET / HTTP/1.1\r\nX: " + b"x" * 1_000_000, 431),
    "a-path-of-64-kb": (b"GET /" + b"a" * 65_536 + b" HTTP/1.1\r\nHost: %(host)s\r\n\r\n", 431),
    "10000-fields": (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000, 431),
}  # fmt: skip


@pytest.mark.parametrize(("octets", "status"), LARGE.values(), ids=LARGE)
def test_what_is_too_large_is_refused_before_it_is_read(
    web: Web, octets: bytes, status: int
) -> None:
    began = time.monotonic()
    answer = web.send(octets.replace(b"%(host)s", b"localhost:%d" % web.port))
    # Who is still sending may lose the answer to a reset; nobody is kept waiting for the rest.
    assert answer == b"" or answer.split(b" ")[1] == b"%d" % status, answer[:200]
    assert time.monotonic() - began < REQUEST_SECONDS


PATHS = {
    "nul": "/domains/a%00.example",
    "line-end": "/domains/a%0d%0aSet-Cookie:%20a=b.example",
    "overlong": "/domains/%c0%ae%c0%ae/x",
    "surrogate": "/domains/%ed%a0%80.example",
    "parent": "/static/../../config/settings.py",
    "encoded-parent": "/static/%2e%2e/%2e%2e/config/settings.py",
    "encoded-slash": "/static/..%2f..%2fconfig%2fsettings.py",
    "backslash": "/static/..%5c..%5csettings.py",
    "another-host": "//evil.example/",
    "right-to-left": "/domains/%e2%80%ae.example",
    "html": "/domains/" + quote(BAIT, safe=""),
    "long-label": "/domains/" + "a" * 64 + ".example",
}
QUERIES = ("search=%00%0d%0a", "search=%ff%fe", "search=%ed%a0%80", "state[]=x&page=-1",
           "page=99999999999999999999", "sort=%F0%9F%92%A9", "language=" + quote(BAIT), "days=1e9",
           "days=%d9%a3", "a&" * 3000, "search=" + quote(BAIT), "checked=later&again=%d9%a3",
           "tenant=" + quote(BAIT), "checked=" + quote(BAIT))  # fmt: skip


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_hostile_path_leads_nowhere(web: Web, path: str) -> None:
    for share in (False, True):
        answer = ask(web, path, share=share)
        assert answer.status in (400, 404)
        assert "Location" not in answer.headers
        assert_nothing_is_executed(answer)


@pytest.mark.parametrize("query", QUERIES)
def test_a_hostile_query_is_no_fault_and_no_html(web: Web, query: str) -> None:
    link = token()
    for answer in (ask(web, f"/?{query}"), ask(web, f"/domains/mycompany.com?{query}"),
                   ask(web, f"/relays?{query}"), ask(web, f"/receivers?{query}"),
                   shared(web, link, f"?{query}")):  # fmt: skip
        assert answer.status == 200
        assert_nothing_is_executed(answer)


def assert_nothing_is_executed(answer: Answer) -> None:
    if not answer.headers["Content-Type"].startswith("text/html"):
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        return
    page = Page(answer.text)
    for name, attributes in page.elements:
        assert name not in {"img", "iframe", "object", "embed", "base", "style"}, name
        assert not {"style", "srcdoc"} & attributes.keys()
        assert not [each for each in attributes if each.startswith("on")], attributes
        for each in ("href", "src", "action"):
            if target := attributes.get(each, "/"):
                assert re.match(r"/(?!/)|#|https://|mailto:", target), target
    assert [each["src"] for each in page.names("script")] == ["/static/alignd.js"]


LANGUAGES = ("en", "da", "cs", "de")


@pytest.mark.parametrize("language", LANGUAGES)
def test_html_of_dns_tenants_events_and_reports_is_shown_and_never_executed(
    web: Web, language: str
) -> None:
    pages = ("/", "/domains/mycompany.com", "/domains/mycompany.com/letter", "/relays",
             "/receivers",
             "/domains/macro.example", "/domains/macro.example/letter")  # fmt: skip
    said = ""
    for path in pages:
        answer = ask(web, f"{path}?language={language}")
        assert answer.status == 200, path
        assert_nothing_is_executed(answer)
        said += Page(answer.text).text
    for domain in ("mycompany.com", "macro.example"):
        answer = shared(web, token(domain), f"?language={language}")
        assert_nothing_is_executed(answer)
    assert BAIT in said, "it is there, as text"
    for path in (
        "/domains.json",
        "/domains/mycompany.com.json",
        "/relays.json",
        "/receivers.json",
    ):
        answer = ask(web, path)
        assert answer.headers["Content-Type"] == "application/json"
        assert_nothing_is_executed(answer)


EDITS: Mapping[str, Callable[[str], str]] = {
    "another-domain": lambda it: it[:33] + token("good.example")[33:],
    "another-tenant": lambda it: it[:33] + token(tenant=OTHER_TENANT)[33:],
    "a-later-end": lambda it: it[:33] + token(days=300)[33:],
    "cut": lambda it: it[:-1],
    "half": lambda it: it[: len(it) // 2],
    "longer": lambda it: it + "a",
    "doubled": lambda it: it + it,
    "two-of-them": lambda it: f"{it}/{it}",
    "upper-case": str.upper,
    "padded": lambda it: it + "=",
    "with-a-dot": lambda it: it + ".",
    "with-a-blank": lambda it: it + "%20",
    "a-wide-letter": lambda it: "%EF%BD%81" + it[1:],
    "a-long-s": lambda it: it.replace("s", "%C5%BF", 1) if "s" in it else it + "%C5%BF",
    "another-key": lambda it: ("b" if it[0] == "a" else "a") + it[1:],
    "of-another-operator": lambda _: token(keys=f"sign {'7c' * 32}\n"),
    "no-tag": lambda it: it[0] + it[33:],
    "very-long": lambda it: it + "a" * 2000,
    "json": lambda it: it + ".json",
    "a-slash": lambda it: it + "/",
    "letter": lambda it: it + "/letter",
    "check-of-nothing": lambda _: "check",
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_link_that_was_changed_is_as_any_other_path(
    web: Web, edit: Callable[[str], str], method: str
) -> None:
    changed = edit(token())
    answer = ask(web, f"/{changed}", method, share=True, Origin=f"https://{SHARE_HOST}")
    assert answer.status in ((404, 405, 400) if method == "POST" else (404, 400)), answer.text
    assert "mycompany" not in answer.text.replace(changed, "")
    assert "good.example" not in answer.text


def test_a_link_that_ended_says_so_and_nothing_of_its_domain(web: Web) -> None:
    for link in (token(days=-2), token("gmail.com")):
        for method in ("GET", "HEAD"):
            answer = shared(web, link, method=method)
            assert answer.status == 410
            assert "mycompany" not in answer.text.replace(link, "")
        status, _, _ = post(web, f"/{link}/check", "x", share=True)
        assert status == 410


def _of_a_fifo(path: Path) -> None:
    os.mkfifo(path)


REVOKED: Mapping[str, Callable[[Path], object]] = {
    "a-fifo": _of_a_fifo,
    "a-directory": Path.mkdir,
    "a-huge-file": lambda path: path.write_text("#" * 2_000_000),
    "no-ids": lambda path: path.write_text("secret words\n"),
    "a-link-to-itself": lambda path: path.symlink_to(path),
    "octets": lambda path: path.write_bytes(b"\xff\0" * 100),
}


def test_while_it_is_not_known_what_was_revoked_no_link_is_good(web: Web) -> None:
    path, link = web.log_path.parent / "revoked", token()
    assert shared(web, link).status == 200
    for make in REVOKED.values():
        make(path)
        try:
            answer = shared(web, link)
            assert answer.status == 503
            assert "mycompany" not in answer.text.replace(link, "")
            assert "secret words" not in answer.text
            assert str(path) not in answer.text
            status, _, _ = post(web, f"/{link}/check", "x", share=True)
            assert status == 503
            # Who guesses is not told of it, and costs no reading.
            assert ask(web, "/guess", share=True).status == 404
        finally:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert shared(web, link).status == 200


def test_a_link_is_revoked_while_its_page_is_open(web: Web) -> None:
    path, link = web.log_path.parent / "revoked", token()
    form = form_of(shared(web, link).text)
    path.write_text(f"{id_of(link)}\n")
    try:
        assert shared(web, link).status == 410
        status, _, _ = post(web, f"/{link}/check", form, share=True)
        assert status == 410
    finally:
        path.unlink()


def test_a_form_is_good_for_its_own_page_alone(web: Web) -> None:
    link, other = token(), token("good.example")
    of_link = form_of(shared(web, link).text)
    of_pages = form_of(ask(web, "/domains/mycompany.com").text)
    assert post(web, f"/{link}/check", of_link, share=True)[0] == 303
    assert post(web, f"/{other}/check", of_link, share=True)[0] == 403
    assert post(web, f"/{link}/check", of_pages, share=True)[0] == 403
    assert post(web, "/domains/good.example/check", of_link)[0] == 403
    for made_up in ("", "a" * 26, of_pages[::-1], of_pages + "a", "%00", "%ff"):
        assert post(web, "/domains/mycompany.com/check", made_up)[0] == 403
    assert post(web, "/domains/mycompany.com/check", of_pages)[0] == 303


FOREIGN = {
    "origin": {"Origin": "https://evil.example"},
    "null": {"Origin": "null"},
    "a-longer-name": {"Origin": f"https://{SHARE_HOST}.evil.example"},
    "cross-site": {"Sec_Fetch_Site": "cross-site"},
    "same-site": {"Sec_Fetch_Site": "same-site"},
    "a-frame": {"Origin": "null", "Sec_Fetch_Site": "cross-site"},
}


@pytest.mark.parametrize("fields", FOREIGN.values(), ids=FOREIGN)
def test_no_other_site_can_have_a_supporters_browser_check(
    web: Web, fields: dict[str, Any]
) -> None:
    link = token()
    form, own = form_of(shared(web, link).text), form_of(ask(web, "/domains/good.example").text)
    assert post(web, f"/{link}/check", form, share=True, **fields)[0] == 403
    assert post(web, "/domains/good.example/check", own, **fields)[0] == 403


@pytest.mark.parametrize(
    ("mode", "destination"),
    [("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe"), ("no-cors", "script")],
)
def test_no_other_site_can_have_a_browser_load_a_page_in_its_own(
    web: Web, mode: str, destination: str
) -> None:
    """Else each image of it would have DNS asked for a name of its choice."""
    fields: dict[str, Any] = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": mode}
    for path in ("/", "/domains/x.evil.example", "/domains/mycompany.com.json"):
        assert ask(web, path, Sec_Fetch_Dest=destination, **fields).status == 403
    assert shared(web, token(), Sec_Fetch_Dest=destination, **fields).status == 403
    there: dict[str, Any] = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert ask(web, "/", Sec_Fetch_Dest="document", **there).status == 200


INTERNAL = (OTHER_TENANT, RELAY, "4321", "smtp1", "client-not-in-scope", "alert(1)", "rules.",
            "alignd domain", "ledger", "/relays", "/domains", "good.example", "web.",
            "other_messages", "127.0.0.1")  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_link_tells_nothing_of_other_tenants_relays_or_the_inside(
    web: Web, language: str
) -> None:
    for path in (f"?language={language}", f"?language={language}&days=365&tenant={OTHER_TENANT}"):
        answer = shared(web, token(), path)
        assert answer.status == 200
        # What the customer himself has published, or has asked for, is his to see.
        said = answer.text.replace("&lt;script&gt;alert(1)", "")
        said = said.replace(f"tenant={OTHER_TENANT}", "")
        for word in INTERNAL:
            assert word not in said, word
    link = token()
    form = form_of(shared(web, link).text)
    _, text, _ = post(web, f"/{link}/check", form, share=True, Accept="application/json")
    for word in INTERNAL:
        assert word not in text, word


def test_dns_is_not_asked_more_often_whatever_links_there_are() -> None:
    """Per domain and over all: who has many links is no better off."""
    with run_page() as web:
        statuses = []
        for tenant in ("", "", OTHER_TENANT, "other"):
            link = token("good.example", tenant=tenant)
            form = form_of(shared(web, link).text)
            answer = post(web, f"/{link}/check", form, share=True, Accept="application/json")
            statuses.append(answer[0])
        assert statuses == [200, 200, 200, 429]
        assert int(answer[2]["Retry-After"]) > 0
        form = form_of(ask(web, "/domains/good.example").text)
        assert post(web, "/domains/good.example/check", form, Accept="application/json")[0] == 429
        found = [
            post(web, f"/domains/n{n}.example/check", form, Accept="application/json")[0]
            for n in range(40)
        ]
        assert 429 in found


def test_a_domain_whose_servers_are_silent_holds_nobody_up() -> None:
    silent = Silent()
    with run_page(nameserver=silent) as web:
        link = token("evil.example")
        taken = [threading.Thread(target=shared, args=(web, link)) for _ in range(40)]
        for each in taken:
            each.start()
        wait_until(lambda: silent.asked, "a question")
        began = time.monotonic()
        assert ask(web, "/guess", share=True).status == 404
        assert ask(web, "/").status == 200
        assert time.monotonic() - began < QUICK
        for each in taken:
            each.join()
        asked = silent.asked
        for _ in range(TIMES):
            assert shared(web, link).status == 200
        assert silent.asked == asked, "what was not answered is not asked by each look"


def test_300_who_are_slow_keep_the_others_from_nothing(web: Web) -> None:
    stop = threading.Event()

    def trickle(peer: socket.socket) -> None:
        with closing(peer), suppress(OSError):
            peer.sendall(b"GET / HTTP/1.1\r\n")
            while not stop.wait(0.5):
                peer.sendall(b"X: y\r\n")

    slow = [web.connect() for _ in range(300)]
    threads = [threading.Thread(target=trickle, args=(each,)) for each in slow]
    try:
        for each in threads:
            each.start()
        began = time.monotonic()
        assert ask(web, "/nothing", share=True).status == 404
        assert time.monotonic() - began < QUICK
        # Those before him get their seconds, a hundred at a time.
        assert ask(web, "/nothing").status == 404
        assert time.monotonic() - began < 4 * (CROWDED_SECONDS + 2) < 2 * REQUEST_SECONDS
    finally:
        stop.set()
        for each in threads:
            each.join()


PROXY = 'trusted_proxies = ["127.0.0.1/32"]\nuser_header = "X-Remote-User"\n'
SPOOFS: Mapping[str, tuple[str, int]] = {
    "named": ("X-Remote-User: ann\r\n", 200),
    "nobody": ("", 403),
    "empty": ("X-Remote-User:\r\n", 403),
    "with-an-underscore": ("X-Remote_User: boss\r\n", 403),
    "all-underscores": ("X_REMOTE_USER: boss\r\n", 403),
    "two": ("X-Remote-User: ann\r\nX-Remote-User: boss\r\n", 403),
    "two-in-one": ("X-Remote-User: ann, boss\r\n", 403),
    "an-empty-second": ("X-Remote-User: ann\r\nx-remote-user:\r\n", 403),
    "forwarded": ("Forwarded: for=127.0.0.1\r\nX-Forwarded-User: boss\r\n", 403),
    "a-blank-in-the-name": ("X-Remote-User : boss\r\n", 400),
    "a-control-character": ("X-Remote-User: a\x01b\r\n", 400),
    "no-utf-8": ("X-Remote-User: \xff\r\n", 403),
}


def test_a_user_is_believed_from_a_trusted_proxy_that_names_one() -> None:
    with run_page(PROXY) as web:
        for name, (fields, status) in SPOOFS.items():
            answer = web.send(
                f"GET /domains.json HTTP/1.1\r\nHost: localhost:{web.port}\r\n{fields}"
                "Connection: close\r\n\r\n".encode("latin-1")
            )
            found = int(answer.split(b" ")[1])
            # A value with a control character is no field, or that of nobody.
            assert found == status or (status == 400 and found == 403), name
            assert (b"mycompany" in answer) is (status == 200), name
        path = "/domains/good.example"
        form = form_of(ask(web, path, X_Remote_User="ann").text)
        assert post(web, f"{path}/check", form, X_Remote_User="bob")[0] == 403
        assert post(web, f"{path}/check", form, X_Remote_User="ann")[0] == 303


NOT_BELIEVED: tuple[dict[str, Any], ...] = (
    {},
    {"X_Remote_User": "ann"},
    {"X_Forwarded_For": "127.0.0.2"},
    {"X_Real_IP": "127.0.0.2", "X_Remote_User": "ann"},
    {"Forwarded": "for=127.0.0.2", "X_Remote_User": "ann"},
)


def test_a_user_is_not_believed_from_anybody_else() -> None:
    with run_page(PROXY.replace("127.0.0.1/32", "127.0.0.2/32")) as web:
        for fields in NOT_BELIEVED:
            for path in ("/", "/domains.json", "/static/alignd.js", "/nothing"):
                answer = ask(web, path, **fields)
                assert answer.status == 403
                assert "mycompany" not in answer.text


def basic(login: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()


def test_without_a_token_there_is_nothing_and_none_is_found_by_trying() -> None:
    with run_page('tokens = "DIRECTORY/tokens"\n') as web:
        wrong = ["", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}",
                 f"Bearer {TOKEN} {TOKEN}", basic("bob", TOKEN), basic(SUPPORTER, ""),
                 basic("", TOKEN), "Basic \xff", "Basic ====", f"Digest {TOKEN}",
                 *(basic(SUPPORTER, os.urandom(16).hex()) for _ in range(100))]  # fmt: skip
        for each in wrong:
            answer = ask(web, "/domains.json", Authorization=each)
            assert answer.status == 401
            assert "mycompany" not in answer.text
        for path in ("/", "/relays", "/static/alignd.css", "/nothing", f"/?token={TOKEN}"):
            assert ask(web, path).status == 401
        assert ask(web, "/", Authorization=f"Bearer {TOKEN}").status == 200
        page = ask(web, "/domains/good.example", Authorization=basic(SUPPORTER, TOKEN))
        assert page.status == 200
        # A browser sends it by itself, so a form is asked for; a program sends what it means to.
        check = "/domains/good.example/check"
        assert post(web, check, "", Authorization=basic(SUPPORTER, TOKEN))[0] == 403
        assert post(web, check, "", Authorization=f"Bearer {TOKEN}")[0] == 303
        assert TOKEN not in web.log()
        assert web.log().count("a request for a page was refused") == 1


def test_a_page_that_others_can_reach_and_nobody_guards_is_not_started() -> None:
    with open_directory() as directory:
        [port] = free_ports(1)
        for listen in (f"0.0.0.0:{port}", f"[::]:{port}"):
            config = directory / "alignd.conf"
            config.write_text(
                configuration(f'ledger.window = "unix:/w"\n[web]\nlisten = "{listen}"\n')
            )
            found = subprocess.run(
                [sys.executable, "-m", "alignd", "web", "--config", str(config)],
                capture_output=True, text=True, timeout=PATIENCE, check=False,
            )  # fmt: skip
            assert found.returncode == os.EX_CONFIG
            assert "web.tokens" in found.stderr


def test_whoever_has_become_the_user_of_the_page_cannot_wear_out_the_ledger() -> None:
    came: list[str] = []
    with open_directory() as directory, run_window(directory, count=came.append) as window:
        file = directory / "ledger.sqlite"
        ended, began = threading.Event(), time.monotonic()

        def storm() -> None:
            while not ended.is_set():
                with suppress(OSError), closing(socket.socket(socket.AF_UNIX)) as peer:
                    peer.settimeout(0.2)
                    peer.connect(str(window))
                    peer.sendall(b'["DELETE FROM domains"]\n')
                    peer.recv(4096)

        threads = [threading.Thread(target=storm) for _ in range(8)]
        for each in threads:
            each.start()
        wait_until(lambda: time.monotonic() - began > QUICK, "a storm")
        seconds, connections = time.monotonic() - began, len(came)
        ended.set()
        for each in threads:
            each.join()
        assert connections <= 400 + 100 * seconds + 10
        reader = LedgerReader(SocketAsks(str(window)))
        found = reader.history("outbound", "mycompany.com", 0, time.time())
        assert sum(day.messages for day in found.days) > 0
        assert file.stat().st_size > 0
        assert "answered" not in came[:-1]
