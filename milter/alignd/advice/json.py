"""Makes JSON of judgements and advice, in the shapes that alignd(8) promises to scripts."""

from __future__ import annotations

from typing import Any

from alignd.advice.alternatives import Advice, Alternative
from alignd.advice.publication import TTL, Impossible, Publication
from alignd.advice.report_request import ReportRequest
from alignd.judgement.prediction import Prediction, Verdict
from alignd.judgement.review import Judgement
from alignd.mail.domain import Domain
from alignd.mail.printable import record_text
from alignd.mailauth.dmarc import Policy
from alignd.mailauth.dns import LookupFailed
from alignd.mailauth.ternary import Ternary

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


def advice_json(advice: Advice) -> dict[str, Any]:
    decision = decision_json(advice.judgement)
    return {
        "domain": decision.pop("author_domain"),
        **decision,
        # A list of records for each alternative; today each needs only one.
        "publish": [[_publication(each)] for each in advice.alternatives],
        "cannot": advice.cannot,
    }


def decision_json(judgement: Judgement) -> dict[str, Any]:
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


def report_request_json(found: ReportRequest | Impossible | None) -> dict[str, Any] | None:
    """Null where reports.address is not set, or the domain is a mailbox provider's."""
    if found is None:
        return None
    if isinstance(found, Impossible):
        return {"address": None, "publish": None, "allow": None, "cannot": found.reason}
    publication, permission = found.publication, found.permission
    return {
        "address": found.address.address,
        "publish": _record(publication) if publication else None,
        "allow": _record(permission) | {"or": found.wildcard} if permission else None,
        "cannot": None,
    }


def _publication(alternative: Alternative) -> dict[str, Any]:
    cost = alternative.after
    return {
        **_record(alternative.publication),
        "checked": alternative.checked,
        "lookups": cost.lookups if cost else 0,
        "void_lookups": cost.void_lookups if cost else 0,
    }


def _record(publication: Publication) -> dict[str, Any]:
    return {
        "name": publication.name,
        "type": publication.kind.value,
        "ttl": TTL,
        "value": publication.value,
        "replaces": [record_text(each) for each in publication.replaces],
    }


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
