"""Puts a file in place of the one before, whole."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Put *content* at *path* with *mode*, whole, also if the machine dies meanwhile.

    Whoever reads it meanwhile reads it as it was. A link is replaced, and not followed.

    Raises:
        OSError: that is not possible; what was there still is.
        ValueError: there is a NUL in the path.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
