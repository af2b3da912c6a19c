"""Sends an event to a webhook by POST, signed, over TLS that is verified."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPException

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util import Url, make_headers, parse_url

from alignd.config.file import ConfigError, ConfigProblem
from alignd.ledger.event import Event
from alignd.ledger.notify.payload import payload
from alignd.ledger.notify.signature import SecretError, parse_secrets, signed_headers
from alignd.ledger.notify.target import NotTakenError
from alignd.ledger.notify.time_limit import cut_after
from alignd.mail.printable import printable
from alignd.return_path.key_file import read_key_file

PATIENCE = 10.0
"""Seconds to connect, and again for the answer."""
_SUCCESS, _REDIRECTION = range(200, 300), range(300, 400)
_MOST_READ = 1024  # octets of a response
_MOST_SHOWN = 160  # characters of it


class Webhook:
    """The receiver at one URL."""

    name = "webhook"

    def __init__(
        self,
        url: str,
        secret_file: str,
        ca_file: str,
        agent: str,
        now: Callable[[], float],
        patience: float = PATIENCE,
    ) -> None:
        """*agent* is who asks (User-Agent). The files are read again for each event.

        So a new secret, or a new certificate, counts without a reload.
        """
        self._url = parse_url(url)
        self._secret_file = secret_file
        self._ca_file = ca_file
        self._agent = agent
        self._now = now
        self._patience = patience

    def tell(self, event: Event, ended: threading.Event) -> None:
        """Send it once; a redirection is not followed."""
        del ended  # the thread of a request that nobody waits for ends with the process
        body = payload(event).encode()
        try:
            headers = self._headers(event, body)
            connection = self._connection()
        except ConfigError as error:
            raise NotTakenError(str(error)) from error
        try:
            with closing(connection):
                connection.connect()
                with cut_after(self._patience, connection.sock):
                    status, text = _post(connection, self._url.request_uri, body, headers)
        except (HTTPError, HTTPException, OSError) as error:
            raise NotTakenError(_described(error, self._patience)) from error
        if status not in _SUCCESS:
            raise NotTakenError(_refusal(status, text))

    def _headers(self, event: Event, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": self._agent}
        if self._url.auth:
            headers |= make_headers(basic_auth=self._url.auth)
        secrets = load_secrets(self._secret_file)
        return headers | dict(signed_headers(secrets, event.id, self._now(), body))

    def _connection(self) -> HTTPConnection:
        host = _host(self._url)
        if self._url.scheme != "https":
            return HTTPConnection(host, self._url.port or 80, timeout=self._patience)
        return HTTPSConnection(
            host,
            self._url.port or 443,
            timeout=self._patience,
            cert_reqs="CERT_REQUIRED",
            ssl_context=load_certificates(self._ca_file),
        )


def load_secrets(path: str) -> tuple[bytes, ...]:
    """Read the secrets in the file at *path*.

    Raises:
        ConfigError: it cannot be read, everybody can read it, or a line is no secret.
    """
    try:
        return parse_secrets(read_key_file(path))
    except SecretError as error:
        raise ConfigError((ConfigProblem(path, error.line, str(error)),)) from None


def load_certificates(path: str) -> ssl.SSLContext:
    """What a server is verified with: the certificates at *path*, or those of the system.

    Raises:
        ConfigError: they cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=path or None)
    except ssl.SSLError as error:
        problem = f"there are no certificates in PEM: {error.reason}"
        raise ConfigError((ConfigProblem(path, 1, problem),)) from error
    except OSError as error:
        raise ConfigError(
            (ConfigProblem(path, 1, f"cannot be read: {error.strerror}"),)
        ) from error


def _post(
    connection: HTTPConnection, path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, bytes]:
    """The status, and the beginning of what came with one that is no success."""
    connection.request("POST", path, body=body, headers=headers, preload_content=False)
    response = connection.getresponse()
    if response.status in _SUCCESS:
        return response.status, b""
    return response.status, response.read(_MOST_READ, decode_content=False)


def _host(url: Url) -> str:
    return (url.host or "").strip("[]")


def _refusal(status: int, body: bytes) -> str:
    if status in _REDIRECTION:
        return f"it answered {status}, a redirection, which is not followed: correct the URL"
    line = next(iter(body.decode(errors="replace").split("\n")), "").strip()
    said = printable(line)[:_MOST_SHOWN]
    return f"it answered {status}: {said}" if said else f"it answered {status}"


def _described(error: Exception, patience: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {patience:g} s"
    text = " ".join(str(error).split()) or type(error).__name__
    return printable(text)[:_MOST_SHOWN]
