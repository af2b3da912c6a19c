"""The list of author domains, as a browser and as a program get it, from a real ledger."""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert

from alignd.ledger.batch import DAY
from alignd.ledger.database import open_database
from alignd.ledger.migration import migrate
from alignd.ledger.tables import DAYS, STATES
from alignd.ledger.window.protocol import Obstacle, WindowError
from alignd.web.app.pages import make_pages
from alignd.web.listing import PAGE_ROWS
from tests.lab.ledger_rows import NOW, new_ledger
from tests.support.desks import ORIGIN, Setting, open_desk

ALL = {"mycompany.com", "good.example", "old_one.example"}
HOSTILE = (
    "<script>alert(1)</script>.example",
    "\"'><img src=x onerror=alert(1)>.example",
    "&lt;b&gt;.example",
    "{{ 7 * 7 }}.example",
    "{domain}.example",
    "a/../../etc/passwd?x=1#y.example",
    "\u202egnp.example",
)


class Page:
    """A page, as far as a test looks at it."""

    def __init__(self, client: FlaskClient, path: str, **fields: str) -> None:
        answer = client.get(path, base_url=ORIGIN, headers=fields)
        self.status = answer.status_code
        self.text = answer.get_data(as_text=True)
        self.elements = _Elements(self.text).found

    @property
    def domains(self) -> list[str]:
        """Those of its rows."""
        return [text for name, given, text in self.elements
                if name == "a" and given.get("href", "").startswith("/domains/")]  # fmt: skip

    def links(self, text: str) -> list[str]:
        return [given["href"] for name, given, said in self.elements
                if name == "a" and said == text]  # fmt: skip

    def all(self, element: str, /, **wanted: str) -> list[str]:
        """The texts of the elements of this name with these attributes."""
        return [text for each, given, text in self.elements
                if each == element and wanted.items() <= given.items()]  # fmt: skip


class _Elements(HTMLParser):
    """Every element with its attributes, and the text right behind its tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str], str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}, ""))

    def handle_data(self, data: str) -> None:
        if self.found and not self.found[-1][2]:
            name, given, _ = self.found[-1]
            self.found[-1] = (name, given, data.strip())


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"


@pytest.fixture
def setting(story: str) -> Iterator[Setting]:
    with open_desk(story) as setting:
        yield setting
        assert setting.heard.failures == []


@pytest.fixture
def client(setting: Setting) -> FlaskClient:
    return make_pages(setting.desk).test_client()


def rows(client: FlaskClient, query: str = "") -> list[dict[str, Any]]:
    answer = client.get(f"/domains.json?{query}", base_url=ORIGIN)
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    found: list[dict[str, Any]] = json.loads(answer.data)["domains"]
    return found


@pytest.mark.parametrize(
    ("query", "domains"),
    [
        pytest.param("", ["good.example", "mycompany.com", "good.example", "old_one.example"],
                     id="most-messages-first"),
        pytest.param("search=company", ["mycompany.com"], id="a-part-of-the-name"),
        pytest.param("search=marky@mycompany.com", ["mycompany.com"], id="an-address"),
        pytest.param("state=rewrite", ["mycompany.com"], id="a-state"),
        pytest.param("tenant=easy", ["good.example"], id="a-tenant"),
        pytest.param("tenant=-", ["good.example", "mycompany.com", "old_one.example"],
                     id="no-tenant"),
        pytest.param("state=pass&tenant=-&search=good", ["good.example"], id="all-at-once"),
        pytest.param("search=nobody", [], id="nothing"),
        pytest.param("sort=domain",
                     ["mycompany.com", "good.example", "good.example", "old_one.example"],
                     id="by-name"),
        pytest.param("sort=-day&state=rewrite", ["mycompany.com"], id="by-a-number"),
        pytest.param("sort=nonsense&page=-1&state=", None, id="nonsense-is-as-if-not-said"),
        pytest.param("page=99999999999999999999", None, id="a-page-that-is-no-number"),
        pytest.param("page=12", None, id="beyond-the-last-page"),
        pytest.param("search=%00%ff%3Cb%3E", [], id="octets-that-are-no-text"),
    ],
)  # fmt: skip
def test_a_browser_and_a_program_see_what_the_query_asks_for(
    client: FlaskClient, query: str, domains: list[str] | None
) -> None:
    found = [row["domain"] for row in rows(client, query)]

    assert found == (rows_of_all(client) if domains is None else domains)
    assert Page(client, f"/?{query}").domains == found


def rows_of_all(client: FlaskClient) -> list[str]:
    return [row["domain"] for row in rows(client)]


def test_a_row_says_state_since_and_numbers_in_words_and_as_a_curve(client: FlaskClient) -> None:
    page = Page(client, "/?search=mycompany")

    assert page.all("span", **{"class": "state state-rewrite"}) == ["rewritten"]
    assert page.all("td", **{"data-label": "Since"}) == ["28 June 2026"]
    assert page.all("td", **{"data-label": "24 hours"}) == ["3"]
    assert page.all("td", **{"data-label": "30 days"}) == ["30"]
    assert page.all("td", **{"data-label": "Rewritten"}) == ["23"]
    curve = "Messages by day, of 30 days: 30 in all, 3 today, at most 20."
    assert curve in page.all("title")
    (row,) = rows(client, "search=mycompany")
    assert (row["state"], row["reason"]) == ("rewrite", "relay-not-authorised")
    assert (row["messages_day"], row["messages_30_days"], row["rewritten_30_days"]) == (3, 30, 23)
    assert sum(row["by_day"]) == 30


def test_every_row_leads_to_its_page(client: FlaskClient) -> None:
    page = Page(client, "/")
    paths = {given["href"] for name, given, _ in page.elements
             if name == "a" and given["href"].startswith("/domains/")}  # fmt: skip
    assert {path.rpartition("/")[2] for path in paths} == ALL
    for path in paths:
        assert Page(client, path).status == 200


def test_the_head_of_a_column_sorts_by_it_and_once_more_the_other_way(client: FlaskClient) -> None:
    for label in ("Domain", "State", "Tenant", "Since", "24 hours", "Rewritten"):
        first = Page(client, Page(client, "/").links(label)[0])
        sorts = [(given["aria-sort"], text) for name, given, text in first.elements
                 if name == "th" and "aria-sort" in given]  # fmt: skip
        assert len(sorts) == 1
        again = Page(client, first.links(label)[0])
        assert again.text.count('aria-sort="ascending"') != first.text.count(
            'aria-sort="ascending"'
        )
    assert 'aria-sort="descending"' in Page(client, "/").text


def test_a_filter_says_how_many_there_are_and_stays_chosen(client: FlaskClient) -> None:
    page = Page(client, "/?state=rewrite&search=my&sort=domain")

    assert page.all("option", value="rewrite") == ["rewritten (1)"]
    assert page.all("option", value="rewrite", selected="") != []
    assert [given["value"] for name, given, _ in page.elements
            if name == "input" and given.get("id") == "search"] == ["my"]  # fmt: skip
    assert [given for name, given, _ in page.elements
            if name == "input" and given.get("name") == "sort"] == [
                {"type": "hidden", "name": "sort", "value": "domain"}]  # fmt: skip
    assert page.links("Show all") == ["/?sort=domain"]
    assert Page(client, "/").links("Show all") == []


def test_more_than_a_hundred_are_on_pages_that_keep_what_was_asked(url: str) -> None:
    with_states(url, [f"d{n:03}.example" for n in range(250)], lambda n: n + 1)
    with open_desk(url) as setting:
        client = make_pages(setting.desk).test_client()
        page = Page(client, "/?search=d&sort=domain&language=da")
        seen, pages = list(page.domains), 1
        assert page.links("Previous") == []
        while following := [given["href"] for name, given, _ in page.elements
                            if name == "a" and given.get("rel") == "next"]:  # fmt: skip
            page = Page(client, following[0])
            assert len(page.domains) <= PAGE_ROWS
            assert 'lang="da"' in page.text
            seen, pages = seen + page.domains, pages + 1
    assert seen == [f"d{n:03}.example" for n in range(250)]
    assert pages == 3


def test_an_empty_ledger_is_told_of(url: str) -> None:
    new_ledger(url, [])
    with open_desk(url) as setting:
        client = make_pages(setting.desk).test_client()
        page = Page(client, "/")
        assert page.status == 200
        assert "No helpdesk mail has been counted yet." in page.text
        assert rows(client) == []


def test_nothing_found_is_told_of_otherwise(client: FlaskClient) -> None:
    assert "No domain is like that." in Page(client, "/?search=nobody").text


@pytest.mark.parametrize("obstacle", Obstacle, ids=lambda each: each.value)
def test_a_ledger_that_cannot_be_read_is_told_of_in_words(
    setting: Setting, client: FlaskClient, obstacle: Obstacle
) -> None:
    setting.ledger.obstacle = WindowError(obstacle, "/run/x.sock: <no> such file")

    page = Page(client, "/")
    answer = client.get("/domains.json", base_url=ORIGIN)

    assert page.status == answer.status_code == 503
    assert page.all("p", **{"class": "notice notice-bad"})[0].endswith(".")
    assert "/run/x.sock: &lt;no&gt; such file" in page.text
    assert answer.json == {"error": obstacle.value, "problem": "/run/x.sock: <no> such file"}
    assert "Traceback" not in page.text
    assert [each and each.obstacle for each in setting.heard.ledger] == [obstacle]


def test_of_a_domain_whose_history_cannot_be_read_the_rest_is_shown(
    setting: Setting, client: FlaskClient
) -> None:
    setting.ledger.obstacle = WindowError(Obstacle.BUSY, "too many")
    page = Page(client, "/domains/mycompany.com")
    assert page.status == 200
    assert "The history cannot be read now" in page.text
    answer = client.get("/domains/mycompany.com.json", base_url=ORIGIN)
    assert answer.json
    assert answer.json["history"] is None
    assert [str(each) for each in setting.heard.no_past] == ["too many"] * 2


def test_what_was_read_before_is_shown_with_its_age_while_the_ledger_is_away(story: str) -> None:
    now = [NOW]
    with open_desk(story, lambda: now[0]) as setting:
        client = make_pages(setting.desk).test_client()
        assert "The ledger was read 0 seconds ago." in Page(client, "/").text
        setting.ledger.obstacle = WindowError(Obstacle.UNREACHABLE, "nobody there")
        now[0] += 300
        setting.desk.snapshots.take()
        page = Page(client, "/")
        assert page.status == 200
        assert set(page.domains) == ALL
        assert "The service that keeps the ledger does not answer" in page.text
        assert "The ledger was read 5 minutes ago." in page.text
        now[0] += 3600
        assert Page(client, "/").status == 503
        setting.ledger.obstacle = None
        setting.desk.snapshots.take()
        assert "The ledger was read 0 seconds ago." in Page(client, "/").text
        assert [each is None for each in setting.heard.ledger] == [False, True]


def with_states(url: str, domains: list[str], messages: Callable[[int], int]) -> None:
    """A ledger with domains of any name, as a relay would not write them."""
    engine = open_database(url)
    migrate(engine)
    keys = [{"leg": "outbound", "tenant": "", "domain": each} for each in domains]
    words = {"action": "rewrite", "reason": "relay-not-authorised"}
    day = int(NOW) // DAY * DAY
    with engine.begin() as connection:
        connection.execute(insert(STATES), [key | words | {"since": NOW} for key in keys])
        for ago in (0, 29):  # the page shows thirty days, whichever of them had mail
            rows = [key | words | {"day": day - ago * DAY, "messages": messages(n)}
                    for n, key in enumerate(keys)]  # fmt: skip
            connection.execute(insert(DAYS), rows)


def test_what_looks_like_html_is_shown_and_is_none(url: str) -> None:
    with_states(url, list(HOSTILE), lambda _: 7)
    with open_desk(url) as setting:
        client = make_pages(setting.desk).test_client()
        page = Page(client, "/")
        assert sorted(page.domains) == sorted(HOSTILE)
        names = {name for name, _, _ in page.elements}
        assert not names & {"img", "b", "iframe"}
        assert [given for name, given, _ in page.elements if name == "script"] == [
            {"src": "/static/alignd.js", "defer": ""}
        ]
        assert not re.search(r"\son\w+=", re.sub(r"&[a-z#0-9]+;[^<]*", "", page.text))
        searched = Page(client, "/?search=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
        assert len([name for name, _, _ in searched.elements if name == "script"]) == 1
        assert sorted(row["domain"] for row in rows(client)) == sorted(HOSTILE)
        assert setting.heard.failures == []


def test_ten_thousand_domains_are_listed_in_less_than_a_fifth_of_a_second(url: str) -> None:
    with_states(url, [f"d{n}.example" for n in range(10_000)], lambda n: n)
    with open_desk(url) as setting:
        client = make_pages(setting.desk).test_client()
        assert len(Page(client, "/").domains) == PAGE_ROWS
        for query in (
            "",
            "search=77",
            "sort=domain&page=50",
            "state=rewrite&search=d&sort=-since",
        ):
            for path in ("/", "/domains.json"):
                spent = []
                for _ in range(3):
                    began = time.thread_time()
                    assert client.get(f"{path}?{query}", base_url=ORIGIN).status_code == 200
                    spent.append(time.thread_time() - began)
                # Of the processor: how long a test waits for it says nothing of the page.
                assert min(spent) < 0.2, (path, query)


@pytest.mark.parametrize(
    ("query", "browser", "language"),
    [
        pytest.param("", "", "en", id="the-configuration"),
        pytest.param("", "cs-CZ,cs;q=0.9,en;q=0.5", "cs", id="the-browser"),
        pytest.param("?language=de", "cs", "de", id="the-link"),
        pytest.param("?language=xx", "cs", "cs", id="a-link-to-a-language-that-there-is-not"),
    ],
)
def test_the_language_is_that_of_the_link_the_browser_or_the_configuration(
    client: FlaskClient, query: str, browser: str, language: str
) -> None:
    page = Page(client, f"/{query}", **{"Accept-Language": browser})
    assert f'<html lang="{language}">' in page.text


def test_a_language_that_was_chosen_is_kept_by_every_link(client: FlaskClient) -> None:
    page = Page(client, "/?language=de&search=good")
    own = [given["href"] for name, given, _ in page.elements
           if name == "a" and given["href"].startswith("/")
           and "hreflang" not in given and "json" not in given["href"]]  # fmt: skip
    assert len(own) > 5
    assert all("language=de" in link for link in own), own
    assert page.all("input", name="language", value="de") == [""]
    others = [given["href"] for name, given, _ in page.elements if "hreflang" in given]
    assert others == [f"/?search=good&language={each}" for each in ("en", "da", "cs", "de")]


def test_a_language_that_is_not_offered_is_not_spoken(setting: Setting) -> None:
    texts = setting.desk.texts
    few = {language: texts[language] for language in list(texts)[:2]}
    client = make_pages(replace(setting.desk, texts=few)).test_client()
    page = Page(client, "/?language=de", **{"Accept-Language": "de"})
    assert '<html lang="en">' in page.text
