"""The pages for supporters: the list, each domain, the relays, and what receivers say."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Flask, Response, request
from werkzeug.exceptions import NotFound

from alignd.doctor.report.document import ReportProblem, SavedReport
from alignd.doctor.report.file import load_report
from alignd.languages.language import Language
from alignd.ledger.queries.relays import RelayRow
from alignd.ledger.window.protocol import WindowError
from alignd.mail.domain import Domain, DomainError
from alignd.web.access import Allowed, Entrance, Refused, Request, Site, decide
from alignd.web.app.answers import Answers, new_application
from alignd.web.app.outcomes import notice_of
from alignd.web.desk.desk import Desk, tenant_of
from alignd.web.desk.invitation import invite
from alignd.web.headers import Kind
from alignd.web.views.domain import domain_page
from alignd.web.views.errors import why_unreadable
from alignd.web.views.json import domain_page_json
from alignd.web.views.letter import letter_page
from alignd.web.views.list import ListPages, list_json
from alignd.web.views.parts.past import period_of
from alignd.web.views.query import number_of, wanted_of
from alignd.web.views.receivers.domain import heard_of_domain
from alignd.web.views.receivers.json import receivers_json
from alignd.web.views.receivers.page import NotHeard, contradiction_of, receivers_page
from alignd.web.views.relays import NoRelays, relays_json, relays_page


def make_pages(desk: Desk) -> Flask:
    """The application that supporters ask."""
    site = Site.of(desk.options.listen, desk.options.url)
    entrance = Entrance(desk.options, desk.tokens)

    def admit(asked: Request) -> Allowed | Refused:
        return decide(asked, site, entrance)

    answers = Answers(desk, Kind.PAGE)
    application = new_application(desk, admit, answers)
    pages = _Pages(desk, answers)
    for path, view, methods in (
        ("/", pages.list, ["GET"]),
        ("/domains.json", pages.list_json, ["GET"]),
        ("/domains/<name>", pages.domain, ["GET"]),
        ("/domains/<name>.json", pages.domain_json, ["GET"]),
        ("/domains/<name>/check", pages.check, ["POST"]),
        ("/domains/<name>/letter", pages.letter, ["GET"]),
        ("/relays", pages.relays, ["GET"]),
        ("/relays.json", pages.relays_json, ["GET"]),
        ("/receivers", pages.receivers, ["GET"]),
        ("/receivers.json", pages.receivers_json, ["GET"]),
    ):
        application.add_url_rule(path, view_func=view, endpoint=path, methods=methods)
    return application


class _Pages:
    """What is answered at each path."""

    def __init__(self, desk: Desk, answers: Answers) -> None:
        self._desk = desk
        self._answers = answers
        self._list_pages = ListPages()

    def list(self) -> Response:
        """The author domains."""
        latest = self._desk.snapshots.latest()
        texts = self._answers.texts
        if latest.snapshot is None:
            assert latest.trouble is not None, "there is no snapshot for a reason"
            return self._answers.message(
                503,
                texts.text("The list cannot be shown now"),
                why_unreadable(latest.trouble.obstacle, texts),
                latest.trouble.problem,
            )
        wanted = wanted_of(request.args.to_dict())
        now = self._desk.clock()
        trouble = why_unreadable(latest.trouble.obstacle, texts) if latest.trouble else ""
        contradiction = contradiction_of(self._desk.heard(), texts, now)
        page = self._list_pages.page(latest.snapshot, wanted, texts, now, trouble, contradiction)
        return self._answers.page("list.html", page=page, here="list")

    def list_json(self) -> Response:
        """The same for programs."""
        latest = self._desk.snapshots.latest()
        if latest.snapshot is None:
            assert latest.trouble is not None, "there is no snapshot for a reason"
            trouble = latest.trouble
            return self._answers.error_json(503, trouble.obstacle.value, trouble.problem)
        return self._answers.json(list_json(latest.snapshot, wanted_of(request.args.to_dict())))

    def domain(self, name: str) -> Response:
        """One author domain."""
        domain = _domain(name)
        desk, texts, now = self._desk, self._answers.texts, self._desk.clock()
        history = desk.history(domain, now)
        tenant = tenant_of(history)
        page = domain_page(
            domain,
            desk.checker.examine(domain, tenant),
            history,
            texts,
            days=period_of(request.args.get("days", "")),
            now=now,
            heard=heard_of_domain(desk.heard(), domain, texts),
            notice=notice_of(request.args, desk.checker, domain, tenant, texts),
        )
        return self._answers.page("domain.html", page=page, here="domain")

    def domain_json(self, name: str) -> Response:
        """The same for programs."""
        domain = _domain(name)
        history = self._desk.history(domain, self._desk.clock())
        found = self._desk.checker.examine(domain, tenant_of(history))
        return self._answers.json(domain_page_json(domain, found, history, self._desk.heard()))

    def check(self, name: str) -> Response:
        """Ask DNS anew, and go back to the page."""
        domain = _domain(name)
        self._answers.require_form_token()
        tenant = tenant_of(self._desk.history(domain, self._desk.clock()))
        outcome = self._desk.checker.check_now(domain, tenant)
        return self._answers.checked(outcome, f"/domains/{domain.name}")

    def letter(self, name: str) -> Response:
        """The message to the admin of a domain."""
        domain = _domain(name)
        desk, texts = self._desk, self._answers.texts
        language = Language.of(request.args.get("letter", "")) or self._answers.language
        letter_texts = desk.texts.get(language, texts)
        tenant = tenant_of(desk.history(domain, desk.clock()))
        page = letter_page(
            domain.name,
            desk.checker.examine(domain, tenant),
            texts,
            letter_texts,
            tuple(desk.texts),
            number=number_of(request.args.get("record", "")),
            invitation=invite(desk, domain, tenant, letter_texts.language),
        )
        return self._answers.page("letter.html", page=page, here="domain")

    def relays(self) -> Response:
        """This relay, and the others that write to the ledger."""
        now = self._desk.clock()
        page = relays_page(self._report(), self._relays(now), now, self._answers.texts)
        return self._answers.page("relays.html", page=page, here="relays")

    def relays_json(self) -> Response:
        """The same for programs."""
        now = self._desk.clock()
        return self._answers.json(relays_json(self._report(), self._relays(now), now))

    def receivers(self) -> Response:
        """What receivers said of all mail."""
        latest, now = self._desk.receivers.latest(), self._desk.clock()
        found = latest.trouble
        trouble = NotHeard(found.obstacle, found.problem) if found else None
        page = receivers_page(latest.snapshot, trouble, now, self._answers.texts)
        return self._answers.page("receivers.html", page=page, here="receivers")

    def receivers_json(self) -> Response:
        """The same for programs."""
        latest = self._desk.receivers.latest()
        if latest.snapshot is None:
            assert latest.trouble is not None, "there is no snapshot for a reason"
            trouble = latest.trouble
            return self._answers.error_json(503, trouble.obstacle.value, trouble.problem)
        return self._answers.json(receivers_json(latest.snapshot, self._desk.clock()))

    def _report(self) -> SavedReport | ReportProblem:
        return load_report(self._desk.options.doctor)

    def _relays(self, now: float) -> Sequence[RelayRow] | NoRelays:
        try:
            return self._desk.ledger.relays(now)
        except WindowError as error:
            return NoRelays(error.obstacle, str(error))


def _domain(name: str) -> Domain:
    try:
        return Domain.parse(name)
    except DomainError as error:
        raise NotFound from error
