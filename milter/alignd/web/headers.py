"""The header fields of each kind of answer, which tell browsers what a page may do."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from alignd.web.access import Refusal, Refused

# Everything is ours, there is no frame, plugin or worker in it, and no page may frame it. Scripts
# make no HTML out of text: what DNS says is shown, and never executed.
_PAGE_POLICY = "; ".join(
    (
        *("default-src 'self'", "object-src 'none'", "frame-src 'none'", "worker-src 'none'"),
        *("base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"),
        *("require-trusted-types-for 'script'", "trusted-types 'none'"),
    )
)
_DATA_POLICY = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; sandbox"


class Kind(Enum):
    """What an answer is."""

    PAGE = "page"
    """A page with the list, or of a domain, for supporters."""
    SHARE = "share"
    """A page that a link leads to, whose URL is a secret."""
    DATA = "data"
    """JSON, or plain text."""
    ASSET = "asset"
    """A stylesheet, script or image of ours, the same for all."""


_POLICIES = {Kind.PAGE: _PAGE_POLICY, Kind.SHARE: _PAGE_POLICY}
# To our own pages alone a page says where it is from: with less, browsers say of a form of ours
# that it is from nowhere (see `access.refuse_cross_site`). The URL of a link is told to nobody.
_REFERRERS = {Kind.PAGE: "same-origin"}
_CACHES = {Kind.ASSET: "no-cache"}
"""An asset may be kept, and is asked for anew each time: an upgrade is seen at once."""
_COMMON = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
}
_METHODS = "GET, HEAD, POST"
_CHALLENGE = 'Bearer realm="alignd", Basic realm="alignd", charset="UTF-8"'


def headers_of(kind: Kind) -> Mapping[str, str]:
    """The fields of an answer of this *kind*, besides those that its content needs."""
    return {
        "Content-Security-Policy": _POLICIES.get(kind, _DATA_POLICY),
        "Referrer-Policy": _REFERRERS.get(kind, "no-referrer"),
        "Cache-Control": _CACHES.get(kind, "no-store"),
        **_COMMON,
    }


def headers_of_refusal(refused: Refused) -> Mapping[str, str]:
    """The fields of the answer to a request that is refused: plain text."""
    own: dict[str, str] = {}
    if refused.reason is Refusal.TOKEN:
        own["WWW-Authenticate"] = _CHALLENGE
    elif refused.reason is Refusal.METHOD:
        own["Allow"] = _METHODS
    return {**headers_of(Kind.DATA), **own}
