"""Sends mail through a relay to receivers: reads a `Sending` a line, writes a `Verdict` a line.

It steps into namespaces of its own; `testbed` runs the servers there, `delivery` follows a message
to its judges, and `verdict` is what came of it. `tests/relay/test_verifiers.py` holds that against
the claims.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from pathlib import Path

from tests.lab.namespaces import run_isolated
from tests.lab.readiness import wait_until
from tests.lab.settings import world
from tests.verifiers.delivery import deliver
from tests.verifiers.sending import Sending
from tests.verifiers.testbed import Testbed, run_testbed

_AT_ONCE = 8


def main(arguments: Sequence[str]) -> int:
    """Run in namespaces of its own; with a directory as argument, we are in them already."""
    if not arguments:
        return run_isolated([sys.executable, "-m", "tests.verifiers"])
    sendings = [Sending.from_json(line) for line in sys.stdin]
    with run_testbed(Path(arguments[0]), sendings) as testbed:
        send_all(testbed, sendings)
    return 0


def send_all(testbed: Testbed, sendings: Iterable[Sending]) -> None:
    """Send all from every address of the relay; those with the same zone at once."""
    by_zone = defaultdict(list)
    for sending in sendings:
        by_zone[sending.zone].append(sending)
    last_keys = 0
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for together in _spread(by_zone.values()):
            has_keys = any(map(_has_keys, together))
            if has_keys:
                _wait_for_second_after(last_keys)
            testbed.nameserver.serve(testbed.key.publish(world(together[0].zone)))
            running = [
                pool.submit(deliver, testbed, sending, source)
                for sending in together
                for source in sending.sources()
            ]
            for each in running:
                print(each.result().to_json(), flush=True)
            last_keys = int(time.time()) if has_keys else last_keys


def _spread(groups: Iterable[list[Sending]]) -> list[list[Sending]]:
    """Put those without keys evenly between those with, which wait for the next second."""
    kinds: tuple[list[list[Sending]], list[list[Sending]]] = [], []
    for together in groups:
        kinds[any(map(_has_keys, together))].append(together)
    placed = [
        (number / len(kind), together) for kind in kinds for number, together in enumerate(kind)
    ]
    return [together for _place, together in sorted(placed, key=itemgetter(0))]


def _has_keys(sending: Sending) -> bool:
    return "[dkim]" in sending.config or b"DKIM-Signature" in sending.message


def _wait_for_second_after(second: int) -> None:
    """Wait until OpenDKIM asks again: its resolver keeps keys for the second, or their absence.

    It does so with a TTL of 0, too (measured), and the zones of two cases have the same names.
    """
    wait_until(lambda: int(time.time()) > second, "the next second")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
