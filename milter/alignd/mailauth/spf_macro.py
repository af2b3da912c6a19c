"""Expands the macros of SPF records, RFC 7208, section 7, in time linear in what comes of it."""

from __future__ import annotations

import re
from collections.abc import Callable

MAX_NAME = 253
"""Octets of a name in text form without the final dot, RFC 1035, section 2.3.4."""

_PARTS = re.compile(
    r"%(?:(?P<literal>[%_-])|\{(?P<letter>[a-z])(?P<count>\d*)(?P<reverse>r?)"
    r"(?P<delimiters>[.+,/_=-]*)\})",
    re.IGNORECASE,
)
_RESERVED = re.compile(r"[^A-Za-z0-9._~-]")  # RFC 3986, section 2.3
_LITERALS = {"%": "%", "_": " ", "-": "%20"}
# What receivers expand alike: rspamd 3.4 knows no %{p} and takes one delimiter of several; pyspf
# keeps the delimiters of all but %{l} and %{s}. No receiver takes %{s}, %% and such for a host.
_ALIKE = re.compile(r"(?:[^%]|%\{[lodihv]\d*r?\.?\})*", re.IGNORECASE)


def count_macros(domain_spec: str) -> int:
    """How many macros *domain_spec* has at most."""
    return domain_spec.count("%")


def letters_of(domain_spec: str) -> frozenset[str]:
    """The letters of the macros in *domain_spec*, in lower case."""
    if "%" not in domain_spec:
        return frozenset()
    return frozenset(
        macro["letter"].lower() for macro in _PARTS.finditer(domain_spec) if macro["letter"]
    )


def is_read_alike(domain_spec: str) -> bool:
    """Whether receivers agree on what the macros of *domain_spec* mean."""
    return _ALIKE.fullmatch(domain_spec) is not None


def expand(domain_spec: str, value_of: Callable[[str], str]) -> str:
    """Expand *domain_spec*, whose macros are valid; *value_of* knows the value of a letter."""
    text = _PARTS.sub(lambda macro: _expanded(macro, value_of), domain_spec)
    return text.removesuffix(".")


def truncate(name: str) -> str:
    """Drop labels on the left until the name fits, section 7.3."""
    if len(name) <= MAX_NAME:
        return name
    dot = name.find(".", len(name) - MAX_NAME - 1)
    return name[dot + 1 :]


def _expanded(macro: re.Match[str], value_of: Callable[[str], str]) -> str:
    if literal := macro["literal"]:
        return _LITERALS[literal]
    letter = macro["letter"]
    value = value_of(letter.lower())
    if macro["count"] or macro["reverse"] or macro["delimiters"]:
        parts = re.split(f"[{re.escape(macro['delimiters'] or '.')}]", value)
        if macro["reverse"]:
            parts.reverse()
        value = ".".join(parts[-int(macro["count"]) :] if macro["count"] else parts)
    # Section 7.3: an upper-case letter asks for URL escapes.
    return _RESERVED.sub(_escaped, value) if letter.isupper() else value


def _escaped(char: re.Match[str]) -> str:
    return "".join(f"%{octet:02X}" for octet in char[0].encode())
