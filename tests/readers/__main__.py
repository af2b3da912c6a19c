"""Asks receivers whose message it is: reads a From value a line, writes what each of them reads.

It steps into namespaces of its own, where OpenDMARC, OpenDKIM as a signer, and rspamd run beside
a nameserver that knows nothing. Each is asked as mail asks it: by the milter protocol, and by
HTTP. `tests/relay/test_readers.py` holds the answers against alignd's own.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from tests.lab import cast, rspamd
from tests.lab.milter_client import MilterConnection
from tests.lab.nameserver import run_nameserver
from tests.lab.namespaces import furnish, run_isolated
from tests.lab.opendkim import SigningKey, Tables, run_signer
from tests.lab.opendmarc import run_opendmarc
from tests.lab.rspamd import run_rspamd
from tests.lab.suffixes import write_suffixes
from tests.lab.syslog import record_syslog
from tests.readers.values import DOMAINS

_NAMESERVER, _DNS = "127.0.0.1", 53
_SENDER = "bounces@relay.example"
_DMARC = re.compile(rb"^Authentication-Results:.*?\bheader\.from=(\S*)", re.DOTALL | re.MULTILINE)
_DKIM = re.compile(rb"^DKIM-Signature:.*?\bd=([^;\s]*)", re.DOTALL | re.MULTILINE)

Reader = Callable[[Iterable[bytes]], list[str]]
"""Returns the domain that is read in each message; empty where none is."""


def main(arguments: Sequence[str]) -> int:
    """Run in namespaces of its own; with a directory as argument, we are in them already."""
    if not arguments:
        return run_isolated([sys.executable, "-m", "tests.readers"])
    messages = [_message(json.loads(line).encode("latin-1")) for line in sys.stdin]
    with ExitStack() as running, ThreadPoolExecutor() as pool:
        readers = _start(Path(arguments[0]), running)
        readings = {name: pool.submit(read, messages) for name, read in readers.items()}
        for domains in zip(*(each.result() for each in readings.values()), strict=True):
            print(json.dumps(dict(zip(readings, domains, strict=True))))
    return 0


def _start(directory: Path, running: ExitStack) -> dict[str, Reader]:
    start = running.enter_context
    furnish(directory, [], _NAMESERVER)
    record_syslog(Path("/dev/log"), directory / "syslog.log")
    sockets = directory / "daemons"
    sockets.mkdir()
    sockets.chmod(0o777)  # daemons make their sockets as users of their own
    start(run_nameserver(port=_DNS))
    key = SigningKey.make(sockets)
    tables = Tables(
        "".join(f"*@{domain} {domain}\n" for domain in DOMAINS),
        "".join(f"{domain} {domain}:{cast.SELECTOR}:{key.path}\n" for domain in DOMAINS),
    )
    signer = start(run_signer(sockets, "signer", tables, _NAMESERVER))
    opendmarc = start(run_opendmarc(sockets, cast.RECEIVER))
    suffixes = sockets / "suffixes"
    write_suffixes(suffixes, "")  # no names but those below "example"
    start(run_rspamd(sockets / "rspamd", _NAMESERVER, suffixes))
    return {
        "opendmarc": lambda messages: _read_by_milter(opendmarc, _DMARC, messages),
        "opendkim": lambda messages: _read_by_milter(signer, _DKIM, messages),
        "rspamd": _read_by_rspamd,
    }


def _message(value: bytes) -> bytes:
    return b"From:%s\r\nTo: <%s>\r\nSubject: x\r\n\r\nx\r\n" % (value, cast.JULIA.encode())


def _read_by_milter(
    endpoint: Path, pattern: re.Pattern[bytes], messages: Iterable[bytes]
) -> list[str]:
    found = []
    with MilterConnection(f"unix:{endpoint}") as milter:
        for message in messages:
            result = milter.send(_SENDER, [cast.JULIA], message)
            match = pattern.search(result.message)
            found.append(match[1].decode(errors="replace").lower() if match else "")
    return found


def _read_by_rspamd(messages: Iterable[bytes]) -> list[str]:
    found = []
    for message in messages:
        opinion = rspamd.ask(message, cast.RELAY_IPV4, _SENDER, [cast.JULIA])
        _symbol, _blank, said = opinion.dmarc().partition(" ")
        # It says why instead of a domain where it reads none, or several.
        found.append("" if " " in said else said.lower())
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
