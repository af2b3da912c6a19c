"""Domain: one normal form for every spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.mail.domain import Domain, DomainError


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("MyCompany.COM", "mycompany.com", id="upper-case-is-folded"),
        pytest.param("mycompany.com.", "mycompany.com", id="one-trailing-dot-goes"),
        pytest.param("straße.example", "xn--strae-oqa.example", id="idna-2008-keeps-sharp-s"),
        pytest.param("PŘÍKLAD.example", "xn--pklad-zsa96e.example", id="u-labels-are-case-mapped"),
        pytest.param("XN--PKLAD-ZSA96E.example", "xn--pklad-zsa96e.example", id="a-labels-stay"),
        pytest.param(
            "_spf.příklad.example", "_spf.xn--pklad-zsa96e.example", id="underscore-stays"
        ),
        pytest.param("ΣΟΦΟ.example", "xn--0xaakn.example", id="another-capital-sigma"),
        pytest.param("localhost", "localhost", id="a-single-label-is-a-name"),
    ],
)
def test_spellings_of_one_name(text: str, name: str) -> None:
    assert Domain.parse(text) == Domain(name)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("a..b", id="empty-label"),
        pytest.param("a.b..", id="two-trailing-dots"),
        pytest.param(" a.b", id="white-space"),
        pytest.param("a b.c", id="white-space-inside"),
        pytest.param("-a.b", id="leading-hyphen"),
        pytest.param("[192.0.2.1]", id="address-literal"),
        pytest.param("x" * 64 + ".example", id="label-too-long"),
        pytest.param(".".join(["x" * 60] * 5), id="name-too-long"),
        pytest.param("ΟΔΟΣ.example", id="a-capital-final-sigma-is-two-letters"),
        pytest.param("☃.example", id="not-allowed-by-idna-2008"),
        pytest.param("a\x00.b", id="nul"),
    ],
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(DomainError):
        Domain.parse(text)


@given(st.text())
def test_parsing_is_stable_and_never_fails_otherwise(text: str) -> None:
    try:
        domain = Domain.parse(text)
    except DomainError:
        return
    assert Domain.parse(domain.name) == domain
    assert domain.name.isascii()


def test_within_is_by_label() -> None:
    organization = Domain("mycompany.com")

    assert Domain("mycompany.com").is_within(organization)
    assert Domain("eu.mycompany.com").is_within(organization)
    assert not Domain("notmycompany.com").is_within(organization)
