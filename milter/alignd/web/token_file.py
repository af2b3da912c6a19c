"""Reads the file of tokens, and refuses one that others than the service can read."""

from __future__ import annotations

from alignd.config.file import ConfigProblem
from alignd.return_path.key_file import KeyFileError, read_key_file
from alignd.web.tokens import Tokens, TokensError


def load_tokens(path: str) -> Tokens:
    """Read the tokens in the file at *path*.

    Raises:
        KeyFileError: it cannot be read, everybody can read it, or a line is wrong.
    """
    try:
        return Tokens.parse(read_key_file(path))
    except TokensError as error:
        problems = (ConfigProblem(path, each.line, each.text) for each in error.problems)
        raise KeyFileError(tuple(problems)) from error
