"""Where the ledger of a service is, for those who do not open it: without SQLAlchemy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alignd.config import settings
from alignd.ledger.place import LedgerPlace, place_of
from alignd.ledger.writer import Writer
from alignd.service.setup import Leg, Setup


@dataclass(frozen=True, slots=True)
class LedgerOptions:
    """What the process is started with; it is replaced when they change."""

    place: LedgerPlace
    writer: Writer
    setup: Setup
    """As it was loaded, with all that it names."""

    @classmethod
    def of(
        cls, setup: Setup, environment: Mapping[str, str], version: str
    ) -> LedgerOptions | None:
        """The ledger of this setup, if there is one; *version* is alignd's."""
        place = ledger_place(setup.configuration.ledger, setup.leg, environment)
        if place is None:
            return None
        configuration = setup.configuration
        writer = Writer(
            configuration.ledger.name_of(configuration.relay),
            setup.leg.value,
            version,
            setup.digest,
            configuration.rules.dry_run,
        )
        return cls(place, writer, setup)


def ledger_place(
    options: settings.LedgerOptions, leg: Leg, environment: Mapping[str, str]
) -> LedgerPlace | None:
    """Where the ledger of the service of this leg is, if there is one."""
    suffix = "-return" if leg is Leg.RETURN else ""
    return place_of(options, environment, suffix)
