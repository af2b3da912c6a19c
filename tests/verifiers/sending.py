"""A message that is to be sent, with the configuration and the DNS that it meets."""

import json
import tomllib
from dataclasses import asdict, dataclass
from typing import Self

from tests.lab import cast


@dataclass(frozen=True, slots=True)
class Sending:
    """One message and its world, known by its *name*."""

    name: str
    zone: str
    config: str
    client: str
    login: str | None
    envelope_sender: str
    recipients: tuple[str, ...]
    message: bytes

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        fields = json.loads(text)
        message = fields.pop("message").encode("latin-1")
        return cls(**fields | {"message": message, "recipients": tuple(fields["recipients"])})

    def to_json(self) -> str:
        """Write it in one line."""
        return json.dumps(asdict(self) | {"message": self.message.decode("latin-1")})

    def sources(self) -> tuple[str, ...]:
        """The addresses from which the relay sends it: tenants may have further ones."""
        for tenant in tomllib.loads(self.config).get("tenant", ()):
            if addresses := tenant.get("relay", {}).get("addresses"):
                return tuple(addresses)
        return cast.RELAY_ADDRESSES
