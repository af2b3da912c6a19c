"""Splits an address list into the tokens of RFC 5322, section 3.2, comments included."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<space>[ \t]+)
    |   (?P<quoted>"(?:[^"\\]|\\.)*")
    |   (?P<atom>[^\x00-\x20\x7f()<>\[\]:;@\\,."]+)
    |   (?P<special>[()<>:;@,.\\])
    """,
    re.VERBOSE,
)
WORDS = frozenset(("atom", "quoted", ".", "\\"))
"""The kinds of tokens that phrases and addresses are made of."""

_COMMENT_PART = re.compile(r"[^()\\]+|\\.")


class TokenError(ValueError):
    """The text has what no token begins with; the message names it."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token, or the end of the text."""

    kind: str
    """atom, quoted, comment, end, or the special character itself."""
    text: str
    """As written; of a comment, what its outer parentheses hold."""
    spaced: bool
    """Whether white space or a comment stands in front."""


def split_tokens(text: str) -> list[Token]:
    """Split *text*, which has no control characters, into its tokens; the last is the end.

    Raises:
        TokenError: no token begins where the last one ended.
    """
    tokens: list[Token] = []
    position, spaced = 0, False
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise TokenError(f"unexpected {text[position : position + 20]!r}")
        kind = match.lastgroup or ""
        if kind == "space":
            spaced, position = True, match.end()
            continue
        if match.group() == "(":
            end = _end_of_comment(text, position)
            tokens.append(Token("comment", text[position + 1 : end - 1], spaced))
            spaced, position = True, end
            continue
        tokens.append(Token(match.group() if kind == "special" else kind, match.group(), spaced))
        spaced, position = False, match.end()
    return [*tokens, Token("end", "", spaced)]


def _end_of_comment(text: str, start: int) -> int:
    # A loop, not recursion: the sender decides how deep comments nest.
    depth, position = 0, start
    while position < len(text):
        if text[position] == "(":
            depth += 1
        elif text[position] == ")":
            depth -= 1
        if depth == 0:
            return position + 1
        match = _COMMENT_PART.match(text, position)
        position = match.end() if match else position + 1
        if match is None and text[position - 1] == "\\":
            break
    raise TokenError("unclosed comment")
