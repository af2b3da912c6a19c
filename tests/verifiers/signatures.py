"""Has messages verified by OpenDKIM and rspamd: `python -m tests.verifiers.signatures`.

It reads a zone (one line of JSON) and a `Question` a line, and writes an `Opinion` a line, from
namespaces of its own.
"""

import json
import re
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Self

from tests.lab import cast, rspamd
from tests.lab.milter_client import MilterConnection
from tests.lab.nameserver import run_nameserver
from tests.lab.namespaces import furnish, run_isolated
from tests.lab.opendkim import run_verifier
from tests.lab.suffixes import write_suffixes
from tests.lab.syslog import record_syslog

_NAMESERVER = "127.0.0.1"
_DNS = 53
_AT_ONCE = 4
_PASS = re.compile(r"\bdkim=pass\b[^;]*?\([^)]*\)[^;]*?header\.d=(\S+)")


@dataclass(frozen=True, slots=True)
class Question:
    """A message, known by its *name*."""

    name: str
    message: bytes
    is_for_rspamd: bool = True

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        fields = json.loads(text)
        return cls(**fields | {"message": fields["message"].encode("latin-1")})

    def to_json(self) -> str:
        """Write it in one line."""
        return json.dumps(asdict(self) | {"message": self.message.decode("latin-1")})


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the verifiers make of a message."""

    name: str
    opendkim: tuple[str, ...]
    """The domains of the signatures that verify."""
    rspamd: tuple[str, ...]
    message: bytes
    """As it leaves OpenDKIM, which removes forged fields with its own name and adds its own."""

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        fields = json.loads(text)
        return cls(
            fields["name"],
            tuple(fields["opendkim"]),
            tuple(fields["rspamd"]),
            fields["message"].encode("latin-1"),
        )

    def to_json(self) -> str:
        """Write it in one line."""
        return json.dumps(asdict(self) | {"message": self.message.decode("latin-1")})


def main(arguments: Sequence[str]) -> int:
    """Run in namespaces of its own; with a directory as argument, we are in them already."""
    if not arguments:
        return run_isolated([sys.executable, "-m", "tests.verifiers.signatures"])
    directory = Path(arguments[0])
    zone = json.loads(sys.stdin.readline())
    questions = [Question.from_json(line) for line in sys.stdin]
    furnish(directory, [cast.RELAY_IPV4], _NAMESERVER)
    record_syslog(Path("/dev/log"), directory / "syslog.log")
    daemons = directory / "daemons"
    daemons.mkdir()
    daemons.chmod(0o777)
    with ExitStack() as running:
        running.enter_context(run_nameserver(port=_DNS)).serve(zone)
        opendkim = running.enter_context(run_verifier(daemons, cast.RECEIVER, _NAMESERVER))
        if any(question.is_for_rspamd for question in questions):
            suffixes = daemons / "suffixes"
            write_suffixes(suffixes, zone)
            running.enter_context(rspamd.run_rspamd(daemons / "rspamd", _NAMESERVER, suffixes))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for opinion in pool.map(partial(_judge, opendkim), questions):
                print(opinion.to_json(), flush=True)
    return 0


def _judge(opendkim: Path, question: Question) -> Opinion:
    sender, recipients = "bounces@helpdesk.example", [cast.JULIA]
    with MilterConnection(f"unix:{opendkim}", client=cast.RELAY_IPV4) as connection:
        result = connection.send(sender, recipients, question.message)
    said = b"\n".join(getattr(each, "value", b"") for each in result.answer.modifications)
    seen: list[str] = []
    if question.is_for_rspamd:
        opinion = rspamd.ask(question.message, cast.RELAY_IPV4, sender, recipients)
        seen = opinion.symbols.get("R_DKIM_ALLOW", [])
    return Opinion(
        question.name,
        tuple(_PASS.findall(" ".join(said.decode("latin-1").split()))),
        tuple(each.partition(":")[0] for each in seen),
        result.message,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
