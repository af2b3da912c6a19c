"""Reads the openspf suite of RFC 7208: its scenarios, and their zones as a Lookup."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from alignd.mailauth.dns import Answer, LookupFailed, MailExchange, Record, RecordType
from tests.lab.places import DATA

SUITE = DATA / "rfc7208-tests.yml"
_MAX_CHAIN = 16


@dataclass(frozen=True, slots=True)
class SuiteZone:
    """The records of a scenario."""

    entries: dict[str, list[Any]]

    def look_up(self, name: str, record_type: RecordType, **_how: bool) -> Answer | LookupFailed:
        """Answer as the suite's schema asks: CNAMEs followed, TIMEOUT for all else of a name."""
        for _alias in range(_MAX_CHAIN):
            entries = self.entries.get(name.lower().rstrip("."))
            if entries is None:
                return Answer((), exists=False)
            types = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]
            wanted = record_type.value
            # SPF records stand for TXT where a name has no TXT of its own.
            if wanted == "TXT" and "TXT" not in types:
                wanted = "SPF"
            data = [
                entry[wanted] for entry in entries if isinstance(entry, dict) and wanted in entry
            ]
            if wanted in {"TXT", "SPF"}:
                data = [text for text in data if text != "NONE"]
            if data:
                return Answer(tuple(_record(record_type, value) for value in data))
            if "TIMEOUT" in types:
                return LookupFailed("timeout")
            if "CNAME" not in types:
                return Answer(())
            name = next(entry["CNAME"] for entry in entries if "CNAME" in entry)
        return LookupFailed("CNAME loop")


@dataclass(frozen=True, slots=True)
class SuiteTest:
    """One check_host() of the suite."""

    name: str
    address: str
    envelope_sender: str
    helo: str
    results: tuple[str, ...]
    """The results that the RFC allows."""
    zone: SuiteZone


def suite_tests() -> Iterator[SuiteTest]:
    """Every test of the suite."""
    for scenario in yaml.safe_load_all(SUITE.read_text()):
        zone = SuiteZone({name.lower(): data for name, data in scenario["zonedata"].items()})
        for name, test in scenario["tests"].items():
            results = test["result"]
            yield SuiteTest(
                name,
                str(test["host"]),
                test["mailfrom"],
                test["helo"],
                tuple(results) if isinstance(results, list) else (results,),
                zone,
            )


def _record(record_type: RecordType, value: Any) -> Record:
    match record_type:
        case RecordType.TXT:
            parts = value if isinstance(value, list) else [value]
            return "".join(parts).encode()
        case RecordType.MX:
            return MailExchange(value[0], value[1].rstrip("."))
        case _:
            return str(value).rstrip(".")
