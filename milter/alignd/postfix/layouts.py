"""Renders the lines for main.cf and master.cf from the shipped files, for one configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files

from alignd.config.endpoint import Endpoint, InetEndpoint, UnixEndpoint

QUEUE_DIRECTORY = "/var/spool/postfix"
"""The default of Postfix's queue_directory, which is the root of its chroot."""
DEFAULT_ENDPOINT = InetEndpoint("127.0.0.1", 8899)
"""Where alignd and systemd/alignd.socket listen by default; the shipped files name it."""
SECOND_PORT = 10026
"""The port of the second listener in the shipped files."""
FILES = ("main.cf", "master.cf")

_MILTER_SERVICE = re.compile(
    r"^(\S+ +inet +\S+ +\S+ +)y( +\S+ +\S+ +smtpd\n(?:  .*\n)*?.*smtpd_milters = )", re.MULTILINE
)
_OUTSIDE_HINT = """\
# The socket is outside Postfix's queue directory, so an smtpd that runs in a chroot cannot reach
# it: in master.cf, the fifth column (chroot) of smtpd services with milters must be "n". Or set
# socket = "unix:{queue}/alignd/alignd.sock" in alignd.conf and print these lines again.
"""
_HANDED_OVER_HINT = """\
# systemd passes alignd its socket. These lines assume the default of alignd.socket,
# {endpoint}: if you changed its ListenStream=, print them again with --socket.
"""


class Layout(Enum):
    """The two ways to put alignd into Postfix; the shipped files open with what each promises."""

    INLINE = "inline"
    QUEUE_FIRST = "queue-first"


@dataclass(frozen=True, slots=True)
class LayoutParameters:
    """What the lines of a layout depend on."""

    endpoint: Endpoint
    """Where Postfix reaches alignd."""
    is_handed_over: bool = False
    """Whether systemd owns the socket, so that *endpoint* is a guess."""
    second_port: int = SECOND_PORT
    """The port of the second listener of queue-first."""


def lines(layout: Layout, file: str, parameters: LayoutParameters) -> str:
    """Render the lines of *layout* for *file*, one of `FILES`, with their comments."""
    text = shipped(layout, file)
    if str(DEFAULT_ENDPOINT) not in text:  # no milters in this file
        return _with_port(text, parameters.second_port)
    text = text.replace(str(DEFAULT_ENDPOINT), str(_below_queue(parameters.endpoint)))
    return _hint(parameters) + _with_port(
        _chroot(text, parameters.endpoint), parameters.second_port
    )


def shipped(layout: Layout, file: str) -> str:
    """The shipped text of *file*, which fits a default configuration."""
    return (files("alignd.postfix") / "files" / layout.value / file).read_text(encoding="utf-8")


def _below_queue(endpoint: Endpoint) -> Endpoint:
    """The path relative to the queue directory, valid inside and outside a chroot."""
    if not isinstance(endpoint, UnixEndpoint):
        return endpoint
    return UnixEndpoint(endpoint.path.removeprefix(f"{QUEUE_DIRECTORY}/"))


def _is_outside_queue(endpoint: Endpoint) -> bool:
    return isinstance(endpoint, UnixEndpoint) and _below_queue(endpoint) == endpoint


def _chroot(text: str, endpoint: Endpoint) -> str:
    return _MILTER_SERVICE.sub(r"\1n\2", text) if _is_outside_queue(endpoint) else text


def _hint(parameters: LayoutParameters) -> str:
    if parameters.is_handed_over:
        return _HANDED_OVER_HINT.format(endpoint=parameters.endpoint)
    if _is_outside_queue(parameters.endpoint):
        return _OUTSIDE_HINT.format(queue=QUEUE_DIRECTORY)
    return ""


def _with_port(text: str, port: int) -> str:
    return re.sub(rf"\b{SECOND_PORT}\b", str(port), text)
