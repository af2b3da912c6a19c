"""Makes the link with which a template is applied, signed (draft-03, section 8.3)."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping

from alignd.domain_connect.discovery import Offer
from alignd.domain_connect.template import Group, TemplateId

_RESERVED = re.compile(rb"[^A-Za-z0-9._~-]")


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
    return f"{query}&sig={_encoded(signature)}&key={_encoded(key_name)}"


def canonical_query(parameters: Mapping[str, str]) -> str:
    """What is signed: each parameter encoded, in the order of the encoded names."""
    encoded = {_encoded(name): _encoded(value) for name, value in parameters.items()}
    return "&".join(f"{name}={value}" for name, value in sorted(encoded.items()))


def _encoded(text: str) -> str:
    """Percent-encode all but the unreserved characters of RFC 3986, section 2.3."""
    encoded = _RESERVED.sub(lambda found: f"%{ord(found[0]):02X}".encode(), text.encode())
    return encoded.decode("ascii")
