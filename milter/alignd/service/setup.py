"""What the service runs with: the configuration, and all that is read along with it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from alignd.config.file import ConfigError, ConfigProblem, parse_configuration, read_text
from alignd.config.nameservers import Nameservers, ResolverError, nameservers_of
from alignd.config.settings import Configuration
from alignd.config.signer import TableSigner, load_signer
from alignd.return_path.directory import NO_DIRECTORY, Directory, make_directory
from alignd.return_path.key_file import ReadKeys, load_keyrings, read_keys

LOAD_ERRORS = (ConfigError, ResolverError)
"""What loading a setup may raise; after a reload that does, the old setup stays in force."""
_NO_KEYS = "there are no return addresses: set return.keys; `alignd new-key` makes the file"


class Leg(Enum):
    """Which way the mail goes that a service judges."""

    OUTBOUND = "outbound"
    """From a helpdesk to its correspondents: `alignd serve`."""
    RETURN = "return"
    """Back, to the return addresses: `alignd return`."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The configuration file, the keys and tables that it names, and the nameservers."""

    configuration: Configuration
    signer: TableSigner
    nameservers: Nameservers
    path: str = ""
    """Of the configuration file."""
    digest: str = ""
    """The SHA-256 of its text, in hexadecimal digits."""
    leg: Leg = Leg.OUTBOUND
    directory: Directory = NO_DIRECTORY
    """The return addresses."""
    keys: Mapping[str, ReadKeys] = field(default_factory=dict)
    """Those of return addresses, by the path of their file."""

    @property
    def follows_system(self) -> bool:
        """Whether the nameservers are those of resolv.conf(5), which may change at any time."""
        return not self.configuration.dns.nameservers

    def with_milter_of(self, running: Setup) -> Setup:
        """This setup with the [milter] of the one that runs: the socket is open already."""
        milter = running.configuration.milter
        return replace(
            self, configuration=self.configuration.model_copy(update={"milter": milter})
        )

    def with_keys(self, keys: Mapping[str, ReadKeys]) -> Setup:
        """This setup with other *keys*, one for each file that it names."""
        return replace(self, keys=keys, directory=_directory(self.configuration, keys))


def load_setup(path: Path, running: Setup | None = None, leg: Leg = Leg.OUTBOUND) -> Setup:
    """Read the configuration file at *path*, and all that it names.

    A resolv.conf(5) that is bad is no reason to refuse what is good: the nameservers of the setup
    that is *running* stay, if they come from there. On the return leg, keys that cannot be read
    are trouble that passes: mail to their addresses waits at its sender.

    Raises:
        ConfigError: the configuration is wrong, or a table or key file that it names is.
        ResolverError: there is no nameserver to ask.
    """
    text = read_text(path)
    configuration = parse_configuration(text, str(path))
    signer = load_signer(configuration.dkim)
    keys = _read_keys(configuration, running, leg)
    directory = _directory(configuration, keys)
    if leg is Leg.RETURN:
        if not keys:
            raise ConfigError((ConfigProblem(str(path), 1, _NO_KEYS),))
        configuration = configuration.of_return_leg()
    if running and running.follows_system and not configuration.dns.nameservers:
        nameservers = running.nameservers.read_again()
    else:
        nameservers = nameservers_of(configuration.dns)
    where, digest = str(path.absolute()), digest_of(text)
    return Setup(configuration, signer, nameservers, where, digest, leg, directory, keys)


def _read_keys(
    configuration: Configuration, running: Setup | None, leg: Leg
) -> dict[str, ReadKeys]:
    if leg is Leg.OUTBOUND:
        keyrings = load_keyrings(configuration, strict=True)
        return {path: ReadKeys(keyring) for path, keyring in keyrings.items()}
    before = running.keys if running else {}
    paths = {each.return_path.keys for each in configuration.all_settings} - {""}
    return {path: read_keys(path, before.get(path)) for path in paths}


def _directory(configuration: Configuration, keys: Mapping[str, ReadKeys]) -> Directory:
    return make_directory(configuration, {path: read.keyring for path, read in keys.items()})


def digest_of(text: str) -> str:
    """Tell the *text* of one configuration file from that of another."""
    return hashlib.sha256(text.encode()).hexdigest()
