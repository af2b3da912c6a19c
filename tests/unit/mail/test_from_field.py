"""From: what receivers read differently, although it can be parsed."""

import pytest

from alignd.mail.from_field import disagreement

SAME = [
    *("Ann <a@b.cz>", "a@b.cz", '"Lee, Ann" <a@b.cz>', "< a@b.cz >", "(Ann) <a@b.cz>"),
    *("a@b.cz (Ann)", "a@b.cz (Ann (the) Lee)", "a@b.cz(x)", "Ann (a, b: c; [d]) <a@b.cz>"),
    *('"a.b"@b.cz', "a..b@b.cz", "<ř@b.cz>", "ř@b.cz", ".Ann <a@b.cz>", "Ann \\ Lee <a@b.cz>"),
    *(" a@b.cz", "a@b.cz ", "Jiří <a@b.cz>", "Ji\udcf8 <a@b.cz>", "Ann <a@xn--pklad-zsa96e.cz>"),
]
DIFFERENT = [
    *('"a b"@c.cz', '"a@b"@c.cz', '"a\\b"@c.cz', 'Ann <"<a>"@c.cz>', '""@c.cz', '"a..b"@c.cz'),
    *("(<x@y.cz>) <a@b.cz>", "a@b.cz (x@y.cz)", '(") <a@b.cz>', "(x\\)) <a@b.cz>", "(<) a@b.cz"),
    *("Ann <a@b.cz (x)>", "<(x)a@b.cz>", "<a@b.cz(x) >", "(a (b)) <a@b.cz>", "a@b.cz (a(b)c)"),
    *("a@příklad.cz", "Ann <a@PŘÍKLAD.cz>", "a@b_c.cz", "()(x) <a@b.cz>", '(x)"Ann" <a@b.cz>'),
    *('"a"@b.cz ', "a..b@b.cz ", "<a..b@b.cz >", "ř@b.cz (x)", "(x) a@b.cz "),
    *('"a"@b.cz(x (y) z)', "a@b.cz(x (y) z)", "<a..b@b.cz> (x (y) z)"),
    *("Ann (x (y) z: w) <a@b.cz>", "Ann (x (y) z, w) <a@b.cz>"),
    *('\\"x" <a@b.cz>', "Ann \\<a@b.cz>", "\\(x) <a@b.cz>", "Ann \\\\ <a@b.cz>"),
]


@pytest.mark.parametrize("text", SAME, ids=ascii)
def test_read_alike(text: str) -> None:
    assert disagreement(text) == ""


@pytest.mark.parametrize("text", DIFFERENT, ids=ascii)
def test_read_differently(text: str) -> None:
    assert disagreement(text)
