"""Makes a link that opens a mail (RFC 6068)."""

from __future__ import annotations

from collections.abc import Iterable

from alignd.mail.percent_encoding import percent_encoded

MAX_MAILTO = 2000
"""Characters; Windows and some browsers cut longer links, and half a record is worse than none."""


def mailto(subject: str, bodies: Iterable[str]) -> str:
    """Make the link with the first of *bodies* that has room; none where none has."""
    head = f"mailto:?subject={percent_encoded(subject)}"
    links = (f"{head}&body={percent_encoded(_with_crlf(body))}" for body in bodies)
    return next((link for link in links if len(link) <= MAX_MAILTO), head)


def _with_crlf(text: str) -> str:
    # RFC 6068, section 5: line breaks are %0D%0A.
    return text.replace("\n", "\r\n")
