"""Collects of a message in progress what a judgement will look at, and no more."""

from __future__ import annotations

from collections.abc import Hashable

from alignd.config.settings import Configuration
from alignd.judgement.author import MAX_FROM, Author
from alignd.judgement.evidence import (
    Evidence,
    Wanted,
    address_in,
    evidence_of,
    wanted_by,
)
from alignd.judgement.reasons import Limit
from alignd.mail.ip_address import parse_ip_address
from alignd.mail.line_length import BodyLines, has_broken_line, has_long_line
from alignd.mail.message import HeaderField, Message

_SIGNATURE = "dkim-signature"
_MAX_FIELDS, _MAX_OCTETS = 64, 8_192  # of an ordinary header
_FIELD_COST = 32  # octets that a field counts besides its name and value, so that none is free


class Transaction:
    """One message in progress: what has been collected of it so far.

    It stays as the MTA wrote it: most messages are like others, and known by their `evidence`.
    """

    __slots__ = (
        "_body",
        "_body_comes",
        "_body_size",
        "_client",
        "_cut",
        "_envelope_sender",
        "_has_broken_field",
        "_has_long_field",
        "_header",
        "_header_size",
        "_helo",
        "_leading_blank",
        "_lines",
        "_login",
        "_recipients",
        "_wanted",
        "author",
    )

    def __init__(
        self,
        wanted: Wanted,
        envelope_sender: bytes,
        client: str | None,
        login: str,
        helo: str = "",
        *,
        leading_blank: bool,
        body_comes: bool,
    ) -> None:
        """Begin a message of a *client* without an address if that is None.

        *login* is its SASL login name, or empty; *helo* what it said, where that is wanted.
        *leading_blank* says whether values of fields begin behind the colon.
        """
        self._wanted = wanted
        self._leading_blank = leading_blank
        self._body_comes = body_comes
        self._envelope_sender = envelope_sender
        self._client = client
        self._login = login
        self._helo = helo
        self._recipients: list[bytes] = []
        self._header: list[tuple[str, bytes, bytes]] = []  # as a HeaderField has it
        self._header_size = 0
        self._cut: dict[str, int] = {}
        self._body: list[bytes] = []
        self._body_size = 0
        self._lines = BodyLines()
        self._has_long_field = False
        self._has_broken_field = False
        self.author: Author | None = None
        """The author, if it was read since the last field was added that it depends on."""

    def add_recipient(self, argument: bytes) -> None:
        self._recipients.append(argument)

    def add_field(self, name: str, value: bytes) -> bool:
        """Collect a header field if it is wanted; return whether it may name the author."""
        lower = name.lower()
        if self._wanted.line_length:
            # Without leading_blank the MTA has taken the one blank away.
            written = value if self._leading_blank else b" " + value
            self._has_long_field |= has_long_line(name, written)
            self._has_broken_field |= has_broken_line(name, written)
        if not self._wanted.whole_message and lower not in self._wanted.fields:
            return False
        self._header_size += len(name) + len(value) + _FIELD_COST
        if self.header_is_cut:
            if not self._counts_beyond(lower):
                return False
            # The field still counts, so that edits find the fields of its name; its value is
            # lost, and an empty From is rewritten.
            value = b""
        rest = value.removeprefix(b" ") if self._leading_blank else value
        blank = value[: len(value) - len(rest)] if self._leading_blank else b" "
        self._header.append((name, rest, blank))
        if lower not in {"from", "content-type"}:
            return False
        self.author = None  # the name of one that was read may be in the charset of Content-Type
        return lower == "from" and len(rest) <= MAX_FROM

    def _counts_beyond(self, name: str) -> bool:
        """Whether a field beyond the limit is kept for its name: not more than can be changed."""
        if name not in self._wanted.fields:
            return False  # the body is not seen either, so that no signature counts
        self._cut[name] = count = self._cut.get(name, 0) + 1
        return count <= self._wanted.max_edits + 1

    def add_body(self, chunk: bytes) -> None:
        if self._wanted.line_length:
            self._lines.add(chunk)
        if not self._wanted.whole_message:
            return
        self._body_size += len(chunk)
        if self._body_size <= self._wanted.max_body:
            self._body.append(chunk)
        else:
            self._body.clear()

    @property
    def envelope_sender(self) -> str:
        """Without angle brackets; empty when null."""
        return address_in(self._envelope_sender)

    @property
    def origin(self) -> tuple[Hashable, ...]:
        """What determines the first DNS questions, right after From was added."""
        return (self._envelope_sender, self._client, bool(self._login), self._header[-1][1])

    @property
    def evidence(self) -> Evidence:
        """The evidence that has come so far: messages with the same are judged alike."""
        return evidence_of(
            self._header,
            self._envelope_sender,
            self._client,
            self._login,
            self._recipients,
            self._wanted.judged,
            self._wanted.return_domains,
            has_long_line=self.has_long_line,
            has_broken_line=self.has_broken_line,
        )

    @property
    def has_long_line(self) -> bool:
        """Whether smtp(8) will break a line, where that matters; True if nobody looked.

        A reload may want the body in a session that was negotiated without.
        """
        if not self._wanted.line_length:
            return False
        return self._has_long_field or self._lines.are_long or not self._body_comes

    @property
    def has_broken_line(self) -> bool:
        """Whether smtp(8) has broken a line on an earlier hop, where that matters."""
        return self._has_broken_field or self._lines.were_long

    @property
    def fingerprint(self) -> int:
        """A number for the evidence, the same in all workers: a fork keeps the key of hash().

        Signatures that are verified are no evidence, but a judgement may fail for them.
        """
        if not self._wanted.whole_message:
            return hash(self.evidence)
        signatures = (value for name, value, _ in self._header if name.lower() == _SIGNATURE)
        return hash((self.evidence, *signatures))

    @property
    def is_ordinary(self) -> bool:
        """Whether its header is no larger than that of most mail."""
        return len(self._header) <= _MAX_FIELDS and self._header_size <= _MAX_OCTETS

    @property
    def header_is_cut(self) -> bool:
        """Whether there was more header than is kept."""
        return self._header_size > self._wanted.max_header

    @property
    def body_is_dropped(self) -> bool:
        """Whether the body was larger than is kept."""
        return self._body_size > self._wanted.max_body

    @property
    def limit_hit(self) -> Limit | None:
        """The limit that was hit, if any."""
        if self.header_is_cut:
            return Limit.HEADER
        return Limit.BODY if self.body_is_dropped else None

    def judged_message(self) -> Message:
        """The message as a judgement sees it: its evidence, unless it wants the whole.

        Raises:
            ValueError: the client address is none; the MTA does not know the protocol.
        """
        return self.message() if self._wanted.whole_message else self.evidence.message()

    def message(self) -> Message:
        """All of it that was kept.

        Raises:
            ValueError: the client address is none; the MTA does not know the protocol.
        """
        whole = not self.header_is_cut and not self.body_is_dropped
        kept = self._body_comes and self._wanted.whole_message and whole
        return Message(
            envelope_sender=self.envelope_sender,
            recipients=tuple(map(address_in, self._recipients)),
            header=tuple(HeaderField(*each) for each in self._header),
            client=parse_ip_address(self._client) if self._client else None,
            login=self._login,
            helo=self._helo,
            body=b"".join(self._body) if kept else None,
            has_long_line=self.has_long_line,
            has_broken_line=self.has_broken_line,
        )


def as_judged(message: Message, configuration: Configuration) -> Message:
    """What a judgement sees of *message* in the milter, for commands that judge as it does."""
    return transaction_of(message, wanted_by(configuration)).judged_message()


def transaction_of(message: Message, wanted: Wanted) -> Transaction:
    """*message* as the milter collects it."""
    address = str(message.client) if message.client else None
    transaction = Transaction(
        wanted,
        f"<{message.envelope_sender}>".encode(errors="replace"),
        address,
        message.login,
        message.helo,
        leading_blank=True,
        body_comes=wanted.line_length,
    )
    for recipient in message.recipients:
        transaction.add_recipient(f"<{recipient}>".encode(errors="replace"))
    for field in message.header:
        transaction.add_field(field.name, field.blank + field.value)
    transaction.add_body(message.body or b"")
    return transaction
