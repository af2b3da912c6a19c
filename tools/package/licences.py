"""Collects the licences of wheels as a Debian copyright file has them."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

SITE_PACKAGES = "usr/lib/alignd/lib/python3*/site-packages"

_LICENCE = re.compile(r"(licen[cs]e|copying|notice|copyright)", re.IGNORECASE)
_LONG = 5000
"""Characters that a reference to a licence never has, and its whole text always."""
_COMMON = (
    (re.compile(r"Apache License\s+Version 2\.0, January 2004"), "Apache-2.0"),
    (re.compile(r"Mozilla Public License Version 2\.0", re.IGNORECASE), "MPL-2.0"),
    (re.compile(r"GNU LESSER GENERAL PUBLIC LICENSE\s+Version 3"), "LGPL-3"),
    (re.compile(r"GNU LESSER GENERAL PUBLIC LICENSE\s+Version 2\.1"), "LGPL-2.1"),
    (re.compile(r"GNU GENERAL PUBLIC LICENSE\s+Version 3"), "GPL-3"),
    (re.compile(r"GNU GENERAL PUBLIC LICENSE\s+Version 2"), "GPL-2"),
)
"""Long texts that each Debian system has in /usr/share/common-licenses."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What a wheel says of its licence."""

    name: str
    version: str
    licence: str
    authors: str
    tops: tuple[str, ...]
    texts: tuple[str, ...]


def read_wheel(path: Path) -> Brought:
    """Read name, licence and files of a wheel."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        (metadata_name,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(wheel.read(metadata_name).decode())
        info = metadata_name.partition("/")[0]
        texts = tuple(
            wheel.read(name).decode(errors="replace")
            for name in sorted(names)
            if not name.endswith("/")
            and name.startswith(f"{info}/")
            and (name.startswith(f"{info}/licenses/") or _LICENCE.search(Path(name).name))
        )
    classifiers = [
        each.rpartition(" :: ")[2]
        for each in metadata.get_all("Classifier", [])
        if each.startswith("License :: ")
    ]
    tops = {name.partition("/")[0] for name in names} - {info, f"{info[:-10]}.data"}
    return Brought(
        name=metadata["Name"],
        version=metadata["Version"],
        licence=(
            metadata["License-Expression"]
            or ", ".join(classifiers)
            or (metadata["License"] or "unknown").partition("\n")[0]
        ),
        authors=metadata["Author"] or metadata["Author-Email"] or metadata["Maintainer"] or "",
        tops=tuple(sorted(tops)),
        texts=texts,
    )


def paragraph(brought: Brought, known: str = "") -> str:
    """Return the paragraph of a wheel; *known* is the text for one that has none with it."""
    texts = brought.texts or ((known,) if known else ())
    if not texts:
        raise ValueError(f"{brought.name} brings no text of its licence")
    files = "\n".join(f" {SITE_PACKAGES}/{top}*" for top in brought.tops)
    owners = "\n".join(f" {line}" for line in _owners(brought, texts))
    licence = "\n".join(
        f" {line}".rstrip() if line.strip() else " ."
        for line in "\n\n".join(map(_shortened, texts)).strip().splitlines()
    )
    short = re.sub(r"[^\w.+-]+", "-", brought.licence).strip("-")
    return (
        f"Files:\n{files}\nComment: {brought.name} {brought.version}\n"
        f"Copyright:\n{owners}\nLicense: {short}\n{licence}\n"
    )


def _shortened(text: str) -> str:
    for title, name in _COMMON:
        if title.search(text) and len(text) > _LONG:
            return (
                f"{name}: on Debian systems the whole text of this licence is in\n"
                f"/usr/share/common-licenses/{name}."
            )
    return text.replace("\f", "\n").replace("\t", "    ")


def _owners(brought: Brought, texts: tuple[str, ...]) -> Iterator[str]:
    found = dict.fromkeys(
        line.strip()
        for text in map(_shortened, texts)
        for line in text.splitlines()
        if re.match(r"\s*(Copyright|\(c\)|©).*\d{4}", line, re.IGNORECASE)
    )
    yield from found or (f"{brought.authors or 'the authors of ' + brought.name}",)
