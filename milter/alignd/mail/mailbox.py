"""Parses mailboxes of header fields in strict grammar, and formats one for a field.

The parser is alignd's own because receivers disagree on everything that the strict grammar of
RFC 5322, section 3.4, does not allow, and the libraries at hand guess there: the standard
library takes the first address of `evil@x <agent@y>`, drops the second of `A <a@x> <b@y>`, and
needs seconds for 16 kB of quotes. A value that this grammar refuses is unpredictable, and no
address is guessed from it here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from alignd.mail import encoded_words
from alignd.mail.domain import Domain, DomainError
from alignd.mail.tokens import WORDS, Token, TokenError, split_tokens

_LINE = 76  # characters, RFC 2047, section 2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_ENCODED_WORD = re.compile(r"=\?[^?]*\?[bq]\?", re.IGNORECASE)
_MAX_LOCAL_PART, _MAX_ADDRESS = 64, 254  # octets, RFC 5321, section 4.5.3.1
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"  # RFC 5322, section 3.2.3
# Postfix refuses an address that begins with "-" (allow_min_user); it takes all other atext, at
# any place. A quoted local part is changed on the way, or refused (measured, 3.7).
_TAKEN_EVERYWHERE = re.compile(rf"(?!-){_ATEXT}(?:\.{_ATEXT})*")


class MailboxError(ValueError):
    """The text is not a list of mailboxes in strict grammar; the message names the reason."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One mailbox of a header field or envelope."""

    local_part: str
    """As written, quotes included."""
    domain: Domain
    display_name: str = ""
    """As it stands in the field, unquoted but with encoded words not yet decoded."""

    @property
    def address(self) -> str:
        """The addr-spec, its domain in A-labels."""
        return f"{self.local_part}@{self.domain}"

    @property
    def suits_envelope(self) -> bool:
        """Whether every server takes it for an envelope sender."""
        return (
            _TAKEN_EVERYWHERE.fullmatch(self.local_part) is not None
            and len(self.local_part) <= _MAX_LOCAL_PART
            and len(self.address) <= _MAX_ADDRESS
        )

    @classmethod
    def from_address(cls, text: str) -> Mailbox:
        """Parse an addr-spec without angle brackets, as `envelope_address` returns it.

        Raises:
            MailboxError: *text* is not exactly one address.
        """
        mailboxes = parse_mailboxes(text)
        if len(mailboxes) != 1 or mailboxes[0].display_name or "<" in text:
            raise MailboxError(f"not an address: {text[:80]!r}")
        return mailboxes[0]


def parse_mailboxes(text: str, *, careless: bool = False) -> tuple[Mailbox, ...]:
    """Parse the unfolded value of a field such as From into its mailboxes, at least one.

    With *careless*, what senders often get wrong is taken too, where all receivers were measured
    to read the same: a local part that is too long or has its dots at odd places, and a name that
    begins with a dot or has a backslash in it.

    Raises:
        MailboxError: the value does not follow the grammar. Groups, routes, domain literals and
            white space around "." or "@" are refused too: receivers differ there.
    """
    if _CONTROL.search(text):
        raise MailboxError("control character")
    try:
        reader = _Reader(split_tokens(text), careless=careless)
    except TokenError as error:
        raise MailboxError(str(error)) from error
    mailboxes = [reader.mailbox()]
    while reader.accept(","):
        mailboxes.append(reader.mailbox())
    if reader.peek().kind != "end":
        raise MailboxError(f"unexpected {reader.peek().text[:40]!r}")
    return tuple(mailboxes)


def envelope_address(path: str) -> str:
    """Take the angle brackets off an envelope address (RFC 5321, section 4.1.2).

    They may be missing, as in X-Original-To, and Return-Path may have comments around them
    (RFC 5322, section 3.6.7). A null path gives an empty string.
    """
    before, _, rest = path.partition("<")
    address, bracket, _ = rest.rpartition(">")
    # Behind a quote, "<" belongs to a quoted local part.
    return (address if bracket and '"' not in before else path).strip()


def format_mailbox(display_name: str, address: str, field_name: str) -> str:
    """Format one mailbox as the value of a field *field_name*, folded with a bare LF.

    *display_name* has no control characters. It is quoted, or encoded by RFC 2047 if it is not
    ASCII. The address is ASCII unless its local part is internationalised (RFC 6532).
    """
    if not display_name:
        return address
    if display_name.isascii():
        quoted = display_name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{address}>'
    encoded = encoded_words.encode(display_name, field_name)
    fits = len(encoded.rpartition("\n")[2]) + len(f" <{address}>") <= _LINE
    separator = " " if fits else "\n "
    return f"{encoded}{separator}<{address}>"


class _Reader:
    """Parses mailboxes from tokens, RFC 5322, sections 3.4 and 3.4.1.

    Comments may stand between any two tokens. They are collected on the way, since one of them
    may be the name of a mailbox that has no other.
    """

    def __init__(self, tokens: list[Token], *, careless: bool) -> None:
        self._tokens = tokens
        self._careless = careless
        self._next = 0
        self._comments: list[str] = []

    def peek(self) -> Token:
        while self._tokens[self._next].kind == "comment":
            self._comments.append(_unescaped(self._tokens[self._next].text))
            self._next += 1
        return self._tokens[self._next]

    def take(self) -> Token:
        token = self.peek()
        self._next += token.kind != "end"
        return token

    def accept(self, kind: str) -> bool:
        if self.peek().kind != kind:
            return False
        self._next += 1
        return True

    def mailbox(self) -> Mailbox:
        self._comments.clear()
        words = self._words()
        if self.accept("<"):
            name = self._phrase(words)
            local_part, domain = self._addr_spec(self._words(), inside=True)
            if not self.accept(">"):
                raise MailboxError(f"expected '>' before {self.peek().text[:40]!r}")
        else:
            name = ""
            local_part, domain = self._addr_spec(words, inside=False)
        self.peek()  # collects a comment behind the address, where old programs put the name
        return Mailbox(local_part, domain, name or " ".join(self._comments).strip())

    def _words(self) -> list[Token]:
        kinds = WORDS if self._careless else WORDS - {"\\"}
        words = []
        while self.peek().kind in kinds:
            words.append(self.take())
        return words

    def _addr_spec(self, words: list[Token], *, inside: bool) -> tuple[str, Domain]:
        local_part = "".join(word.text for word in words)
        kinds = [word.kind for word in words]
        if any(word.spaced for word in words[1:]) or self.peek().spaced or not words:
            raise MailboxError("no address" if not inside else "white space inside the address")
        if not self._is_local_part(kinds, local_part):
            raise MailboxError(f"bad local part {local_part[:40]!r}")
        if not self.accept("@"):
            raise MailboxError(f"expected '@' before {self.peek().text[:40]!r}")
        labels = self._words()
        if any(label.spaced for label in labels):
            raise MailboxError("white space inside the address")
        if not _is_dot_atom([label.kind for label in labels]):
            raise MailboxError("the domain is not a dot-atom")
        try:
            domain = Domain.parse("".join(label.text for label in labels))
        except DomainError as error:
            raise MailboxError(str(error)) from error
        if len(f"{local_part}@{domain}".encode()) > _MAX_ADDRESS:
            raise MailboxError(f"an address of more than {_MAX_ADDRESS} octets")
        return local_part, domain

    def _is_local_part(self, kinds: list[str], text: str) -> bool:
        in_grammar = kinds == ["quoted"] or _is_dot_atom(kinds)
        if not self._careless:
            return in_grammar and _is_plain(text) and len(text.encode()) <= _MAX_LOCAL_PART
        return (in_grammar or {"atom"} <= set(kinds) <= {"atom", "."}) and _is_plain(text)

    def _phrase(self, words: list[Token]) -> str:
        if words and words[0].kind == "." and not self._careless:
            raise MailboxError("a name that begins with a dot")
        parts: list[str] = []
        for word in words:
            text = word.text
            if word.kind == "quoted":
                text = _unescaped(text[1:-1])
            parts.append(" " + text if word.spaced and parts else text)
        return "".join(parts)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _is_dot_atom(kinds: list[str]) -> bool:
    return bool(kinds) and kinds == ["atom", *[".", "atom"] * (len(kinds) // 2)]


def _is_plain(local_part: str) -> bool:
    # Some parsers decode an encoded word here, where RFC 2047, section 5, forbids one, and some
    # end the address at an unusual blank.
    odd = any(
        not (each.isprintable() and (each == " " or not each.isspace())) for each in local_part
    )
    return not odd and "\ufffd" not in local_part and not _ENCODED_WORD.search(local_part)
