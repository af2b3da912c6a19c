"""Makes the JSON of every command, in the shapes that alignd(8) promises to scripts."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from alignd.advice.alternatives import Advice, Alternative
from alignd.advice.publication import TTL
from alignd.cli.text import record_text
from alignd.doctor.findings import TopicReport
from alignd.judgement.prediction import Prediction, Verdict
from alignd.judgement.reasons import Reason, Word
from alignd.judgement.review import Judgement, add_trace_field
from alignd.mail.domain import Domain
from alignd.mail.message import AddField, ChangeField, DeleteField, HeaderEdit, Message
from alignd.mail_store.messages import ProblemKind
from alignd.mailauth.dmarc import Policy
from alignd.mailauth.dns import LookupFailed
from alignd.mailauth.ternary import Ternary
from alignd.replay.summary import SenderSource, Summary

_NOT_PREDICTED = {
    "passes": False,
    "policy": Policy.UNKNOWN.value,
    "record_domain": None,
    "organizational_domain": None,
    "rfc7489": Verdict.UNKNOWN.value,
    "rfc9989": Verdict.UNKNOWN.value,
    "aligned": None,
}
_TRUTH = {Ternary.YES: True, Ternary.NO: False, Ternary.UNKNOWN: None}


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
        **_decision(judgement),
        "edits": [_edit(edit) for edit in edits.header],
        "envelope_sender": message.envelope_sender if moved is None else moved,
        "dry_run": judgement.settings.rules.dry_run,
    }


def advice_json(advice: Advice) -> dict[str, Any]:
    decision = _decision(advice.judgement)
    return {
        "domain": decision.pop("author_domain"),
        **decision,
        # A list of records for each alternative; today each needs only one.
        "publish": [[_publication(each)] for each in advice.alternatives],
        "cannot": advice.cannot,
    }


def examination_json(topics: tuple[TopicReport, ...]) -> dict[str, Any]:
    return {
        "findings": [
            {
                "id": finding.id.value,
                "severity": finding.severity.value,
                "topic": topic.topic.value,
                "what": finding.what,
                "why": finding.why,
                "fix": finding.fix,
            }
            for topic in topics
            for finding in topic.findings
        ],
        "checked": [
            {
                "topic": topic.topic.value,
                "findings": len(topic.findings),
                "could_not_check": [unknown.text for unknown in topic.unknown],
                "left_out": [skipped.text for skipped in topic.skipped],
                "notes": [note.text for note in topic.notes],
            }
            for topic in topics
        ],
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


def _publication(alternative: Alternative) -> dict[str, Any]:
    publication, cost = alternative.publication, alternative.after
    return {
        "name": publication.name,
        "type": publication.kind.value,
        "ttl": TTL,
        "value": publication.value,
        "replaces": [record_text(each) for each in publication.replaces],
        "checked": alternative.checked,
        "lookups": cost.lookups if cost else 0,
        "void_lookups": cost.void_lookups if cost else 0,
    }


def _decision(judgement: Judgement) -> dict[str, Any]:
    author, predictions = judgement.circumstances.author, judgement.circumstances.predictions
    prediction = predictions.as_sent if predictions else None
    return {
        "action": judgement.reason.action.value,
        "reason": judgement.reason.value,
        "author_domain": _name(author.domain),
        "dmarc": _dmarc(prediction),
        "spf": _spf(prediction),
        "dkim": _dkim(prediction),
    }


def _edit(edit: HeaderEdit) -> dict[str, Any]:
    match edit:
        case ChangeField(name, index, value):
            return {"op": "change", "name": name, "index": index, "value": value}
        case DeleteField(name, index):
            return {"op": "delete", "name": name, "index": index, "value": None}
        case AddField(name, value):
            return {"op": "add", "name": name, "index": None, "value": value}


def _dmarc(prediction: Prediction | None) -> dict[str, Any]:
    if prediction is None:
        return _NOT_PREDICTED
    organization = prediction.rfc9989.discovery.organizational_domain
    return {
        "passes": prediction.passes,
        "policy": prediction.policy.value,
        "record_domain": _name(prediction.record_domain),
        "organizational_domain": (
            None if isinstance(organization, LookupFailed) else organization.name
        ),
        "rfc7489": prediction.verdict(prediction.rfc7489).value,
        "rfc9989": prediction.verdict(prediction.rfc9989).value,
        "aligned": _TRUTH[prediction.aligned],
    }


def _spf(prediction: Prediction | None) -> dict[str, Any]:
    if prediction is None:
        return {}
    return {
        str(spf.address): {
            "result": spf.result.value,
            "domain": _name(spf.domain),
            "aligned": _TRUTH[prediction.spf_aligned],
            "explanation": spf.explanation,
            "doubt": spf.doubt,
        }
        for spf in prediction.spf
    }


def _dkim(prediction: Prediction | None) -> list[dict[str, Any]]:
    if prediction is None:
        return []
    return [
        {
            "domain": _name(dkim.domain),
            "selector": dkim.selector,
            "source": dkim.source.value,
            "result": dkim.result.value,
            "aligned": _TRUTH[aligned],
            "explanation": dkim.explanation,
        }
        for dkim, aligned in zip(prediction.dkim, prediction.dkim_aligned, strict=True)
    ]


def _name(domain: Domain | None) -> str | None:
    return domain.name if domain else None
