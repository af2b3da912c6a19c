"""Makes the JSON of every command, in the shapes that alignd(8) promises to scripts."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from alignd.advice.json import decision_json
from alignd.judgement.reasons import Reason, Word
from alignd.judgement.review import Judgement, add_trace_field
from alignd.mail.domain import Domain
from alignd.mail.message import AddField, ChangeField, DeleteField, HeaderEdit, Message
from alignd.mail_store.messages import ProblemKind
from alignd.replay.summary import SenderSource, Summary


def json_line(value: dict[str, Any]) -> str:
    """Render a JSON object on one line of ASCII, free of characters that control a terminal."""
    # json escapes every control character but DEL.
    return json.dumps(value).replace("\x7f", "\\u007f")


def judgement_json(message: Message, judgement: Judgement) -> dict[str, Any]:
    """The judgement of *message*.

    A message that is skipped, or whose author is unreadable, has no prediction: what was not
    looked up is unknown.
    """
    edits = add_trace_field(judgement)
    moved = edits.envelope_sender
    return {
        **decision_json(judgement),
        "edits": [_edit(edit) for edit in edits.header],
        "envelope_sender": message.envelope_sender if moved is None else moved,
        "dry_run": judgement.settings.rules.dry_run,
    }


def summary_json(summary: Summary) -> dict[str, Any]:
    return {
        "messages": summary.messages,
        "domains": [
            {
                "author_domain": _name(domain),
                "messages": sum(count for _, count in rows),
                "results": [
                    {
                        "messages": count,
                        "action": row.action.value,
                        "reason": row.reason.value,
                        "policy": row.policy.value,
                    }
                    for row, count in rows
                ],
            }
            for domain, rows in summary.by_author_domain()
        ],
        "totals": {
            "action": _by_value(summary.totals(lambda row: row.action)),
            "reason": _by_value(summary.totals(lambda row: row.reason)),
            "policy": _by_value(summary.totals(lambda row: row.policy)),
        },
        "envelope_senders": {source.value: summary.senders[source] for source in SenderSource},
        "troubles": {kind.value: summary.skipped[kind] for kind in ProblemKind},
        "problems": [
            {"name": each.name, "trouble": each.kind.value, "problem": each.text}
            for each in summary.problems
        ],
    }


def word_json(word: Word) -> dict[str, Any]:
    rule = word.rule if isinstance(word, Reason) else None
    return {
        "word": word.value,
        "key": word.key,
        "meaning": word.text.meaning,
        "fix": word.text.fix,
        "rule": rule.value if rule else None,
        "options": list(word.text.options),
    }


def _by_value(totals: Counter[Any]) -> dict[str, int]:
    return {member.value: count for member, count in totals.most_common()}


def _edit(edit: HeaderEdit) -> dict[str, Any]:
    match edit:
        case ChangeField(name, index, value):
            return {"op": "change", "name": name, "index": index, "value": value}
        case DeleteField(name, index):
            return {"op": "delete", "name": name, "index": index, "value": None}
        case AddField(name, value):
            return {"op": "add", "name": name, "index": None, "value": value}


def _name(domain: Domain | None) -> str | None:
    return domain.name if domain else None
