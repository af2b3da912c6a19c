r"""Reads `*.case` files: what alignd does with one message, in plain text.

    # A sentence: what this case claims.
    only process,wire - why it cannot run through Postfix
    zone
    mycompany.com. TXT "v=spf1 -all"
    .
    config
    [rules]
    rewrite_on = "enforced"
    .
    client 203.0.113.9
    helo mail.mycompany.com
    login marky
    MAIL <marky.mark@mycompany.com>
    RCPT <julia@customer.example>
    message
    From: Marky Mark <marky.mark@mycompany.com>

    Hello
    .
    EXPECT rewrite relay-not-authorised
    MAIL <bounces@notifications.easysoftware.com>
    message
    From: ...
    .

Needed are a claim, MAIL (`<>` is the null sender), RCPT (may repeat), message and EXPECT. What
follows EXPECT is what leaves the relay: without MAIL or message there, it is unchanged.

A block ends with a line that is one dot; another line that starts with a dot has it doubled, as
in SMTP. Lines of a zone or config stand for themselves. Lines of a message end with CRLF, and know

    \xNN         the byte NN
    \n  \r  \\   a line end (CRLF), a bare CR, a backslash
    {{TEXT*N}}   TEXT, N times; TEXT may have the escapes above

In a message, and in MAIL and RCPT, {{KIND AUTHOR}} or {{KIND AUTHOR DOMAIN}} is a return address:
KIND is author or bounce, which is of the day on which it is looked at. With the kind mark, it is
what stands in Alignd-Return.

A message that is not taken may say below EXPECT what the client is told: REPLY 550 5.7.1
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from itertools import takewhile
from pathlib import Path

from alignd.return_path.address import Kind
from tests.lab import cast
from tests.lab.return_addresses import return_address

_BLOCKS = {"zone", "config", "message"}
_LINES = {"only", "client", "helo", "login", "MAIL", "RCPT", "EXPECT", "REPLY"}
_AFTER_EXPECT = {"MAIL", "REPLY", "message"}

_RETURN_ADDRESS = re.compile(r"\{\{(author|bounce|mark) (\S+?)(?: (\S+?))?\}\}")
_REPEATED = re.compile(r"\{\{(.*?)\*(\d+)\}\}")
_ESCAPE = re.compile(rb"\\(x[0-9A-Fa-f]{2}|.?)", re.DOTALL)
_ESCAPES = {b"n": b"\r\n", b"r": b"\r", b"\\": b"\\"}


class CaseError(Exception):
    """A case file that cannot be used: `path:line: problem; cure`."""


class Speed(Enum):
    """Where a case runs: in this process, over the milter protocol, through a real Postfix."""

    PROCESS = "process"
    WIRE = "wire"
    POSTFIX = "postfix"


@dataclass(frozen=True, slots=True)
class _Written:
    """What may have return addresses in it, as they stand in the file."""

    envelope_sender: str
    recipients: tuple[str, ...]
    message: bytes
    expected_envelope_sender: str
    expected_message: bytes


@dataclass(frozen=True, slots=True)
class Case:
    """One message, the world it meets, and what is expected to leave."""

    path: Path
    claim: str
    speeds: frozenset[Speed]
    restriction: str  # why it runs at these speeds only
    zone: str
    config: str
    client: str
    helo: str
    login: str | None
    expected_action: str
    expected_reason: str
    expected_reply: str  # its codes; empty where nothing is said of it
    written: _Written

    @property
    def name(self) -> str:
        """The name of the file, which is the name of the test."""
        return self.path.stem

    @property
    def envelope_sender(self) -> str:
        return _addressed(self.written.envelope_sender)

    @property
    def recipients(self) -> tuple[str, ...]:
        return tuple(map(_addressed, self.written.recipients))

    @property
    def message(self) -> bytes:
        return _addressed_bytes(self.written.message)

    @property
    def expected_envelope_sender(self) -> str:
        return _addressed(self.written.expected_envelope_sender)

    @property
    def expected_message(self) -> bytes:
        return _addressed_bytes(self.written.expected_message)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One keyword of a case file, with the rest of its line and its block."""

    path: Path
    line: int
    keyword: str
    argument: str
    block: tuple[str, ...] = ()

    def error(self, problem: str, offset: int = 0) -> CaseError:
        return CaseError(f"{self.path}:{self.line + offset}: {problem}")


def load_cases(directory: Path) -> tuple[Case, ...]:
    """Read every case of *directory*, in the order of their names."""
    return tuple(load_case(path) for path in sorted(directory.glob("*.case")))


def load_case(path: Path) -> Case:
    """Read one case, or raise CaseError."""
    lines = path.read_bytes().decode().split("\n")
    claim = " ".join(line.lstrip("# ") for line in takewhile(_is_comment, lines))
    if not claim:
        raise CaseError(f"{path}:1: no claim; begin with a comment that says what is shown")
    entries = list(_entries(path, lines))
    expect = _required(path, entries, "EXPECT")
    at = entries.index(expect)
    return _case(path, claim, entries[:at], expect, entries[at + 1 :])


def _is_comment(line: str) -> bool:
    return line.startswith("#")


def _entries(path: Path, lines: list[str]) -> Iterator[_Entry]:
    numbered = iter(enumerate(lines, start=1))
    for number, line in numbered:
        keyword, _blank, argument = line.strip().partition(" ")
        entry = _Entry(path, number, keyword, argument.strip())
        if not keyword or _is_comment(line):
            continue
        if line in _BLOCKS:
            yield replace(entry, block=tuple(_block(entry, numbered)))
        elif keyword in _LINES and argument:
            yield entry
        else:
            known = ", ".join(sorted(_BLOCKS | _LINES))
            raise entry.error(f"cannot read {line!r}; write one of {known}")


def _block(entry: _Entry, numbered: Iterator[tuple[int, str]]) -> Iterator[str]:
    for _number, line in numbered:
        if line == ".":
            return
        yield line[1:] if line.startswith(".") else line
    raise entry.error(f"the {entry.keyword} has no end; end it with a line that is one dot")


def _case(path: Path, claim: str, sent: list[_Entry], expect: _Entry, left: list[_Entry]) -> Case:
    for entry in left:
        if entry.keyword not in _AFTER_EXPECT:
            raise entry.error(f"{entry.keyword} says what goes in; move it before EXPECT")
    action, _blank, reason = expect.argument.partition(" ")
    if not reason or " " in reason:
        raise expect.error("write EXPECT, an action and a reason, each one word")
    speeds, restriction = _speeds(_optional(sent, "only"))
    login = _optional(sent, "login")
    client, helo = _optional(sent, "client"), _optional(sent, "helo")
    reply = _optional(left, "REPLY")
    sender = _required(path, sent, "MAIL")
    message = _required(path, sent, "message")
    recipients = tuple(_address(entry) for entry in sent if entry.keyword == "RCPT")
    if not recipients:
        raise sender.error("no RCPT; add one")
    return Case(
        path=path,
        claim=claim,
        speeds=speeds,
        restriction=restriction,
        zone=_text(_optional(sent, "zone")),
        config=_text(_optional(sent, "config")),
        client=client.argument if client else "127.0.0.1",
        helo=helo.argument if helo else cast.RECEIVER,
        login=login.argument if login else None,
        expected_action=action,
        expected_reason=reason,
        expected_reply=reply.argument if reply else "",
        written=_Written(
            envelope_sender=_address(sender),
            recipients=recipients,
            message=_message(message),
            expected_envelope_sender=_address(_optional(left, "MAIL") or sender),
            expected_message=_message(_optional(left, "message") or message),
        ),
    )


def _addressed(text: str) -> str:
    """*text* with its return addresses written out."""

    def address(found: re.Match[str]) -> str:
        kind = Kind(found[1])
        made = return_address(kind, found[2], *filter(None, [found[3]]))
        return made.partition("@")[0] if kind is Kind.MARK else made

    return _RETURN_ADDRESS.sub(address, text)


def _addressed_bytes(data: bytes) -> bytes:
    return _addressed(data.decode("latin-1")).encode("latin-1") if b"{{" in data else data


def _optional(entries: list[_Entry], keyword: str) -> _Entry | None:
    found = [entry for entry in entries if entry.keyword == keyword]
    if len(found) > 1:
        raise found[1].error(f"a second {keyword}; keep one")
    return found[0] if found else None


def _required(path: Path, entries: list[_Entry], keyword: str) -> _Entry:
    entry = _optional(entries, keyword)
    if entry is None:
        raise CaseError(f"{path}:1: no {keyword}; add one")
    return entry


def _speeds(only: _Entry | None) -> tuple[frozenset[Speed], str]:
    if only is None:
        return frozenset(Speed), ""
    names, _dash, reason = only.argument.partition(" - ")
    if not reason.strip():
        raise only.error("no reason; write it behind a dash: only process,wire - why")
    try:
        return frozenset(Speed(name.strip()) for name in names.split(",")), reason.strip()
    except ValueError as error:
        known = ", ".join(speed.value for speed in Speed)
        raise only.error(f"{error}; write some of {known}") from None


def _address(entry: _Entry) -> str:
    if not re.fullmatch(r"<.*>", entry.argument):
        raise entry.error(f"{entry.argument} is no address; write it in angle brackets")
    return entry.argument[1:-1]


def _text(entry: _Entry | None) -> str:
    return "".join(f"{line}\n" for line in entry.block) if entry else ""


def _message(entry: _Entry) -> bytes:
    lines = (_line(entry, number, line) for number, line in enumerate(entry.block, start=1))
    return b"".join(line + b"\r\n" for line in lines)


def _line(entry: _Entry, number: int, line: str) -> bytes:
    def unescaped(escape: re.Match[bytes]) -> bytes:
        code = escape[1]
        if code.startswith(b"x") and len(code) > 1:
            return bytes.fromhex(code[1:].decode())
        if code not in _ESCAPES:
            problem = f"unknown escape {escape[0].decode()!r}; a backslash itself is \\\\"
            raise entry.error(problem, number)
        return _ESCAPES[code]

    whole = _REPEATED.sub(lambda found: found[1] * int(found[2]), line)
    return _ESCAPE.sub(unescaped, whole.encode())
