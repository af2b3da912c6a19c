"""The tokens of those who may look without a proxy, and the text of the file that holds them."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

MIN_CHARACTERS = 32
"""Of a token: what is random and as long is not found by trying, though a digest is fast."""
_LINE = re.compile(r"(?P<name>\S+)\s+(?P<token>\S+)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)
_DIGEST_PREFIX = "sha256:"
_DIGEST = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_TOKEN = re.compile(r"[!-~]+", re.ASCII)
_MAKE_ONE = "`openssl rand -hex 32` makes one"


@dataclass(frozen=True, slots=True)
class TokenProblem:
    """What is wrong with a line, counted from 1; its text has nothing of a token."""

    line: int
    text: str


class TokensError(Exception):
    """The tokens cannot be used; *problems* are in the order of the file."""

    def __init__(self, problems: tuple[TokenProblem, ...]) -> None:
        super().__init__("; ".join(f"line {each.line}: {each.text}" for each in problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Token:
    """A token by its digest, and the name of who has it."""

    name: str
    digest: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a file."""

    all: tuple[Token, ...]

    @classmethod
    def parse(cls, text: str) -> Tokens:
        """Parse lines of a name and a token, or "sha256:" and its digest.

        Raises:
            TokensError: a line is wrong, or there is none.
        """
        problems: list[TokenProblem] = []
        found: dict[bytes, Token] = {}
        for number, line in _lines(text):
            token = _parse_line(line)
            if isinstance(token, str):
                problems.append(TokenProblem(number, token))
            elif token.digest in found:
                problems.append(TokenProblem(number, "a token that another line has"))
            else:
                found[token.digest] = token
        if not found and not problems:
            problems.append(TokenProblem(1, f"there is no token: {_MAKE_ONE}"))
        if problems:
            raise TokensError(tuple(problems))
        return cls(tuple(found.values()))

    def name_of(self, token: str) -> str | None:
        """The name of who has *token*; None for nobody.

        All are compared, and each in constant time: who guesses must not learn how near he was.
        """
        digest = _digest(token)
        name = None
        for each in self.all:
            if hmac.compare_digest(each.digest, digest):
                name = each.name
        return name


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.strip()


def _parse_line(line: str) -> Token | str:
    """Parse a line; text says what is wrong with it, and nothing of the token."""
    match = _LINE.fullmatch(line)
    if not match:
        return "not a name and a token, with a blank between them"
    if not _NAME.fullmatch(match["name"]):
        # Not quoted: it may be the token, in the wrong place.
        return "does not begin with a name of letters, digits and '._@-', of at most 64"
    token = match["token"]
    if token.startswith(_DIGEST_PREFIX):
        digest = token.removeprefix(_DIGEST_PREFIX)
        if not _DIGEST.fullmatch(digest):
            return f'what follows "{_DIGEST_PREFIX}" is not 64 hexadecimal digits'
        return Token(match["name"], bytes.fromhex(digest))
    return _problem_of(token) or Token(match["name"], _digest(token))


def _problem_of(token: str) -> str:
    if not _TOKEN.fullmatch(token):
        return f"the token is not ASCII; {_MAKE_ONE}"
    if len(token) < MIN_CHARACTERS:
        needed = f"at least {MIN_CHARACTERS} are needed; {_MAKE_ONE}"
        return f"the token is too short: {len(token)} characters, {needed}"
    return ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
