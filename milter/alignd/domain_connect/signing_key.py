"""The private key that signs links: RSA, of which cryptography knows the mathematics."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from alignd.config.file import ConfigError, ConfigProblem
from alignd.return_path.key_file import read_key_file

KEY_BITS = range(2048, 4097)
"""Shorter ones are no longer secure, and longer ones make links that mail cuts."""


class SigningKey:
    """Signs with RS256 (RFC 7518, section 3.3), which every host verifies (draft-03, 6.4)."""

    def __init__(self, key: RSAPrivateKey) -> None:
        self._key = key

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """Read a key in PEM.

        Raises:
            ValueError: *text* is none, is encrypted, or is not RSA of 2048 to 4096 bits.
        """
        try:
            key = load_pem_private_key(text.encode(), password=None)
        except (TypeError, ValueError, UnsupportedAlgorithm):
            key = None
        # Out here, so that an error that may quote the key is no part of this one.
        if not isinstance(key, RSAPrivateKey) or key.key_size not in KEY_BITS:
            raise ValueError(
                f"not an RSA key of {KEY_BITS[0]} to {KEY_BITS[-1]} bits in PEM, unencrypted"
            )
        return cls(key)

    @property
    def public_key(self) -> bytes:
        """The public key, DER of a SubjectPublicKeyInfo."""
        return self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, text: bytes) -> bytes:
        return self._key.sign(text, PKCS1v15(), SHA256())


def load_signing_key(path: str) -> SigningKey:
    """Read the key at *path*.

    Raises:
        ConfigError: it cannot be read, everybody can read it, or it is no such key.
    """
    text = read_key_file(path)
    try:
        return SigningKey.parse(text)
    except ValueError as error:
        raise ConfigError((ConfigProblem(path, 1, str(error)),)) from None
