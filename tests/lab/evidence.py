"""What explains a failure: the logs and queues of what runs meanwhile, told with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

_LAST_LINES = 100


@runtime_checkable
class Witness(Protocol):
    """Something that runs, and can say what it has seen."""

    def evidence(self) -> str:
        """What explains a failure, such as the end of its log."""


@contextmanager
def heard(witness: Witness) -> Iterator[None]:
    """Add what *witness* says to all that the block raises."""
    try:
        yield
    except BaseException as error:
        error.add_note(witness.evidence())
        raise


def end_of(log: str) -> str:
    """Return the last lines of a log."""
    return "\n".join(log.splitlines()[-_LAST_LINES:])
