"""Reads requests, and refuses those that a proxy and this server could read in two ways.

Whoever gets a proxy to see one request where the server sees two has the second one pass as that
of somebody else: request smuggling (RFC 9112, section 11.2).
"""

from __future__ import annotations

from waitress.parser import HTTPRequestParser, ParsingError


class StrictParser(HTTPRequestParser):
    """A parser for one request of one connection."""

    proxy_netloc: str
    """The site that its target names, if it names one."""

    def parse_header(self, header_plus: bytes) -> None:
        """Read the head of a request.

        Raises:
            ParsingError: it is none, or its length or its site could be another as well.
        """
        try:
            super().parse_header(header_plus)
        except ValueError as error:
            # Of a target such as "http://[", or a length of 5,000 digits.
            raise ParsingError("malformed") from error
        self._refuse_two_lengths()
        self._refuse_two_sites()

    def _refuse_two_lengths(self) -> None:
        """Refuse chunks beside a length, or of HTTP/1.0, which has none (RFC 9112, section 6.1).

        A field that was read as chunks is no longer among the headers.
        """
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("both a length and chunks")
        if "TRANSFER_ENCODING" in self.headers:
            raise ParsingError("chunks of a version that has none")

    def _refuse_two_sites(self) -> None:
        """Refuse a target with another site than Host, which would be ignored (section 3.2.2)."""
        if self.proxy_netloc and self.proxy_netloc.lower() != self.headers.get("HOST", "").lower():
            raise ParsingError("two sites")
