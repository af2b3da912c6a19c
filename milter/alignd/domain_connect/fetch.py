"""The port to HTTPS: what is asked of a DNS host, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from alignd.domain_connect.url import UrlPrefix

SUCCESS = range(200, 300)
NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Fetched:
    """A response."""

    status: int
    body: bytes = b""
    """Empty for what is no success."""


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """There was no response, or none that is used."""

    reason: str
    """For people; printable."""


class Fetch(Protocol):
    """Gets what is at a URL."""

    def __call__(self, prefix: UrlPrefix, path: str) -> Fetched | FetchFailed:
        """Get *prefix* with *path* behind it, which begins with a slash."""
        ...
