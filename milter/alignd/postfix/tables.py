"""Lookup tables of Postfix: their lists, and what address mapping makes of an address."""

from __future__ import annotations

_SEPARATORS = frozenset(", \t\r\n")
_PROXY = "proxy:"
_WHOLE = frozenset({"cidr", "fail", "pcre", "randmap", "regexp", "socketmap", "static", "tcp"})
"""Types of tables that are asked for whole addresses alone, not for parts (canonical(5))."""


def split_words(value: str) -> tuple[str, ...]:
    """Split *value* at blanks and commas that are not in braces, as in `inline:{ {a = b} }`."""
    words, depth = [""], 0
    for character in value:
        depth += (character == "{") - (character == "}")
        if depth <= 0 and character in _SEPARATORS:
            words.append("")
        else:
            words[-1] += character
    return tuple(filter(None, words))


def split_tables(value: str) -> tuple[str, ...]:
    """The tables of *value*, each without `proxy:`, to be asked whether Postfix runs or not."""
    return tuple(word.removeprefix(_PROXY) for word in split_words(value))


def is_asked_for_parts(table: str) -> bool:
    """Whether Postfix asks *table* for parts, such as `@domain`, too, after the whole address."""
    return table.partition(":")[0] not in _WHOLE


def mapped(address: str, answer: str, origin: str) -> str:
    """The address that Postfix makes of *address* where a canonical table has *answer*.

    An answer `@domain` keeps the local part, and one without `@` gets $myorigin, *origin*.
    """
    first = (split_words(answer) or (address,))[0]
    if first.startswith("@"):
        return f"{address.rpartition('@')[0]}{first}"
    return first if "@" in first else f"{first}@{origin}"


def masqueraded(address: str, domains: tuple[str, ...], exceptions: tuple[str, ...]) -> str:
    """The address that masquerade_domains = *domains* makes of *address*, postconf(5)."""
    local_part, _, domain = address.lower().rpartition("@")
    if local_part in {each.lower() for each in exceptions}:
        return address
    for each in domains:
        parent = each.removeprefix("!").lower()
        if domain == parent:
            return address
        if domain.endswith(f".{parent}"):
            return address if each.startswith("!") else f"{address.rpartition('@')[0]}@{parent}"
    return address
