"""Chooses the language for a reader: by link, by browser, by configuration."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from alignd.languages.language import Language

_MAX_HEADER = 1000  # characters that are read; browsers send less than a hundred
# RFC 9110, section 12.4.2: a weight has at most three decimals.
_RANGE = re.compile(
    r"[ \t]*(?P<tag>[a-zA-Z]{1,8}(?:-[a-zA-Z0-9]{1,8})*)"
    r"(?:[ \t]*;[ \t]*[qQ]=(?P<weight>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?[ \t]*"
)


def choose(
    accept_language: str,
    wanted: str,
    default: Language,
    offered: Collection[Language] = tuple(Language),
) -> Language:
    """Choose among *offered*: what the link says (*wanted*), else the browser, else *default*.

    *accept_language* is the header field of the request, which may be anything. Of languages that
    weigh the same there, the first counts.
    """
    chosen = Language.of(wanted)
    if chosen is not None and chosen in offered:
        return chosen
    weights: dict[Language, float] = {}
    for language, weight in _weights(accept_language[:_MAX_HEADER]):
        if language in offered:
            weights[language] = max(weight, weights.get(language, 0.0))
    best = max(weights, key=lambda language: weights[language], default=default)
    return best if weights.get(best) else default


def _weights(accept_language: str) -> Iterator[tuple[Language, float]]:
    """The languages and weights of Accept-Language, RFC 9110, section 12.5.4."""
    for part in accept_language.split(","):
        if (found := _RANGE.fullmatch(part)) and (language := Language.of(found["tag"])):
            yield language, float(found["weight"] or 1)
