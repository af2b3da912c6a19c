"""A review and an advice as data: the JSON of the commands, and the fields of a log line."""

from __future__ import annotations

from typing import Any

from alignd.advice.alternatives import Advice, Alternative
from alignd.advice.publication import TTL
from alignd.judgement.prediction import Prediction, Verdict
from alignd.judgement.review import Judgement, add_trace_field
from alignd.mail.domain import Domain
from alignd.mail.message import AddField, ChangeField, DeleteField, HeaderEdit, Message
from alignd.mailauth.dmarc import Policy
from alignd.mailauth.dns import LookupFailed
from alignd.mailauth.ternary import Ternary

_NOT_ASKED = {
    "passes": False,
    "policy": Policy.UNKNOWN.value,
    "record_domain": None,
    "organizational_domain": None,
    "rfc7489": Verdict.UNKNOWN.value,
    "rfc9989": Verdict.UNKNOWN.value,
    "aligned": None,
}
_TRUTH = {Ternary.YES: True, Ternary.NO: False, Ternary.UNKNOWN: None}


def as_json(message: Message, judgement: Judgement) -> dict[str, Any]:
    """The judgement of *message* in the shape that the man page promises to scripts.

    What was not asked is unknown: a message that is skipped, or whose author is unreadable, has
    no prediction.
    """
    edits = add_trace_field(judgement)
    moved = edits.envelope_sender
    return {
        **_decision(judgement),
        "edits": [_edit(edit) for edit in edits.header],
        "envelope_sender": message.envelope_sender if moved is None else moved,
        "dry_run": judgement.settings.rules.dry_run,
    }


def advice_as_json(advice: Advice) -> dict[str, Any]:
    """The advice in the shape that the man page promises to scripts."""
    decision = _decision(advice.judgement)
    return {
        "domain": decision.pop("author_domain"),
        **decision,
        # Each alternative needs one record.
        "publish": [[_publication(each)] for each in advice.alternatives],
        "cannot": advice.cannot,
    }


ADVICE_COLUMNS = (
    *("domain", "action", "reason", "policy", "spf", "dkim"),
    *("type", "name", "ttl", "value", "replaces", "lookups", "void_lookups", "cannot"),
)
"""The names of the columns of `advice_as_row`."""


def advice_as_row(advice: Advice) -> tuple[str, ...]:
    """The advice in one row: the results in the order of the relay addresses, the best record."""
    prediction = advice.prediction
    row = {
        "domain": advice.author.domain.name,
        "action": advice.judgement.reason.action.value,
        "reason": advice.judgement.reason.value,
        "policy": prediction.policy.value,
        "spf": " ".join(spf.result.value for spf in prediction.spf),
        "dkim": " ".join(dkim.result.value for dkim in prediction.dkim),
        "cannot": advice.cannot or "",
    }
    if advice.alternatives:
        best = _publication(advice.alternatives[0])
        row |= {name: str(best[name]) for name in ADVICE_COLUMNS if name in best}
        row["replaces"] = " | ".join(best["replaces"])
    return tuple(row.get(name, "") for name in ADVICE_COLUMNS)


def record_text(record: bytes) -> str:
    """The text of a record from DNS, where it may be anything."""
    try:
        return record.decode("utf-8")
    except UnicodeDecodeError:
        return record.decode("latin-1")


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
        return _NOT_ASKED
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
