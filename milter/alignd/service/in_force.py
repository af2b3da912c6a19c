"""Describes a setup for the status document, in digests and numbers.

`alignd doctor` describes the files in the same way, and compares.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from importlib.metadata import version

from alignd.config.domain_lists import SuffixList
from alignd.config.nameservers import RESOLV_CONF
from alignd.config.signer import TableSigner
from alignd.return_path.keyring import Keyring
from alignd.service.setup import Setup
from alignd.telemetry.status import InForce, ReturnDomain, Versions

_CONFIGURED = "dns.nameservers"
_MOST_DOMAINS = 50  # of return addresses: the status document has bounded room


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
        leg=setup.leg.value,
        return_domains=tuple(_return_domains(setup)),
        return_domain_count=len(setup.directory.domains),
    )


def _return_domains(setup: Setup) -> Iterator[ReturnDomain]:
    paths = {
        each.return_domain: each.return_path.keys
        for each in setup.configuration.all_settings
        if each.return_path.keys
    }
    for domain in sorted(setup.directory.domains, key=str)[:_MOST_DOMAINS]:
        read = setup.keys[paths[domain]]
        keys = read.keyring.keys.values() if isinstance(read.keyring, Keyring) else ()
        states = {key.id: key.state.value for key in keys}
        yield ReturnDomain(str(domain), states, keys_are_old=bool(states and read.problem))


def _digest_of_tables(signer: TableSigner) -> str:
    if signer.tables is None:
        return ""
    tables = (signer.tables.signing, signer.tables.keys)
    text = repr([(each.kind, each.entries) for each in tables])
    return hashlib.sha256(text.encode()).hexdigest()
