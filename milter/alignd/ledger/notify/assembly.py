"""Assembles the tellers of a service: one for each target, each in a thread of its own."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping

from alignd.config.settings import NotifyOptions
from alignd.ledger.database import open_database
from alignd.ledger.fleet.leadership import Leadership, Role
from alignd.ledger.notify.command import Command
from alignd.ledger.notify.deliveries import Choice
from alignd.ledger.notify.targets import make_targets
from alignd.ledger.notify.teller import Teller
from alignd.ledger.notify.webhook import Webhook

_ROLES = {Webhook.name: Role.TELLING_WEBHOOK, Command.name: Role.TELLING_COMMAND}


def make_tellers(
    options: NotifyOptions,
    url: str,
    version: str,
    environment: Mapping[str, str],
    on_result: Callable[[str, str, int], None],
) -> tuple[Teller, ...]:
    """Make the tellers of the events in the database at *url*; none where nobody is told.

    *version* is alignd's, and *environment* the service's.
    """
    tellers = []
    for target in make_targets(options, f"alignd/{version}", environment, time.time):
        engine = open_database(url)
        teller = Teller(
            target,
            engine,
            Choice(options.kinds, options.tenants),
            Leadership(engine, _ROLES[target.name]).is_held,
            time.time,
            _spread,
            on_result,
        )
        tellers.append(teller)
    return tuple(tellers)


def _spread() -> float:
    """So that what failed at once is not tried at once."""
    return random.uniform(0.8, 1.2)  # noqa: S311
