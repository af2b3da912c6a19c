"""`alignd replay`: says what would become of a corpus of messages, before the first is touched."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from alignd.cli.options import (
    CLIENT,
    CONFIG,
    EXIT_CANNOT_SAY,
    EXIT_REWRITTEN,
    FILE,
    LOGIN,
    ZONE,
    load,
    open_lookups,
)
from alignd.cli.text import Line, Style, fold, show, with_progress
from alignd.judgement.reasons import Action
from alignd.judgement.review import Reviewer, make_reviewer
from alignd.mail.ip_address import IpAddress
from alignd.mail.mailbox import envelope_address
from alignd.mail.message import MessageError
from alignd.mailauth.dns import Lookup
from alignd.replay.mail_store import Problem, Trouble, walk
from alignd.replay.summary import SenderSource, Submission, Summary, judge
from alignd.telemetry.log import described

_FOUND_AS = {
    SenderSource.OPTION: "given by --mail-from",
    SenderSource.RETURN_PATH: "taken from Return-Path",
    SenderSource.AUTHOR: "assumed to be the author",
    SenderSource.NOTHING: "assumed to be null, as there is no author",
}
_COUNTED = {
    Trouble.BROKEN: "not counted, as they are no messages",
    Trouble.UNREADABLE: "could not be read",
    Trouble.FAILED: "could not be judged, which is a bug: please report them",
}
_ROW = "{:>8}  {:<8}  {:<23}  {:<10}  {}"


@click.command()
@click.argument("corpus", type=FILE)
@click.option(
    "--mail-from", help="The envelope sender of all of them, in place of each message's own."
)
@CLIENT
@LOGIN
@ZONE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@CONFIG
def replay(
    corpus: Path,
    mail_from: str | None,
    client: IpAddress,
    login: str,
    zone: Path | None,
    as_json: bool,
    config: Path,
) -> None:
    """Say what the milter would do with the messages of CORPUS. Changes nothing.

    CORPUS is an mbox, a Maildir, or a directory that is searched for them and for files of one
    message. It is read, one message at a time; nothing in it is written, moved or locked.

    The envelope sender is that of Return-Path, else the author, and the recipients are those of
    X-Original-To and Delivered-To. What is no message is named and counted. Exit status 0 when
    none would be rewritten, 1 when some would, 2 when something could not be read or judged, or
    there is no message.

    The object of --json has messages (their number), domains (a list: author_domain, null where
    From is unreadable, messages, and results, a list: messages, action, reason, policy), totals
    (by action, reason and policy), envelope_senders (by where they are from), troubles (by kind)
    and problems (a list, the first hundred of each kind: name, trouble, problem).

    \b
    Examples:
      alignd replay /var/mail/sent --config /etc/alignd/alignd.conf
      alignd replay ~/Maildir --mail-from app@helpdesk.example --json
    """
    configuration, signer = load(config, exit_status=EXIT_CANNOT_SAY)
    reviewer = make_reviewer(configuration, signer, time.time)
    sender = None if mail_from is None else envelope_address(mail_from)
    submission = Submission(client, login, sender)
    summary = _summary(corpus, submission, reviewer, open_lookups(zone, configuration.dns))
    if as_json:
        click.echo(json.dumps(summary.as_json()))
    else:
        show(_story(summary, is_dry=configuration.rules.dry_run))
    sys.exit(_exit_status(summary))


def _summary(
    corpus: Path, submission: Submission, reviewer: Reviewer, new_lookup: Callable[[], Lookup]
) -> Summary:
    # One more than is kept, so that what is too large is seen to be.
    needed = reviewer.configuration.milter.max_body_bytes + 1
    max_body = needed if reviewer.configuration.dkim.verify else 0
    summary = Summary()
    for stored in with_progress(walk(corpus), lambda: sum(1 for _ in walk(corpus)), "messages"):
        data = stored if isinstance(stored, Problem) else stored.read(max_body)
        if isinstance(data, Problem):
            summary.note(data)
            continue
        try:
            result, source = judge(data, submission, reviewer, new_lookup())
        except MessageError as error:
            problem = f"not a message: {error}"
            summary.note(Problem(stored.name, Trouble.BROKEN, problem))
        except Exception as error:  # a bug of ours is no reason to be silent on all the others
            summary.note(Problem(stored.name, Trouble.FAILED, described(error)))
        else:
            summary.results[result] += 1
            summary.senders[source] += 1
    return summary


def _story(summary: Summary, *, is_dry: bool) -> Iterator[Line]:
    yield Line(
        _ROW.format("messages", "action", "reason", "policy", "author domain").rstrip(),
        Style.HEADING,
    )
    for domain, results in summary.by_author_domain():
        for result, count in results:
            policy = result.policy.value
            row = _ROW.format(count, result.action.value, result.reason.value, policy, "")
            yield from fold(domain.name if domain else "(unreadable)", row, " " * len(row))
    yield Line("")
    actions = summary.actions()
    of_each = ", ".join(f"{actions[action]} {action.value}" for action in Action)
    yield from fold(f"{summary.messages} messages: {of_each}", style=Style.HEADING)
    for source, count in summary.senders.most_common():
        yield from fold(f"The envelope sender of {count} was {_FOUND_AS[source]}.")
    if is_dry:
        yield from fold("rules.dry_run is set: the milter would log this and change nothing.")
    for trouble, count in summary.troubles.most_common():
        yield from fold(f"{count} {_COUNTED[trouble]}:")
        named = [problem for problem in summary.problems if problem.trouble is trouble]
        for problem in named:
            yield from fold(f"{problem.name}: {problem.text}", "  ", "    ")
        if len(named) < count:
            yield Line(f"  and {count - len(named)} more")


def _exit_status(summary: Summary) -> int:
    troubles = summary.troubles
    if not summary.messages or troubles[Trouble.UNREADABLE] or troubles[Trouble.FAILED]:
        return EXIT_CANNOT_SAY
    return EXIT_REWRITTEN if summary.actions()[Action.REWRITE] else 0
