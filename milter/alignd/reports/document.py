"""Reads the elements of an XML document, which may be broken or hostile. Wraps lxml.

No tree is built. A document type is refused before anything in it is read, so that there are no
entities; nothing is fetched. What is broken inside is recovered from, such as octets that are no
UTF-8, and bare ampersands; a document that stops short is not. An older libxml2, such as lxml
4.9's in Debian 12, recovers from less, and what it does not is a problem.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from alignd.reports.problem import ProblemKind, ReportProblem
from alignd.reports.unpack import Piece

MAX_NAMES = 1_000
"""Different names of elements, attributes and namespaces: libxml2 keeps each for good."""
_UNFINISHED = "ERR_TAG_NOT_FINISHED"
_LAST = 1_000  # octets in which the end of a report is looked for
_ENDED = re.compile(rb"</(?:[\w.-]+:)?feedback\s*>", re.IGNORECASE)
_BARE = re.compile(rb"<(?![A-Za-z_:/!?\x80-\xff])")
_MARK = 4  # octets that tell UTF-16 from UTF-8
MAX_ATTRIBUTES = 50
CURE = "reading reports needs lxml: pip install 'alignd[reports]'"


class Handler(Protocol):
    """What wants to know of elements, by their local names in lower case."""

    has_begun: bool
    """Whether it has met what it looks for."""
    is_done: bool
    """Whether the rest may be ignored."""

    def start(self, name: str) -> ReportProblem | None: ...
    def text(self, text: str) -> None: ...
    def end(self, name: str) -> ReportProblem | None: ...

    def finish(self) -> ReportProblem | None:
        """Take it that all has ended, as the last octets say."""
        ...


class MissingLibraryError(Exception):
    """lxml is not installed; the message names the cure."""


def read_document(pieces: Iterable[Piece], handler: Handler) -> ReportProblem | None:
    """Tell *handler* of the elements in *pieces*, until it is done.

    Raises:
        MissingLibraryError: lxml is not installed.
    """
    try:
        from lxml import etree  # noqa: PLC0415  # an extra, which most do without
    except ImportError as error:
        raise MissingLibraryError(CURE) from error

    parser = etree.XMLParser(
        target=_Target(handler),
        recover=True,
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        no_network=True,
        huge_tree=False,
    )
    try:
        problem = _feed(parser, pieces, handler)
    except _RefusedError as refused:
        return refused.problem
    except (etree.Error, ValueError, AssertionError, LookupError, MemoryError) as error:
        problem = _damaged(f"it is no XML: {str(error)[:200]}")
    if problem or handler.is_done:
        return problem
    if not handler.has_begun:
        return ReportProblem(ProblemKind.NO_REPORT, "no report is in it")
    return _damaged(_why(parser.feed_error_log))


class _Error(Protocol):
    message: str
    type_name: str


class _Parser(Protocol):
    feed_error_log: Iterable[_Error]

    def feed(self, data: bytes) -> None: ...
    def close(self) -> object: ...


def _feed(parser: _Parser, pieces: Iterable[Piece], handler: Handler) -> ReportProblem | None:
    last = b""
    for piece in _mended(pieces):
        if isinstance(piece, ReportProblem):
            return piece
        last = (last + piece)[-_LAST:] if len(piece) < _LAST else piece[-_LAST:]
        # Behind the end of the report only a wrong checksum is of interest.
        if not handler.is_done:
            parser.feed(piece)
    if not handler.is_done:
        parser.close()
    # Elements that never end have the last one never end, either. After other errors libxml2 may
    # have read no further.
    if not handler.is_done and handler.has_begun and _ENDED.search(last):
        errors = list(parser.feed_error_log)
        if errors and errors[-1].type_name == _UNFINISHED:
            return handler.finish()
    return None


def _mended(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Escape less-than signs that begin no markup: libxml2 stops at one that comes in pieces."""
    held, is_first = b"", True
    pieces = iter(pieces)
    for piece in pieces:
        if isinstance(piece, ReportProblem):
            yield piece
            return
        octets = held + piece
        if is_first and len(octets) < _MARK:
            held = octets
            continue
        if is_first and b"\0" in octets[:_MARK]:
            yield octets
            yield from pieces  # UTF-16 or UTF-32, where octets are not characters
            return
        is_first = False
        held = b"<" if octets.endswith(b"<") else b""
        yield _BARE.sub(b"&lt;", octets.removesuffix(held) if held else octets)
    yield held


def _damaged(text: str) -> ReportProblem:
    return ReportProblem(ProblemKind.DAMAGED, text)


def _why(log: Iterable[_Error]) -> str:
    messages = [each.message or "" for each in log]
    return f"it is no whole XML document: {messages[-1][:200].strip() if messages else 'empty'}"


class _RefusedError(Exception):
    def __init__(self, problem: ReportProblem) -> None:
        super().__init__(problem.text)
        self.problem = problem


class _Target:
    """What lxml calls; see "The target parser interface" in its documentation."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._local: dict[str, str] = {}
        self._names: set[str] = set()
        self.data: Callable[[str], None] = handler.text

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if attributes:
            if len(attributes) > MAX_ATTRIBUTES:
                self._refuse(f"an element has more than {MAX_ATTRIBUTES} attributes")
            for name in attributes:
                self._meet(name)
        local = self._local.get(tag)
        if local is None:
            self._meet(tag)
            local = self._local[tag] = tag.rpartition("}")[2].lower()
        if problem := self._handler.start(local):
            raise _RefusedError(problem)

    def end(self, tag: str) -> None:
        if problem := self._handler.end(self._local.get(tag, tag)):
            raise _RefusedError(problem)

    def start_ns(self, prefix: str, uri: str) -> None:
        self._meet(f"{prefix} {uri}")

    def pi(self, name: str, _text: str | None = None) -> None:
        self._meet(name)

    def doctype(self, *_parts: str | None) -> None:
        raise _RefusedError(
            ReportProblem(ProblemKind.DOCUMENT_TYPE, "it declares a document type")
        )

    def close(self) -> None:
        """lxml wants one."""

    def _meet(self, name: str) -> None:
        self._names.add(name)
        if len(self._names) > MAX_NAMES:
            self._refuse(f"it has more than {MAX_NAMES} different names")

    def _refuse(self, text: str) -> None:
        raise _RefusedError(ReportProblem(ProblemKind.TOO_LARGE, text))
