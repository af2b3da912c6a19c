"""What receivers said of the mail of one author domain, for its page and for a link to it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from alignd.feedback.disagreement import Kind
from alignd.languages.texts import Texts
from alignd.ledger.queries.history import History
from alignd.mail.domain import Domain
from alignd.web.heard import Heard
from alignd.web.views.receivers.replies import (
    RepliesView,
    kind_of_reply,
    replies_view,
    select,
)
from alignd.web.views.receivers.reported import (
    DisagreementView,
    ShareRow,
    disagreement_views,
    say_reports,
    share_rows,
)

_OF_AGENTS = {Kind.LOST, Kind.OUTAGE, Kind.ENVELOPE, Kind.FORETOLD}
"""Replies to what agents have sent, and that say that it is not authenticated."""


@dataclass(frozen=True, slots=True)
class HeardOfDomain:
    """What they said."""

    replies: RepliesView
    left_alone: tuple[ShareRow, ...]
    """What reports say of mail that was left alone, by receiver."""
    disagreements: tuple[DisagreementView, ...]
    reports: str
    """Whether reports are read at all; empty where that is nobody's business."""

    @property
    def has_something(self) -> bool:
        return bool(self.replies.rows or self.left_alone or self.disagreements)


def heard_of_domain(heard: Heard | None, domain: Domain, texts: Texts) -> HeardOfDomain:
    """All of it, for supporters; *heard* is None where the ledger did not say."""
    if heard is None:
        return HeardOfDomain(replies_view((), texts), (), (), say_reports(heard, texts))
    receivers, joined = heard.of_domain(domain.name)
    return HeardOfDomain(
        replies_view(receivers.replies, texts),
        share_rows(joined.left_alone, texts),
        disagreement_views(joined.disagreements, texts, has_path=False),
        say_reports(heard, texts),
    )


def heard_of_tenant(
    heard: Heard | None, domain: Domain, tenant: str, history: History | None, texts: Texts
) -> HeardOfDomain | None:
    """What a link to *domain* and *tenant* may show of it; None if it is not known.

    Reports do not tell whose mail it was: they are left out unless *history* says that *tenant*
    alone sends as the domain. What operators do about it is left out always.
    """
    if heard is None:
        return None
    receivers, joined = heard.of_domain(domain.name)
    replies = select(
        receivers.replies,
        lambda key: key.tenant == tenant and kind_of_reply(key) in _OF_AGENTS,
    )
    is_alone = history is not None and {each.tenant for each in history.states} == {tenant}
    return HeardOfDomain(
        replace(replies_view(replies, texts), fixes=(), has_tenants=False, is_public=True),
        share_rows(joined.left_alone, texts) if is_alone else (),
        (),
        "",
    )
