"""Charsets: octets as mail clients show them."""

import encodings
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.mail import charset


@pytest.mark.parametrize(
    ("label", "octets", "text"),
    [
        pytest.param("windows-874", b64decode("ysGq0sI="), "สมชาย", id="windows-874"),
        pytest.param("tis-620", b64decode("ysGq0sI="), "สมชาย", id="tis-620"),
        pytest.param("iso-8859-8-i", b64decode("4+XjIOvk7w=="), "דוד כהן", id="hebrew-as-written"),
        pytest.param("ISO-8859-8-E", b64decode("4+Xj"), "דוד", id="hebrew-explicit"),
        pytest.param("iso-8859-1", b"O\x92Neill", "O\u2019Neill", id="latin-1-is-windows-1252"),
        pytest.param("us-ascii", b"Jos\xe9", "José", id="ascii-that-is-windows-1252"),
        pytest.param("us-ascii", "José".encode(), "José", id="ascii-that-is-utf-8"),
        pytest.param("unknown-8bit", "René".encode(), "René", id="unknown-that-is-utf-8"),
        pytest.param("x-martian", b"Ren\xe9", "René", id="unknown-that-is-not"),
        pytest.param("gb2312", "镕".encode("gbk"), "镕", id="gb2312-is-gbk"),
        pytest.param("GB_2312-80", "王".encode("gbk"), "王", id="gb2312-by-its-year"),
        pytest.param("gbk", "𠮷".encode("gb18030"), "𠮷", id="gbk-is-gb18030"),
        pytest.param("ks_c_5601-1987", "똠".encode("cp949"), "똠", id="korean-is-cp949"),
        pytest.param("big5", "喆".encode("big5hkscs"), "喆", id="big5-of-hong-kong"),
        pytest.param("shift-jis", "㈱髙".encode("cp932"), "㈱髙", id="shift-jis-is-cp932"),
        pytest.param("iso-2022-jp", b"\x1b$B-jEl5~\x1b(B A", "㈱東京 A", id="nec-row-13"),
        pytest.param("iso-2022-jp", b"\x1b(I12\x1b(B", "ｱｲ", id="half-width-katakana"),
        pytest.param("cp50221", b"\x1b$B;3ED", "山田", id="an-escape-that-is-not-closed"),
        pytest.param("x-euc-jp", b"\xad\xea\xbb\xb3", "㈱山", id="nec-row-13-in-euc"),
        pytest.param("euc-jp", b"\x8f\xb0\xa1\x8e\xb1a", "丂ｱa", id="three-octets-in-euc"),
        pytest.param("cp-850", b"\x82", "é", id="a-page-of-dos"),
        pytest.param("ibm850", b"\x82", "é", id="a-page-of-ibm"),
        pytest.param("win-1251", b"\xcf", "П", id="a-page-of-windows"),
        pytest.param("cp936", "镕".encode("gbk"), "镕", id="a-page-with-a-name"),
        pytest.param("cp65001", "é".encode(), "é", id="the-page-of-utf-8"),
        pytest.param("iso8859_15", b"\xa4", "€", id="underscores"),
        pytest.param("latin-1", b"\x80", "€", id="latin-with-a-hyphen"),
        pytest.param("utf-8*de", "é".encode(), "é", id="a-language-behind-it"),
        pytest.param("utf-7", b"+AOk-", "é", id="utf-7"),
        pytest.param("hz-gb-2312", b"~{VPND~}", "中文", id="hz"),
        pytest.param("utf-8", b"a\xffb", "a\ufffdb", id="no-utf-8-although-it-says-so"),
        pytest.param("utf-7", b"+2AA-", "\ufffd", id="half-a-pair-in-utf-7"),
        pytest.param("\udce9", b"a", "a", id="a-label-of-octets"),
        pytest.param("idna", b"\x80", "€", id="no-charset-but-a-codec"),
        pytest.param("replacement", b"a", "a", id="no-charset-of-mail"),
        pytest.param("", "é".encode(), "é", id="none"),
    ],
)
def test_octets_are_what_clients_show(label: str, octets: bytes, text: str) -> None:
    assert charset.decode(octets, label) == text


LABELS = st.text(st.characters(exclude_categories=[]), max_size=20) | st.sampled_from(
    ["iso-2022-jp", "euc-jp", "utf-7", "utf-16", "hz-gb-2312", "gbk", "\udce9"]
)


@given(st.binary(max_size=60), LABELS)
def test_any_octets_are_some_text(octets: bytes, label: str) -> None:
    charset.decode(octets, label).encode()  # has no halves of surrogate pairs


@given(st.binary(max_size=60))
def test_what_is_not_utf_8_can_be_put_back(value: bytes) -> None:
    text = charset.with_octets(value)

    assert text.encode(errors="surrogateescape") == value
    assert charset.without_octets(text, "utf-8") == value.decode(errors="replace")


def test_labels_of_senders_do_not_fill_the_registry_of_codecs() -> None:
    known: dict[str, object] = encodings._cache
    charset.decode(b"\x80", "x-martian-0")
    before = len(known)

    for number in range(100):
        charset.decode(b"\x80", f"x-martian-{number}")
        charset.decode(b"\x80", f"cp{number}9999")

    assert len(known) == before


def test_all_of_jis_x_0208_is_what_python_reads_but_for_six_signs_of_windows() -> None:
    # The WHATWG's index has the full-width forms of Windows there.
    pairs = [bytes((row, cell)) for row in range(0xA1, 0xFF) for cell in range(0xA1, 0xFF)]
    known = {pair: text for pair in pairs if (text := pair.decode("euc_jp", "ignore"))}

    other = {
        text: (charset.decode(pair, "euc-jp"))
        for pair, text in known.items()
        if charset.decode(pair, "euc-jp") != text
    }

    assert "".join(other) == "〜‖\u2212¢£¬"
    assert len(known) > 6800
