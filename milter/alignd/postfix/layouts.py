"""Renders the lines for main.cf and master.cf from the shipped files, for one configuration.

`return_layouts` renders those of the way back.
"""

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
# {option} = "unix:{queue}/alignd/alignd.sock" in alignd.conf and print these lines again.
"""
_HANDED_OVER_HINT = """\
# systemd passes alignd its socket. These lines assume the default of its socket unit,
# {endpoint}: if you changed its ListenStream=, print them again with --socket.
"""


class Layout(Enum):
    """The ways to put alignd into Postfix; the shipped files open with what each promises."""

    INLINE = "inline"
    QUEUE_FIRST = "queue-first"
    RETURN = "return"
    """What comes back, to an instance of its own."""
    RETURN_INSIDE = "return-inside"
    """What comes back, to the instance that sends."""


@dataclass(frozen=True, slots=True)
class LayoutParameters:
    """What the lines of a layout depend on."""

    endpoint: Endpoint
    """Where Postfix reaches alignd."""
    is_handed_over: bool = False
    """Whether systemd owns the socket, so that *endpoint* is a guess."""
    second_port: int = SECOND_PORT
    """The port of the second listener of queue-first."""


@dataclass(frozen=True, slots=True)
class ShippedMilter:
    """The milter that the shipped lines name, and what they say about its socket."""

    endpoint: Endpoint
    option: str
    """Of alignd.conf, in the words of a comment."""
    queue_directory: str = QUEUE_DIRECTORY


_OUTBOUND = ShippedMilter(DEFAULT_ENDPOINT, "socket")


def lines(layout: Layout, file: str, parameters: LayoutParameters) -> str:
    """Render the lines of *layout* for *file*, one of `FILES`, with their comments."""
    text = with_milter(shipped(layout, file), _OUTBOUND, parameters)
    return re.sub(rf"\b{SECOND_PORT}\b", str(parameters.second_port), text)


def shipped(layout: Layout, file: str) -> str:
    """The shipped text of *file*, which fits a default configuration."""
    return (files("alignd.postfix") / "files" / layout.value / file).read_text(encoding="utf-8")


def with_milter(text: str, milter: ShippedMilter, parameters: LayoutParameters) -> str:
    """Put the endpoint of *parameters* in the place of the shipped one, with a hint about it."""
    if str(milter.endpoint) not in text:  # no milters in this file
        return text
    found = _below_queue(parameters.endpoint, milter.queue_directory)
    is_outside_queue = isinstance(found, UnixEndpoint) and found == parameters.endpoint
    text = text.replace(str(milter.endpoint), str(found))
    if is_outside_queue:
        text = _MILTER_SERVICE.sub(r"\1n\2", text)
    if parameters.is_handed_over:
        return _HANDED_OVER_HINT.format(endpoint=parameters.endpoint) + text
    if is_outside_queue:
        return _OUTSIDE_HINT.format(queue=milter.queue_directory, option=milter.option) + text
    return text


def _below_queue(endpoint: Endpoint, queue_directory: str) -> Endpoint:
    """The path relative to the queue directory, valid inside and outside a chroot."""
    if not isinstance(endpoint, UnixEndpoint):
        return endpoint
    return UnixEndpoint(endpoint.path.removeprefix(f"{queue_directory}/"))
