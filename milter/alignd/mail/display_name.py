"""Decodes and cleans an author's name, and puts it into the display name of a rewritten From."""

from __future__ import annotations

import re
import unicodedata

from alignd.mail.domain import is_joiner_in_place
from alignd.mail.encoded_words import decode

MAX_LENGTH = 64
"""Characters of the author's name that are kept; mail clients show about half of that."""

_AT_SIGN = re.compile("[@\uff20\ufe6b]")  # and the full-width and small one, which look like it
_DOT = re.compile("[.\u3002\uff0e\uff61]")  # and those that IDNA takes for one (RFC 3490, 3.1)
_DOTTED = re.compile(rf"[\w-]+(?:{_DOT.pattern}[\w-]+)+")
_BLANKS = re.compile(r"[ \t]+")

_JOINERS = frozenset("\u200c\u200d")
# Invisible, though letters or marks to Unicode, so that their category does not tell: the
# grapheme joiner, Hangul fillers, the Braille blank. U+FFFD is what a decoder could not read.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u3164\uffa0\u2800\ufffd")


def clean(text: str) -> str:
    """Remove from decoded *text* whatever could mislead a person or a program.

    Control, bidirectional and zero-width characters go, but for joiners that are part of the
    spelling. An address goes too, unless nothing else is there, when its local part stands for
    it, and a domain loses its dots: filters punish an address or domain in a display name.
    """
    words = _BLANKS.split(_visible(text))
    names = [_DOTTED.sub(_without_domain, word) for word in words if not _AT_SIGN.search(word)]
    if not any(character.isalnum() for name in names for character in name):
        names = [_without_address(word) for word in words]
    return _without_encoded_words(" ".join(filter(None, names)))


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
    # Microsoft takes a name with a colon for no From at all.
    return _shortened(" ".join(filter(None, _BLANKS.split(name.replace(":", " ")))))


def local_name(local_part: str) -> str:
    """Clean and shorten the local part, which is shown for an author without a name."""
    text = re.sub(r"\\(.)", r"\1", local_part[1:-1]) if local_part[:1] == '"' else local_part
    text = _AT_SIGN.split(_visible(decode(text)))[0]
    return _shortened(_without_encoded_words(text).strip())


def compose(template: str, name: str) -> str:
    """Fill `{name}` of *template* in: the display name of a rewritten From."""
    return _without_encoded_words(template.replace("{name}", name).strip())


def _visible(text: str) -> str:
    visible = "".join(map(_visible_character, unicodedata.normalize("NFC", text)))
    return "".join(
        character
        for place, character in enumerate(visible)
        if character not in _JOINERS or is_joiner_in_place(visible, place)
    )


def _visible_character(character: str) -> str:
    if character in _JOINERS:
        return character
    category = unicodedata.category(character)
    if category in {"Cc", "Zl", "Zp"}:
        return " "
    return "" if category[0] == "C" or character in _INVISIBLE else character


def _without_address(word: str) -> str:
    at_sign = _AT_SIGN.search(word)
    return word[: at_sign.start()].strip("<>()[],;:\"'") if at_sign else word


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
    return text[:end].rstrip(" \u3000\u200c\u200d")
