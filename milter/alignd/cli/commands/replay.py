"""`alignd replay`: say what the milter would do with the messages of a mail store."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import click

from alignd.cli.options import (
    CLIENT,
    CONFIG,
    EXIT_INCOMPLETE,
    EXIT_REWRITTEN,
    FILE,
    LOGIN,
    ZONE,
    load_directory,
    load_or_exit,
    open_lookups,
)
from alignd.cli.render.json import json_line, summary_json
from alignd.cli.render.summary import summary_lines
from alignd.cli.text import print_lines, with_progress
from alignd.judgement.evidence import wanted_by
from alignd.judgement.reasons import Action
from alignd.judgement.review import Reviewer, make_reviewer
from alignd.mail.ip_address import IpAddress
from alignd.mail.mailbox import envelope_address
from alignd.mail.message import MessageError
from alignd.mail_store.messages import WHOLE_BODY, ProblemKind, StoreProblem, find_messages
from alignd.mailauth.dns import Lookup
from alignd.replay.summary import Submission, Summary, judge_stored
from alignd.telemetry.log import described


@click.command()
@click.argument("path", type=FILE)
@click.option("--mail-from", help="The envelope sender of every message, in place of its own.")
@CLIENT
@LOGIN
@ZONE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@CONFIG
def replay(
    path: Path,
    mail_from: str | None,
    client: IpAddress,
    login: str,
    zone: Path | None,
    as_json: bool,
    config: Path,
) -> None:
    """Say what the milter would do with the messages at PATH. Changes nothing.

    PATH is an mbox of any variant, a Maildir with its folders, a file with one message, or a
    directory that is searched for them. It is read one message at a time; nothing in it is
    written, moved or locked.

    The envelope sender is that of Return-Path, else the author; the recipients are those of
    X-Original-To and Delivered-To. Files that are not messages are named and counted. Exit status
    0 if no message would be rewritten; 1 if some would; 2 if something could not be read or
    judged, or there is no message.

    The object of --json has messages (their number), domains (a list: author_domain, null if From
    is unreadable, messages, and results, a list: messages, action, reason, policy), totals (by
    action, reason and policy), envelope_senders (by source), troubles (by kind) and problems (a
    list, the first hundred of each kind: name, trouble, problem).

    \b
    Examples:
      alignd replay /var/mail/sent --config /etc/alignd/alignd.conf
      alignd replay ~/Maildir --mail-from app@helpdesk.example --json
    """
    configuration, signer = load_or_exit(config, exit_status=EXIT_INCOMPLETE)
    directory = load_directory(configuration)
    reviewer = make_reviewer(configuration, signer, time.time, directory=directory)
    sender = None if mail_from is None else envelope_address(mail_from)
    submission = Submission(client, login, sender)
    summary = _summarise(path, submission, reviewer, open_lookups(zone, configuration.dns))
    if as_json:
        click.echo(json_line(summary_json(summary)))
    else:
        print_lines(summary_lines(summary, is_dry=configuration.rules.dry_run))
    sys.exit(_exit_status(summary))


def _summarise(
    path: Path, submission: Submission, reviewer: Reviewer, new_lookup: Callable[[], Lookup]
) -> Summary:
    max_body = WHOLE_BODY if wanted_by(reviewer.configuration).line_length else 0
    summary = Summary()
    found = with_progress(find_messages(path), lambda: _count(find_messages(path)), "messages")
    for stored in found:
        data = stored if isinstance(stored, StoreProblem) else stored.read(max_body)
        if isinstance(data, StoreProblem):
            summary.skip(data)
            continue
        try:
            row, source = judge_stored(data, submission, reviewer, new_lookup())
        except MessageError as error:
            problem = f"not a message: {error}"
            summary.skip(StoreProblem(stored.name, ProblemKind.BROKEN, problem))
        except Exception as error:  # a bug with one message must not lose all the others
            summary.skip(StoreProblem(stored.name, ProblemKind.FAILED, described(error)))
        else:
            summary.add(row, source)
    return summary


def _count(items: Iterable[object]) -> int:
    return sum(1 for _ in items)


def _exit_status(summary: Summary) -> int:
    skipped = summary.skipped
    if not summary.messages or skipped[ProblemKind.UNREADABLE] or skipped[ProblemKind.FAILED]:
        return EXIT_INCOMPLETE
    return EXIT_REWRITTEN if summary.totals(lambda row: row.action)[Action.REWRITE] else 0
