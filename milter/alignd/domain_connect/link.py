"""Makes the link with which a template is applied, signed (draft-03, section 8.3)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping

from alignd.domain_connect.discovery import Offer
from alignd.domain_connect.template import Group, TemplateId
from alignd.mail.percent_encoding import percent_encoded


def apply_link(
    offer: Offer,
    template: TemplateId,
    key_name: str,
    sign: Callable[[bytes], bytes],
    groups: Iterable[Group] = (),
) -> str:
    """The link for the user of the DNS host; *groups* are those to apply, all if there is none."""
    parameters = {"domain": offer.place.zone.name}
    if offer.place.host:
        parameters["host"] = offer.place.host
    if chosen := ",".join(sorted({group.value for group in groups})):
        parameters["groupId"] = chosen
    services = f"providers/{template.provider}/services/{template.service}"
    query = signed_query(parameters, key_name, sign)
    return f"{offer.sync_ux}/v2/domainTemplates/{services}/apply?{query}"


def signed_query(
    parameters: Mapping[str, str], key_name: str, sign: Callable[[bytes], bytes]
) -> str:
    """The query string with its signature; nobody may change or reorder it (section 8.3.2.1)."""
    query = canonical_query(parameters)
    signature = base64.b64encode(sign(query.encode("ascii"))).decode("ascii")
    return f"{query}&sig={percent_encoded(signature)}&key={percent_encoded(key_name)}"


def canonical_query(parameters: Mapping[str, str]) -> str:
    """What is signed: each parameter encoded, in the order of the encoded names."""
    encoded = {percent_encoded(name): percent_encoded(value) for name, value in parameters.items()}
    return "&".join(f"{name}={value}" for name, value in sorted(encoded.items()))
