"""Signs what a webhook gets, as Standard Webhooks say: HMAC-SHA256 with a shared secret."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence

_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64  # octets of a secret; the specification's
_MAKE_ONE = '`echo "whsec_$(openssl rand -base64 32)"` makes one'


class SecretError(Exception):
    """A secret cannot be used: *line*, counted from 1, and why. Its text has nothing of it."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"{problem}; {_MAKE_ONE}")
        self.line = line


def parse_secrets(text: str) -> tuple[bytes, ...]:
    """Read the secrets of a file, one a line, the newest first.

    While a receiver changes from one to another, both sign.

    Raises:
        SecretError: a line is none, or there is none at all.
    """
    secrets = tuple(
        _secret(line.strip(), number)
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip() and not line.lstrip().startswith("#")
    )
    if not secrets:
        raise SecretError(1, "there is no secret")
    return secrets


def signed_headers(
    secrets: Sequence[bytes], message_id: str, timestamp: float, body: bytes
) -> Mapping[str, str]:
    """The header fields that make *body* one webhook: who sees them twice has it already."""
    moment = str(int(timestamp))
    content = f"{message_id}.{moment}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(each, content, "sha256")) for each in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": moment,
        "webhook-signature": " ".join(f"v1,{each.decode()}" for each in signatures),
    }


def _secret(line: str, number: int) -> bytes:
    if not line.startswith(_PREFIX):
        raise SecretError(number, f'a secret begins with "{_PREFIX}"')
    encoded = line.removeprefix(_PREFIX)
    try:
        secret = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        secret = None
    # Out here, so that an error that quotes the secret is no part of this one.
    if secret is None:
        raise SecretError(number, f'what follows "{_PREFIX}" is not base64')
    if not _SHORTEST <= len(secret) <= _LONGEST:
        raise SecretError(
            number,
            f"a secret has {_SHORTEST} to {_LONGEST} octets, and this one has {len(secret)}",
        )
    return secret
