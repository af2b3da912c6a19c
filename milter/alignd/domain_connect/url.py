"""URLs that a DNS host gives: https alone, to a named host, of bounded length."""

from __future__ import annotations

import re
from dataclasses import dataclass

from alignd.mail.domain import Domain, DomainError

HTTPS_PORT = 443
MAX_URL = 1024
"""Characters; those of the large hosts have 100 at most."""
_MAX_PORT = 65535
_CHARACTERS = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})"
_PREFIX = re.compile(
    rf"https://(?P<host>[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{{1,5}}))?(?P<path>/{_CHARACTERS}*)?"
)
_REST = re.compile(rf"(?:\?(?:{_CHARACTERS}|\?)*)?(?:#(?:{_CHARACTERS}|[?])*)?")


class UrlError(ValueError):
    """The text is no URL that is followed; the message names the reason."""


@dataclass(frozen=True, slots=True)
class UrlPrefix:
    """The beginning of URLs: a host, a port and a path (draft-03, section 7)."""

    host: Domain
    port: int = HTTPS_PORT
    path: str = ""
    """Empty, or from its first slash on, and without one at the end."""

    @classmethod
    def parse(cls, text: str) -> UrlPrefix:
        """Parse an https URL without name, password, query and fragment.

        Raises:
            UrlError: *text* is none, or its host is an address or no full name.
        """
        if len(text) > MAX_URL:
            raise UrlError(f"a URL of over {MAX_URL} characters")
        match = _PREFIX.fullmatch(text)
        if not match:
            raise UrlError(f"not an https URL of a host and a path: {text[:80]!r}")
        return cls(_host(match["host"]), _port(match["port"]), (match["path"] or "").rstrip("/"))

    @property
    def authority(self) -> str:
        """The host, and the port where it is not that of https."""
        return self.host.name if self.port == HTTPS_PORT else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"https://{self.authority}{self.path}"


def parse_page(text: str) -> str:
    """Parse an https URL for people to open, which may have a query and a fragment.

    Raises:
        UrlError: *text* is none.
    """
    begin = re.split(r"[?#]", text, maxsplit=1)[0]
    UrlPrefix.parse(begin)
    if len(text) > MAX_URL or not _REST.fullmatch(text[len(begin) :]):
        raise UrlError(f"not an https URL: {text[:80]!r}")
    return text


def _host(text: str) -> Domain:
    try:
        host = Domain.parse(text)
    except DomainError as error:
        raise UrlError(str(error)) from error
    # A last label of digits is an address in some spelling (WHATWG URL, "ends in a number").
    if len(host.labels) == 1 or host.labels[-1].isdigit() or host.labels[-1].startswith("0x"):
        raise UrlError(f"not the full name of a host: {text[:80]!r}")
    return host


def _port(text: str | None) -> int:
    if text is None:
        return HTTPS_PORT
    if not 0 < int(text) <= _MAX_PORT:
        raise UrlError(f"not a port: {text}")
    return int(text)
