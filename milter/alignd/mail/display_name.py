"""Decodes and cleans an author's name, and puts it into the display name of a rewritten From."""

from __future__ import annotations

import re
import unicodedata
from email.errors import HeaderParseError
from email.header import decode_header

MAX_LENGTH = 64
"""Characters of the author's name that are kept; mail clients show about half of that."""

_ENCODED_WORD = r"=\?[^?\s]+\?[bBqQ]\?[^?\r\n]*\?="
_ENCODED_RUN = re.compile(rf"{_ENCODED_WORD}(?:\s+{_ENCODED_WORD})*")
_AT_SIGN = re.compile("[@\uff20\ufe6b]")  # and the full-width and small one, which look like it
_DOT = re.compile("[.\u3002\uff0e\uff61]")  # and those that IDNA takes for one (RFC 3490, 3.1)
_DOTTED = re.compile(rf"[\w-]+(?:{_DOT.pattern}[\w-]+)+")
_BLANKS = re.compile(r"[ \t]+")

# Invisible, though letters or marks to Unicode, so that their category does not tell: the
# grapheme joiner, Hangul fillers, the Braille blank. U+FFFD is what a decoder could not read.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u3164\uffa0\u2800\ufffd")


def decode(text: str) -> str:
    """Decode the encoded words of *text* (RFC 2047) the way mail clients do.

    Against RFC 2047, section 5, clients also decode inside quoted strings, and join a character
    that a careless sender cut in two. Words that cannot be decoded stay as they are; octets that
    are not characters become U+FFFD.
    """
    return _ENCODED_RUN.sub(lambda match: _decode_run(match.group()), text)


def clean(text: str) -> str:
    """Remove from decoded *text* whatever could mislead a person or a program.

    Control, bidirectional and zero-width characters go. An address becomes its local part and a
    domain loses its dots, because filters punish an address or domain in a display name.
    """
    words = (_without_address(word) for word in _BLANKS.split(_visible(text)))
    return _without_encoded_words(" ".join(word for word in words if word))


def author_name(display_name: str, template: str) -> str:
    """Decode, clean and shorten the author's name in the *display_name* of a header field.

    The application, or an earlier pass, may have put the phrase of *template* around it already.
    It is removed, so that the new name never reads "Ann via X via X".
    """
    name = clean(decode(display_name))
    before, _, after = (re.escape(part.strip()) for part in template.partition("{name}"))
    if after:
        name = re.sub(rf"(?:(?:^|\s+){after})+$", "", name, flags=re.IGNORECASE)
    if before:
        name = re.sub(rf"^(?:{before}(?:\s+|$))+", "", name, flags=re.IGNORECASE)
    return _shortened(name)


def local_name(local_part: str) -> str:
    """Clean and shorten the local part, which is shown for an author without a name."""
    text = re.sub(r"\\(.)", r"\1", local_part[1:-1]) if local_part[:1] == '"' else local_part
    text = _AT_SIGN.split(_visible(decode(text)))[0]
    return _shortened(_without_encoded_words(text).strip())


def compose(template: str, name: str) -> str:
    """Fill `{name}` of *template* in: the display name of a rewritten From."""
    return _without_encoded_words(template.replace("{name}", name).strip())


def _decode_run(run: str) -> str:
    try:
        return "".join(_decode_bytes(part, charset) for part, charset in decode_header(run))
    except HeaderParseError:
        return run


def _decode_bytes(part: bytes | str, charset: str | None) -> str:
    if isinstance(part, str):
        return part
    try:
        # RFC 2231, section 5: a language may follow the charset.
        return part.decode((charset or "utf-8").partition("*")[0], errors="replace")
    except (LookupError, ValueError):
        return part.decode("utf-8", errors="replace")


def _visible(text: str) -> str:
    return "".join(map(_visible_character, unicodedata.normalize("NFC", text)))


def _visible_character(character: str) -> str:
    category = unicodedata.category(character)
    if category in {"Cc", "Zl", "Zp"}:
        return " "
    return "" if category[0] == "C" or character in _INVISIBLE else character


def _without_address(word: str) -> str:
    at_sign = _AT_SIGN.search(word)
    if at_sign:
        return word[: at_sign.start()].strip("<>()[],;:\"'")
    return _DOTTED.sub(_without_domain, word)


def _without_domain(match: re.Match[str]) -> str:
    text = match.group()
    last = _DOT.split(text)[-1]
    # "mycompany.com" is a domain; "J.R.R." and "v1.20" are not.
    return _DOT.sub(" ", text) if len(last) > 1 and last.isalpha() else text


def _without_encoded_words(text: str) -> str:
    # Clients decode inside quotes too: an encoded word in a clean name would show what it hides.
    while "=?" in text:
        text = text.replace("=?", "= ?")
    return text


def _shortened(text: str) -> str:
    if len(text) <= MAX_LENGTH:
        return text
    end = MAX_LENGTH
    # Not between a letter and its combining marks.
    while end and unicodedata.category(text[end])[0] == "M":
        end -= 1
    return text[:end].rstrip()
