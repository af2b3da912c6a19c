"""alignd with a bug: while a file "stuck" lies beside its configuration, judgements have no end.

Run as a program, with the path of the configuration.
"""

import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event

from alignd.config.header_patterns import HeaderPatterns
from alignd.mail.message import Message
from alignd.service import supervisor, worker, workers
from alignd.service.setup import Setup, load_setup
from alignd.telemetry.log import MessageLog

STUCK_SECONDS, SILENCE_SECONDS = 1.0, 3.0  # instead of 30 and 10: the test waits for them


@dataclass(frozen=True, slots=True)
class Stuck(HeaderPatterns):
    """Header patterns that match anything, and do not return while *file* is there."""

    file: Path = Path()

    def match(self, message: Message) -> bool:  # noqa: ARG002
        if self.file.exists():
            Event().wait()
        return True


def load_with_bug(path: Path, running: Setup | None) -> Setup:
    """Load the setup as the service does, and plant the bug."""
    setup = load_setup(path, running)
    configuration = setup.configuration
    headers = Stuck(file=path.with_name("stuck"))
    helpdesk = configuration.helpdesk.model_copy(update={"headers": headers})
    return replace(setup, configuration=configuration.model_copy(update={"helpdesk": helpdesk}))


def main() -> int:
    vars(worker)["STUCK_SECONDS"] = STUCK_SECONDS
    vars(workers)["SILENCE_SECONDS"] = SILENCE_SECONDS
    path = Path(sys.argv[1])
    return supervisor.Supervisor(partial(load_with_bug, path), MessageLog(sys.stderr)).run()


if __name__ == "__main__":
    sys.exit(main())
