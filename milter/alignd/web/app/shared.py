"""The listener of links: the page of one domain for whoever has a link to it, and nothing else."""

from __future__ import annotations

from collections.abc import Container

from flask import Flask, Response, request
from werkzeug.exceptions import NotFound, ServiceUnavailable

from alignd.web.access import Refused, Request, Site, decide_share
from alignd.web.app.answers import Answers, new_application
from alignd.web.app.outcomes import notice_of
from alignd.web.desk.desk import Desk
from alignd.web.headers import Kind
from alignd.web.revocation import RevocationError, RevokedLinks
from alignd.web.sharing import Bad, ShareLink, read_token
from alignd.web.views.parts.past import period_of
from alignd.web.views.receivers.domain import heard_of_tenant
from alignd.web.views.share import share_page

_ENDED = {Bad.EXPIRED, Bad.REVOKED, Bad.RETIRED, Bad.MAILBOX_PROVIDER}
"""Why a link that we have signed is not good: who has it may know that it was one."""


def make_shared(desk: Desk) -> Flask:
    """The application that those ask who have a link."""
    site = Site.of(desk.options.share_listen, desk.options.share_url)

    def admit(asked: Request) -> Refused | None:
        return decide_share(asked, site)

    answers = Answers(desk, Kind.SHARE)
    application = new_application(desk, admit, answers)
    shared = _Shared(desk, answers)
    application.add_url_rule("/<token>", view_func=shared.domain, methods=["GET"])
    application.add_url_rule("/<token>/check", view_func=shared.check, methods=["POST"])
    return application


class _Shared:
    """What is answered at each path."""

    def __init__(self, desk: Desk, answers: Answers) -> None:
        self._desk = desk
        self._answers = answers

    def domain(self, token: str) -> Response:
        """The domain of a link."""
        link = self._link(token)
        if isinstance(link, Response):
            return link
        desk, texts, now = self._desk, self._answers.texts, self._desk.clock()
        history = desk.history(link.domain, now)
        page = share_page(
            link.domain,
            link.tenant,
            desk.checker.examine(link.domain, link.tenant),
            history,
            texts,
            days=period_of(request.args.get("days", "")),
            now=now,
            ends=link.expires,
            heard=heard_of_tenant(desk.heard(), link.domain, link.tenant, history, texts),
            notice=notice_of(request.args, desk.checker, link.domain, link.tenant, texts),
        )
        return self._answers.page("share.html", page=page, token=token, here="domain")

    def check(self, token: str) -> Response:
        """Ask DNS anew, and go back to the page."""
        link = self._link(token)
        if isinstance(link, Response):
            return link
        self._answers.require_form_token()
        result = self._desk.checker.check_now(link.domain, link.tenant)
        return self._answers.checked(result, f"/{token}")

    def _link(self, token: str) -> ShareLink | Response:
        """What *token* leads to, or the answer to who has it.

        Raises:
            NotFound: it is none of ours; as any other path.
            ServiceUnavailable: it is not known whether it was revoked.
        """
        desk = self._desk
        if desk.share_keys is None:
            raise NotFound
        revoked: Container[str] = RevokedLinks(desk.revoked) if desk.revoked else ()
        try:
            found = read_token(token, desk.share_keys, revoked, desk.providers, desk.clock())
        except RevocationError as error:
            desk.log.no_links(str(error))
            raise ServiceUnavailable from error
        if isinstance(found, ShareLink):
            self._answers.prefer(found.language)
            return found
        if found not in _ENDED:
            raise NotFound
        texts = self._answers.texts
        return self._answers.message(
            410,
            texts.text("This link has ended"),
            texts.text("Ask whoever has sent it to you for a new one."),
        )
