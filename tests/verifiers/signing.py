"""Responsible for the signer behind alignd: what it signs, and where its key is published."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.daemons import SELECTOR, make_signing_key
from tests.lab.cast import NOTIFICATIONS_DOMAIN

_KEY_FILE = re.compile(r"/etc/opendkim/keys/\S+")
# A case shows the key of the vendor's selector, wherever a customer publishes it.
_PUBLISHED = re.compile(rf'^({SELECTOR}\..*\bp=)MI.*"$', re.MULTILINE)
_ONE_STRING = 255


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The only private key of the relay, and the record that publishes it."""

    path: Path
    record: str
    public: str
    """The value of p=."""

    @classmethod
    def make(cls, directory: Path) -> "SigningKey":
        """Make a new key, with its file in *directory*."""
        record = make_signing_key(directory)
        strings = "".join(re.findall(r'"([^"]*)"', record))
        return cls(directory / f"{SELECTOR}.private", record, strings.partition("p=")[2])

    def publish(self, zone: str) -> str:
        """Return *zone* with this key at every name that has a key of the vendor's selector."""
        parts = re.findall(f".{{1,{_ONE_STRING // 2}}}", self.public)
        own = re.sub(_PUBLISHED, lambda found: found[1] + '" "'.join(parts) + '"', zone)
        return f"{own}\n{self.record}"


@dataclass(frozen=True, slots=True)
class Tables:
    """A SigningTable and a KeyTable of OpenDKIM."""

    signing: str
    keys: str

    @classmethod
    def of(cls, config: str, key: Path) -> "Tables":
        """What an OpenDKIM signs that does as `[dkim]` says, and always the notifications."""
        dkim = tomllib.loads(config).get("dkim", {})
        signing, keys = _from_tables(dkim.get("opendkim"))
        for signed in dkim.get("signs", ()):
            domain, selector = signed["domain"], signed["selector"]
            signing += f"*@{domain} {domain} {signed.get('identity', '')}\n"
            keys += f"{domain} {domain}:{selector}:{key}\n"
        signing += f"*@{NOTIFICATIONS_DOMAIN} {NOTIFICATIONS_DOMAIN}\n"
        keys += f"{NOTIFICATIONS_DOMAIN} {NOTIFICATIONS_DOMAIN}:{SELECTOR}:{key}\n"
        return cls(signing, re.sub(_KEY_FILE, str(key), keys))


def _from_tables(opendkim: dict[str, Any] | None) -> tuple[str, str]:
    if opendkim is None:
        return "", ""
    return Path(opendkim["signing_table"]).read_text(), Path(opendkim["key_table"]).read_text()
