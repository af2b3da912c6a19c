"""The keys of all tests, and the return addresses that they make."""

import time
from pathlib import Path

from alignd.config.settings import Configuration
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.return_path.address import Kind, encode
from alignd.return_path.directory import Directory, make_directory
from alignd.return_path.keyring import Keyring
from tests.lab import cast

KEYS = f"sign {'6b' * 32}\n"
"""The text of a key file."""
KEY_FILE = "return.keys"
"""How a configuration names it."""
_KEYRING = Keyring.parse(KEYS)


def directory_of(configuration: Configuration) -> Directory:
    """Make the directory of *configuration*, whose key files all have KEYS."""
    paths = {each.return_path.keys for each in configuration.all_settings}
    return make_directory(configuration, dict.fromkeys(paths, _KEYRING))


def write_keys(path: Path) -> None:
    """Write a key file that nobody else can read."""
    path.touch(0o600)
    path.write_text(KEYS)


def return_address(
    kind: Kind, author: str, domain: str = cast.NOTIFICATIONS_DOMAIN, now: float | None = None
) -> str:
    """Return the address of *author* in *domain*, of today unless a Unix time *now* is given."""
    local_part, _, name = author.rpartition("@")
    mailbox = Mailbox(local_part, Domain.parse(name))
    today = time.time() if now is None else now
    made = encode(mailbox, kind, Domain.parse(domain), _KEYRING.signing, today)
    if not isinstance(made, Mailbox):
        raise ValueError(f"{author} has no return address: {made.value}")
    return made.address
