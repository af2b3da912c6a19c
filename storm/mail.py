"""The mail of a storm: what is sent, by its number alone, and what has to leave the relay."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from alignd.return_path.address import Kind as AddressKind
from alignd.return_path.directory import Directory, Found
from tests.lab import cast
from tests.lab.message import split
from tests.lab.settings import world

_HELPDESK = "tickets@helpdesk.example"
_MESSAGE_ID = re.compile(rb"^Message-ID: <(\d+)\.(\w+)@storm\.example>\r$", re.MULTILINE)
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_LONGEST_BODY = 2_000  # octets
_TTL = 300  # seconds

Fields = list[tuple[bytes, bytes]]


class Kind(Enum):
    """What the author domain publishes, and so what becomes of its mail; names are domains."""

    UNALIGNED = "unaligned"  # has not authorised the relay: rewritten
    ALIGNED = "aligned"  # has, and is the envelope sender as well: untouched
    ENVELOPE = "envelope"  # has, but the envelope sender is the helpdesk: that one moves


_KINDS = (Kind.UNALIGNED, Kind.ALIGNED, Kind.UNALIGNED, Kind.ENVELOPE)


class Left(Enum):
    """How a message left the relay."""

    UNTOUCHED = "untouched"
    ENVELOPE = "with another envelope sender"
    REWRITTEN = "rewritten"
    HALF_CHANGED = "half-changed"


EXPECTED = {
    Kind.UNALIGNED: Left.REWRITTEN,
    Kind.ALIGNED: Left.UNTOUCHED,
    Kind.ENVELOPE: Left.ENVELOPE,
}


@dataclass(frozen=True, slots=True)
class Letter:
    """One message of a storm."""

    kind: Kind
    envelope_sender: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Post:
    """All the messages of one run; *domains* is how many author domains of each kind write."""

    seed: int
    domains: int = 20
    prefix: str = ""
    """Of the author domains, for those that a run must not have met before."""
    returns: Callable[[], Directory] | None = None
    """What reads the return addresses that rewritten mail is from, if it is."""

    def zone(self) -> str:
        """The DNS that all of it is judged by."""
        return f"$TTL {_TTL}\n{world(self.records())}"

    def records(self) -> str:
        """Of that, what the author domains publish."""
        authorised, refused = f"include:{cast.SPF_INCLUDE} -all", "-all"
        lines = []
        for number in range(self.domains):
            for kind in Kind:
                name = self.domain(kind, number)
                spf = refused if kind is Kind.UNALIGNED else authorised
                lines.append(f'{name}. TXT "v=spf1 {spf}"\n')
                lines.append(f'_dmarc.{name}. TXT "v=DMARC1; p=reject"\n')
        return "".join(lines)

    def kind(self, number: int) -> Kind:
        """Of which kind the message with this number is."""
        return _KINDS[number % len(_KINDS)]

    def letter(self, number: int) -> Letter:
        """The message with this number: the same one each time."""
        random_of = random.Random(f"{self.seed}/{number}")
        kind = self.kind(number)
        domain = self.domain(kind, number // len(_KINDS) % self.domains)
        agent = f"agent{number}@{domain}"
        body = random_of.randbytes(random_of.randrange(_LONGEST_BODY) // 2).hex()
        lines = [
            f"From: Agent {number} <{agent}>",
            f"Sender: {_HELPDESK}",
            f"To: {cast.JULIA}",
            f"Message-ID: <{number}.{self.prefix}{self.seed}@storm.example>",
            "Date: Mon, 2 Nov 2026 10:00:00 +0100",
            f"DKIM-Signature: v=1; a=rsa-sha256; d={domain}; s=old; h=from; bh=AA==; b=AA==",
            f"Subject: Re: ticket {number}",
            "",
            *(body[start : start + 76] for start in range(0, len(body), 76)),
        ]
        sender = _HELPDESK if kind is Kind.ENVELOPE else agent
        return Letter(kind, sender, "".join(f"{line}\r\n" for line in lines).encode())

    def domain(self, kind: Kind, number: int) -> str:
        """An author domain of this kind; *number* is below *domains*."""
        return f"{kind.value}{number}.{self.prefix}authors.example"

    def number_of(self, content: bytes) -> int | None:
        """The number of a message, if it is of this run."""
        found = _MESSAGE_ID.search(content)
        ours = f"{self.prefix}{self.seed}".encode()
        return int(found[1]) if found and found[2] == ours else None

    def judge(self, number: int, envelope_sender: str, content: bytes) -> Left:
        """Compare what left with what was sent."""
        letter = self.letter(number)
        before, body = _read(letter.content)
        after, body_after = _read(content)
        if body != body_after:
            return Left.HALF_CHANGED
        if after == before:
            if envelope_sender == letter.envelope_sender:
                return Left.UNTOUCHED
            moved = letter.kind is Kind.ENVELOPE and envelope_sender == _author(before)
            return Left.ENVELOPE if moved else Left.HALF_CHANGED
        if self.returns is not None:
            directory = self.returns()
            after = [
                (name, _without_return(name, text, directory, before)) for name, text in after
            ]
            if _is_of(_author(before), envelope_sender, AddressKind.BOUNCE, directory):
                envelope_sender = cast.BOUNCES
        rewritten = sorted(after) == sorted(_rewritten(before)) and envelope_sender == cast.BOUNCES
        return Left.REWRITTEN if rewritten else Left.HALF_CHANGED


def _read(content: bytes) -> tuple[Fields, bytes]:
    """The fields that the relay leaves alone or alignd changes, unfolded, and the rest."""
    fields, rest = split(content)
    read = []
    for field in fields:
        name, value = field.name, _FOLD.sub(b"", field.value)
        if name == b"Alignd":
            value = value.partition(b";")[0]  # the rest of it differs from run to run
        if name != b"Received":
            read.append((name, value))
    return read, rest


def _without_return(name: bytes, text: bytes, directory: Directory, before: Fields) -> bytes:
    """*text* with the notifications address in the place of the author's return address."""
    phrase, _, address = text.decode().rpartition("<")
    if name != b"From" or not _is_of(_author(before), address[:-1], AddressKind.AUTHOR, directory):
        return text
    return f"{phrase}<{cast.NOTIFICATIONS}>".encode()


def _is_of(author: str, address: str, kind: AddressKind, directory: Directory) -> bool:
    """Whether *address* is a return address of *author*, and of this kind."""
    found = directory.find(address, time.time())
    return (
        isinstance(found, Found)
        and found.address.kind is kind
        and found.address.author.address == author
    )


def _author(fields: Fields) -> str:
    return dict(fields)[b"From"].partition(b"<")[2].rstrip(b">").decode()


def _rewritten(fields: Fields) -> Fields:
    kept = [(n, v) for n, v in fields if n not in (b"From", b"Sender", b"DKIM-Signature")]
    author = dict(fields)[b"From"]
    name, _blank, address = author.rpartition(b" ")
    replaced = f' {cast.VIA}" <{cast.NOTIFICATIONS}>'.encode()
    return [
        *kept,
        (b"From", b'"' + name + replaced),
        (b"Reply-To", b'"%s" %s' % (name, address)),
        (b"X-Original-From", author),
        (b"Alignd", b"action=rewrite"),
    ]
