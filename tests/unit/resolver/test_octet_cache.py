"""The cache with a bound in octets: what it keeps, and that it never keeps more."""

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from alignd.resolver.octet_cache import OVERHEAD, OctetCache

ROOM = 10 * (100 + OVERHEAD)  # for ten values of 100 octets


def kept_octets(cache: OctetCache[int, int]) -> int:
    return sum(octets for part in (cache._young, cache._old) for _, octets in part.values())


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 2 * ROOM), st.booleans())))
def test_it_never_keeps_more_than_its_bound_and_never_what_was_replaced(
    steps: list[tuple[int, int, bool]],
) -> None:
    cache: OctetCache[int, int] = OctetCache(ROOM)
    last: dict[int, int] = {}
    for number, (key, octets, is_read) in enumerate(steps):
        if is_read:
            assert cache.get(key) in (None, last.get(key))
        else:
            cache.put(key, number, octets)
            last[key] = number
        assert kept_octets(cache) <= ROOM
        assert cache._room == cache._half - sum(octets for _, octets in cache._young.values())


def test_what_is_in_use_stays_while_others_come_and_go() -> None:
    cache: OctetCache[str, int] = OctetCache(ROOM)
    cache.put("in use", 0, 100)

    for number in range(1000):
        cache.put(f"of one message: {number}", number, 100)
        assert cache.get("in use") == 0

    assert cache.get("of one message: 0") is None
    assert cache.get("of one message: 999") == 999


def test_what_was_put_last_is_there() -> None:
    cache: OctetCache[int, int] = OctetCache(ROOM)

    for number in range(1000):
        cache.put(number, number, 100)
        assert cache.get(number) == number

    assert 5 <= len(cache) <= 10


def test_a_value_above_half_of_the_bound_is_not_kept_nor_is_what_it_replaces() -> None:
    cache: OctetCache[str, int] = OctetCache(ROOM)
    cache.put("other", 1, 100)
    cache.put("one", 2, 100)

    cache.put("one", 3, ROOM)

    assert (cache.get("one"), cache.get("other")) == (None, 1)


def test_threads_find_what_was_put_or_nothing() -> None:
    cache: OctetCache[int, int] = OctetCache(ROOM)

    def use(start: int) -> bool:
        found = []
        for key in range(start, start + 20_000):
            cache.put(key % 30, key % 30, 100)
            found.append(cache.get((key + 5) % 30) in (None, (key + 5) % 30))
        return all(found)

    with ThreadPoolExecutor(3) as threads:
        assert all(threads.map(use, (0, 10, 20)))
    assert kept_octets(cache) <= ROOM
    assert cache._room == cache._half - sum(octets for _, octets in cache._young.values())
