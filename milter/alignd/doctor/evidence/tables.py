"""Asks Postfix's lookup tables with postmap(1), which changes none of them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from alignd.doctor.evidence.postconf import PostfixError, program
from alignd.doctor.findings import Unknown

_TIMEOUT = 5.0  # seconds; a table behind a socket that is down is tried for ten


def look_up(
    tables: tuple[str, ...], keys: tuple[str, ...], config: Path | None, queue: str
) -> Mapping[str, str] | Unknown:
    """Ask *tables*, one after the other, for each of *keys*; a key without an answer is missing.

    Relative paths begin at *queue*, the queue directory, as for Postfix itself.
    """
    where = ["-c", str(config.resolve())] if config else []
    try:
        done = subprocess.run(  # noqa: S603
            [program("postmap"), *where, "-q", "-", *tables],
            input="".join(f"{key}\n" for key in keys).encode(),
            capture_output=True,
            cwd=queue,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Unknown(f"it did not answer within {_TIMEOUT:.0f} s")
    except (OSError, PostfixError) as error:
        return Unknown(f"postmap: {error}")
    # Its exit status is the same for an error and for no answer.
    if failure := re.search(r"^postmap: fatal: (.*)", done.stderr.decode(errors="replace"), re.M):
        return Unknown(failure[1])
    pairs = (line.partition("\t") for line in done.stdout.decode(errors="replace").splitlines())
    return {key: answer for key, _, answer in pairs}
