"""Asks the running service for its status document."""

from __future__ import annotations

import http.client
from http import HTTPStatus

from alignd.config.option_types import ListenAddress
from alignd.doctor.facts import RunningService
from alignd.doctor.findings import Skipped, Unknown
from alignd.telemetry.status import StatusError, parse_status

PATH = "/status"
_TIMEOUT = 5.0  # seconds
_MAX_OCTETS = 1_000_000


def read_status(
    listen: ListenAddress | None, *, is_running: bool, option: str = "metrics.listen"
) -> RunningService:
    """Read the status of the service that serves its metrics at *listen*.

    *is_running*: whether its socket answers, so that a status is to be expected; *option*: what
    says where it serves.
    """
    if listen is None:
        return Skipped(f'the service does not say what it has in force: {option} is ""')
    connection = http.client.HTTPConnection(listen.host, listen.port, timeout=_TIMEOUT)
    try:
        connection.request("GET", PATH)
        response = connection.getresponse()
        text = response.read(_MAX_OCTETS)
    except (OSError, http.client.HTTPException) as error:
        problem = f"http://{listen}{PATH}: {error or type(error).__name__}"
        if not is_running:
            return Skipped(f"alignd does not run ({problem})")
        return Unknown(f"what the running service has in force: {problem}")
    finally:
        connection.close()
    try:
        if response.status != HTTPStatus.OK:
            raise StatusError(f"{response.status} {response.reason}")
        return parse_status(text)
    except StatusError as error:
        return Unknown(f"what the running service has in force: http://{listen}{PATH}: {error}")
