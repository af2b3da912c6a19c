"""Writes aggregate reports, as well or as oddly as a test asks for."""

import gzip
import io
import zipfile
from collections.abc import Iterable

from alignd.reports.problem import ReportProblem
from alignd.reports.read import read_report
from alignd.reports.report import Report, Row
from alignd.reports.unpack import Piece

RFC9990 = "urn:ietf:params:xml:ns:dmarc-2.0"
RFC7489 = "http://dmarc.org/dmarc-xml/0.1"
METADATA = (
    "<report_metadata><org_name>Receiver</org_name><email>dmarc@receiver.example</email>"
    "<report_id>r-1</report_id>"
    "<date_range><begin>1700000000</begin><end>1700086399</end></date_range></report_metadata>"
)
POLICY = (
    "<policy_published><domain>mycompany.com</domain><adkim>r</adkim><aspf>r</aspf>"
    "<p>reject</p><sp>none</sp><pct>100</pct></policy_published>"
)
EVALUATED = (
    "<policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf>"
    "</policy_evaluated>"
)
ROW = f"<row><source_ip>192.0.2.1</source_ip><count>3</count>{EVALUATED}</row>"
IDENTIFIERS = (
    "<identifiers><envelope_from>bounces.mycompany.com</envelope_from>"
    "<header_from>mycompany.com</header_from></identifiers>"
)
DKIM = "<dkim><domain>mycompany.com</domain><selector>s1</selector><result>pass</result></dkim>"
SPF = "<spf><domain>bounces.mycompany.com</domain><scope>mfrom</scope><result>pass</result></spf>"
RESULTS = f"<auth_results>{DKIM}{SPF}</auth_results>"
RECORD = f"<record>{ROW}{IDENTIFIERS}{RESULTS}</record>"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'


def feedback(*parts: str, attributes: str = "") -> str:
    """A report of *parts*."""
    return f"{DECLARATION}<feedback{attributes}>{''.join(parts)}</feedback>\n"


GOOD = feedback(METADATA, POLICY, RECORD)


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of *members*."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def streamed_zip(data: bytes) -> bytes:
    """A zip that was written to a pipe: sizes and checksum stand behind the data."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.written = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            octets = bytes(data)  # type: ignore[call-overload]
            self.written += octets
            return len(octets)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("r.xml", data)
    return pipe.written


def gzipped(data: bytes) -> bytes:
    """The same in gzip."""
    return gzip.compress(data, mtime=0)


def read(data: bytes | str | Iterable[Piece]) -> tuple[Report | ReportProblem, list[Row]]:
    """What is read of *data*, and the rows that were handed over."""
    pieces: Iterable[Piece]
    if isinstance(data, str):
        pieces = [data.encode()]
    else:
        pieces = [data] if isinstance(data, bytes) else data
    rows: list[Row] = []
    return read_report(pieces, rows.append), rows
