"""What came of one message: what alignd did, and what the receivers said."""

import json
import re
from dataclasses import asdict, dataclass
from typing import Self

from tests.lab import cast
from tests.lab.message import split

_DMARC = re.compile(r"\bdmarc=(\w+).*?\bheader\.from=(\S+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One message that left the relay from the address *source*."""

    case: str
    source: str
    action: str
    reason: str
    """What alignd says it did, and why."""
    answer: str
    """What the receiving Postfix answered: `sent (250 ...)`, `bounced (550 ...)`."""
    opendmarc: str
    """OpenDMARC's result and the domain it judged, such as `pass mycompany.com`; or `rejected`."""
    rspamd: str = ""
    """rspamd's symbol for DMARC and the domain it judged; nothing of a message that did not come.
    """
    mailauth: str = ""
    """mailauth's result and the domain it judged, where it was installed."""
    evidence: str = ""
    """All that was said of a message that came."""

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """Write it in one line."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Received:
    """A message that the receiver took: as it came in, and what the checks there wrote on it."""

    message: bytes
    results: tuple[str, ...]

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Take the receiver's own results off the message; it removed those that came in."""
        fields, rest = split(content)
        prefix = b"%s;" % cast.RECEIVER.encode()
        own = [
            field
            for field in fields
            if field.name == b"Authentication-Results" and field.value.startswith(prefix)
        ]
        message = b"".join(field.raw for field in fields if field not in own) + rest
        return cls(message, tuple(" ".join(field.value.decode().split()) for field in own))

    def opendmarc(self) -> str:
        """OpenDMARC's result and the domain it judged; empty if it said nothing."""
        found = next(filter(None, map(_DMARC.search, self.results)), None)
        return f"{found[1]} {found[2]}" if found else ""
