"""`alignd reports summary`: hold what receivers reported against what was predicted."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from alignd.advice.alternatives import advise
from alignd.cli.ledgers import Asked, Since, opened, takes_database
from alignd.cli.names import read_authors
from alignd.cli.options import (
    EXIT_INCOMPLETE,
    ZONE,
    InputError,
    load_directory,
    load_or_exit,
    open_lookups,
)
from alignd.cli.render.json import json_line
from alignd.cli.render.receivers import Records, joined_json, joined_lines
from alignd.cli.text import print_lines, with_progress
from alignd.config.settings import Configuration
from alignd.config.signer import TableSigner
from alignd.judgement.review import make_reviewer
from alignd.ledger.batch import DAY
from alignd.ledger.receivers.read import TooLargeError, receivers
from alignd.mail.domain import Domain, DomainError
from alignd.mailauth.dns import Lookup
from alignd.reports.joined import Joined, join
from alignd.reports.receivers.needless import Candidate
from alignd.service.setup import Leg

_EXIT_FAILURE = 1
"""Mail fails that was to pass."""
_DAYS = 30
_MAX_RECORDS = 50
_RECORDS = 3


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which mail it is about."""

    tenant: str | None
    domain: str | None
    since: float
    until: float


def _takes_wanted(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* the options that say which mail it is about, as one."""

    @click.option(
        "--since",
        type=Since(),
        help="Days from then on: 2026-07-01, or 7d ago; 30 days if it is missing.",
    )
    @click.option("--until", type=Since(), help="Days before then, in the same way; else all.")
    @click.option("--domain", help="Only this author domain.")
    @click.option("--tenant", help="Only domains that this tenant sends as; '' is none of them.")
    @wraps(command)
    def with_wanted(
        since: float | None,
        until: float | None,
        domain: str | None,
        tenant: str | None,
        **others: Any,
    ) -> None:
        now = time.time()
        span = now - _DAYS * DAY if since is None else since, now if until is None else until
        if span[0] >= span[1]:
            raise click.UsageError("--since is not before --until")
        command(wanted=_Wanted(tenant, _name(domain), *span), **others)

    return with_wanted


@click.command()
@_takes_wanted
@click.option(
    "--records",
    type=click.IntRange(0, _MAX_RECORDS),
    default=_RECORDS,
    show_default=True,
    help="For how many domains that could stop being rewritten DNS is asked for the record.",
)
@ZONE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@takes_database
def summary(asked: Asked, wanted: _Wanted, records: int, zone: Path | None, as_json: bool) -> None:
    """Hold what receivers reported against what alignd predicted.

    Of the reports that are stored: first, whether rewritten mail fails, or mail that was left
    alone because it would pass; each with the likely reason and what mends it. Then the share that
    passes of rewritten mail by receiver, and of other mail by receiver and by author domain,
    beside the share that was to pass; how often alignd was right, by month; and what was rewritten
    needlessly, which is an estimate. Last, the domains that could stop being rewritten, those with
    most messages first, with the record that they publish.

    Receivers sample, cut and shift days, so that shares are compared and never counts. Days (UTC)
    on which the state of a domain changed decide nothing, and are named; a period over two days
    needs both. Forwarding is told apart.

    Exit status 1 if rewritten mail fails, or mail that was to pass; else 2 if there is no report,
    or the ledger cannot be read; else 0.

    The object of --json has reports, newest (a Unix time), rewritten and left_alone (by receiver),
    domains (by author_domain), disagreements (kind, cause, author_domain, receiver, address, dkim,
    spf, messages, meaning, fix), forwarded, undecided (author_domain, why, messages, failed),
    precision (by month), needless (messages and what they are of) and could_stop (author_domain,
    messages, reason, record). Shares are null where receivers said nothing.

    \b
    Examples:
      alignd reports summary --since 90d
      alignd reports summary --domain mycompany.com --json
    """
    configuration, signer = load_or_exit(asked.config, EXIT_INCOMPLETE)
    url = asked.url
    try:
        with opened(url) as ledger:
            found = receivers(ledger, Leg.OUTBOUND.value, *astuple(wanted))
    except TooLargeError as error:
        raise InputError(str(error)) from error
    joined = join(found, is_dry=any(each.rules.dry_run for each in configuration.all_settings))
    lookups = open_lookups(zone, configuration.dns, shared=False)
    made = _records(joined.candidates[:records], lookups, configuration, signer)
    if as_json:
        click.echo(json_line(joined_json(joined, made)))
    else:
        print_lines(joined_lines(joined, made))
    sys.exit(_exit_status(joined))


def _records(
    candidates: Iterable[Candidate],
    lookups: Callable[[], Lookup],
    configuration: Configuration,
    signer: TableSigner,
) -> Records:
    """What each of the *candidates* can publish."""
    authors, _ = read_authors([each.domain for each in candidates], None)
    if not authors:
        return {}
    directory = load_directory(configuration)
    reviewer = make_reviewer(configuration, signer, time.time, directory=directory)
    progress = with_progress(authors, lambda: len(authors), "asking DNS")
    return {author.domain.name: advise(reviewer, author, lookups()) for author in progress}


def _name(domain: str | None) -> str | None:
    try:
        return None if domain is None else Domain.parse(domain).name
    except DomainError as error:
        raise click.UsageError(str(error)) from error


def _exit_status(joined: Joined) -> int:
    if joined.has_failure:
        return _EXIT_FAILURE
    return 0 if joined.reports else EXIT_INCOMPLETE
