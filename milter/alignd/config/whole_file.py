"""Reads a file whole or not at all, and puts one in place of the one before, whole."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path


def read_file(path: str | Path, limit: int, *, follows_link: bool = True) -> bytes:
    """Read the file at *path*, which has at most *limit* octets.

    Raises:
        OSError: that is not possible. EFBIG: it has more; EINVAL: it is not a file; ELOOP: it is
            a link, where none is followed.
        ValueError: there is a NUL in the path.
    """
    # A FIFO would wait for a writer.
    flags = os.O_NONBLOCK if follows_link else os.O_NONBLOCK | os.O_NOFOLLOW
    with open(path, "rb", opener=lambda name, given: os.open(name, given | flags)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a file", str(path))
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"more than {limit} octets", str(path))
    return content


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
