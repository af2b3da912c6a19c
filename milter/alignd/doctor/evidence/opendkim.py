"""Reads the configuration of an OpenDKIM, without changing it."""

from __future__ import annotations

import re
from pathlib import Path

from alignd.doctor.facts import OpenDkimSettings, ReturnSigner
from alignd.doctor.findings import Skipped, Unknown

DEFAULT_PATH = Path("/etc/opendkim.conf")
RETURN_PATH = Path("/etc/opendkim-return.conf")
"""That of the signer of the way back, as its layout has it."""
_COMMENT = re.compile(r"(^|\s)#.*")
_FILE = re.compile(r"(?:refile:|file:|(?=/))(.+)")


def read_opendkim(path: Path) -> OpenDkimSettings | Unknown:
    """Read the settings in the file at *path*, and the list of hosts that one of them names."""
    try:
        settings = {}
        for line in path.read_text(errors="replace").splitlines():
            words = _COMMENT.sub("", line).split(maxsplit=1)
            if len(words) > 1:
                settings[words[0].lower()] = words[1].strip()
        hosts = settings.get("internalhosts")
        entries = _entries(hosts) if hosts else None
        return OpenDkimSettings(str(path), settings, entries)
    except OSError as error:
        return Unknown(f"what OpenDKIM signs: {error.filename}: {error.strerror}")


def read_return_signer(path: Path) -> ReturnSigner | Unknown | Skipped:
    """Read the settings in the file at *path*, and whose mail they sign."""
    if not path.exists():
        return Skipped(
            f"what the signer of the way back signs: there is no {path} (--return-opendkim-config)"
        )
    found = read_opendkim(path)
    if isinstance(found, Unknown):
        return found
    table = found.settings.get("signingtable")
    try:
        authors = _entries(table) if table else _entries(found.settings.get("domain", ""))
    except OSError as error:
        return Unknown(f"what OpenDKIM signs: {error.filename}: {error.strerror}")
    return ReturnSigner(found, tuple(filter(None, authors)))


def _entries(data_set: str) -> tuple[str, ...]:
    file = _FILE.fullmatch(data_set)
    if file is None:
        return tuple(each.strip() for each in data_set.removeprefix("csl:").split(","))
    lines = Path(file[1]).read_text(errors="replace").splitlines()
    words = (_COMMENT.sub("", line).split() for line in lines)
    return tuple(each[0] for each in words if each)
