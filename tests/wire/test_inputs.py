"""OpenDKIM's tables and keys: read again at HUP, which tells what is in force."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.nameserver import Nameserver
from tests.lab.readiness import open_directory, wait_until
from tests.support.scrape import Watched, run_watched

pytestmark = pytest.mark.wire

LAST_READ = "alignd_input_last_read_successful"


@pytest.fixture
def directory() -> Iterator[Path]:
    with open_directory() as directory:
        yield directory


def reload(watched: Watched) -> None:
    watched.alignd.process.send_signal(signal.SIGHUP)
    watched.alignd.wait_for_notice("RELOADING=1")
    watched.alignd.wait_for_notice("READY=1")


def test_tables_and_keys_are_read_again_and_told_of(
    directory: Path, nameserver: Nameserver
) -> None:
    signing, keys, key = (directory / name for name in ("signing", "keys", "key"))
    signing.write_text("*@a.example k\n")
    keys.write_text(f"k a.example:s:{key}\n")
    key.write_text("a key")
    changes = f'[dkim.opendkim]\nsigning_table = "refile:{signing}"\nkey_table = "{keys}"\n'
    with run_watched(directory / "alignd", nameserver.address, changes) as watched:
        log = watched.alignd.log
        assert "in force nameservers=1 signing_table_entries=1 private_keys=1" in log()

        signing.write_text("*@a.example k\n*@b.example k\n")
        key.unlink()
        reload(watched)

        assert "signing_table_entries=2 private_keys=1 forbidden_keys=0 missing_keys=1" in log()
        assert f'a private key cannot be used problem="{key}: No such file or directory"' in log()
        assert watched.scrape().of(LAST_READ, input="private-keys") == 0
        assert watched.request("/readyz").status == 200
        assert "private-keys" in watched.request("/readyz").body

        signing.unlink()
        reload(watched)

        assert f"{signing}:1: cannot be read: No such file or directory" in log()
        assert "reload refused: the old configuration stays in force" in log()
        assert watched.scrape().of(LAST_READ, input="signing-tables") == 0

        signing.write_text("*@a.example k\n")
        key.write_text("a key")
        reload(watched)

        wait_until(lambda: watched.request("/readyz").body == "ok\n", "all to be well")
