"""Reads a file whole or not at all, and puts one in place of the one before, whole."""

from __future__ import annotations

import errno
import fcntl
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


def lock_beside(path: Path) -> int:
    """Keep the file at *path* from others who lock it so, until the descriptor is closed.

    The lock is on a file of its own: what is replaced as a whole is another file each time.

    Raises:
        BlockingIOError: another process has it.
        OSError: that is not possible.
    """
    flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(f"{path}.lock", flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
