"""Domain names, normalised so that equal names compare equal."""

from __future__ import annotations

import re
from dataclasses import dataclass

import idna

_MAX_NAME = 253  # octets in text form without the final dot, RFC 1035, section 2.3.4
_NEAR = 16
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


class DomainError(ValueError):
    """The text is not a domain name; the message names the reason."""


@dataclass(frozen=True, slots=True, order=True)
class Domain:
    """A domain name: lower-case A-labels, no trailing dot, at least one label.

    Build it with `parse`, once, where text enters the program.
    """

    name: str

    @classmethod
    def parse(cls, text: str) -> Domain:
        """Normalise *text*, which may have U-labels, upper case and one trailing dot.

        Underscores are accepted: names such as `_dmarc` begin with one (RFC 8552).

        Raises:
            DomainError: *text* is not a name that DNS could answer for.
        """
        labels = [_a_label(label, text) for label in text.removesuffix(".").split(".")]
        name = ".".join(labels)
        if len(name) > _MAX_NAME:
            raise DomainError(f"domain is longer than {_MAX_NAME} octets: {name[:60]!r}...")
        return cls(name)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, leftmost first."""
        return tuple(self.name.split("."))

    def last(self, count: int) -> Domain:
        """Keep the rightmost *count* labels, at least one."""
        return Domain(".".join(self.labels[-count:]))

    def is_within(self, other: Domain) -> bool:
        """Whether this is *other* or a name below it."""
        return self == other or self.name.endswith("." + other.name)

    def __str__(self) -> str:
        return self.name


def is_joiner_in_place(text: str, place: int) -> bool:
    """Whether the joiner at *place* is part of the spelling, RFC 5892, appendix A.1 and A.2.

    Elsewhere it is invisible and joins nothing. The rule is one for labels, and as good for names.
    """
    # What matters is near; and `idna` wants no long text.
    start = max(0, place - _NEAR)
    try:
        return idna.valid_contextj(text[start : place + _NEAR], place - start)
    except ValueError:
        return False  # beside a character that is unknown


def _a_label(label: str, whole: str) -> str:
    # Label by label and only where needed: `idna` refuses the underscore, and the standard
    # library's "idna" codec is IDNA 2003, for which strasse and straße are one domain.
    if not label.isascii():
        if _is_ambiguous(label):
            raise DomainError(f"not a domain: {whole[:80]!r}: a capital sigma is two letters")
        try:
            # Lower case and no other mapping: UTS 46 maps more characters, and so makes one
            # domain of two that receivers tell apart.
            label = idna.encode(label.lower()).decode("ascii")
        except idna.IDNAError as error:
            raise DomainError(f"not a domain: {whole[:80]!r}: {error}") from error
    label = label.lower()
    if not _LABEL.fullmatch(label):
        problem = f"bad label {label[:80]!r}" if label else "empty label"
        raise DomainError(f"not a domain: {whole[:80]!r}: {problem}")
    return label


def _is_ambiguous(label: str) -> bool:
    """Whether a capital sigma ends a word: Unicode lowers it to another letter than UTS 46."""
    return label.lower() != "".join(letter.lower() for letter in label)
