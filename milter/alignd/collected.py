"""A message in progress: collects what the review will look at, and no more."""

from __future__ import annotations

from dataclasses import dataclass

from alignd.message import HeaderField, Message, unmapped

MAX_BODY = 32 * 1024 * 1024
"""Octets of a body that are kept; the signatures on a larger message count for nothing."""


@dataclass(frozen=True, slots=True)
class Interest:
    """What of a message is worth collecting."""

    whole_message: bool
    """The body, and every header field."""
    fields: frozenset[str]
    """The header fields otherwise, in lower case."""


class Collected:
    """What has been seen of one message so far."""

    def __init__(
        self, interest: Interest, envelope_sender: str, client: str | None, login: str
    ) -> None:
        self._interest = interest
        self._envelope_sender = envelope_sender
        self._client = client
        self._login = login
        self.recipients: list[str] = []
        self._header: list[HeaderField] = []
        self._body: list[bytes] = []
        self._body_size = 0

    def add_field(self, name: str, value: bytes, *, leading_blank: bool) -> None:
        """Take a header field; *leading_blank* says whether *value* begins behind the colon."""
        if not self._interest.whole_message and name.lower() not in self._interest.fields:
            return
        rest = value.removeprefix(b" ") if leading_blank else value
        blank = value[: len(value) - len(rest)] if leading_blank else b" "
        self._header.append(HeaderField(name, rest, blank))

    def add_body(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        self._body_size += len(chunk)
        if self._body_size <= MAX_BODY:
            self._body.append(chunk)
        else:
            self._body.clear()

    def message(self, queue_id: str, *, with_body: bool) -> Message:
        """The whole, at its end; *with_body* says whether the MTA sends bodies.

        Raises:
            ValueError: the client address is none; the MTA does not know the protocol.
        """
        kept = with_body and self._interest.whole_message and self._body_size <= MAX_BODY
        return Message(
            envelope_sender=self._envelope_sender,
            recipients=tuple(self.recipients),
            header=tuple(self._header),
            client=unmapped(self._client) if self._client else None,
            login=self._login,
            queue_id=queue_id,
            body=b"".join(self._body) if kept else None,
        )
