"""Finds the commands of a page, so that tests run what operators are told to type."""

import re

from tests.lab.places import ROOT


def blocks(page: str, heading: str) -> tuple[str, ...]:
    """The blocks below *heading* of a page, as they stand there, up to the next heading."""
    text = (ROOT / page).read_text()
    # A comment of a shell is no heading.
    outside = re.sub(
        r"^```.*?^```",
        lambda match: re.sub(r"^#", "\0", match[0], flags=re.M),
        text,
        flags=re.M | re.S,
    )
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", outside, re.M | re.S)
    assert found, f"{page} has no heading {heading!r}"
    inside = found[1].replace("\0", "#")
    return tuple(re.findall(r"^```\w*\n(.*?)^```", inside, re.M | re.S))
