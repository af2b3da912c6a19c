"""Makes rows of CSV: those of `alignd domain`, and of any cells."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from alignd.advice.alternatives import Advice
from alignd.advice.json import advice_json
from alignd.mail.printable import printable

COLUMNS = (
    *("domain", "action", "reason", "policy", "spf", "dkim"),
    *("type", "name", "ttl", "value", "replaces", "lookups", "void_lookups", "cannot"),
)


def heading() -> str:
    return row(COLUMNS)


def advice_row(advice: Advice) -> str:
    """The results in the order of the relay addresses, and the best record to publish."""
    prediction = advice.prediction
    cells = {
        "domain": advice.author.domain.name,
        "action": advice.judgement.reason.action.value,
        "reason": advice.judgement.reason.value,
        "policy": prediction.policy.value,
        "spf": " ".join(spf.result.value for spf in prediction.spf),
        "dkim": " ".join(dkim.result.value for dkim in prediction.dkim),
        "cannot": advice.cannot or "",
    }
    if advice.alternatives:
        ((best,), *_) = advice_json(advice)["publish"]
        cells |= {name: str(best[name]) for name in COLUMNS if name in best}
        cells["replaces"] = " | ".join(best["replaces"])
    return row(cells.get(name, "") for name in COLUMNS)


def row(cells: Iterable[str]) -> str:
    """A line of *cells*, which may hold any text."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(map(printable, cells))
    return line.getvalue()
