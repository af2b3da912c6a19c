"""Encoded words: read as clients do, and written within RFC 2047."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.mail import encoded_words


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        pytest.param("=?utf-8?Q?J=C3=BCrgen_K?=", "Jürgen K", id="q"),
        pytest.param("=?utf-8?Q?J=C3=BCrgen K?=", "Jürgen K", id="a-raw-blank"),
        pytest.param("=?utf-8?B?SsO8cmdlbg==?= Klein", "Jürgen Klein", id="b-and-plain"),
        pytest.param("=?utf-8?B?QW5uIEJhdWVyA?=", "Ann Bauer", id="one-digit-too-many"),
        pytest.param("=?utf-8?B?QW5uIEI?=", "Ann B", id="no-padding"),
        pytest.param("=?utf-8?B?QQ==Qg==?=", "AB", id="padding-in-the-middle"),
        pytest.param("=?utf-8?B?QW5!u?=", "Ann", id="a-stranger-among-the-digits"),
        pytest.param("=?utf-8?Q?K=C3?= =?UTF-8?Q?=A1?=", "Ká", id="a-character-cut-in-two"),
        pytest.param("=?x?Q?a?= =?utf-8?Q?b?=", "ab", id="two-charsets"),
        pytest.param('"=?utf-8?Q?a?= b"', '"a b"', id="inside-quotes"),
        pytest.param("=?utf-8?Q?a=ZZ?=", "a=ZZ", id="no-hexadecimal"),
        pytest.param("=??Q?a?=", "=??Q?a?=", id="no-charset"),
        pytest.param("=?utf-8?X?a?=", "=?utf-8?X?a?=", id="no-such-encoding"),
    ],
)
def test_words_are_what_clients_show(text: str, decoded: str) -> None:
    assert encoded_words.decode(text) == decoded


PLAIN = st.text(alphabet=st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=200).filter(
    lambda text: text == text.strip(" ") and "=?" not in text
)


@given(PLAIN)
def test_unstructured_text_reads_back(text: str) -> None:
    written = encoded_words.encode_unstructured(text, "X-Original-From")

    assert written.isascii()
    assert encoded_words.decode(written.replace("\n", "")) == text
    assert all(line.startswith(" ") for line in written.split("\n")[1:])


@given(st.text(max_size=100))
def test_any_text_is_decoded(text: str) -> None:
    assert isinstance(encoded_words.decode(f"=?utf-8?B?{text}?= =?x?q?{text}?="), str)
