"""Runs alignd as an administrator does: a directory, a command, what it printed."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.settings import configuration, world
from tests.support.prefork import Prefork

ZONE = world("""\
mycompany.com.        TXT "v=spf1 ip4:198.51.100.1 -all"
_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"
good.example.         TXT "v=spf1 include:spf.mailing.easy.cz -all"
_dmarc.good.example.  TXT "v=DMARC1; p=quarantine"
""")
MARKY = b"From: Marky Mark <marky.mark@mycompany.com>\r\nSubject: Re: printer\r\n\r\nHello\r\n"
PROGRAM = (sys.executable, "-m", "alignd")
GOOD = b"From: Ann Lee <ann@good.example>\r\n\r\nHello\r\n"


def without_privileges() -> tuple[str, ...]:
    """What runs a command so that the permissions of files hold even for root."""
    if os.geteuid() != 0:
        return ()
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The standard output as JSON."""
        return json.loads(self.stdout)


class CommandLine:
    """A directory with a configuration, a zone and two messages, and the real command in it.

    The command is forked off *prefork*, if there is one and it does not matter how an interpreter
    starts.
    """

    def __init__(self, directory: Path, prefork: Prefork | None = None) -> None:
        self.directory = directory
        self._prefork = prefork
        self.write("alignd.conf", configuration(socket=f"unix:{directory}/none/alignd.sock"))
        self.write("what-if.zone", ZONE)
        self.write("marky.eml", MARKY)
        self.write("good.eml", GOOD)

    @property
    def environment(self) -> dict[str, str]:
        """The environment that the command runs in."""
        return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

    def write(self, name: str, content: str | bytes) -> None:
        """Put a file there."""
        data = content.encode() if isinstance(content, str) else content
        (self.directory / name).write_bytes(data)

    def run(
        self, *arguments: str, before: tuple[str, ...] = (), stdin: bytes = b"", **env: str
    ) -> Outcome:
        """Run alignd, perhaps by way of the command *before*, to its end."""
        if self._prefork and not before and not env:
            status, stdout, stderr = self._prefork.run(arguments, self.directory, stdin)
            return Outcome(status, stdout.decode(), stderr.decode())
        done = subprocess.run(
            [*before, *PROGRAM, *arguments],
            cwd=self.directory,
            env=self.environment | env,
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )
        # Strictly UTF-8, and line ends as they are.
        return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())

    def explain(self, *arguments: str, mail_from: str = "", zone: str = "what-if.zone") -> Outcome:
        """Run `alignd explain`."""
        common = ("--mail-from", mail_from, "--zone", zone, "--config", "alignd.conf")
        return self.run("explain", *common, *arguments)
