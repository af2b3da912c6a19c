"""Examined domains and histories for pages, and templates rendered without a server."""

from collections.abc import Mapping, Sequence
from functools import cache
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

from jinja2 import ChoiceLoader, DictLoader, Environment, PackageLoader

from alignd.advice.alternatives import advise
from alignd.config.domain_lists import SuffixList
from alignd.config.file import parse_configuration
from alignd.config.signer import load_signer
from alignd.judgement.review import Reviewer, make_reviewer
from alignd.languages.language import Language
from alignd.ledger.answer import Finding
from alignd.ledger.queries.history import DayCount, History, PastEvent
from alignd.ledger.queries.overview import SHOWN_DAYS, DomainRow
from alignd.letter.hosting import UNKNOWN_HOSTING, Hosting
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.resolver.zone import Zone
from alignd.web.app.rendering import new_environment, spoken
from alignd.web.desk.examined import ApplyLink, Examined, NoLink, Records, WhyNoLink
from tests.lab.places import CASES
from tests.lab.settings import configuration, world
from tests.support.languages import TEXTS

NOW = 1_782_900_000.0
"""2026-07-01, 10:00 UTC."""
DAY = 86_400
DELEGATE = '[dkim]\ndelegate = { selector = "easy1", target = "easy1.dkim.easy.cz" }\n'
KEY = next(
    line
    for line in (CASES / "signer-delegated-selector.case").read_text().splitlines()
    if line.startswith("easy1.dkim.easy.cz.")
)
SUFFIXES = SuffixList()
NO_LINK = NoLink(WhyNoLink.OFF)
LAYOUT = (
    "<html><head><title>{% block title %}{% endblock %}</title></head>"
    "<body><main>{% block content %}{% endblock %}</main></body></html>"
)
_VOID = {"input", "br", "meta", "link", "circle", "line", "rect", "polyline"}


@cache
def reviewer(changes: str) -> Reviewer:
    settings = parse_configuration(configuration(changes), "test")
    return make_reviewer(settings, load_signer(settings.dkim), lambda: 0.0, SUFFIXES)


def examined(
    zone: str,
    domain: str = "mycompany.com",
    changes: str = DELEGATE,
    *,
    records: tuple[Records, ...] = (),
    hosting: Hosting = UNKNOWN_HOSTING,
    link: ApplyLink | NoLink = NO_LINK,
) -> Examined:
    """What was found of *domain* in a world with *zone*."""
    name = Domain.parse(domain)
    lookup = Zone.parse(world(f"{zone}{KEY}\n"))
    advice = advise(reviewer(changes), Mailbox("marky.mark", name), lookup)
    return Examined(name, advice, NOW - 60, hosting, records=records, domain_connect=link)


def row(
    domain: str,
    finding: Finding,
    *,
    tenant: str = "",
    messages: int = 30,
    rewritten: int = 0,
    since: float = NOW - 20 * DAY,
    unknown_since: float = 0.0,
) -> DomainRow:
    by_day = (0,) * (SHOWN_DAYS - 1) + (messages,)
    return DomainRow(
        tenant, domain, finding, since, since, NOW, NOW, unknown_since, by_day, rewritten, 7
    )


def history(
    domain: str,
    states: Sequence[DomainRow] = (),
    days: Sequence[DayCount] = (),
    events: Sequence[PastEvent] = (),
) -> History:
    return History("outbound", domain, tuple(states), tuple(days), tuple(events))


def render(template: str, language: Language = Language.EN, **values: Any) -> str:
    """*template* as the service renders it, but for its layout."""
    given = {"form_token": "t0ken", "link": link, "carried": {}, "is_share": False}
    return templates().get_template(template).render(spoken(TEXTS[language]), **given, **values)


@cache
def templates() -> Environment:
    own = DictLoader({"layout.html": LAYOUT})
    return new_environment(ChoiceLoader([own, PackageLoader("alignd.web")]))


def link(path: str, query: Mapping[str, object] | None = None) -> str:
    return path + (f"?{urlencode(query)}" if query else "")


class Page(HTMLParser):
    """A page as a browser has it: elements in their order, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.by_id: dict[str, str] = {}
        self.open: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert not self.open, f"left open: {self.open}"

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def names(self, name: str) -> list[dict[str, str]]:
        return [attributes for each, attributes in self.elements if each == name]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if tag not in _VOID:
            self.open.append((tag, attributes.get("id", "")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        opened, _ = self.open.pop()
        assert opened == tag, f"</{tag}> ends <{opened}>"

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        for _, name in self.open:
            if name:
                self.by_id[name] = self.by_id.get(name, "") + data
