"""A program that stands for sendmail: it writes down what it was given."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROGRAM = """\
#!{python}
import json, os, subprocess, sys, time
given = {{"arguments": sys.argv[1:], "message": sys.stdin.buffer.read().decode("latin-1")}}
with open({given!r}, "w") as file:
    json.dump(given, file)
{code}
"""


@dataclass(frozen=True, slots=True)
class Sendmail:
    """Where it is, and what it was given."""

    path: Path

    @classmethod
    def make(cls, directory: Path, code: str = "") -> Sendmail:
        """Put one into *directory* that runs *code* in the end."""
        sendmail = cls(directory / "sendmail")
        text = _PROGRAM.format(python=sys.executable, given=str(sendmail._given), code=code)
        sendmail.path.write_text(text)
        sendmail.path.chmod(0o755)
        return sendmail

    @property
    def _given(self) -> Path:
        return self.path.with_suffix(".given")

    @property
    def _read(self) -> Any:
        return json.loads(self._given.read_text())

    @property
    def was_run(self) -> bool:
        return self._given.exists()

    @property
    def arguments(self) -> list[str]:
        arguments: list[str] = self._read["arguments"]
        return arguments

    @property
    def message(self) -> bytes:
        text: str = self._read["message"]
        return text.encode("latin-1")
