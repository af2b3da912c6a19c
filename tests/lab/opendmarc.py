"""OpenDMARC, which judges for the receiver and checks SPF itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.processes import run_daemon
from tests.lab.readiness import accepts
from tests.lab.suffixes import PUBLIC_SUFFIX_LIST

# SPFSelfValidate: by libspf2. The other choice, pyspf-milter, evaluates with the library that
# alignd evaluates with, and so could only repeat its mistakes.
_CONFIGURATION = """\
Background false
Syslog true
UserID opendmarc
UMask 000
Socket local:{socket}
AuthservID {authserv_id}
TrustedAuthservIDs {authserv_id}
PublicSuffixList {suffixes}
IgnoreHosts {nobody}
SPFIgnoreResults true
SPFSelfValidate true
RejectFailures true
"""


@contextmanager
def run_opendmarc(
    directory: Path, authserv_id: str, suffixes: Path = PUBLIC_SUFFIX_LIST
) -> Iterator[Path]:
    """Run it in *directory*, where it makes its socket as a user of its own; return that."""
    endpoint, nobody = directory / "opendmarc.sock", directory / "opendmarc.hosts"
    # The default of IgnoreHosts is the loopback.
    nobody.write_text("192.0.2.1\n")
    configuration = directory / "opendmarc.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            socket=endpoint, authserv_id=authserv_id, suffixes=suffixes, nobody=nobody
        )
    )
    command: list[str | Path] = ["opendmarc", "-f", "-c", configuration]
    with run_daemon(command, directory / "opendmarc.log", lambda: accepts(endpoint)):
        yield endpoint
