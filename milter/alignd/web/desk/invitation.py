"""Makes the link that a letter has for a customer's admin."""

from __future__ import annotations

import secrets

from alignd.languages.language import Language
from alignd.mail.domain import Domain
from alignd.web.desk.desk import Desk
from alignd.web.desk.examined import Invitation
from alignd.web.sharing import (
    DEFAULT_DAYS,
    RANDOM_OCTETS,
    ShareLink,
    new_id,
    token_of,
    unshareable,
    url_of,
)


def invite(desk: Desk, domain: Domain, tenant: str, language: Language) -> Invitation | None:
    """A new link to *domain*; None where there are no links, or none to that domain."""
    base = desk.options.share_url
    if base is None or desk.share_keys is None or unshareable(domain, desk.providers):
        return None
    link_id = new_id(DEFAULT_DAYS, desk.clock(), secrets.token_bytes(RANDOM_OCTETS))
    link = ShareLink(domain, tenant, language.value, link_id)
    return Invitation(url_of(token_of(link, desk.share_keys.signing), base), link.id, link.expires)
