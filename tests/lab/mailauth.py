"""mailauth, a verifier of Node.js that no package manager of the tests installs: by hand.

`npm install mailauth` in a directory, whose name ALIGND_MAILAUTH has.
"""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

from tests.lab import cast

_SCRIPT = Path(__file__).with_suffix(".mjs")


@dataclass(frozen=True, slots=True)
class Mailauth:
    """A running mailauth, which answers one question after the other."""

    process: Popen[str]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, message: bytes, source: str, envelope_sender: str) -> str:
        """Its result for DMARC and the domain it judged, such as `pass mycompany.com`."""
        question = {
            "message": message.decode("latin-1"),
            "ip": source,
            "helo": cast.RELAY,
            "mta": cast.RECEIVER,
            "sender": envelope_sender,
        }
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        with self.lock:
            stdin.write(f"{json.dumps(question)}\n")
            stdin.flush()
            answer = json.loads(stdout.readline())
        return f"{answer['result']} {answer['domain']}"


@contextmanager
def run_mailauth() -> Iterator[Mailauth | None]:
    """Run it where it was installed; None where it was not."""
    directory = os.environ.get("ALIGND_MAILAUTH")
    if directory is None:
        yield None
        return
    pipe = subprocess.PIPE
    command = ["node", str(_SCRIPT), str(Path(directory).resolve())]
    with Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        yield Mailauth(process)
        assert process.stdin is not None
        process.stdin.close()
