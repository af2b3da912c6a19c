"""What all milters of the benchmark find: the DNS, and alignd's configuration for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.lab import cast
from tests.lab.alignd import Alignd, run_alignd
from tests.lab.settings import world
from tests.lab.unbound import ROOT_RECORDS

DOMAINS = 1_000
EDITS = 5
"""Of a message that is rewritten: From, Reply-To, X-Original-From, Alignd, envelope sender."""
_TTL = 86_400  # seconds

# As shipped, but for the client's network: other milters would leave loopback alone.
CHANGES = """\
[milter]
workers = {workers}
{milter}
[helpdesk]
networks = ["192.0.2.0/24", "127.0.0.0/8"]
[dns]
min_ttl = "5s"
stale = "3d"
"""


def zone(domains: int = DOMAINS) -> str:
    """The DNS of that many author domains, a third of which has not authorised the relay."""
    lines = ["mail.mailhost.example. A 198.51.100.25\n"]
    for number in range(domains):
        unaligned = _is_unaligned(number)
        name = f"{author_domain(number)}."
        # As the companies of the demo have it: all have a mail host of their own, too.
        spf = "mx -all" if unaligned else f"mx include:{cast.SPF_INCLUDE} -all"
        lines.append(f'{name} TXT "v=spf1 {spf}"\n')
        lines.append(f"{name} MX 10 mail.mailhost.example.\n")
        lines.append(f'_dmarc.{name} TXT "v=DMARC1; p=reject"\n')
    return f"$TTL {_TTL}\n{world(''.join(lines))}{ROOT_RECORDS}"


def author_domain(number: int) -> str:
    """One of them; the load generator has the same names."""
    return f"{'unaligned' if _is_unaligned(number) else 'aligned'}{number}.authors.example"


def _is_unaligned(number: int) -> bool:
    return number % 3 == 0


@contextmanager
def run_ours(
    directory: Path,
    nameserver: str,
    *,
    workers: int = 0,
    milter: str = "",
    changes: str = "",
    under: Sequence[str] = (),
) -> Iterator[Alignd]:
    """Run alignd as shipped, with more lines of [milter] and more tables (TOML).

    It is run by the program *under*, if that is given.
    """
    text = CHANGES.format(workers=workers, milter=milter) + changes
    with run_alignd(directory / "alignd", nameserver, text, under=under) as alignd:
        yield alignd
