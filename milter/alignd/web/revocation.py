"""Keeps the ids of links that were revoked, until they would have ended, in a file."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from alignd.config.settings import WebOptions
from alignd.config.whole_file import read_file, replace_file
from alignd.web.sharing import expiry_of, is_id

FILE_NAME = "revoked"
MAX_REVOKED = 10_000
"""Links: each request for one reads them all."""
_MAX_OCTETS = 1_000_000
_READABLE = 0o644
_HEADING = "# Links that `alignd share revoke` has ended before their time.\n"


class RevocationError(Exception):
    """The file cannot be used: its text says why. No link is good then."""


def path_of(options: WebOptions, environment: Mapping[str, str]) -> Path | None:
    """Where the file is; None where neither the configuration nor systemd names a place."""
    if options.revoked:
        return Path(options.revoked)
    state = environment.get("STATE_DIRECTORY", "")  # systemd.exec(5), StateDirectory=
    return Path(state) / FILE_NAME if state else None


def read_revoked(path: Path) -> frozenset[str]:
    """The ids in the file at *path*; none where there is no file yet.

    Raises:
        RevocationError: it cannot be read, or is no such file.
    """
    try:
        content = read_file(path, _MAX_OCTETS)
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise RevocationError(f"{path}: cannot be read: {error.strerror}") from error
    ids = []
    for number, line in enumerate(content.decode("utf-8", "replace").split("\n"), 1):
        said = line.partition("#")[0].strip()
        if said and not is_id(said):
            raise RevocationError(f"{path}:{number}: not the id of a link")
        ids += [said] if said else []
    return frozenset(ids)


class RevokedLinks:
    """The ids in the file at *path*, which is read when one is looked for.

    So who guesses at links does not have it read: they are forged, whatever was revoked.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __contains__(self, link_id: object) -> bool:
        """Whether the file has *link_id*.

        Raises:
            RevocationError: as `read_revoked` does.
        """
        return link_id in read_revoked(self._path)


def revoke(path: Path, link_id: str, now: float) -> None:
    """Add *link_id* to the file at *path*, and take out those that have ended by *now*.

    Who reads it meanwhile reads it as it was; two that revoke wait for one another.

    Raises:
        RevocationError: it cannot be read or written, or has room for no more.
    """
    try:
        with _alone_in(path.parent):
            kept = {each for each in read_revoked(path) if expiry_of(each) > now}
            if link_id in kept:
                return
            if len(kept) >= MAX_REVOKED:
                cure = "retire the key in web.share_keys, which revokes all that it has signed"
                raise RevocationError(f"{path}: {MAX_REVOKED} links are revoked: {cure}")
            lines = "".join(f"{each}\n" for each in sorted({*kept, link_id}))
            # Root may revoke what the page's user reads. An id is no secret: it opens nothing.
            replace_file(path, (_HEADING + lines).encode("ascii"), _READABLE)
    except OSError as error:
        raise RevocationError(f"{path}: cannot be written: {error.strerror}") from error


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
