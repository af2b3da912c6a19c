"""Many messages, over several SMTP sessions at once and no faster than they are asked for."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from tests.lab.parallel import in_parallel
from tests.lab.submission import SmtpClient

_SESSIONS = 8
_MESSAGES_PER_SESSION = 100  # then a client connects anew, as clients do


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message with its envelope."""

    envelope_sender: str
    recipients: Sequence[str]
    content: bytes


def send_all(
    port: int,
    parcels: Iterable[tuple[int, Parcel]],
    tell: Callable[[int, bool], None],
    *,
    sessions: int = _SESSIONS,
) -> None:
    """Send all *parcels*, numbered, to 127.0.0.1, and *tell* of each whether it was taken."""

    def work(shared: Iterator[tuple[int, Parcel]]) -> None:
        for first in shared:
            _send_some(port, chain([first], islice(shared, _MESSAGES_PER_SESSION - 1)), tell)

    in_parallel(work, parcels, threads=sessions)


def _send_some(
    port: int, parcels: Iterable[tuple[int, Parcel]], tell: Callable[[int, bool], None]
) -> None:
    """Send *parcels* in one session, up to the first that is not taken."""
    with SmtpClient(port) as client:
        for number, parcel in parcels:
            reply = client.send(parcel.envelope_sender, parcel.recipients, parcel.content)
            tell(number, reply.is_taken)
            if not reply.is_taken:
                return  # Postfix holds the failure of a milter against the rest of the session
