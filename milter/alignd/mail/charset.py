"""Decodes octets by the charset that a message declares, as mail clients do.

Python's names are not those of mail: it lacks windows-874 and iso-8859-8-i, and takes gb2312,
iso-8859-1 and ks_c_5601-1987 by the letter, where clients take the larger charset that senders
mean. Clients go by the labels of the WHATWG, and so does this. No other label reaches Python's
registry of codecs, which keeps each name that it was ever asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import webencodings

# Senders write these on text of any charset, so that clients look at the octets.
_SAY_NOTHING = frozenset(("us-ascii", "ascii", "ansi_x3.4-1968"))
# Of the WHATWG, with nothing behind them that mail could mean.
_REFUSED = frozenset(("replacement", "x-user-defined"))
# Of mail, and not of the web: the codecs of Python that decode them.
_CODECS = {
    "utf-7": "utf-7",
    "unicode-1-1-utf-7": "utf-7",
    "hz-gb-2312": "hz",
    "iso-2022-kr": "iso2022_kr",
    "johab": "johab",
    **{
        f"cp{page}": f"cp{page}"
        for page in (437, 737, 775, 850, 852, 855, 857, 858, *range(860, 867), 869)
    },
}
# Microsoft's numbers; those of one octet have names in which they stand.
_CODE_PAGES = {
    "932": "shift_jis",
    "936": "gbk",
    "949": "euc-kr",
    "950": "big5",
    **dict.fromkeys(("50220", "50221", "50222"), "iso-2022-jp"),
    "51932": "euc-jp",
    "65000": "utf-7",
    "65001": "utf-8",
}
_ALIASES = {"latin-1": "iso-8859-1", "big5-eten": "big5", "gb2312-80": "gbk"}
_CODE_PAGE = re.compile(r"(?:x-)?(?:cp|ibm|ms|win|windows)-?(\d{3,5})")
_ISO_8859 = re.compile(r"(?:iso-?)?8859-?(\d{1,2})(?:-[ei])?")
_JAPANESE = re.compile(r"(?:cs)?(iso-?2022-?jp|euc-?jp)(?:-(?:1|2|ext|ms|win))?")

_SURROGATE = re.compile("[\ud800-\udfff]")
_OCTET = re.compile("[\udc80-\udcff]")
_ESCAPE = re.compile(rb"\x1b(\$[@B]|\([BIJ])")
_EUC_JP = re.compile(
    rb"(?P<kanji>(?:[\xa1-\xfe]{2})+)|(?:\x8f[\xa1-\xfe]{2}|\x8e.|[^\xa1-\xfe])+|.", re.DOTALL
)


def decode(octets: bytes, label: str) -> str:
    """Decode *octets* by the charset called *label*; what is no character becomes U+FFFD.

    Where the label says nothing, or nobody knows it, they are UTF-8 if they can be, else
    windows-1252.
    """
    # RFC 2231, section 5: a language may follow the charset.
    name = label.partition("*")[0].strip().lower()
    for spelling in _spellings(name):
        if spelling in _CODECS:
            # UTF-7 lets halves of surrogate pairs through.
            return _SURROGATE.sub("\ufffd", octets.decode(_CODECS[spelling], errors="replace"))
        encoding = webencodings.lookup(spelling)
        if encoding is not None and encoding.name not in _REFUSED:
            return _decode_as(octets, encoding)
    return decode_undeclared(octets)


def with_octets(value: bytes) -> str:
    """*value* as text whose structure is what receivers see: octets that are no UTF-8 stay octets.

    They are lone surrogates (PEP 383), which are in no address; `without_octets` decodes them.
    """
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("ascii", errors="surrogateescape")


def without_octets(text: str, label: str) -> str:
    """Decode what `with_octets` has left, by the charset called *label*."""
    if not _OCTET.search(text):
        return text
    return decode(text.encode(errors="surrogateescape"), label)


def decode_undeclared(octets: bytes) -> str:
    """Decode *octets* of which no charset is known."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("cp1252", errors="replace")


def _spellings(name: str) -> Iterator[str]:
    """The names by which *name* may be listed, the closest first."""
    if name in _SAY_NOTHING or not name.isascii():
        return
    yield name
    name = name.replace("_", "-")
    yield name
    if page := _CODE_PAGE.fullmatch(name):
        yield from (_CODE_PAGES.get(page[1], f"cp{page[1]}"), f"windows-{page[1]}")
    elif part := _ISO_8859.fullmatch(name):
        yield f"iso-8859-{part[1]}"
    elif name in _ALIASES:
        yield _ALIASES[name]
    elif japanese := _JAPANESE.fullmatch(name):
        yield "euc-jp" if japanese[1].startswith("euc") else "iso-2022-jp"


def _decode_as(octets: bytes, encoding: webencodings.Encoding) -> str:
    match encoding.name:
        case "gbk":
            # WHATWG Encoding, section 10.1.1: its decoder is that of gb18030.
            return octets.decode("gb18030", errors="replace")
        case "iso-2022-jp":
            return _decode_iso_2022_jp(octets)
        case "euc-jp":
            return "".join(
                _decode_kanji(part[0])
                if part.lastgroup
                else part[0].decode("euc_jp", errors="replace")
                for part in _EUC_JP.finditer(octets)
            )
    text, _encoding = webencodings.decode(octets, encoding)
    return text


def _decode_iso_2022_jp(octets: bytes) -> str:
    # Python's codecs refuse row 13 of NEC, as in the sign of a company, which is in most fonts of
    # Japan and, by the WHATWG's index, in JIS X 0208.
    first, *rest = _ESCAPE.split(octets)
    text = first.decode("ascii", errors="replace")
    for escape, part in zip(rest[::2], rest[1::2], strict=True):
        if escape[:1] == b"$":
            text += _decode_kanji(bytes(octet | 0x80 for octet in part))
        elif escape == b"(I":
            text += bytes(octet | 0x80 for octet in part).decode("cp932", errors="replace")
        else:
            text += part.decode("ascii", errors="replace")
    return text


def _decode_kanji(pairs: bytes) -> str:
    """Decode JIS X 0208 as EUC has it, with the rows of NEC and IBM, by way of Shift_JIS."""
    shifted = bytearray()
    for row, cell in zip(pairs[::2], pairs[1::2], strict=False):
        lead, trail = row - 0xA1, cell - 0xA1
        # Two rows of 94 cells share a lead octet; 0x7F, and 0xA0 to 0xDF, are left out.
        shifted.append(0x81 + lead // 2 + 0x40 * (lead // 62))
        shifted.append(trail + (0x9F if lead % 2 else 0x40 + trail // 63))
    return shifted.decode("cp932", errors="replace")
