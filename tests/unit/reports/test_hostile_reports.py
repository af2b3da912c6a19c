"""A bomb, a lie or a broken file is a problem with a reason, and never an exception."""

import itertools
import random
import resource
import socket
import subprocess
import sys
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.reports import document
from alignd.reports import read as reading
from alignd.reports.problem import ProblemKind, ReportProblem
from alignd.reports.report import Report
from alignd.reports.unpack import MAX_PACKED, MAX_UNPACKED, unpack
from tests.lab.places import ROOT
from tests.support.reports import (
    DECLARATION,
    GOOD,
    METADATA,
    POLICY,
    RECORD,
    feedback,
    gzipped,
    read,
    zipped,
)

XML = GOOD.encode()
BILLION = (
    "<!DOCTYPE feedback [<!ENTITY a 'ha'>"
    + "".join(f"<!ENTITY {b} '{f'&{a};' * 10}'>" for a, b in itertools.pairwise("abcdefghij"))
    + "]>"
)
QUADRATIC = f"<!DOCTYPE feedback [<!ENTITY a '{'x' * 50_000}'>]>"
PIECE = 65_536


def kind_of(data: bytes | str | Iterator[bytes]) -> ProblemKind | None:
    found, _ = read(data)
    return found.kind if isinstance(found, ReportProblem) else None


def flood(*starts: bytes, each: bytes) -> Iterator[bytes]:
    """As much of *each* as may be unpacked, and more."""
    yield from starts
    many = each * (PIECE // len(each) + 1)
    yield from itertools.repeat(many, MAX_UNPACKED // PIECE + 1)


def deflated_zeros(window: int, size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    some = packer.compress(XML[:100]) + packer.compress(b"<a>")
    zeros = b" " * 1_000_000
    return (
        some + b"".join(packer.compress(zeros) for _ in range(size // 1_000_000)) + packer.flush()
    )


@pytest.fixture(scope="module")
def gzip_bomb() -> bytes:
    return deflated_zeros(zlib.MAX_WBITS | 16, MAX_UNPACKED + 2_000_000)


def test_a_bomb_in_gzip_ends_at_the_limit(gzip_bomb: bytes) -> None:
    assert kind_of(gzip_bomb) is ProblemKind.TOO_LARGE


def test_a_bomb_in_zip_ends_at_the_limit() -> None:
    bomb = deflated_zeros(-zlib.MAX_WBITS, MAX_UNPACKED + 2_000_000)
    empty = zipped(("r.xml", b""))
    header = bytearray(empty[: 30 + len("r.xml")])
    header[6] |= 8

    assert kind_of(bytes(header) + bomb) is ProblemKind.TOO_LARGE


def test_a_bomb_in_a_bomb_ends_at_the_limit(gzip_bomb: bytes) -> None:
    assert kind_of(zipped(("r.xml.gz", gzip_bomb))) is ProblemKind.TOO_LARGE


def test_of_ten_thousand_members_one_is_unpacked() -> None:
    members = [(f"{number}.xml", XML) for number in range(10_000)]

    found, rows = read(zipped(*members))

    assert isinstance(found, Report)
    assert len(rows) == 1


def test_of_ten_thousand_directories_a_hundred_are_looked_at() -> None:
    members = [(f"{number}/", b"") for number in range(10_000)]

    assert kind_of(zipped(*members, ("r.xml", XML))) is ProblemKind.TOO_LARGE


def test_gzip_of_many_members_ends_at_a_hundred() -> None:
    assert kind_of(gzipped(b" ") * 200 + gzipped(XML)) is ProblemKind.TOO_LARGE


@pytest.mark.parametrize(
    "start", [pytest.param(b"\x1f\x8b", id="gzip"), pytest.param(b"PK\3\4" + bytes(26), id="zip")]
)
def test_what_is_packed_is_bounded(start: bytes) -> None:
    pieces = list(unpack([start, *[b"PK" * 500_000] * (MAX_PACKED // 1_000_000 + 1)]))

    assert isinstance(pieces[-1], ReportProblem)


@pytest.mark.parametrize(
    "each",
    [
        pytest.param(b"<a/>", id="elements"),
        pytest.param(b"<a>", id="depth"),
        pytest.param(b'<a b="c">', id="attributes"),
        pytest.param(b"<a></b>", id="wrong-ends"),
    ],
)
def test_a_flood_of_elements_ends_early(each: bytes) -> None:
    assert kind_of(flood(b"<feedback>", each=each)) is ProblemKind.TOO_LARGE


def test_a_flood_of_rows_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_ROWS", 1_000)

    found, rows = read(itertools.chain([b"<feedback>"], [RECORD.encode()] * 1_500))

    assert isinstance(found, ReportProblem)
    assert found.kind is ProblemKind.TOO_LARGE
    assert len(rows) == 1_000


@pytest.mark.parametrize(
    ("start", "each"),
    [
        pytest.param(b"<feedback>", b"x", id="text"),
        pytest.param(b"<feedback><a b='", b"x", id="attribute"),
        pytest.param(b"<feedback><!--", b"x", id="comment"),
        pytest.param(b"<feedback><", b"x", id="name"),
        pytest.param(b"<feedback>", b"\xff\xfe", id="no-utf-8"),
    ],
)
def test_a_flood_of_octets_is_a_problem(start: bytes, each: bytes) -> None:
    assert kind_of(itertools.islice(flood(start, each=each), 300)) is ProblemKind.DAMAGED


@pytest.mark.parametrize(
    "template",
    [
        pytest.param("<n%d/>", id="elements"),
        pytest.param('<a n%d=""/>', id="attributes"),
        pytest.param("<?n%d ?>", id="instructions"),
        pytest.param('<a xmlns:n%d="urn:x"/>', id="prefixes"),
        pytest.param('<a xmlns="urn:%d"/>', id="namespaces"),
    ],
)
def test_names_that_libxml2_would_keep_for_good_are_bounded(template: str) -> None:
    names = "".join(template % number for number in range(1_500))

    assert kind_of(f"<feedback>{names}</feedback>") is ProblemKind.TOO_LARGE


def test_a_row_of_very_many_elements_is_too_large() -> None:
    record = RECORD.replace("</record>", "<a/>" * 10_000 + "</record>")

    assert kind_of(feedback(METADATA, POLICY, record)) is ProblemKind.TOO_LARGE


@pytest.mark.parametrize(
    "declared", [pytest.param(BILLION, id="exponential"), pytest.param(QUADRATIC, id="quadratic")]
)
def test_entities_are_refused_before_they_are_declared(declared: str) -> None:
    text = GOOD.replace("<feedback>", f"{declared}<feedback>").replace("Receiver", "&a;" * 10_000)

    assert kind_of(text) is ProblemKind.DOCUMENT_TYPE


@pytest.mark.parametrize(
    "template",
    [
        pytest.param('<!DOCTYPE feedback SYSTEM "{}">', id="external-subset"),
        pytest.param('<!DOCTYPE feedback [<!ENTITY a SYSTEM "{}">]>', id="entity"),
        pytest.param('<!DOCTYPE feedback [<!ENTITY % a SYSTEM "{}"> %a;]>', id="parameter-entity"),
        pytest.param('<?xml-stylesheet href="{}"?>', id="stylesheet"),
        pytest.param("<?xml-model href='{}'?>", id="model"),
    ],
)
def test_nothing_is_fetched(template: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        body = GOOD.removeprefix(DECLARATION).replace("Receiver", "&a;")

        read(DECLARATION + template.format(url) + body)

        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_no_file_is_read() -> None:
    text = '<!DOCTYPE feedback [<!ENTITY a SYSTEM "file:///etc/hostname">]>'

    assert kind_of(text + GOOD.replace("Receiver", "&a;")) is not None


def test_inclusions_are_not_followed() -> None:
    include = (
        '<x:include xmlns:x="http://www.w3.org/2001/XInclude" href="/etc/hostname" parse="text"/>'
    )

    found, _ = read(GOOD.replace("Receiver", include))

    assert isinstance(found, Report)
    assert found.organization == ""


@given(st.binary(max_size=300))
def test_any_octets_have_an_outcome(data: bytes) -> None:
    for start in (b"", b"\x1f\x8b\x08", b"PK\x03\x04", b"<feedback>", b"<?xml "):
        read(start + data)


@given(
    st.sampled_from([XML, gzipped(XML), zipped(("r.xml", XML)), XML.decode().encode("utf-16")]),
    st.lists(st.tuples(st.integers(0, 5_000), st.binary(max_size=3)), min_size=1, max_size=4),
)
def test_a_report_with_damage_has_an_outcome(data: bytes, damage: list[tuple[int, bytes]]) -> None:
    for place, octets in damage:
        data = data[:place] + octets + data[place + 1 :]

    found, rows = read(data)

    assert isinstance(found, ReportProblem) or found.rows == len(rows)


@given(
    st.recursive(st.text(max_size=20), lambda inner: st.lists(inner, max_size=4), max_leaves=20)
)
def test_any_elements_have_an_outcome(tree: object) -> None:
    names = ["record", "row", "source_ip", "count", "dkim", "auth_results", "reason", "feedback"]

    def write(node: object, chosen: random.Random) -> str:
        if isinstance(node, list):
            name = chosen.choice(names)
            return f"<{name}>{''.join(write(each, chosen) for each in node)}</{name}>"
        return str(node).replace("<", "&lt;")

    read(feedback(METADATA, POLICY, write(tree, random.Random(str(tree)))))


MEASURED = """
import resource
from tests.support.reports import METADATA, POLICY, RECORD
from alignd.reports.read import read_report
def pieces(rows):
    yield f"<feedback>{METADATA}{POLICY}".encode()
    for _ in range(rows // 100):
        yield (RECORD * 100).encode()
    yield b"</feedback>"
def read(rows):
    found = read_report(pieces(rows), lambda row: None)
    assert found.rows == rows, found
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
first = read(1_000)
print(read(50_000) - first)
"""


def test_memory_does_not_grow_with_rows() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )

    assert int(done.stdout) < 8_000  # kB; as objects, the rows are about 60 MB


def test_a_thousand_refused_reports_leave_nothing_behind() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(1_000):
        names = "".join(f"<n{number}_{each}/>" for each in range(3))
        read(f"<feedback>{names}" + BILLION)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_without_lxml_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lxml", None)

    with pytest.raises(document.MissingLibraryError, match=r"pip install 'alignd\[reports\]'"):
        read(GOOD)
