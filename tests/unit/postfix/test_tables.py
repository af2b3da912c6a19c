"""Lists of tables, and what Postfix makes of an address by them, postconf(5) and canonical(5)."""

import pytest

from alignd.postfix.tables import mapped, masqueraded, split_tables


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("", (), id="none"),
        pytest.param("hash:/a, proxy:pcre:/b ,", ("hash:/a", "pcre:/b"), id="two"),
        pytest.param(
            "inline:{ {a@b = c@d}, e=f } tcp:x:1",
            ("inline:{ {a@b = c@d}, e=f }", "tcp:x:1"),
            id="inline",
        ),
        pytest.param("inline:{ a=b", ("inline:{ a=b",), id="never-closed"),
    ],
)
def test_tables_are_split(value: str, expected: tuple[str, ...]) -> None:
    assert split_tables(value) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("x@y.example", "x@y.example"),
        ("@y.example", "ann@y.example"),
        ("x", "x@origin.example"),
        ("", "ann@mycompany.com"),
    ],
)
def test_an_address_is_mapped(answer: str, expected: str) -> None:
    assert mapped("ann@mycompany.com", answer, "origin.example") == expected


@pytest.mark.parametrize(
    ("domains", "exceptions", "expected"),
    [
        pytest.param(("b.example",), (), "ann@b.example", id="below"),
        pytest.param(("a.b.example", "b.example"), (), "ann@a.b.example", id="the-first-counts"),
        pytest.param(("x.a.b.example",), (), "ann@x.a.b.example", id="itself"),
        pytest.param(("!a.b.example", "b.example"), (), "ann@x.a.b.example", id="not-there"),
        pytest.param(("B.example",), (), "ann@b.example", id="any-case"),
        pytest.param(("c.example",), (), "ann@x.a.b.example", id="elsewhere"),
        pytest.param(("b.example",), ("Ann",), "ann@x.a.b.example", id="an-exception"),
    ],
)
def test_an_address_is_masqueraded(
    domains: tuple[str, ...], exceptions: tuple[str, ...], expected: str
) -> None:
    assert masqueraded("ann@x.a.b.example", domains, exceptions) == expected
