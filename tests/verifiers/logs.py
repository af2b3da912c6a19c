"""Sends mail like `python -m tests.verifiers`, and writes what alignd and Postfix have logged."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.lab.namespaces import run_isolated
from tests.lab.readiness import wait_until
from tests.verifiers.__main__ import send_all
from tests.verifiers.sending import Sending
from tests.verifiers.testbed import run_testbed


def main(arguments: Sequence[str]) -> int:
    """Run in namespaces of its own; with a directory as argument, we are in them already."""
    if not arguments:
        return run_isolated([sys.executable, "-m", "tests.verifiers.logs"])
    sendings = [Sending.from_json(line) for line in sys.stdin]
    with run_testbed(Path(arguments[0]), sendings) as testbed:
        send_all(testbed, sendings)
        wait_until(testbed.relay.has_delivered, "the relay to be done with its bounces")
        for alignd in testbed.alignds.values():
            print(alignd.log())
        print(testbed.relay.log())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
