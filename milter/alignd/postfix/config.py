"""Parameters of main.cf and services of master.cf, parsed from the output of postconf(1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_LINE = re.compile(r"(?P<service>\S+)/(?P<kind>[^/\s]+)/(?P<name>[^/\s]+) =\s?(?P<value>.*)")
_DURATION = re.compile(r"(\d+)([smhdw]?)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

_Fields = dict[tuple[str, str], dict[str, str]]


@dataclass(frozen=True, slots=True)
class Service:
    """An entry of master.cf."""

    name: str
    """Such as `submission` or `127.0.0.1:10026`."""
    kind: str
    """`inet`, `unix`, `pass`, ..."""
    program: str
    """Such as `smtpd`."""
    is_chrooted: bool
    process_limit: int | None
    """0 for no limit; None for default_process_limit."""
    options: Mapping[str, str]
    """The values of `-o`, by parameter."""

    @property
    def port(self) -> str:
        """The port of an inet service, a number or a name."""
        return self.name.rpartition(":")[2]

    def __str__(self) -> str:
        return f"{self.name}/{self.kind}"


@dataclass(frozen=True, slots=True)
class PostfixConfig:
    """The parameters of main.cf and the services of master.cf, with `$name` expanded."""

    version: str
    parameters: Mapping[str, str]
    """Effective values, defaults included, of the parameters that were queried."""
    written: frozenset[str]
    """The parameters that main.cf sets explicitly."""
    services: tuple[Service, ...]

    def value(self, parameter: str, service: Service | None = None) -> str:
        """The value of *parameter* for *service*, or in general; empty if it is not set."""
        own = service.options if service else {}
        return own.get(parameter, self.parameters.get(parameter, ""))

    def is_written(self, parameter: str, service: Service) -> bool:
        """Whether *parameter* is set explicitly, for *service* or in general."""
        return parameter in service.options or parameter in self.written

    def running(self, program: str) -> tuple[Service, ...]:
        return tuple(service for service in self.services if service.program == program)


def read_services(fields: str, options: str, *, chroot_by_default: bool) -> tuple[Service, ...]:
    """Parse the services from the output of `postconf -F` (*fields*) and `-P` (*options*)."""
    own = _by_service(options)
    return tuple(
        Service(
            name=name,
            kind=kind,
            program=(values.get("command", "").split() or [""])[0],
            is_chrooted={"y": True, "n": False}.get(values.get("chroot", ""), chroot_by_default),
            process_limit=_count(values.get("process_limit", "")),
            options=own.get((name, kind), {}),
        )
        for (name, kind), values in _by_service(fields).items()
    )


def seconds(duration: str) -> float | None:
    """Parse a time value of Postfix, such as `30s` or `5`; None if it is malformed."""
    match = _DURATION.fullmatch(duration.strip())
    return float(match[1]) * _SECONDS[match[2]] if match else None


def version_number(text: str) -> tuple[int, ...]:
    """Parse the leading numbers of a version such as `3.7.11` or `3.11-20260101`."""
    match = re.match(r"\d+(?:\.\d+)*", text, re.ASCII)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _by_service(text: str) -> _Fields:
    found: _Fields = {}
    for line in text.splitlines():
        if match := _LINE.fullmatch(line):
            service = found.setdefault((match["service"], match["kind"]), {})
            service[match["name"]] = match["value"]
    return found


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
