"""Batches for the ledger, drawn and made."""

from collections.abc import Iterable, Mapping

from hypothesis import strategies as st

from alignd.ledger.answer import Finding
from alignd.ledger.batch import HOUR, Batch, CountKey, DomainKey, Seen
from alignd.ledger.writer import Writer

NOON = 1_782_907_200.0
"""2026-07-01, 12:00 UTC."""
REWRITTEN = Finding("rewrite", "relay-not-authorised", "reject", "fail", "none")
PASSED = Finding("pass", "aligned", "reject", "pass", "none")
RELAY = Writer("smtp1", "outbound", "1.0", "c0ffee")

_FINDINGS = st.sampled_from([REWRITTEN, PASSED, Finding("rewrite", "policy-reject")])
_TENANTS = st.sampled_from(["", "easy", "other"])
_DOMAINS = st.sampled_from(["mycompany.com", "good.example", "xn--e1afmkfd.example"])
_MOMENTS = st.integers(0, 3 * 24 * HOUR).map(lambda seconds: NOON + seconds)


def batch_of(
    domain: str,
    finding: Finding = REWRITTEN,
    *,
    tenant: str = "",
    at: float = NOON,
    messages: int = 1,
) -> Batch:
    """Messages of one domain that met the same at one moment."""
    key = CountKey(int(at) // HOUR * HOUR, tenant, domain, finding.action, finding.reason)
    return Batch({key: messages}, {DomainKey(tenant, domain): Seen(finding, at, at)})


def merged(all_of_them: Iterable[Batch]) -> Batch:
    """Batches as one."""
    result = Batch()
    for batch in all_of_them:
        result = result.merged(batch)
    return result


def batches() -> st.SearchStrategy[Batch]:
    """Batches of few domains, so that several have the same; of no two messages at a time."""
    message = st.builds(
        lambda domain, finding, tenant, at, messages: batch_of(
            domain, finding, tenant=tenant, at=at, messages=messages
        ),
        _DOMAINS,
        _FINDINGS,
        _TENANTS,
        _MOMENTS,
        st.integers(1, 10**6),
    )
    return st.lists(message, max_size=6).map(merged)


def by(rows: Iterable[Mapping[str, object]], *names: str) -> dict[tuple[object, ...], int]:
    """The sums of the messages of *rows* by these columns."""
    sums: dict[tuple[object, ...], int] = {}
    for row in rows:
        key = tuple(row[name] for name in names)
        sums[key] = sums.get(key, 0) + int(str(row["messages"]))
    return sums
