"""The record with which the owner lets the operator see receivers' reports, if he likes."""

from __future__ import annotations

from collections.abc import Iterator

from alignd.advice.report_request import ReportRequest
from alignd.languages.texts import Texts
from alignd.letter.layout.blocks import Block, Paragraph, Verbatim


def optional_reports(domain: str, reports: ReportRequest | None, texts: Texts) -> Iterator[Block]:
    """The whole record. Nothing while the operator does not allow it: it would be of no use."""
    if reports is None or reports.publication is None or reports.permission:
        return
    yield Paragraph(
        texts.text(
            "If you like, and apart from all this: mail servers report each day on the mail that "
            "comes in the name of {domain}. If {address} is among the addresses in your DMARC "
            "record, we get these reports too, and see soon when your mail is blocked. The record "
            "{name} is then, with nothing else in it changed:",
            domain=domain,
            address=reports.address.address,
            name=reports.publication.name,
        )
    )
    yield Verbatim((reports.publication.value,))
