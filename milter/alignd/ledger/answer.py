"""What a worker says of one message that was answered for good, in the words of the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass

NO_DOMAIN = ""
"""The domain of a message whose author could not be read."""
OTHER = "(other)"
"""Stands for all domains beyond what a ledger keeps apart."""
_SEPARATOR = "\x1f"  # in no word, no domain and no tenant


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of an author domain: by a message of it, or by a look at its records."""

    action: str
    """A word of `Action`."""
    reason: str
    policy: str = ""
    """A word of `Policy`, as all below empty where nothing was asked."""
    spf: str = ""
    """The result for each address of the relay, joined by commas."""
    dkim: str = ""
    """The result of each signature, joined by commas; `none` without one."""

    @classmethod
    def of(cls, summary: Mapping[str, str]) -> Finding:
        """Read a judgement in the words of the log (`Judgement.summary`)."""
        return cls(
            summary["action"],
            summary["reason"],
            summary.get("policy", ""),
            summary.get("spf", ""),
            summary.get("dkim", ""),
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """One message that was taken or refused for good; of one that was put off there is none."""

    tenant: str
    """The tenant's label; empty for the general options."""
    domain: str
    """The author domain, or NO_DOMAIN."""
    finding: Finding

    @classmethod
    def of(cls, tenant: str, summary: Mapping[str, str]) -> Answer:
        """Read a judgement in the words of the log."""
        return cls(tenant, summary.get("domain", NO_DOMAIN), Finding.of(summary))

    def encoded(self) -> bytes:
        """The octets that a worker writes; made once for all messages that are alike."""
        return _SEPARATOR.join((self.tenant, self.domain, *astuple(self.finding))).encode()

    @classmethod
    def decode(cls, octets: bytes) -> Answer:
        """Read what `encoded` has made.

        Raises:
            ValueError: it is something else.
        """
        tenant, domain, *finding = octets.decode().split(_SEPARATOR)
        try:
            return cls(tenant, domain, Finding(*finding))
        except TypeError as error:
            raise ValueError(f"{len(finding)} words of a finding") from error
