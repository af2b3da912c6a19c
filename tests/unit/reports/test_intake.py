"""Reports are found in files, mail stores and messages, whatever they are called."""

import base64
import io
import quopri
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.reports.intake import (
    MAX_HEADER,
    Found,
    Parcel,
    ParcelProblem,
    find_in_file,
    find_parcels,
)
from alignd.reports.problem import ProblemKind
from alignd.reports.report import Report
from tests.support.reports import GOOD, gzipped, read, zipped

XML = GOOD.encode()
GZIP, ZIP = gzipped(XML), zipped(("r.xml", XML))
SEPARATOR = b"From dmarc@receiver.example Fri Nov 27 10:01:00 2026\n"


def part(kind: str, encoding: str, data: bytes) -> bytes:
    return f"Content-Type: {kind}\nContent-Transfer-Encoding: {encoding}\n\n".encode() + data


def message(*parts: bytes, kind: str = "multipart/mixed; boundary=b") -> bytes:
    body = b"".join(b"--b\n" + each + b"\n" for each in parts)
    head = f"From: d@receiver.example\nSubject: Report Domain: x\nContent-Type: {kind}\n\n"
    return head.encode() + b"preamble\n" + body + b"--b--\n"


def alone(kind: str, encoding: str, data: bytes) -> bytes:
    return b"From: d@receiver.example\n" + part(kind, encoding, data)


def b64(data: bytes) -> bytes:
    return base64.encodebytes(data)


TEXT = part("text/plain", "7bit", b"This is a DMARC aggregate report.\n")


def outcome(found: Found) -> int | ProblemKind:
    """The rows of a report, or why there is none."""
    if isinstance(found, ParcelProblem):
        return found.problem.kind
    report, rows = read(found.pieces)
    return len(rows) if isinstance(report, Report) else report.kind


def outcomes(data: bytes) -> list[int | ProblemKind]:
    return [outcome(each) for each in find_in_file("x", io.BytesIO(data))]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(XML, id="plain"),
        pytest.param(GZIP, id="gzip"),
        pytest.param(ZIP, id="zip"),
        pytest.param(message(TEXT, part("application/gzip", "base64", b64(GZIP))), id="attached"),
        pytest.param(message(part("application/zip", "base64", b64(GZIP))), id="gzip-called-zip"),
        pytest.param(message(part("application/gzip", "base64", b64(ZIP))), id="zip-called-gzip"),
        pytest.param(message(part("text/plain", "BASE64 ", b64(GZIP))), id="gzip-called-text"),
        pytest.param(message(part("text/xml", "8bit", XML)), id="not-packed"),
        pytest.param(
            message(part("text/xml", "quoted-printable", quopri.encodestring(XML))), id="quoted"
        ),
        pytest.param(message(part("application/gzip", "", b64(GZIP))), id="encoding-not-said"),
        pytest.param(message(part("application/zip", "7bit", b64(ZIP))), id="encoding-wrong"),
        pytest.param(alone("application/gzip", "base64", b64(GZIP)), id="the-message-itself"),
        pytest.param(
            alone("application/gzip", "base64", b64(GZIP) + b"\n-- \n_______\nlist footer\n"),
            id="footer-of-a-list",
        ),
        pytest.param(
            message(part("message/rfc822", "7bit", alone("a/b", "base64", b64(ZIP)))),
            id="forwarded",
        ),
        pytest.param(
            message(TEXT, part("a/b", "base64", b64(ZIP)))[: -len(b"--b--\n")],
            id="no-last-boundary",
        ),
        pytest.param(
            message(part("a/b", "base64", b64(ZIP)), kind='multipart/mixed;\n boundary="b"'),
            id="folded-and-quoted",
        ),
        pytest.param(
            message(part("a/b", "base64", b64(ZIP))).replace(b"\n", b"\r\n"), id="crlf"
        ),
    ],
)  # fmt: skip
def test_a_report_is_found(data: bytes) -> None:
    assert outcomes(data) == [1]


def test_a_message_may_have_several_reports_and_other_parts() -> None:
    html = part("text/html", "7bit", b"<html>feed</html>")
    zipped_part = part("application/zip", "base64", b64(ZIP))

    assert outcomes(message(TEXT, html, zipped_part, part("text/xml", "7bit", XML))) == [1, 1]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        pytest.param(b"", ProblemKind.NO_REPORT, id="empty"),
        pytest.param(b"\x89PNG\r\n", ProblemKind.NO_REPORT, id="picture"),
        pytest.param(message(TEXT), ProblemKind.NO_REPORT, id="text-alone"),
        pytest.param(alone("text/plain", "7bit", b"unused"), ProblemKind.NO_REPORT, id="unused"),
        pytest.param(b"Subject: x\n", ProblemKind.NO_REPORT, id="no-body"),
        pytest.param(message(kind="multipart/mixed"), ProblemKind.NO_REPORT, id="no-boundary"),
        pytest.param(
            message(part("a/b", "base64", b64(b"BZh9"))), ProblemKind.UNSUPPORTED, id="bzip2"
        ),
        pytest.param(b"a: b\n" * (MAX_HEADER // 5 + 1), ProblemKind.TOO_LARGE, id="header"),
        pytest.param(b"a: b\n\n" + b"x" * 40_000_000, ProblemKind.TOO_LARGE, id="body"),
        pytest.param(message(*[TEXT] * 200), ProblemKind.TOO_LARGE, id="parts"),
    ],
)
def test_what_has_no_report_says_so_once(data: bytes, kind: ProblemKind) -> None:
    found = outcomes(data)

    assert found[-1] is kind
    assert len(found) == 1


def test_parts_within_parts_end() -> None:
    nested = part("a/b", "base64", b64(ZIP))
    for number in range(2_000):
        kind = f"multipart/mixed; boundary=b{number}"
        nested = part(kind, "7bit", b"--b%d\n%b\n--b%d--\n" % (number, nested, number))

    assert outcomes(b"From: x@y.example\n" + nested) == [ProblemKind.NO_REPORT]


@given(st.binary(max_size=400))
def test_any_octets_have_an_outcome(data: bytes) -> None:
    for start in (b"", b"a: b\n", b"a: b\n\n", message(TEXT)[:-7] + b"\n--b\n", XML[:200]):
        outcomes(start + data)


def test_stores_of_every_kind_are_searched(tmp_path: Path) -> None:
    mail = message(TEXT, part("application/zip", "base64", b64(ZIP)))
    for folder in ("maildir/cur", "maildir/new", "maildir/tmp", "maildir/.Sub/cur", "deep/er"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "maildir/.Sub/new").mkdir()
    (tmp_path / "maildir/cur/1:2,S").write_bytes(mail)
    (tmp_path / "maildir/.Sub/new/2").write_bytes(mail)
    (tmp_path / "deep/er/a!b!1!2.xml.gz").write_bytes(GZIP)
    (tmp_path / "deep/er/note.txt").write_bytes(b"Hello\n")
    (tmp_path / "mbox").write_bytes(SEPARATOR + mail + b"\n" + SEPARATOR + mail)

    found = [(each.name, outcome(each)) for each in find_parcels([tmp_path, tmp_path / "none"])]

    assert found == [
        (f"{tmp_path}/deep/er/a!b!1!2.xml.gz", 1),
        (f"{tmp_path}/deep/er/note.txt", ProblemKind.NO_REPORT),
        (f"{tmp_path}/maildir/1", 1),
        (f"{tmp_path}/maildir/.Sub/2", 1),
        (f"{tmp_path}/mbox#1", 1),
        (f"{tmp_path}/mbox#2", 1),
        (f"{tmp_path}/none", ProblemKind.UNREADABLE),
    ]


def test_a_parcel_from_a_message_knows_its_mail() -> None:
    (parcel,) = find_in_file("x", io.BytesIO(message(part("a/b", "base64", b64(ZIP)))))
    (file,) = find_in_file("x", io.BytesIO(ZIP))

    assert isinstance(parcel, Parcel)
    assert parcel.mail is not None
    assert parcel.mail.fields("From")[0].value == b"d@receiver.example"
    assert isinstance(file, Parcel)
    assert file.mail is None


class _Failing(io.BytesIO):
    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads > 1:
            raise OSError(5, "Input/output error")
        return super().read(size)


@pytest.mark.parametrize(
    "data", [pytest.param(GZIP[:90], id="report"), pytest.param(b"From: x@y\n", id="message")]
)
def test_a_file_that_cannot_be_read_is_a_problem(data: bytes) -> None:
    (found,) = find_in_file("x", _Failing(data))

    assert outcome(found) is ProblemKind.UNREADABLE
