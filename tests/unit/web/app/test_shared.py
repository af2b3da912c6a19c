"""The listener of links: one domain for whoever has a link to it, and nothing else for anybody."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from alignd.mail.domain import Domain
from alignd.return_path.keyring import Keyring
from alignd.web.access import form_token
from alignd.web.app.pages import make_pages
from alignd.web.app.shared import make_shared
from alignd.web.headers import Kind, headers_of
from alignd.web.revocation import revoke
from alignd.web.sharing import DAY, ShareLink, new_id, token_of
from tests.lab.ledger_rows import NOW
from tests.support.desks import KEYRING, SHARE_ORIGIN, Setting, open_desk

OTHERS = Keyring.parse(f"sign {'7c' * 32}\n")
LINK = ShareLink(Domain("mycompany.com"), "easy", "da", new_id(30, NOW, b"\xa5" * 8))
TOKEN = token_of(LINK, KEYRING.signing)
OTHER = token_of(ShareLink(Domain("other.example"), "", "da", LINK.id), KEYRING.signing)
FORM = {"token": form_token(b"s" * 32, f"\0{TOKEN}", NOW)}


@pytest.fixture
def now() -> list[float]:
    return [NOW]


@pytest.fixture
def revoked(tmp_path: Path) -> Path:
    return tmp_path / "revoked"


@pytest.fixture
def setting(story: str, now: list[float], revoked: Path) -> Iterator[Setting]:
    with open_desk(story, lambda: now[0], revoked) as setting:
        yield setting
        assert setting.heard.failures == []


def ask(setting: Setting, path: str, method: str = "GET", **headers: str) -> TestResponse:
    data = FORM if method == "POST" else None
    headers = {"Origin": SHARE_ORIGIN, **headers}
    answer = (
        make_shared(setting.desk)
        .test_client()
        .open(path, method=method, base_url=SHARE_ORIGIN, headers=headers, data=data)
    )
    for name, value in headers_of(Kind.DATA if path.endswith(".json") else Kind.SHARE).items():
        assert answer.headers.getlist(name) == [value], name
    return answer


def test_a_link_opens_its_domain_in_its_language(setting: Setting) -> None:
    text = ask(setting, f"/{TOKEN}").get_data(as_text=True)
    assert "mycompany.com" in text
    assert '<html lang="da">' in text
    assert 'href="/"' not in text
    assert "/relays" not in text
    assert '<html lang="de">' in ask(setting, f"/{TOKEN}?language=de").get_data(as_text=True)


def test_it_is_told_to_no_other_site_and_to_no_search_engine(setting: Setting) -> None:
    answer = ask(setting, f"/{TOKEN}")
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Robots-Tag"].startswith("noindex")
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_check_is_of_the_domain_of_the_link(setting: Setting) -> None:
    answer = ask(setting, f"/{TOKEN}/check", "POST")
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/{TOKEN}?checked=dns"
    assert setting.dns.checked == ["mycompany.com of easy"]


PATHS = {rule.replace("<name>", "mycompany.com") for rule in (
    "/", "/domains.json", "/domains/<name>", "/domains/<name>.json", "/domains/<name>/check",
    "/domains/<name>/letter", "/relays", "/relays.json", "/receivers",
    "/receivers.json", "/domains/", "/metrics")}  # fmt: skip


def test_no_page_of_supporters_is_there_whoever_asks(setting: Setting) -> None:
    rules = {str(rule) for rule in make_pages(setting.desk).url_map.iter_rules()}
    own = {rule.replace("<name>", "mycompany.com") for rule in rules if "/static/" not in rule}
    bare = ask(setting, "/nothing").get_data(as_text=True)
    for path in sorted(PATHS | own):
        answer = ask(setting, path)
        assert answer.status_code == 404, path
        if not path.endswith(".json"):
            said = answer.get_data(as_text=True)
            assert said.replace(f'"{path}?', '"/nothing?') == bare, path
        assert ask(setting, path, "POST").status_code in (404, 405), path
    assert setting.ledger.asked == 0
    assert setting.dns.checked == []


FORGED = {
    "cut": TOKEN[:-1],
    "longer": f"{TOKEN}a",
    "of-another-key": token_of(LINK, OTHERS.signing),
    "another-domain": TOKEN[:33] + OTHER[33:],
    "in-capitals": TOKEN.upper(),
    "1500-letters": "a" * 1500,
    "html": "%3Cscript%3E",
}  # fmt: skip


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED)
def test_what_is_no_link_of_ours_is_as_if_nothing_were_there(setting: Setting, token: str) -> None:
    answer, other = ask(setting, f"/{token}"), ask(setting, "/nothing")
    assert answer.status_code == other.status_code == 404
    said = answer.get_data(as_text=True).replace(token, "nothing")
    assert said == other.get_data(as_text=True)
    assert ask(setting, f"/{token}/check", "POST").status_code == 404


def test_a_link_that_has_ended_says_so_and_no_more(
    setting: Setting, now: list[float], revoked: Path
) -> None:
    now[0] = NOW + 32 * DAY
    ended = ask(setting, f"/{TOKEN}")
    assert ended.status_code == 410
    assert b"<h1>mycompany" not in ended.data
    now[0] = NOW
    assert ask(setting, f"/{TOKEN}").status_code == 200
    revoke(revoked, LINK.id, NOW)
    assert ask(setting, f"/{TOKEN}").status_code == 410
    assert ask(setting, f"/{TOKEN}/check", "POST").status_code == 410
    assert setting.dns.checked == []


def test_there_is_no_link_to_the_domain_of_a_mailbox_provider(setting: Setting) -> None:
    token = token_of(ShareLink(Domain("gmail.com"), "", "en", LINK.id), KEYRING.signing)
    assert ask(setting, f"/{token}").status_code == 410


def test_while_it_is_not_known_what_is_revoked_no_link_is_good(
    setting: Setting, revoked: Path
) -> None:
    revoked.write_text("no id\n")
    answer = ask(setting, f"/{TOKEN}")
    assert answer.status_code == 503
    assert setting.heard.no_link == [f"{revoked}:1: not the id of a link"]


def test_another_site_cannot_have_a_browser_check(setting: Setting) -> None:
    answer = (
        make_shared(setting.desk)
        .test_client()
        .post(f"/{TOKEN}/check", base_url=SHARE_ORIGIN, headers={"Origin": "https://evil.example"})
    )
    assert answer.status_code == 403
    assert setting.dns.checked == []
