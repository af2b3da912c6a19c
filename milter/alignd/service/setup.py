"""What the service runs with: the configuration, and all that is read along with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from alignd.config.file import ConfigError, load_configuration
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
    configuration = load_configuration(path)
    nameservers = nameservers_of(configuration.dns)
    return Setup(configuration, load_signer(configuration.dkim), nameservers)
