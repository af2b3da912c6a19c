"""A message in progress: collects what the review will look at, and no more."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from alignd.judgement.author import MAX_FROM
from alignd.judgement.reasons import Limit
from alignd.judgement.review import Reviewer
from alignd.mail.message import HeaderField, Message, unmapped

_MAX_FIELDS, _MAX_OCTETS = 64, 8_192  # of an ordinary header


@dataclass(frozen=True, slots=True)
class Interest:
    """What of a message is worth collecting."""

    whole_message: bool
    """The body, and every header field."""
    fields: frozenset[str]
    """The header fields otherwise, in lower case."""
    judged: frozenset[str]
    """Those of them whose values a judgement depends on."""
    max_header: int
    """Octets of header values that are kept."""
    max_body: int
    """Octets of a body that is kept at all."""


def interest_of(reviewer: Reviewer) -> Interest:
    """What *reviewer* will look at, within the limits of its configuration."""
    milter = reviewer.configuration.milter
    return Interest(
        reviewer.needs_whole_message,
        reviewer.fields_of_interest,
        reviewer.judged_fields,
        milter.max_header_bytes,
        milter.max_body_bytes,
    )


class Collected:
    """What has been seen of one message so far.

    It stays as the MTA wrote it: most messages are like others, and known by their `key`.
    """

    __slots__ = (
        "_body",
        "_body_comes",
        "_body_size",
        "_client",
        "_envelope_sender",
        "_header",
        "_header_size",
        "_interest",
        "_leading_blank",
        "_login",
        "_recipients",
    )

    def __init__(
        self,
        interest: Interest,
        envelope_sender: bytes,
        client: str | None,
        login: str,
        *,
        leading_blank: bool,
        body_comes: bool,
    ) -> None:
        """*leading_blank* says whether values of fields begin behind the colon."""
        self._interest = interest
        self._leading_blank = leading_blank
        self._body_comes = body_comes
        self._envelope_sender = envelope_sender
        self._client = client
        self._login = login
        self._recipients: list[bytes] = []
        self._header: list[tuple[str, bytes, bytes]] = []  # as a HeaderField has it
        self._header_size = 0
        self._body: list[bytes] = []
        self._body_size = 0

    def add_recipient(self, argument: bytes) -> None:
        """Take an envelope recipient, as the MTA writes it."""
        self._recipients.append(argument)

    def add_field(self, name: str, value: bytes) -> bool:
        """Take a header field, if it is of interest; whether it may name the author."""
        lower = name.lower()
        if not self._interest.whole_message and lower not in self._interest.fields:
            return False
        self._header_size += len(value)
        if self.header_is_cut:
            # It still counts, so that edits find the fields of its name; what it says is lost,
            # and a From that says nothing is rewritten.
            value = b""
        rest = value.removeprefix(b" ") if self._leading_blank else value
        blank = value[: len(value) - len(rest)] if self._leading_blank else b" "
        self._header.append((name, rest, blank))
        return lower == "from" and len(rest) <= MAX_FROM

    def add_body(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        self._body_size += len(chunk)
        if self._body_size <= self._interest.max_body:
            self._body.append(chunk)
        else:
            self._body.clear()

    @property
    def origin(self) -> tuple[Hashable, ...]:
        """Where it comes from, as far as that is known when From is the last field so far."""
        return (self._envelope_sender, self._client, bool(self._login), self._header[-1][1])

    @property
    def key(self) -> Hashable:
        """All that a judgement of it and its edits depend on, but DNS, the body and settings."""
        fields: list[tuple[str, bytes | bool]] = []
        judged = []
        for name, value, _ in self._header:
            lower = name.lower()
            if lower in self._interest.judged:
                fields.append((lower, value))
                judged.append(value)
            else:
                # That it is there, and whether it names anybody, which matters for Reply-To.
                fields.append((lower, b"@" in value))
        return (
            tuple(fields),
            self._envelope_sender,
            self._client,
            bool(self._login),
            self._recipient_domains_in(b"\n".join(judged)),
        )

    @property
    def is_ordinary(self) -> bool:
        """Whether its header is no larger than that of most mail."""
        return len(self._header) <= _MAX_FIELDS and self._header_size <= _MAX_OCTETS

    @property
    def header_is_cut(self) -> bool:
        """Whether there was more header than is kept."""
        return self._header_size > self._interest.max_header

    @property
    def body_is_dropped(self) -> bool:
        """Whether the body was larger than is kept."""
        return self._body_size > self._interest.max_body

    @property
    def limit_hit(self) -> Limit | None:
        """The limit that was hit, if any."""
        if self.header_is_cut:
            return Limit.HEADER
        return Limit.BODY if self.body_is_dropped else None

    def message(self) -> Message:
        """All of it as a review reads it.

        Raises:
            ValueError: the client address is none; the MTA does not know the protocol.
        """
        whole = not self.header_is_cut and not self.body_is_dropped
        kept = self._body_comes and self._interest.whole_message and whole
        return Message(
            envelope_sender=_address(self._envelope_sender),
            recipients=tuple(map(_address, self._recipients)),
            header=tuple(HeaderField(*each) for each in self._header),
            client=unmapped(self._client) if self._client else None,
            login=self._login,
            body=b"".join(self._body) if kept else None,
        )

    def _recipient_domains_in(self, text: bytes) -> tuple[bytes, ...]:
        """The domains of recipients that *text* names: one may be the author domain.

        Any of them may be, where other letters than those of ASCII are in the way.
        """
        text, anything = text.lower(), not text.isascii()
        found = set()
        for argument in self._recipients:
            domain = argument.rpartition(b"@")[2].lower()
            if anything or domain.rstrip(b">.") in text or not domain.isascii():
                found.add(domain)
        return tuple(sorted(found))


def _address(argument: bytes) -> str:
    text = argument.decode(errors="replace")
    return text[1:-1] if text.startswith("<") and text.endswith(">") else text
