"""The words in which the service tells of itself: labels of metrics, and the status document."""

from __future__ import annotations

from enum import Enum


class Reload(Enum):
    """The result of a reload."""

    DONE = "done"
    REFUSED = "refused"


class Input(Enum):
    """What is read besides the configuration file."""

    NAMESERVERS = "nameservers"
    """/etc/resolv.conf, where dns.nameservers names none."""
    SIGNING_TABLES = "signing-tables"
    """OpenDKIM's, of dkim.opendkim."""
    PRIVATE_KEYS = "private-keys"
    """The files that the tables and dkim.signs name."""
    RETURN_KEYS = "return-keys"
    """The files of return.keys."""


class ArchiveState(Enum):
    """The state of the archive of DNS answers."""

    OFF = "off"
    """None is configured."""
    OPENING = "opening"
    """It is being read, or nothing was heard of it yet."""
    GOOD = "good"
    FAILING = "failing"
    """It cannot be read or written: last known answers would not survive a restart."""


class Task(Enum):
    """Something that a thread does in the background for as long as the process lives."""

    DNS_REFRESH = "dns-refresh"
    DNS_PROBE = "dns-probe"
    ARCHIVE = "archive"
    SELF_CHECK = "self-check"
    CONNECTIONS = "connections"
    LEDGER = "ledger"
    SUPERVISION = "supervision"
    """A round of the supervisor."""


class ChildKind(Enum):
    """A process that the supervisor starts."""

    WORKER = "worker"
    MONITOR = "monitor"
    ARCHIVE = "archive"
    MAP = "map"
    """It tells Postfix whose a return address is."""
    LEDGER = "ledger"
    """It keeps the memory of author domains."""


class LedgerState(Enum):
    """The state of the ledger."""

    OFF = "off"
    """None is configured."""
    OPENING = "opening"
    """It is being opened, or nothing was heard of it yet."""
    GOOD = "good"
    WAITING = "waiting"
    """Counts are in the file of this relay, and wait for the database that relays share."""
    FAILING = "failing"
    """Its file cannot be written: counts wait in memory."""


class LedgerLoss(Enum):
    """Why messages are in the log and not in the ledger."""

    RING_FULL = "ring-full"
    """The ledger's process took nothing from a worker for long."""
    PROCESS_ENDED = "process-ended"
    """The ledger's process was killed while its file could not be written."""
    OUTBOX_FULL = "outbox-full"
    """The shared database was gone for too long."""
    MEMORY_FULL = "memory-full"
    """The file could not be written for too long."""
    FILE_BROKEN = "file-broken"
    """They waited in a file that was put aside."""
    MALFORMED = "malformed"
    """A bug."""


class LookResult(Enum):
    """What came of a look at the records of an author domain."""

    SAME = "same"
    CHANGED = "changed"
    """It waits for a second look, or that one agreed."""
    UNKNOWN = "unknown"
    """DNS did not answer."""
    FAILED = "failed"
    """A bug."""


class TellingResult(Enum):
    """What came of telling somebody of an event."""

    TOLD = "told"
    FAILED = "failed"
    """It is tried again."""
    GIVEN_UP = "given-up"


class WindowResult(Enum):
    """What came of a connection of somebody who asks the ledger."""

    ANSWERED = "answered"
    UNFINISHED = "unfinished"
    """The client went away, or was too slow."""
    MALFORMED = "malformed"
    """It asked nothing that may be asked."""
    VERSION = "version"
    """It is of another alignd."""
    BUSY = "busy"
    """Others ask too much."""
    SCHEMA = "schema"
    """The file was written by another alignd."""
    TOO_LARGE = "too-large"
    """The answer would be."""
    SLOW = "slow"
    """The file took too long."""
    DATABASE = "database"
    """The file cannot be read."""
    FAILED = "failed"
    """A bug."""


class ReplyKind(Enum):
    """What a reply of a receiver is beside the prediction, in the words of `alignd feedback`."""

    LOST = "lost"
    """It was left alone since it would pass, and a receiver says that it does not."""
    OUTAGE = "outage"
    """It was rewritten, and a receiver refuses it all the same."""
    ENVELOPE = "envelope"
    """DMARC as predicted, but the envelope sender is refused."""
    FORETOLD = "foretold"
    ADVICE = "advice"
    BOUNCE = "bounce"
    OUTSIDE = "outside"
    UNKNOWN = "unknown"
    """It is not known what alignd did with the message, or a later alignd has another word."""


class ReportOrigin(Enum):
    """Where mail that receivers report is from, in the words of `alignd reports`."""

    REWRITTEN = "rewritten"
    OURS = "ours"
    """It kept its author's From."""
    UNLISTED = "unlisted"
    """From an address of the relay that the configuration lacks."""
    FORWARDED = "forwarded"


class ReportResult(Enum):
    """What DMARC made of it, as the receiver says, in the same words."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    UNKNOWN = "unknown"


class LookupResult(Enum):
    """What the map has answered, in more words than Postfix gets."""

    FOUND = "found"
    FORM = "form"
    """Not found, as all up to `elsewhere`: it does not look like a return address."""
    FORGED = "forged"
    RETIRED = "retired"
    EXPIRED = "expired"
    BLOCKED = "blocked"
    ELSEWHERE = "elsewhere"
    """Not in a domain of return addresses."""
    UNKNOWN_KEY = "unknown-key"
    """To be asked again, as all from here on: another machine may know the key already."""
    KEYS_MISSING = "keys-missing"
    FAILED = "failed"
    """A bug, or another map was asked for."""
    MALFORMED = "malformed"
    """No answer: it was no request, or only a part of one, and the connection was closed."""


class BounceResult(Enum):
    """What became of a bounce that came back."""

    FORWARDED = "forwarded"
    REFUSED = "refused"
