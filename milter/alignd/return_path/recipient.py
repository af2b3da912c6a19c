"""Says which domain a recipient stands for."""

from __future__ import annotations

from collections.abc import Container

from alignd.return_path.address import claimed_author


def recipient_domain(address: str, return_domains: Container[str]) -> str:
    """The domain whose servers get the mail of *address*, in lower case.

    A return address stands for the author that it names: his servers get it. That it does so is
    not proven here, and need not be: a wrong one costs a rewrite.
    """
    local_part, _, name = address.rpartition("@")
    domain = name.rstrip(".").lower()
    author = claimed_author(local_part) if domain in return_domains else None
    return author.domain.name if author else domain
