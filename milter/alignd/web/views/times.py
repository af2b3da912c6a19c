"""Says when something was: for people, for programs, and how long ago."""

from __future__ import annotations

from datetime import UTC, datetime

from alignd.languages.texts import Texts

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_MINUTES_FROM = 90
"""Seconds that are told as minutes."""
_HOURS_TOLD = 48
"""Up to so many; then days."""


def moment(at: float, texts: Texts) -> str:
    """The date and time of *at*, a Unix time."""
    clock = datetime.fromtimestamp(at, UTC).strftime("%H:%M")
    return texts.text("{date}, {time} UTC", date=texts.date(at), time=clock)


def ago(texts: Texts, seconds: float) -> str:
    """How long ago something was that was *seconds* ago, in the largest unit that says enough."""
    if seconds < _MINUTE:
        return texts.text("less than a minute ago")
    if seconds < _HOUR:
        minutes = int(seconds // _MINUTE)
        return texts.plural("{n} minute ago", "{n} minutes ago", minutes)
    if seconds < _HOURS_TOLD * _HOUR:
        hours = int(seconds // _HOUR)
        return texts.plural("{n} hour ago", "{n} hours ago", hours)
    return texts.plural("{n} day ago", "{n} days ago", int(seconds // _DAY))


def read_ago(seconds: float, texts: Texts) -> str:
    """How long ago the ledger was read."""
    if seconds < _MINUTES_FROM:
        return texts.plural(
            "The ledger was read {n} second ago.",
            "The ledger was read {n} seconds ago.",
            round(seconds),
        )
    return texts.plural(
        "The ledger was read {n} minute ago.",
        "The ledger was read {n} minutes ago.",
        round(seconds / 60),
    )


def instant(unix_time: float) -> str:
    """*unix_time* as `<time datetime>` and JSON have it, in UTC; empty for no time of a clock."""
    try:
        at = datetime.fromtimestamp(unix_time, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
