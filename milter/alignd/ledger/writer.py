"""Who writes to a ledger."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Writer:
    """The relay and the service that a batch comes from."""

    relay: str
    leg: str
    version: str = ""
    digest: str = ""
    """That of its configuration file."""
    is_dry_run: bool = False
