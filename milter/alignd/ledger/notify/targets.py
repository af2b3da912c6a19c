"""Makes the targets that the configuration names, and says what is wrong with them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict

from alignd.config.file import ConfigError, ConfigProblem
from alignd.config.settings import NotifyOptions
from alignd.ledger.answer import Finding
from alignd.ledger.event import Event, EventKind
from alignd.ledger.notify.command import Command
from alignd.ledger.notify.target import Target
from alignd.ledger.notify.webhook import Webhook, load_certificates, load_secrets


def make_targets(
    options: NotifyOptions, agent: str, environment: Mapping[str, str], now: Callable[[], float]
) -> tuple[Target, ...]:
    """Everybody who is told; *agent* is who a webhook hears from, as `alignd/0.1.0`."""
    targets: list[Target] = []
    if options.webhook:
        targets.append(Webhook(options.webhook, options.secret_file, options.ca_file, agent, now))
    if options.command:
        targets.append(Command(options.command, environment))
    return tuple(targets)


def example(kind: EventKind, event_id: str, now: float) -> Event:
    """An event of a domain that nobody has (RFC 2606), to try targets with."""
    rewritten = Finding("rewrite", "relay-not-authorised", "reject", "fail", "none")
    passes = Finding("pass", "spf-aligned", "reject", "pass", "none")
    was, then = (passes, rewritten) if kind is EventKind.BEGAN else (rewritten, passes)
    return Event(
        event_id,
        now,
        "outbound",
        "",
        "alignd-test.example",
        kind,
        json.dumps(asdict(was)),
        json.dumps(asdict(then) | {"since": now}),
        "alignd-test",
    )


def problems_of_files(options: NotifyOptions) -> Iterator[ConfigProblem]:
    """What is wrong with the files that the options name.

    The service starts all the same, and looks at them again for each event.
    """
    if options.webhook:
        for load, path in (
            (load_secrets, options.secret_file),
            (load_certificates, options.ca_file),
        ):
            try:
                load(path)
            except ConfigError as error:
                yield from error.problems
    if options.command and shutil.which(options.command[0]) is None:
        program = options.command[0]
        why = "cannot be executed: `chmod +x` it" if os.path.exists(program) else "is not there"
        yield ConfigProblem(program, 1, why)
