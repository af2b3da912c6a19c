"""A log entry, read from a line of a file or from the JSON of the journal."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

MAX_LINE = 65_536
"""Characters of a line; what is beyond is not read."""
_RELEVANT = ("status=", "action=", " notification: ")
"""One of them is in each line that says something here; most lines of a mail log have none."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TAG = r"(?P<host>\S{1,255}) (?P<tag>[A-Za-z0-9_./-]{1,100})(?:\[[0-9]{1,10}\])?: (?P<text>.*)"
# RFC 3164, section 4.1.2, as written to files.
_CLASSIC = re.compile(
    r"(?P<month>[A-Z][a-z]{2}) (?P<day>[ 0-9][0-9]) (?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2}) " + _TAG,
    re.DOTALL,
)
_RFC3339 = re.compile(
    r"(?P<when>[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?) " + _TAG,
    re.DOTALL,
)
_BARE = re.compile(r"[0-9A-Za-z]{5,40}: action=")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a log."""

    when: float | None
    """Unix time; None where the log does not say."""
    tag: str
    """The program, such as postfix/smtp; empty for a line that some program wrote by itself."""
    text: str


def read_line(line: str, now: datetime) -> Entry | None:
    """Read a line of a log file; None if it says nothing here.

    *now* tells the year and, where it has one, the zone of times that have none.
    """
    line = line[:MAX_LINE]
    if not any(word in line for word in _RELEVANT):
        return None
    if match := _CLASSIC.match(line):
        when = _classic_time(match["month"], match["day"], match["time"], now)
        return Entry(when, match["tag"], match["text"])
    if match := _RFC3339.match(line):
        return Entry(_rfc3339_time(match["when"], now), match["tag"], match["text"])
    # alignd's own standard error, where nobody adds a time.
    return Entry(None, "", line) if _BARE.match(line) else None


def read_journal(line: str) -> tuple[Entry | None, str]:
    """Read a line of `journalctl -o json`: the entry if it says something here, and the cursor."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None, ""
    if not isinstance(fields, dict):
        return None, ""
    cursor = _text(fields.get("__CURSOR"))
    text = _text(fields.get("MESSAGE"))[:MAX_LINE]
    if not any(word in text for word in _RELEVANT):
        return None, cursor
    return Entry(_journal_time(fields), _text(fields.get("SYSLOG_IDENTIFIER")), text), cursor


def _text(value: object) -> str:
    """A field of the journal: a text, or its octets where it is not UTF-8."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        octets = [each for each in value if isinstance(each, int) and each in range(256)]
        return bytes(octets).decode(errors="replace")
    return ""


def _journal_time(fields: dict[str, object]) -> float | None:
    microseconds = _text(fields.get("__REALTIME_TIMESTAMP"))
    is_number = microseconds.isascii() and microseconds.isdecimal()
    return int(microseconds[:18]) / 1e6 if is_number else None


def _classic_time(month: str, day: str, time: str, now: datetime) -> float | None:
    """Such a time has no year: it is the last one that has been, but for a clock a little off."""
    if month not in _MONTHS:
        return None
    hour, minute, second = map(int, time.split(":"))
    number = _MONTHS.index(month) + 1
    for year in (now.year + 1, now.year, now.year - 1):
        try:
            found = now.replace(year, number, int(day), hour, minute, min(second, 59), 0)
        except ValueError:  # 29 February, or nonsense
            continue
        if found <= now + timedelta(days=1):
            return found.timestamp()
    return None


def _rfc3339_time(text: str, now: datetime) -> float | None:
    # More digits than six are none that Python reads.
    text = re.sub(r"[.,]([0-9]{1,6})[0-9]*", r".\1", text)
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            found = found.replace(tzinfo=now.tzinfo)
        return found.timestamp()
    except (ValueError, OverflowError, OSError):
        return None
