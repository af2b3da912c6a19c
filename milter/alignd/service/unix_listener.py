"""Listens at a path of the file system, in place of a process that has ended."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

from alignd.mta import listening_socket


def listen_at(path: str, mode: int) -> socket.socket:
    """A socket that listens at *path*, to which *mode* says who may connect.

    Raises:
        OSError: another process is served there, or it cannot be opened.
    """
    if listening_socket.is_served(path):
        raise OSError(errno.EADDRINUSE, "another process serves it")
    listening = socket.socket(socket.AF_UNIX)
    try:
        if stat.S_ISSOCK(_mode(path)):
            os.unlink(path)
        listening.bind(path)
        # Not by the umask, which is that of all threads. Nobody connects before it listens.
        os.chmod(path, mode)
        listening.listen(socket.SOMAXCONN)
    except BaseException:
        listening.close()
        raise
    return listening


def _mode(path: str) -> int:
    try:
        return Path(path).lstat().st_mode
    except FileNotFoundError:
        return 0
