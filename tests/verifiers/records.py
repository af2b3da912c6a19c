"""Asks receivers about generated records: rspamd, libspf2 and libopendmarc. Writes JSON lines.

It steps into namespaces of its own, where a nameserver has the records.
"""

import ctypes
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from tests.lab import cast, rspamd
from tests.lab.nameserver import run_nameserver
from tests.lab.namespaces import furnish, run_isolated
from tests.lab.suffixes import write_suffixes
from tests.verifiers.generated import WORLD, Generated, generate

LIBOPENDMARC = "libopendmarc.so.2"
SPFQUERY = "spfquery.libspf2"
_NAMESERVER, _AT_ONCE = "127.0.0.1", 4
_OKAY, _STRICT_BUT_FOR = 0, ord("r")
_POLICIES = {ord("r"): "reject", ord("q"): "quarantine", ord("n"): "none"}


@dataclass(frozen=True, slots=True)
class Opinions:
    """What receivers say of one domain."""

    domain: str
    rspamd_spf: str
    """Its symbol for SPF, of mail of the domain."""
    libspf2: str
    rspamd_unaligned: str
    """Its symbol for DMARC, where no identifier aligns."""
    rspamd_below: str
    """The same where SPF passes for a name below the domain."""
    opendmarc: str
    """The policy that OpenDMARC applies; empty when there is none."""
    opendmarc_strict: bool
    """Whether it asks for strict alignment of SPF."""

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `main` wrote."""
        return cls(**json.loads(text))


def main(arguments: Sequence[str]) -> int:
    """Run with a number of domains; with a directory behind it, in the namespaces already."""
    count = int(arguments[0])
    if len(arguments) == 1:
        command = [sys.executable, "-m", "tests.verifiers.records", str(count)]
        return run_isolated(command)
    domains = list(generate(count))
    directory = Path(arguments[1])
    furnish(directory, {cast.RECEIVER_IPV4}, _NAMESERVER)
    directory.chmod(0o755)
    zone = WORLD + "".join(domain.zone for domain in domains)
    suffixes = directory / "suffixes"
    write_suffixes(suffixes, zone)
    with (
        run_nameserver(port=53) as nameserver,
        rspamd.run_rspamd(directory / "rspamd", _NAMESERVER, suffixes),
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        nameserver.serve(zone)
        for opinions in pool.map(ask, domains):
            print(json.dumps(asdict(opinions)), flush=True)
    return 0


def ask(generated: Generated) -> Opinions:
    """Ask all of them about one domain."""
    domain, address = generated.domain, generated.address
    own = _symbols(domain, f"marky@{domain}", address)
    unaligned = _symbols(domain, "marky@pass.example", address)
    below = _symbols(domain, f"marky@mail.{domain}", address)
    policy, is_strict = opendmarc(generated.dmarc[0])
    return Opinions(
        domain,
        _starting(own, "R_SPF_"),
        _libspf2(domain, address),
        _starting(unaligned, "DMARC_"),
        _starting(below, "DMARC_"),
        policy,
        is_strict,
    )


def opendmarc(text: str) -> tuple[str, bool]:
    """The policy that OpenDMARC takes out of a TXT record, and whether aspf is strict to it."""
    if "v=DMARC" not in text:  # it looks no further, opendmarc_dns.c
        return "", False
    library = ctypes.CDLL(LIBOPENDMARC)
    with _context(library) as context:
        stored = library.opendmarc_policy_store_dmarc(context, text.encode(), b"d.example", None)
        if stored != _OKAY:
            return "", False
        policy, mode = ctypes.c_int(), ctypes.c_int()
        library.opendmarc_policy_fetch_p(context, ctypes.byref(policy))
        library.opendmarc_policy_fetch_aspf(context, ctypes.byref(mode))
        return _POLICIES[policy.value], mode.value != _STRICT_BUT_FOR


@contextmanager
def _context(library: ctypes.CDLL) -> Iterator[ctypes.c_void_p]:
    library.opendmarc_policy_connect_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.opendmarc_policy_connect_init(b"192.0.2.1", 0))
    try:
        yield context
    finally:
        library.opendmarc_policy_connect_shutdown(context)


def _symbols(domain: str, sender: str, address: str) -> Sequence[str]:
    message = f"From: <marky@{domain}>\r\nTo: <julia@{cast.RECEIVER}>\r\n\r\nHello\r\n".encode()
    return list(rspamd.ask(message, address, sender, [f"julia@{cast.RECEIVER}"]).symbols)


def _starting(symbols: Sequence[str], start: str) -> str:
    return next((symbol for symbol in symbols if symbol.startswith(start)), "")


def _libspf2(domain: str, address: str) -> str:
    program = shutil.which(SPFQUERY)
    if program is None:
        return ""
    command = [program, "-i", address, "-s", f"marky@{domain}", "-h", cast.RELAY]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return said.split("\n")[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
