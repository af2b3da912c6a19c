"""Responsible for who sits at which address of the world."""

from typing import Final

from tests.lab import cast

NAMESERVER: Final = "127.0.0.1"

# Tenants may have further addresses.
RELAY: Final = (cast.RELAY_IPV4, cast.RELAY_IPV6)

RECEIVER: Final = cast.RECEIVER
RECEIVER_IPV4: Final = cast.RECEIVER_IPV4
RECEIVER_IPV6: Final = "2001:db8:25::25"


def receiver_for(source: str) -> str:
    """The address of the receiver that mail from *source* can reach."""
    return RECEIVER_IPV6 if ":" in source else RECEIVER_IPV4
