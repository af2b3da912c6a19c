"""Describes a setup for the status document, in digests and numbers.

`alignd doctor` describes the files in the same way, and compares.
"""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version

from alignd.config.domain_lists import SuffixList
from alignd.config.nameservers import RESOLV_CONF
from alignd.config.signer import TableSigner
from alignd.return_path.directory import Directory, KeyTrouble
from alignd.service.setup import Setup
from alignd.telemetry.status import InForce, Versions

_CONFIGURED = "dns.nameservers"
_KEY_LABEL = b"alignd: fingerprint of a key for return addresses"


def installed_versions() -> Versions:
    """The versions on the disk: those that run, in a process that has just started."""
    released = SuffixList.released()
    return Versions(
        alignd=version("alignd"),
        python=platform.python_version(),
        public_suffixes=released.isoformat() if released else "",
    )


def describe(setup: Setup, now: float) -> InForce:
    """Describe a *setup* that was loaded at the Unix time *now*."""
    configuration = setup.configuration
    tables = setup.signer.tables
    return InForce(
        path=setup.path,
        digest=setup.digest,
        since=now,
        tenants=len(configuration.tenant),
        nameservers=tuple(map(str, setup.nameservers.servers)),
        nameservers_from=_CONFIGURED if configuration.dns.nameservers else str(RESOLV_CONF),
        signing_tables=_digest_of_tables(setup.signer),
        signing_entries=len(tables.signing.entries) if tables else 0,
        return_keys=_digest_of_keys(setup.directory),
    )


def _digest_of_tables(signer: TableSigner) -> str:
    if signer.tables is None:
        return ""
    tables = (signer.tables.signing, signer.tables.keys)
    text = repr([(each.kind, each.entries) for each in tables])
    return hashlib.sha256(text.encode()).hexdigest()


def _digest_of_keys(directory: Directory) -> str:
    """A digest of all keys, of whose secrets it says nothing: they are too long to be guessed."""
    if not directory.domains:
        return ""
    said = hashlib.sha256()
    for domain, entry in sorted(directory.domains.items(), key=lambda item: item[0].name):
        keyring = entry.keyring
        keys = [] if isinstance(keyring, KeyTrouble) else list(keyring.keys.values())
        for key in sorted(keys, key=lambda key: key.id):
            fingerprint = hashlib.sha256(_KEY_LABEL + key.secret).hexdigest()
            said.update(f"{domain} {key.id} {key.state.value} {fingerprint}\n".encode())
    return said.hexdigest()
