"""What the service runs with: the configuration, and all that is read along with it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from alignd.config.file import ConfigError, parse_configuration, read_text
from alignd.config.option_types import Nameserver
from alignd.config.settings import Configuration
from alignd.config.signer import load_signer
from alignd.mailauth.dkim import Signer
from alignd.resolver.resolver import ResolverError, nameservers_of

LOAD_ERRORS = (ConfigError, ResolverError)
"""What loading a setup may raise; after a reload that does, the old setup stays in force."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The configuration file, the keys and tables that it names, and the nameservers."""

    configuration: Configuration
    signer: Signer
    nameservers: tuple[Nameserver, ...]
    path: str = ""
    """Of the configuration file."""
    digest: str = ""
    """The SHA-256 of its text, in hexadecimal digits."""

    def with_milter_of(self, running: Setup) -> Setup:
        """This setup with the [milter] of the one that runs: the socket is open already."""
        milter = running.configuration.milter
        return replace(
            self, configuration=self.configuration.model_copy(update={"milter": milter})
        )


def load_setup(path: Path) -> Setup:
    """Read the configuration file at *path*, and all that it names.

    Raises:
        ConfigError: the configuration is wrong.
        ResolverError: there is no nameserver to ask.
    """
    text = read_text(path)
    configuration = parse_configuration(text, str(path))
    return Setup(
        configuration,
        load_signer(configuration.dkim),
        nameservers_of(configuration.dns),
        str(path.absolute()),
        digest_of(text),
    )


def digest_of(text: str) -> str:
    """Tell the *text* of one configuration file from that of another."""
    return hashlib.sha256(text.encode()).hexdigest()
