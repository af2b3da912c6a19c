"""The limiter: so many at once, then one each so often, for a bounded number of keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.web.rates import RateLimiter


def test_so_many_go_at_once_and_then_one_each_so_often() -> None:
    limiter = RateLimiter(3, 10.0)

    assert [limiter.take("a", 100.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert limiter.take("a", 100.0) == pytest.approx(10.0)
    assert limiter.take("a", 104.0) == pytest.approx(6.0)
    assert limiter.take("a", 110.0) == 0.0
    assert limiter.take("a", 110.0) == pytest.approx(10.0)
    assert limiter.take("b", 110.0) == 0.0


def test_who_is_refused_does_not_wait_longer_for_asking() -> None:
    limiter = RateLimiter(1, 10.0)
    limiter.take("a", 0.0)

    assert all(limiter.take("a", second / 10) for second in range(99))
    assert limiter.take("a", 10.0) == 0.0


def test_a_pause_gives_no_more_than_a_full_bucket() -> None:
    limiter = RateLimiter(2, 10.0)
    for moment in (0.0, 0.0, 1e6, 1e6):
        assert limiter.take("a", moment) == 0.0

    assert limiter.take("a", 1e6) > 0


def test_a_clock_that_is_set_back_gives_nothing() -> None:
    limiter = RateLimiter(1, 10.0)
    limiter.take("a", 100.0)

    assert limiter.take("a", 50.0) > 0


def test_keys_are_bounded_and_those_that_rest_are_forgotten() -> None:
    limiter = RateLimiter(1, 10.0, max_keys=100)
    for number in range(100):
        assert limiter.take(str(number), number / 100) == 0.0

    wait = limiter.take("new", 1.0)
    assert wait == pytest.approx(9.0)
    assert len(limiter) == 100
    assert limiter.take("0", 1.0) > 0  # nobody's bucket was emptied for it
    assert limiter.take("new", 1.0 + wait) == 0.0
    assert limiter.take("newer", 1000.0) == 0.0
    assert len(limiter) == 1


@given(
    st.integers(1, 5),
    st.floats(0.1, 1e4),
    st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 1e4)), max_size=60),
)
def test_no_key_ever_gets_more_than_its_share(
    burst: int, every: float, pauses: list[tuple[str, float]]
) -> None:
    limiter = RateLimiter(burst, every, max_keys=3)
    now = 1000.0
    taken: dict[str, list[float]] = {}
    for key, pause in pauses:
        now += pause
        wait = limiter.take(key, now)
        assert wait >= 0.0
        assert len(limiter) <= 3
        if not wait:
            taken.setdefault(key, []).append(now)
    for moments in taken.values():
        for first, start in enumerate(moments):
            for last, end in enumerate(moments[first:], first):
                assert last - first + 1 <= burst + (end - start + 0.01) / every


@given(st.integers(1, 9), st.floats(0.1, 1e5), st.floats(0, 1e9))
def test_who_waits_as_told_gets_one(burst: int, every: float, now: float) -> None:
    limiter = RateLimiter(burst, every)
    while not (wait := limiter.take("a", now)):
        pass

    assert limiter.take("a", now + wait) == 0.0


@pytest.mark.parametrize(("burst", "every", "keys"), [(0, 1.0, 1), (1, 0.0, 1), (1, 1.0, 0)])
def test_a_limit_lets_something_through_and_ends(burst: int, every: float, keys: int) -> None:
    with pytest.raises(ValueError, match="a limit must"):
        RateLimiter(burst, every, keys)
