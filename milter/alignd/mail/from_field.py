"""Says what receivers read differently in a From field although it can be parsed.

All of it was measured, with OpenDMARC 1.4.2, OpenDKIM 2.11, rspamd 3.4, mailauth 4.13 and
authheaders 0.16: at least one of them finds another domain, or none.
"""

from __future__ import annotations

import re
from itertools import pairwise

from alignd.mail.tokens import WORDS, Token, split_tokens

_ATOM = r"[^\s()<>\[\]:;@\\,.\"]+"
_QUOTED_DOT_ATOM = re.compile(rf'"{_ATOM}(\.{_ATOM})*"')
_PLAIN_DOT_ATOM = re.compile(rf"{_ATOM}(\.{_ATOM})*")
# Behind a ")" one receiver skips what follows, and one takes a second ")" for text.
_ODD_IN_COMMENT = re.compile(r'[@<>\\"]|\)(?![ \t])')
_NESTED_WORDS = re.compile(r"[\w .'()-]+")


def disagreement(text: str) -> str:
    """Say what receivers read differently in *text*, which is one mailbox; empty if nothing.

    Raises:
        ValueError: *text* is not a mailbox.
    """
    tokens = split_tokens(text)
    at_sign = [token.kind for token in tokens].index("@")
    start, end = _edges(tokens, at_sign)
    local_part = "".join(token.text for token in tokens[start:at_sign])
    domain = "".join(token.text for token in tokens[at_sign + 1 : end])
    return (
        _in_comments(tokens)
        or _in_address(local_part, domain)
        or _around_address(tokens, start, end, local_part)
        or _in_phrase(tokens[:start])
    )


def _edges(tokens: list[Token], at_sign: int) -> tuple[int, int]:
    """The places of the first token of the address and of the first one behind it."""
    start, end = at_sign, at_sign + 1
    while start and tokens[start - 1].kind in WORDS:
        start -= 1
    while tokens[end].kind in WORDS:
        end += 1
    return start, end


def _in_address(local_part: str, domain: str) -> str:
    if not domain.isascii():
        return "a domain that is not in ASCII"
    if "_" in domain:
        return "a domain with an underscore"
    if local_part.startswith('"') and not _QUOTED_DOT_ATOM.fullmatch(local_part):
        return "a local part that needs its quotes"
    return ""


def _around_address(tokens: list[Token], start: int, end: int, local_part: str) -> str:
    behind = tokens[end]
    is_plain = local_part.isascii() and _PLAIN_DOT_ATOM.fullmatch(local_part) is not None
    begins_well = start == 0 or tokens[start - 1].kind == "<"
    ends_well = behind.spaced or behind.kind in {">", "end"}
    has_nested_comment = any(each.kind == "comment" and "(" in each.text for each in tokens)
    if behind.spaced and not (is_plain and begins_well):
        return "white space behind an unusual address"
    if has_nested_comment and not (is_plain and ends_well):
        return "a comment inside a comment beside an unusual address"
    return ""


def _in_comments(tokens: list[Token]) -> str:
    inside = False
    for token, behind in pairwise(tokens):
        inside = (inside or token.kind == "<") and token.kind != ">"
        if token.kind != "comment":
            continue
        if inside:
            return "a comment inside the angle brackets"
        if _ODD_IN_COMMENT.search(token.text):
            return 'a comment with one of @ < > " ) and backslash in it'
        if "(" in token.text and not _NESTED_WORDS.fullmatch(token.text):
            return "a comment inside a comment with more than words"
        if behind.kind in {"comment", "quoted", "\\"}:
            return "a comment in front of another, of quotes or of a backslash"
    return ""


def _in_phrase(tokens: list[Token]) -> str:
    for token, behind in pairwise(tokens):
        if token.kind == "\\" and not (behind.spaced or behind.kind == "atom"):
            return "a backslash in front of something special"
    return ""
