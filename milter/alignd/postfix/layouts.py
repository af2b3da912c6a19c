"""The lines for Postfix, in two layouts: the files that alignd ships, for one configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files

from alignd.config.endpoint import Endpoint, InetEndpoint, UnixEndpoint

QUEUE_DIRECTORY = "/var/spool/postfix"
"""Postfix's queue_directory unless main.cf says otherwise: the root of its chroot."""
HANDED_OVER = InetEndpoint("127.0.0.1", 8899)
"""Where systemd/alignd.socket listens, and alignd by default: what the shipped files say."""
SECOND_PORT = 10026
"""The port of the second listener in the shipped files."""
FILES = ("main.cf", "master.cf")

_MILTER_SERVICE = re.compile(
    r"^(\S+ +inet +\S+ +\S+ +)y( +\S+ +\S+ +smtpd\n(?:  .*\n)*?.*smtpd_milters = )", re.MULTILINE
)
_OUTSIDE_HINT = """\
# The socket is outside of Postfix's queue directory: a smtpd that runs in a chroot cannot reach
# it. So the fifth column of the smtpd services that have milters is "n" in master.cf. Or set
# socket = "unix:{queue}/alignd/alignd.sock" in alignd.conf, and print these lines again.
"""
_HANDED_OVER_HINT = """\
# systemd hands alignd its socket. These lines say {endpoint}, as alignd.socket does; if its
# ListenStream= is another one, print them with --socket.
"""


class Layout(Enum):
    """The two layouts, each with its promise, which the files open with."""

    INLINE = "inline"
    QUEUE_FIRST = "queue-first"


@dataclass(frozen=True, slots=True)
class Place:
    """What the lines depend on."""

    endpoint: Endpoint
    """Where Postfix reaches alignd."""
    is_handed_over: bool = False
    """Whether systemd keeps the socket, so that *endpoint* is a guess."""
    second_port: int = SECOND_PORT
    """The port of the second listener, which queue-first has."""


def lines(layout: Layout, file: str, place: Place) -> str:
    """The lines of *layout* for *file*, "main.cf" or "master.cf", comments included."""
    text = shipped(layout, file)
    if str(HANDED_OVER) not in text:  # no milters in this file
        return _with_port(text, place.second_port)
    text = text.replace(str(HANDED_OVER), str(_below_queue(place.endpoint)))
    return _hint(place) + _with_port(_chroot(text, place.endpoint), place.second_port)


def shipped(layout: Layout, file: str) -> str:
    """The file as it is shipped, for a default configuration."""
    return (files("alignd.postfix") / "files" / layout.value / file).read_text(encoding="utf-8")


def _below_queue(endpoint: Endpoint) -> Endpoint:
    """The same place, so that it is found in a chroot and out of it."""
    if not isinstance(endpoint, UnixEndpoint):
        return endpoint
    return UnixEndpoint(endpoint.path.removeprefix(f"{QUEUE_DIRECTORY}/"))


def _is_outside_queue(endpoint: Endpoint) -> bool:
    return isinstance(endpoint, UnixEndpoint) and _below_queue(endpoint) == endpoint


def _chroot(text: str, endpoint: Endpoint) -> str:
    return _MILTER_SERVICE.sub(r"\1n\2", text) if _is_outside_queue(endpoint) else text


def _hint(place: Place) -> str:
    if place.is_handed_over:
        return _HANDED_OVER_HINT.format(endpoint=place.endpoint)
    if _is_outside_queue(place.endpoint):
        return _OUTSIDE_HINT.format(queue=QUEUE_DIRECTORY)
    return ""


def _with_port(text: str, port: int) -> str:
    return re.sub(rf"\b{SECOND_PORT}\b", str(port), text)
