"""`alignd ledger`: what happened to each author domain, and since when."""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from alignd.cli.ledgers import (
    Asked,
    Since,
    is_there,
    opened,
    places_of,
    reported,
    takes_database,
    takes_ledger,
)
from alignd.cli.options import (
    CONFIG,
    EXIT_INCOMPLETE,
    EXIT_REWRITTEN,
    Format,
    InputError,
    load_or_exit,
)
from alignd.cli.render import csv
from alignd.cli.render.json import json_line
from alignd.cli.render.ledger import (
    DAY_COLUMNS,
    DOMAIN_COLUMNS,
    RELAY_COLUMNS,
    history_lines,
    overview_lines,
    relay_lines,
)
from alignd.cli.text import print_lines
from alignd.judgement.reasons import Action
from alignd.ledger.batch import DAY
from alignd.ledger.database import open_database
from alignd.ledger.event import EventKind, object_in
from alignd.ledger.migration import migrate as migrate_database
from alignd.ledger.migration import require_schema
from alignd.ledger.notify.target import NotTakenError
from alignd.ledger.notify.targets import example, make_targets
from alignd.ledger.queries.export import JSON_TEXTS, TIMES, WHOLE_DAYS, Exported, columns
from alignd.ledger.queries.export import export as export_rows
from alignd.ledger.queries.forget import forget as forget_domain
from alignd.ledger.queries.history import history
from alignd.ledger.queries.json import (
    date,
    day_json,
    domain_json,
    history_json,
    instant,
    relay_json,
)
from alignd.ledger.queries.overview import (
    SHOWN_DAYS,
    Order,
    Selection,
    other_messages,
    overview,
)
from alignd.ledger.queries.relays import relays as all_relays
from alignd.mail.domain import Domain, DomainError
from alignd.mail.printable import printable
from alignd.service.setup import Leg

_ANY_DOMAIN = "DOMAIN"
"""Stands for the name of an author domain in the list of commands."""
_SILENT = 1
"""The exit status if a relay is silent."""
_NOT_TAKEN = 1
"""The exit status if somebody has not taken an event."""


class _Commands(click.Group):
    """Commands, and one for whatever else is the name of a domain."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order in which they are written."""
        del ctx
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a name with a dot is a domain."""
        if "." in args[0].strip("."):
            return args[0], self.commands[_ANY_DOMAIN], args[1:]
        return super().resolve_command(ctx, args)


def _formats(of_json: str, of_csv: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options --json and --csv, which print *of_json* and *of_csv*."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        as_csv = click.option("--csv", "form", flag_value=Format.CSV, help=f"Print {of_csv}.")
        as_json = click.option("--json", "form", flag_value=Format.JSON, help=f"Print {of_json}.")
        return as_json(as_csv(command))

    return decorate


def _takes_selection(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* the options that say which domains are shown, as one, and their order.

    The leg of the selection is empty: it is one of the ledger's options.
    """

    @click.option(
        "--state",
        "states",
        multiple=True,
        type=click.Choice([action.value for action in Action if action is not Action.SKIP]),
        help="Only domains whose mail meets this now; may be given more than once.",
    )
    @click.option("--tenant", help="Only this tenant's, by its name; '' is none of them.")
    @click.option("--domain", "pattern", default="", help="Only domains like '*.example.com'.")
    @click.option(
        "--since",
        type=Since(),
        default=0.0,
        help="Only domains whose state began then or later: 2026-07-01, or 7d or 12h ago.",
    )
    @click.option(
        "--sort",
        type=click.Choice([order.value for order in Order]),
        default=Order.MESSAGES.value,
        show_default=True,
        help="What comes first: most messages of 30 days or of a day, what changed or sent last, "
        "or the alphabet.",
    )
    @wraps(command)
    def with_selection(
        states: tuple[str, ...],
        tenant: str | None,
        pattern: str,
        since: float,
        sort: str,
        **others: Any,
    ) -> None:
        selection = Selection("", states, tenant, pattern.lower(), since)
        command(selection=selection, order=Order(sort), **others)

    return with_selection


@click.group(
    cls=_Commands, invoke_without_command=True, subcommand_metavar="[DOMAIN | COMMAND [ARGS]...]"
)
@_takes_selection
@_formats("one JSON object on each line", "one row for each domain")
@takes_ledger
@click.pass_context
def ledger(
    context: click.Context,
    asked: Asked,
    selection: Selection,
    order: Order,
    form: Format | None,
) -> None:
    """Say what happened to each author domain, and since when.

    A table of the domains that sent mail through this relay, or through those that share its
    database: what happens to a message now, since when that is so, messages of 24 hours and of 30
    days and, on a terminal, a bar for every three of these. Domains with one reason stand
    together, below what would help. With DOMAIN, all that is known of one. Times are UTC.

    Exit status 0 if no domain shown is rewritten; 1 if some is; 2 if the ledger cannot be read.

    \b
    Examples:
      alignd ledger --state rewrite
      alignd ledger mycompany.com
      alignd ledger --since 7d --sort since
      alignd ledger --tenant mycompany --csv > mycompany.csv
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
    selection = replace(selection, leg=asked.leg.value)
    now = time.time()
    with opened(asked.url) as open_ledger:
        rows = overview(open_ledger, selection, now, order)
        is_narrow = selection.pattern or selection.since
        others = 0 if is_narrow else other_messages(open_ledger, selection, now)
    if form is None:
        print_lines(overview_lines(rows, others, has_sparkline=sys.stdout.isatty()))
    else:
        _print_objects([domain_json(row, selection.leg) for row in rows], form, DOMAIN_COLUMNS)
    sys.exit(EXIT_REWRITTEN if any(row.is_rewritten for row in rows) else 0)


def _refuse_options(context: click.Context) -> None:
    """Refuse options before the name of a command or a domain: they would say nothing."""
    sources = (context.get_parameter_source(each.name or "") for each in context.command.params)
    if ParameterSource.COMMANDLINE in sources:
        name = context.invoked_subcommand
        raise click.UsageError(f"write the options behind {name!r}", context)


@ledger.command(_ANY_DOMAIN)
@click.option(
    "--since",
    type=Since(),
    help="Days and events from then on: 2026-07-01, or 7d or 12h ago; 30 days if it is missing.",
)
@_formats("one JSON object", "one row for each day, action and reason")
@takes_ledger
@click.pass_context
def one_domain(
    context: click.Context, asked: Asked, since: float | None, form: Format | None
) -> None:
    """Say what happened to one author domain.

    What happens to its mail now, for each tenant that sends from it; what changed, and its
    messages by day, the newest first.

    Exit status 0 if it is not rewritten now; 1 if it is; 2 if the ledger does not know it, or
    cannot be read.

    \b
    Examples:
      alignd ledger mycompany.com
      alignd ledger mycompany.com --since 365d --csv
    """
    name = _domain(context.info_name or "", context)
    now = time.time()
    start = now - (SHOWN_DAYS - 1) * DAY if since is None else since
    with opened(asked.url) as open_ledger:
        found = history(open_ledger, asked.leg.value, name, start, now)
    if not found.is_known:
        raise InputError(
            f"{name}: the ledger does not know it: no mail of it, or none for longer than it "
            "keeps. `alignd domain` says what would happen to it"
        )
    match form:
        case Format.JSON:
            click.echo(json_line(history_json(found)))
        case Format.CSV:
            _print_objects(list(map(day_json, found.days)), form, DAY_COLUMNS)
        case None:
            print_lines(history_lines(found, has_sparkline=sys.stdout.isatty()))
    sys.exit(EXIT_REWRITTEN if any(state.is_rewritten for state in found.states) else 0)


@ledger.command()
@click.argument(
    "what", type=click.Choice([each.value for each in Exported]), default=Exported.DAYS.value
)
@click.option("--since", type=Since(), default=0.0, help="Rows from then on; else all.")
@_formats("one JSON object on each line", "CSV with a heading, as without it")
@takes_ledger
def export(asked: Asked, what: str, since: float, form: Format | None) -> None:
    """Print all rows, for a spreadsheet or another program.

    Messages by day, which is the default, or by hour, states, or events; replies of receivers that
    refused mail as not authenticated, the reports that were read, and the messages in them.

    \b
    Examples:
      alignd ledger export > days.csv
      alignd ledger export events --since 7d --json
    """
    exported = Exported(what)
    names = columns(exported)
    with opened(asked.url) as open_ledger:
        if form is not Format.JSON:
            click.echo(csv.row(names))
        for row in export_rows(open_ledger, exported, asked.leg.value, since):
            cells = {name: _cell(name, value) for name, value in zip(names, row, strict=True)}
            if form is Format.JSON:
                click.echo(json_line({name: _whole(name, cells[name]) for name in names}))
            else:
                click.echo(csv.row(_texts(cells, names)))


@ledger.command()
@_formats("one JSON object on each line", "one row for each relay")
@takes_database
def relays(asked: Asked, form: Format | None) -> None:
    """List the relays that write to the ledger, the silent ones marked.

    A relay says each minute that it is alive; one that has not for ten is silent. Relays whose
    configuration file is the same have the same word in the column "file".

    Exit status 0 if all write; 1 if one is silent; 2 if the ledger cannot be read.

    \b
    Example:
      alignd ledger relays
    """
    with opened(asked.url) as open_ledger:
        rows = all_relays(open_ledger, time.time())
    if form is None:
        print_lines(relay_lines(rows))
    else:
        _print_objects(list(map(relay_json, rows)), form, RELAY_COLUMNS)
    sys.exit(_SILENT if any(row.is_silent for row in rows) else 0)


@ledger.command()
@takes_ledger
def migrate(asked: Asked) -> None:
    """Bring the tables of the ledger to the version of this alignd.

    The service does so when it starts. This is for a database whose administrator alone may change
    its tables. There is no way back to an earlier version.

    \b
    Example:
      alignd ledger migrate --database postgresql://admin@db/alignd
    """
    url = asked.url
    with reported(url):
        done = migrate_database(open_database(url))
    if done.before == done.now:
        click.echo(f"The ledger has schema {done.now} already.")
    else:
        click.echo(f"The ledger has schema {done.now}; it had {done.before or 'none'}.")


@ledger.command()
@click.argument("domain")
@takes_database
@click.pass_context
def forget(context: click.Context, asked: Asked, domain: str) -> None:
    """Remove an author domain for good, both ways.

    Its numbers, its state and its events go, what receivers said of its mail, and what waits on
    this machine to be written. If it sends again, it is counted again.

    \b
    Example:
      alignd ledger forget mycompany.com
    """
    name = _domain(domain, context)
    removed = 0
    for url in _urls_of_all(asked):
        with reported(url), open_database(url).begin() as connection:
            require_schema(connection)
            removed += forget_domain(connection, name)
    if not removed:
        click.echo(f"There was nothing of {name}.")
        return
    click.echo(f"Removed {removed} rows of {name}.")
    click.echo(
        "What was answered in the last minute, or waits at another relay, may still come: run "
        "this again then."
    )


@ledger.command("notify-test")
@click.option(
    "--kind",
    metavar="KIND",
    type=click.Choice([kind.value for kind in EventKind]),
    default=EventKind.STOPPED.value,
    show_default=True,
    help="The kind of the event: one that notify.kinds takes.",
)
@CONFIG
def notify_test(config: Path, kind: str) -> None:
    """Tell the webhook and the command of an event of alignd-test.example, once.

    It is no event of the ledger, and notify.kinds and notify.tenants have no say in it. Run it as
    the user of the service, which reads the files and runs the command.

    Exit status 0 if all have taken it; 1 if one has not; 2 if nobody is told of events.

    \b
    Example:
      alignd ledger notify-test --kind began
    """
    configuration, _ = load_or_exit(config, EXIT_INCOMPLETE)
    event = example(EventKind(kind), str(uuid.uuid4()), time.time())
    agent = f"alignd/{version('alignd')}"
    targets = make_targets(configuration.notify, agent, os.environ, time.time)
    if not targets:
        raise InputError("nobody is told of events: set notify.webhook or notify.command")
    untaken = 0
    for target in targets:
        try:
            target.tell(event, threading.Event())
        except NotTakenError as error:
            untaken += 1
            click.echo(printable(f"{target.name}: {error}"), err=True)
        else:
            click.echo(f"{target.name}: taken, as event {event.id}")
    sys.exit(_NOT_TAKEN if untaken else 0)


def _urls_of_all(asked: Asked) -> list[str]:
    """All databases that have something of a domain, those first from which more may come.

    Raises:
        InputError: there is none.
    """
    if asked.database is not None:
        return [asked.url]
    places = places_of(asked.config, tuple(Leg))
    files = dict.fromkeys(f"sqlite:///{place.file}" for place in places)
    shared = dict.fromkeys(place.shared_url for place in places if place.shared_url)
    there = [url for url in files if is_there(url)]
    if not there and not shared:
        return [asked.url]  # says what is missing
    return [*there, *shared]


def _domain(text: str, context: click.Context) -> str:
    try:
        return Domain.parse(text).name
    except DomainError as error:
        raise click.UsageError(str(error), context) from error


def _cell(name: str, value: Any) -> Any:
    if name not in TIMES:
        return value
    return date(value) if name in WHOLE_DAYS else instant(value)


def _whole(name: str, cell: Any) -> Any:
    """What a cell is within JSON: an object where it is the text of one."""
    if name not in JSON_TEXTS:
        return cell
    return object_in(cell) if cell else None


def _texts(cells: dict[str, Any], names: tuple[str, ...]) -> list[str]:
    found = (cells[name] for name in names)
    return ["" if cell is None else str(cell) for cell in found]


def _print_objects(objects: list[dict[str, Any]], form: Format, names: tuple[str, ...]) -> None:
    """Print *objects* in a format for scripts; their CSV has the columns *names*."""
    if form is Format.CSV:
        click.echo(csv.row(names))
    for each in objects:
        click.echo(json_line(each) if form is Format.JSON else csv.row(_texts(each, names)))
