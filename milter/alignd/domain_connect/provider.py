"""What a DNS host says of itself: the settings of draft-03, section 7, parsed strictly."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from alignd.domain_connect.url import UrlError, UrlPrefix, parse_page
from alignd.mail.domain import Domain
from alignd.mail.printable import printable

MAX_NAME = 255
"""Characters of a name for display (dc-display-name)."""
USUAL_SIDE = 750
"""Pixels of a side of the window, where the host does not say (table 4)."""
_SIDES = range(200, 4001)
_ID = re.compile(r"[A-Za-z0-9._-]{1,63}")


class SettingsError(ValueError):
    """A document is not the settings of a DNS host; the message names the reason."""


@dataclass(frozen=True, slots=True)
class DnsProvider:
    """A DNS host that takes part in Domain Connect."""

    id: str
    name: str
    """For people; free of what controls a terminal."""
    api: UrlPrefix
    sync_ux: UrlPrefix | None
    """Where the link goes to; None where the host has no synchronous flow for the zone."""
    control_panel: str = ""
    """Where the customer edits the zone by hand, as a URL; empty where the host does not say."""
    width: int = USUAL_SIDE
    height: int = USUAL_SIDE


def parse_settings(document: bytes, zone: Domain) -> DnsProvider:
    """Parse the settings of the host of *zone*.

    Raises:
        SettingsError: a field that is needed is missing or wrong.
    """
    fields = _object(document)
    api = _url(fields, "urlAPI")
    if api is None:
        raise SettingsError("urlAPI is missing")
    name = _name(fields, "providerName")
    return DnsProvider(
        _id(fields),
        _name(fields, "providerDisplayName", name),
        api,
        _url(fields, "urlSyncUX"),
        _control_panel(fields, zone),
        _side(fields, "width"),
        _side(fields, "height"),
    )


def _object(document: bytes) -> dict[str, Any]:
    try:
        value = json.loads(document.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SettingsError("not JSON") from error
    if not isinstance(value, dict):
        raise SettingsError("not a JSON object")
    return value


def _text(fields: dict[str, Any], name: str) -> str:
    """The text of a field; empty where it is missing or null, as some hosts write it."""
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise SettingsError(f"{name} is no text")
    return value


def _id(fields: dict[str, Any]) -> str:
    text = _text(fields, "providerId")
    if not _ID.fullmatch(text):
        raise SettingsError(f"providerId is no identifier: {text[:80]!r}")
    return text


def _name(fields: dict[str, Any], name: str, default: str = "") -> str:
    text = _text(fields, name).strip() or default
    if not text or len(text) > MAX_NAME:
        raise SettingsError(f"{name} has {len(text)} characters, not 1 to {MAX_NAME}")
    return printable(text)


def _url(fields: dict[str, Any], name: str) -> UrlPrefix | None:
    text = _text(fields, name)
    try:
        return UrlPrefix.parse(text) if text else None
    except UrlError as error:
        raise SettingsError(f"{name}: {error}") from error


def _control_panel(fields: dict[str, Any], zone: Domain) -> str:
    """The page for editing by hand; what is no such URL is nothing that anybody needs."""
    value = fields.get("urlControlPanel")
    if not isinstance(value, str):
        return ""
    try:
        return parse_page(value.replace("%domain%", zone.name))
    except UrlError:
        return ""


def _side(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    return value if type(value) is int and value in _SIDES else USUAL_SIDE
