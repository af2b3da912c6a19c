"""Responsible for the run: steps into namespaces, sends every case, prints a verdict a line.

`places` says which address is what there, `daemons` and `stage` start everything, `signing` says
what the relay signs, `delivery` follows a message to its judges, one of which is `rspamd`, and
`verdict` is what came of it. `tests/test_verifiers.py` runs this and holds it against the claims.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab import namespaces
from tests.lab.settings import world as with_general_records
from tests.support.case import Case, Speed
from tests.support.selection import CASES
from tests.verifiers.delivery import deliver
from tests.verifiers.stage import Stage, set_stage, sources

_AT_ONCE = 8


def main(arguments: Sequence[str]) -> int:
    """Run in a network of its own; with a directory as argument, we are in it already."""
    if not arguments:
        return namespaces.run_isolated([sys.executable, "-m", "tests.verifiers"])
    cases = [case for case in CASES if Speed.POSTFIX in case.speeds]
    with set_stage(Path(arguments[0]), cases) as stage:
        send_all(stage, cases)
    return 0


def send_all(stage: Stage, cases: Sequence[Case]) -> None:
    """Send every case from every address of the relay; those with the same zone at once."""
    by_zone = defaultdict(list)
    for case in cases:
        by_zone[case.zone].append(case)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for zone, together in by_zone.items():
            stage.nameserver.serve(stage.key.publish(with_general_records(zone)))
            sent = [
                pool.submit(deliver, stage, case, source)
                for case in together
                for source in sources(case)
            ]
            for each in sent:
                print(each.result().to_json(), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
