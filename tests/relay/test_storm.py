"""The storms in short: each keeps its promises, as the long one has to."""

import pytest

from storm.run import Order, Storm
from storm.table import STORMS
from tests.lab import postfix, unbound

OBSTACLE = postfix.obstacle() or unbound.obstacle()
SHORT = {
    "restarts": 250,
    "kills": 300,
    "stops": 200,
    "outage": 600,
    "bad-dns": 45,
    "slow-dns": 300,
    "endurance": 2_000,
    "nonsense": 10_000,
    "hostile-domains": 600,
    "odd": 150,
    "poison": 400,
    "inline": 400,
    "world": 400,
    "return": 400,
    "ledger": 240,
}

pytestmark = [
    pytest.mark.postfix,
    pytest.mark.skipif(OBSTACLE is not None, reason=OBSTACLE or ""),
]


@pytest.mark.parametrize("storm", STORMS, ids=lambda storm: storm.name)
def test_storm(storm: Storm) -> None:
    outcome = storm.play(Order(SHORT[storm.name], seed=1))

    assert outcome.broken == (), outcome
