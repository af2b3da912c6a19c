"""Renders the lines and tables of the way back: for Postfix, and for the signer of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from alignd.config.endpoint import InetEndpoint
from alignd.config.settings import Configuration
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.postfix.layouts import (
    QUEUE_DIRECTORY,
    Layout,
    LayoutParameters,
    ShippedMilter,
    shipped,
    with_milter,
)

DEFAULT_RETURN_ENDPOINT = InetEndpoint("127.0.0.1", 8898)
"""Where `alignd return` listens by default; the shipped files name it."""
TABLES = ("return-domains", "return-shared")
"""The files that Postfix reads, beside main.cf."""
SIGNER_FILES = (
    "opendkim-return.conf",
    "opendkim-return.hosts",
    "opendkim-return.signing",
    "opendkim-return.keys",
)
RETURN_FILES = {
    Layout.RETURN: ("main.cf", *TABLES, *SIGNER_FILES),
    Layout.RETURN_INSIDE: ("main.cf", "master.cf", *TABLES, *SIGNER_FILES),
}
"""The files of each of the two ways, in the order in which they are printed."""

_SHIPPED_DOMAIN = "notifications.easysoftware.com"
_SHIPPED_MAP = "/run/alignd-return/map.sock"
_COMMENTS = re.compile(r"^#.*\n", re.MULTILINE)
_QUEUE_DIRECTORIES = {
    Layout.RETURN: f"{QUEUE_DIRECTORY}-return",  # where postmulti(1) puts it
    Layout.RETURN_INSIDE: QUEUE_DIRECTORY,
}
# RFC 5321, section 4.5.1, RFC 2142, section 2, and RFC 9990.
_EVERY_DOMAIN_HAS = ("postmaster", "abuse", "dmarc-reports")


@dataclass(frozen=True, slots=True)
class WayBack:
    """What the lines of the way back depend on, besides the milter's endpoint."""

    map_path: str
    """The socket of the map."""
    domains: tuple[Domain, ...]
    """Of return addresses."""
    senders: tuple[Mailbox, ...]
    """The notifications addresses."""
    bounces: tuple[Mailbox, ...]
    """The shared envelope senders."""

    @property
    def shared(self) -> tuple[Mailbox, ...]:
        """The addresses in the return domains that are no return addresses."""
        own = (*self.senders, *self.bounces)
        always = (Mailbox(name, domain) for domain in self.domains for name in _EVERY_DOMAIN_HAS)
        inside = (each for each in (*own, *always) if each.domain in self.domains)
        return tuple(dict.fromkeys(inside))


def way_back_of(configuration: Configuration) -> WayBack:
    """What *configuration* says of it; before return.keys is set, what it would say."""
    configured = [each for each in configuration.all_settings if each.return_path.keys]
    settings = configured or [configuration]
    return WayBack(
        configuration.return_path.socket.path,
        tuple(dict.fromkeys(each.return_domain for each in settings)),
        tuple(dict.fromkeys(each.notifications.address for each in settings)),
        tuple(dict.fromkeys(each.notifications.bounces for each in settings)),
    )


def return_lines(
    layout: Layout, file: str, way_back: WayBack, parameters: LayoutParameters
) -> str:
    """Render *file*, one of `RETURN_FILES`, with its comments."""
    if not file.endswith(".cf"):
        return _table(layout, file, way_back)
    domains = ", ".join(map(str, way_back.domains))
    text = shipped(layout, file).replace(_SHIPPED_MAP, way_back.map_path)
    text = text.replace(f"= {_SHIPPED_DOMAIN}\n", f"= {domains}\n")
    text = text.replace(f"mx.{_SHIPPED_DOMAIN}", f"mx.{way_back.domains[0]}")
    milter = ShippedMilter(DEFAULT_RETURN_ENDPOINT, "return.milter", _QUEUE_DIRECTORIES[layout])
    return with_milter(text, milter, parameters)


def _table(layout: Layout, file: str, way_back: WayBack) -> str:
    """A file that is the same for both ways, but for the place of a socket."""
    text = shipped(Layout.RETURN, file)
    comment = "".join(_COMMENTS.findall(text))
    line = text.rstrip("\n").rpartition("\n")[2]
    match file:
        case "return-domains":
            lines = [rf"/^(.*@{re.escape(each.name)})$/ $1" for each in way_back.domains]
        case "return-shared":
            lines = [f"{each.address} root" for each in way_back.shared]
        case "opendkim-return.signing":
            lines = [f"{each.address} {each.domain}" for each in way_back.senders]
        case "opendkim-return.keys":
            domains = dict.fromkeys(each.domain.name for each in way_back.senders)
            lines = [line.replace(_SHIPPED_DOMAIN, each) for each in domains]
        case _:
            return text.replace(_QUEUE_DIRECTORIES[Layout.RETURN], _QUEUE_DIRECTORIES[layout])
    return comment + "".join(f"{each}\n" for each in lines)
