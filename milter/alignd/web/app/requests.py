"""The gate that every request passes before it is routed, and what is read of those that do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.datastructures import Headers

from alignd.web.access import Allowed, Refusal, Refused, Request
from alignd.web.headers import Kind, headers_of, headers_of_refusal

MAX_BODY = 4096
"""Octets: a form has a token and little else."""
ALLOWED = "alignd.allowed"
"""Where the gate leaves in the environ who asks."""
_TOO_LARGE = "413 Content Too Large"
_STATUSES = {
    400: "400 Bad Request",
    401: "401 Unauthorized",
    403: "403 Forbidden",
    405: "405 Method Not Allowed",
    421: "421 Misdirected Request",
}
SENTENCES = {
    Refusal.METHOD: "Only GET, HEAD and POST are answered.",
    Refusal.PATH: "This is no path of this site.",
    Refusal.HOST: "This is not the name of this site: see web.url.",
    Refusal.USER_HEADER: "The proxy does not say who you are: see web.user_header.",
    Refusal.UNKNOWN_PROXY: "A proxy has sent this that is not named: see web.trusted_proxies.",
    Refusal.TOKEN: "A token is needed: see web.tokens.",
    Refusal.NOT_LOCAL: "Only this machine may look: see web.trusted_proxies and web.tokens.",
    Refusal.CROSS_SITE: "Another site has had your browser ask for this: open the page itself.",
}

Decide = Callable[[Request], Allowed | Refused | None]


class Gate:
    """Lets requests to *inner* that *decide* does not refuse; all answers have their headers."""

    def __init__(
        self,
        inner: WSGIApplication,
        decide: Decide,
        kind: Kind,
        note_refusal: Callable[[str], None],
    ) -> None:
        """*kind* is that of its answers where they do not say. *note_refusal* is told why."""
        self._inner = inner
        self._decide = decide
        self._kind = kind
        self._note_refusal = note_refusal

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        found = self._decide(request_of(environ))
        if isinstance(found, Refused):
            self._note_refusal(found.reason.value)
            headers = dict(headers_of_refusal(found))
            sentence = SENTENCES[found.reason]
            return _refuse(start_response, environ, _STATUSES[found.status], sentence, headers)
        if _length(environ) > MAX_BODY:
            self._note_refusal("body")
            sentence = f"A form of this page has at most {MAX_BODY} octets."
            headers = dict(headers_of(Kind.DATA))
            return _refuse(start_response, environ, _TOO_LARGE, sentence, headers)
        environ[ALLOWED] = found
        return self._inner(environ, self._completed(start_response))

    def _completed(self, start_response: StartResponse) -> StartResponse:
        """*start_response* with the fields of an answer that says nothing of them."""

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            named = Headers(headers)
            for name, value in headers_of(self._kind).items():
                named.setdefault(name, value)
            return start_response(status, list(named), *more)

        return start


def request_of(environ: WSGIEnvironment) -> Request:
    """What access is decided by, of a request as WSGI has it (PEP 3333)."""
    path = environ.get("PATH_INFO", "").encode("latin-1")
    return Request(
        environ.get("REMOTE_ADDR") or "",
        environ["REQUEST_METHOD"],
        # What is not UTF-8 becomes surrogates, which are not printable: it is refused.
        path.decode("utf-8", "surrogateescape"),
        tuple(_fields(environ)),
    )


def _fields(environ: WSGIEnvironment) -> Iterator[tuple[str, str]]:
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            yield key.removeprefix("HTTP_").replace("_", "-").lower(), value
        elif key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            yield key.replace("_", "-").lower(), value


def _length(environ: WSGIEnvironment) -> int:
    """The octets of the body; the server has counted them, also if they came in chunks."""
    length = environ.get("CONTENT_LENGTH") or "0"
    return int(length) if length.isascii() and length.isdigit() else MAX_BODY + 1


def _refuse(
    start_response: StartResponse,
    environ: WSGIEnvironment,
    status: str,
    sentence: str,
    headers: dict[str, str],
) -> list[bytes]:
    body = f"{sentence}\n".encode()
    content = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body))}
    start_response(status, list({**headers, **content}.items()))
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
