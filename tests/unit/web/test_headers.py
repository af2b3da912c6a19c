"""The header fields: no page runs, frames or fetches what is not ours, or tells where it is."""

import pytest

from alignd.web.access import Refusal, Refused
from alignd.web.headers import Kind, headers_of, headers_of_refusal


def policy(kind: Kind) -> dict[str, str]:
    """The directives of the policy, by their names."""
    text = headers_of(kind)["Content-Security-Policy"]
    return {name: value for name, _, value in (each.partition(" ") for each in text.split("; "))}


@pytest.mark.parametrize("kind", Kind)
def test_nothing_is_from_elsewhere_or_framed(kind: Kind) -> None:
    directives = policy(kind)

    assert directives["default-src"] in {"'self'", "'none'"}
    assert directives["frame-ancestors"] == directives["base-uri"] == "'none'"
    assert not any("unsafe" in value or "*" in value for value in directives.values())
    headers = headers_of(kind)
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "noindex" in headers["X-Robots-Tag"]


@pytest.mark.parametrize("kind", [Kind.PAGE, Kind.SHARE])
def test_a_page_sends_its_forms_to_us_alone(kind: Kind) -> None:
    assert policy(kind)["form-action"] == "'self'"
    assert policy(kind)["object-src"] == "'none'"


def test_the_address_of_a_link_is_told_to_nobody_and_kept_by_nobody() -> None:
    headers = headers_of(Kind.SHARE)

    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


def test_other_sites_are_not_told_where_a_reader_comes_from() -> None:
    assert {headers_of(kind)["Referrer-Policy"] for kind in Kind} == {"no-referrer", "same-origin"}


def test_assets_alone_are_kept() -> None:
    kept = {kind for kind in Kind if headers_of(kind)["Cache-Control"] != "no-store"}

    assert kept == {Kind.ASSET}


@pytest.mark.parametrize("reason", Refusal)
def test_a_refusal_is_no_page(reason: Refusal) -> None:
    refused = Refused(reason)
    headers = headers_of_refusal(refused)

    assert 400 <= refused.status < 500
    assert ("WWW-Authenticate" in headers) == (refused.status == 401)
    assert ("Allow" in headers) == (refused.status == 405)
    assert "sandbox" in headers["Content-Security-Policy"]
    assert not any("\n" in value for value in headers.values())
