"""Makes the answers that both listeners give: pages in the reader's language, JSON, errors."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, InternalServerError

from alignd.languages.choice import choose
from alignd.languages.language import Language
from alignd.languages.texts import Texts
from alignd.web.access import Allowed, form_token, form_token_holds
from alignd.web.app.outcomes import query_of, status_of
from alignd.web.app.rendering import Renderer, address
from alignd.web.app.requests import ALLOWED, MAX_BODY, Decide, Gate
from alignd.web.desk.desk import Desk
from alignd.web.desk.examined import CheckOutcome, TooSoon
from alignd.web.headers import Kind, headers_of
from alignd.web.views.errors import sentences_of
from alignd.web.views.json import check_json

LANGUAGE = "language"
"""The field of a query that chooses one."""
_PREFERRED = "alignd.language"
_MAX_PARTS = 8  # fields of a form


class Answers:
    """Makes answers to the request that is being handled."""

    def __init__(self, desk: Desk, kind: Kind) -> None:
        """*kind* is that of pages."""
        self.kind = kind
        self._desk = desk
        self._renderer = Renderer(desk.texts)

    @property
    def language(self) -> Language:
        """What the link says, else the browser, else the configuration."""
        desk = self._desk
        fields = request.headers.get("Accept-Language", "")
        wanted = request.args.get(LANGUAGE, "") or request.environ.get(_PREFERRED, "")
        return choose(fields, wanted, desk.language, tuple(desk.texts))

    def prefer(self, language: str) -> None:
        """Answer this request in *language*, if it asks for no other one."""
        request.environ[_PREFERRED] = language

    @property
    def texts(self) -> Texts:
        return self._desk.texts[self.language]

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page made of *template*; see `rendering` for what else stands in it."""
        language = self.language
        content = self._renderer.render(
            template,
            language,
            language_links=self._language_links(),
            link=self.address,
            carried=self._carried(),
            form_token=self._form_token(),
            is_share=self.kind is Kind.SHARE,
            **values,
        )
        response = Response(content, status, content_type="text/html; charset=utf-8")
        return _with_headers(response, self.kind)

    def message(self, status: int, title: str, sentence: str, detail: str = "") -> Response:
        """A page that says why there is no other."""
        return self.page(
            "message.html", status, title=title, sentence=sentence, detail=detail, here=""
        )

    def json(self, value: Any, status: int = 200) -> Response:
        """*value* as JSON."""
        content = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        response = Response(f"{content}\n", status, content_type="application/json")
        return _with_headers(response, Kind.DATA)

    def error_json(self, status: int, word: str, problem: str) -> Response:
        """What is wrong, for programs: a word, and text for people."""
        return self.json({"error": word, "problem": problem}, status)

    def failure(self, error: HTTPException) -> Response:
        """The answer to a request that cannot be answered."""
        status = error.code or 500
        said = sentences_of(status, self.texts)
        if wants_json():
            response = self.error_json(status, said.word, said.sentence)
        else:
            response = self.message(status, said.title, said.sentence)
        allowed = dict(error.get_headers()).get("Allow")
        if allowed:
            response.headers["Allow"] = allowed
        return response

    def require_form_token(self) -> None:
        """Refuse a POST of a browser that no page of ours has made.

        Raises:
            FormRefused: it carries no token, or one that does not hold.
        """
        allowed: Allowed | None = request.environ[ALLOWED]
        if allowed is not None and not allowed.needs_form_token:
            return
        token = request.form.get("token", "")
        if not form_token_holds(self._desk.form_secret, self._holder, token, self._desk.clock()):
            raise FormRefused

    def checked(self, outcome: CheckOutcome, path: str) -> Response:
        """The answer to a check: what came of it for a script, or the page at *path* again."""
        if not wants_json():
            there = {"Location": self.address(path, query_of(outcome))}
            return _with_headers(Response(status=303, headers=there), self.kind)
        response = self.json(check_json(outcome, self.texts), status_of(outcome))
        if isinstance(outcome, TooSoon):
            response.headers["Retry-After"] = str(math.ceil(outcome.seconds))
        return response

    def address(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """The URL of *path* on this site, in the language that was chosen."""
        return address(path, {**(query or {}), **self._carried()})

    def _carried(self) -> dict[str, str]:
        """What links of a page carry on: there is no cookie that could."""
        chosen = Language.of(request.args.get(LANGUAGE, ""))
        return {LANGUAGE: chosen.value} if chosen in self._desk.texts and chosen else {}

    def _language_links(self) -> list[tuple[Language, str]]:
        query = {name: value for name, value in request.args.items() if name != LANGUAGE}
        return [
            (each, address(request.path, {**query, LANGUAGE: each.value}))
            for each in self._desk.texts
        ]

    def _form_token(self) -> str:
        return form_token(self._desk.form_secret, self._holder, self._desk.clock())

    @property
    def _holder(self) -> str:
        """To whom a form is given: a user, or who has a link, which is no name of a user.

        The form of a link must not be good for the pages, nor for another link.
        """
        allowed: Allowed | None = request.environ[ALLOWED]
        if allowed is not None:
            return allowed.user
        return "\0" + str((request.view_args or {}).get("token", ""))


class FormRefused(HTTPException):
    """A form that is not ours, or too old."""

    code = 403


def new_application(desk: Desk, decide: Decide, answers: Answers) -> Flask:
    """An application without a page: its gate, its errors, and what stands in `static`."""
    application = Flask("alignd.web", static_folder="static", template_folder=None)
    application.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY,
        MAX_FORM_MEMORY_SIZE=MAX_BODY,
        MAX_FORM_PARTS=_MAX_PARTS,
        # A bug is an answer with its headers, in tests too.
        PROPAGATE_EXCEPTIONS=False,
    )
    application.url_map.merge_slashes = False
    application.url_map.strict_slashes = True
    application.register_error_handler(HTTPException, answers.failure)
    application.register_error_handler(Exception, _on_bug(desk, answers))
    application.after_request(_complete_asset)
    gate = Gate(application.wsgi_app, decide, answers.kind, desk.log.refused)
    application.wsgi_app = gate  # type: ignore[method-assign]
    return application


def wants_json() -> bool:
    """Whether a program asks, or the script of a page."""
    if request.path.endswith(".json"):
        return True
    best = request.accept_mimetypes.best_match(["text/html", "application/json"])
    return best == "application/json"


def _on_bug(desk: Desk, answers: Answers) -> Callable[[Exception], Response]:
    def answer(error: Exception) -> Response:
        desk.log.failed(error)
        return answers.failure(InternalServerError())

    return answer


def _complete_asset(response: Response) -> Response:
    if request.endpoint == "static" and response.status_code in (200, 304):
        return _with_headers(response, Kind.ASSET)
    return response


def _with_headers(response: Response, kind: Kind) -> Response:
    for name, value in headers_of(kind).items():
        response.headers[name] = value
    return response
