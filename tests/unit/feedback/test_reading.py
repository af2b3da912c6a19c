"""A log is read from a time on, also where a clock was wrong at that time."""

from collections.abc import Iterator

import pytest

from alignd.config.domain_lists import SuffixList
from alignd.feedback.entry import Entry
from alignd.feedback.join import Join
from alignd.feedback.reading import Reading
from alignd.feedback.state import State

BEGUN = 1_795_867_200.0
REPLY = (
    "4bQx2K1: to=<julia@customer.com>, relay=mx.customer.com[203.0.113.25]:25, delay=1, "
    "dsn=5.7.1, status=bounced (host mx.customer.com[203.0.113.25] said: 550 5.7.1 rejected by "
    "DMARC policy for mycompany.com)"
)


class Log:
    """A log of one entry."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry

    def earlier(self) -> Iterator[Entry]:
        return iter(())

    def read(self, seconds: float) -> list[Entry]:
        del seconds
        return [self._entry]

    def mark(self) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("when", "now", "number"),
    [
        pytest.param(BEGUN + 1, BEGUN + 1, 1, id="later-counts"),
        pytest.param(BEGUN - 1, BEGUN + 1, 0, id="earlier-does-not"),
        pytest.param(BEGUN - 900, BEGUN - 900, 1, id="the-clock-was-set-back-to-then"),
        pytest.param(BEGUN - 901, BEGUN - 900, 0, id="earlier-than-that-does-not"),
    ],
)
def test_replies_count_from_a_time_on(when: float, now: float, number: int) -> None:
    log = Log(Entry(when, "postfix/smtp", REPLY))
    reading = Reading(log, State("log"), BEGUN, Join(SuffixList()), lambda: now)

    assert len(reading.next(0.0) or []) == number
