"""Odd reports, after what public trackers complain of: each has an outcome."""

import gzip
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from alignd.reports.problem import ProblemKind, ReportProblem
from alignd.reports.report import Report, Row
from tests.support.reports import (
    DECLARATION,
    DKIM,
    EVALUATED,
    GOOD,
    IDENTIFIERS,
    METADATA,
    POLICY,
    RECORD,
    RESULTS,
    RFC7489,
    RFC9990,
    ROW,
    SPF,
    feedback,
    gzipped,
    read,
    streamed_zip,
    zipped,
)

XML = GOOD.encode()


@dataclass(frozen=True)
class Odd:
    """A report, and what is read of it."""

    name: str
    data: bytes
    outcome: object
    """What *look* gives; the kind of the problem where there is one."""
    look: Callable[[Report, list[Row]], object] = lambda report, _rows: report.rows


def odd(
    name: str,
    data: bytes | str,
    outcome: object = 1,
    look: Callable[[Report, list[Row]], object] = lambda report, _rows: report.rows,
) -> Odd:
    return Odd(name, data.encode() if isinstance(data, str) else data, outcome, look)


def swapped(old: str, new: str) -> str:
    assert GOOD.count(old) >= 1, old
    return GOOD.replace(old, new)


def first(rows: list[Row], name: str) -> object:
    found = getattr(rows[0], name)
    return getattr(
        found, "value", found if found is None or isinstance(found, int) else str(found)
    )


def of_row(name: str) -> Callable[[Report, list[Row]], object]:
    return lambda _report, rows: first(rows, name)


def time_of(text: str) -> str:
    return swapped("<begin>1700000000</begin>", f"<begin>{text}</begin>")


def source(text: str) -> str:
    return swapped("192.0.2.1", text)


def begin(report: Report, _rows: list[Row]) -> object:
    return report.begin


def unreadable(report: Report, _rows: list[Row]) -> object:
    return (report.rows, report.unreadable_rows)


def spf(_report: Report, rows: list[Row]) -> object:
    return [(str(each.domain), each.scope, each.result) for each in rows[0].spf_results]


def dkim(_report: Report, rows: list[Row]) -> object:
    return [(str(each.domain), each.selector, each.result) for each in rows[0].dkim_results]


def overrides(_report: Report, rows: list[Row]) -> object:
    return [(each.type, each.comment) for each in rows[0].overrides]


def reason(text: str) -> str:
    return swapped("</policy_evaluated>", f"{text}</policy_evaluated>")


SCHEMA = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="http://x/">'
NO_REPORT, DAMAGED = ProblemKind.NO_REPORT, ProblemKind.DAMAGED
INCOMPLETE, UNSUPPORTED = ProblemKind.INCOMPLETE, ProblemKind.UNSUPPORTED
ENCRYPTED = bytearray(zipped(("r.xml", XML)))
ENCRYPTED[6] |= 1
NEW = feedback(
    "<version>1.0</version>",
    METADATA.replace("</report_metadata>", "<generator>x 1</generator></report_metadata>"),
    "<policy_published><discovery_method>treewalk</discovery_method><domain>mycompany.com</domain>"
    "<p>reject</p><np>quarantine</np><testing>n</testing></policy_published>",
    RECORD.replace("<disposition>none", "<disposition>pass"),
    attributes=f' xmlns="{RFC9990}"',
)

ODD = [
    # How it is packed.
    odd("plain", XML),
    odd("gzip", gzipped(XML)),
    odd("zip", zipped(("r.xml", XML))),
    odd("zip-that-is-not-deflated", zipped(("r.xml", XML), method=zipfile.ZIP_STORED)),
    odd("zip-that-was-streamed", streamed_zip(XML)),
    odd("zip-with-a-directory-first", zipped(("d/", b""), ("d/r.xml", XML))),
    odd("zip-with-macos-forks", zipped(("__MACOSX/._r.xml", b"x"), ("r.xml", XML))),
    odd("zip-with-two-reports-counts-the-first", zipped(("1.xml", XML), ("2.xml", b"x"))),
    odd("zip-in-gzip", gzipped(zipped(("r.xml", XML)))),
    odd("gzip-in-zip", zipped(("r.xml.gz", gzipped(XML)))),
    odd("gzip-thrice", gzipped(gzipped(gzipped(XML))), ProblemKind.TOO_LARGE),
    odd("gzip-with-a-line-end-behind-it-as-mimecast-had", gzipped(XML) + b"\r\n"),
    odd("gzip-in-two-members", gzipped(XML[:300]) + gzipped(XML[300:])),
    odd("gzip-that-is-cut-off", gzipped(XML)[:-30], DAMAGED),
    odd("gzip-with-a-wrong-checksum", gzipped(XML)[:-8] + bytes(8), DAMAGED),
    odd("zip-that-is-cut-off", zipped(("r.xml", XML))[:200], DAMAGED),
    odd(
        "zip-with-a-wrong-checksum",
        zipped(("r.xml", XML)).replace(
            struct.pack("<I", zlib.crc32(XML)),
            b"\1\2\3\4",
        ),
        DAMAGED,
    ),
    odd("zip-that-is-encrypted", bytes(ENCRYPTED), UNSUPPORTED),
    odd("zip-packed-by-bzip2", zipped(("r.xml", XML), method=zipfile.ZIP_BZIP2), UNSUPPORTED),
    odd("zip-without-a-file", zipped(), NO_REPORT),
    odd("zip-with-directories-alone", zipped(("a/", b""), ("b/", b"")), NO_REPORT),
    odd("bzip2", b"BZh91AY&SY", UNSUPPORTED),
    odd("xz", b"\xfd7zXZ\0", UNSUPPORTED),
    odd("gzip-of-unused-as-yahoo-had", gzipped(b"unused"), NO_REPORT),
    odd("gzip-of-nothing", gzipped(b""), NO_REPORT),
    odd("empty", b"", NO_REPORT),
    odd("blanks", b" \r\n", NO_REPORT),
    odd("pdf", b"%PDF-1.7", NO_REPORT),
    odd("html", b"<!-- no --><html><body>Hello</body></html>", NO_REPORT),
    # How it is written.
    odd("rfc-9990", NEW),
    odd("rfc-9990-discovery", NEW, "treewalk", lambda r, _: r.policy.discovery_method),
    odd("rfc-9990-policy", NEW, ("quarantine", "n", ""), lambda r, _: (
        r.policy.np, r.policy.testing, r.policy.pct)),
    odd("rfc-9990-disposition", NEW, "pass", of_row("disposition")),
    odd("old-namespace", feedback(METADATA, POLICY, RECORD, attributes=f' xmlns="{RFC7489}"')),
    odd(
        "namespace-with-a-prefix",
        GOOD.replace("</", "\0").replace("<f", '<n:f').replace("\0", "</")
        .replace("<n:feedback", '<n:feedback xmlns:n="urn:x"')
        .replace("</feedback", "</n:feedback"),
    ),
    odd("prefix-without-a-namespace", GOOD.replace("feedback", "n:feedback")),
    odd("upper-case-elements", GOOD.replace("record>", "RECORD>").replace("feedback", "Feedback")),
    odd("inside-its-schema", f"{SCHEMA}<a/>{GOOD.removeprefix(DECLARATION)}</xs:schema>"),
    odd("schema-that-never-ends-as-ikea-had", GOOD.replace("<feedback>", f"{SCHEMA}<feedback>")),
    odd("schema-inside", feedback(SCHEMA, METADATA, POLICY, RECORD * 2, "</xs:schema>"), 2),
    odd("schema-inside-that-never-ends", feedback(SCHEMA, METADATA, POLICY, RECORD, RECORD), 2),
    odd("byte-order-mark", b"\xef\xbb\xbf" + XML),
    odd("utf-16", GOOD.replace("UTF-8", "UTF-16").encode("utf-16")),
    odd("latin-1-said-to-be-utf-8", XML.replace(b"Receiver", b"Empf\xe4nger")),
    odd("unknown-charset", swapped("UTF-8", "x-unknown")),
    odd("windows-1252", GOOD.replace("UTF-8", "windows-1252").replace("Receiver", "Zürich")
        .encode("cp1252"), "Zürich", lambda r, _: r.organization),
    odd("line-ends-before-the-declaration", "\r\n\r\n" + GOOD),
    odd("no-declaration", GOOD.removeprefix(DECLARATION)),
    odd("bare-ampersand", swapped("Receiver", "A & B"), "A  B",
        lambda r, _: r.organization),
    odd("entity-that-nobody-declared", swapped("Receiver", "A&nbsp;B")),
    odd("angle-brackets-in-a-name", swapped("dmarc@receiver.example", "<dmarc@receiver.example>")),
    odd("comments-and-instructions", swapped("<record>", "<!-- a --><?b c?><record>")),
    odd("cdata", swapped("<p>reject", "<p><![CDATA[reject]]>"), "reject", lambda r, _: r.policy.p),
    odd("attributes", swapped("<record>", '<record xml:lang="en" id="1">')),
    odd("junk-behind-it", GOOD + "-- \nA footer of a list <b>"),
    odd("two-reports-in-one-file-counts-the-first", GOOD + GOOD.removeprefix(DECLARATION)),
    odd("cut-off", XML[:-20], DAMAGED),
    odd("cut-off-in-a-row", XML[:700], DAMAGED),
    odd("less-than-sign-in-a-name", swapped("Receiver", "a < b"), "a < b",
        lambda r, _: r.organization),
    odd("less-than-sign-in-a-row", feedback(METADATA, POLICY, RECORD,
        RECORD.replace("s1", "< 1 <"), RECORD), 3),
    odd("elements-that-never-end", feedback(METADATA.replace("/report_id", "report_id", 1), POLICY,
        RECORD.replace("</selector>", ""), RECORD), 6, lambda r, _: r.messages),
    odd("tag-that-is-none-as-kddi-had", swapped("r-1</report_id>", "r-1/report_id>")),
    odd("all-ends-are-missing", re.sub("</(?!feedback)[a-z_]+>", "", GOOD), INCOMPLETE),
    odd("control-characters", swapped("Receiver", "Re\x01ceiver\x00")),
    odd("document-type", GOOD.replace("<feedback>", "<!DOCTYPE feedback><feedback>"),
        ProblemKind.DOCUMENT_TYPE),
    # What it says of itself.
    odd("no-metadata", feedback(POLICY, RECORD), INCOMPLETE),
    odd("no-policy", feedback(METADATA, RECORD), INCOMPLETE),
    odd("nothing-in-it", feedback(), INCOMPLETE),
    odd("no-rows", feedback(METADATA, POLICY), 0),
    odd("metadata-behind-the-rows", feedback(RECORD, POLICY, METADATA)),
    odd("no-report-id", swapped("<report_id>r-1</report_id>", ""), "", lambda r, _: r.report_id),
    odd("no-organization", swapped("<org_name>Receiver</org_name>", "<org_name/>")),
    odd("no-address", swapped("<email>dmarc@receiver.example</email>", "")),
    odd("address-that-is-none", swapped("dmarc@receiver.example", "n/a"), None,
        lambda r, _: r.email_domain),
    odd("policy-without-p", swapped("<p>reject</p>", ""), "", lambda r, _: r.policy.p),
    odd("policy-in-upper-case", swapped("<p>reject</p>", "<p>REJECT</p>"), "reject",
        lambda r, _: r.policy.p),
    odd("policy-domain-in-upper-case", swapped("<domain>mycompany.com</domain><adkim>",
        "<domain>MyCompany.COM.</domain><adkim>"), "mycompany.com",
        lambda r, _: r.policy.domain.name),
    odd("organization-of-100-kB", swapped("Receiver", "r" * 100_000), 1000,
        lambda r, _: len(r.organization)),
    odd("float-as-a-date", time_of("1700000000.0"), 1_700_000_000, begin),
    odd("milliseconds", time_of("1700000000123"), 1_700_000_000, begin),
    odd("exponent-as-a-date", time_of("1.7e9"), 1_700_000_000, begin),
    odd("rfc-3339", time_of("2023-11-14T22:13:20Z"), 1_700_000_000, begin),
    odd("rfc-3339-with-a-zone", time_of("2023-11-14T23:13:20+01:00"), 1_700_000_000, begin),
    odd("a-date-for-people", time_of("2023-11-14 22:13:20"), 1_700_000_000, begin),
    odd("blanks-around-a-date", time_of("\n 1700000000 \t"), 1_700_000_000, begin),
    odd("a-date-that-is-none", time_of("yesterday"), INCOMPLETE),
    odd("infinity-as-a-date", time_of("inf"), INCOMPLETE),
    odd("a-date-before-mail", time_of("12"), INCOMPLETE),
    odd("time-that-ends-before-it-begins", time_of("1800000000"), INCOMPLETE),
    odd("more-than-a-day", swapped("1700086399", "1700604800"), 604_800,
        lambda r, _: r.end - r.begin),
    # Rows.
    odd("ipv6", source("2001:DB8:0::1"), "2001:db8::1", of_row("source")),
    odd("ipv4-in-ipv6", source("::ffff:192.0.2.9"), "192.0.2.9", of_row("source")),
    odd("ipv4-in-ipv6-in-hexadecimal", source("::FFFF:c000:0209"), "192.0.2.9", of_row("source")),
    odd("address-in-brackets", source("[192.0.2.9]"), "192.0.2.9", of_row("source")),
    odd("address-with-a-zone", source("fe80::1%eth0"), "fe80::1", of_row("source")),
    odd("address-with-a-length", source("192.0.2.9/32"), "192.0.2.9", of_row("source")),
    odd("network-as-an-address", source("192.0.2.0/24"), (0, 1), unreadable),
    odd("name-as-an-address", source("relay.example"), (0, 1), unreadable),
    odd("no-address-in-a-row", swapped("<source_ip>192.0.2.1</source_ip>", ""), (0, 1),
        unreadable),
    odd("no-count", swapped("<count>3</count>", ""), (0, 1), unreadable),
    odd("count-of-none", swapped("<count>3", "<count>0"), (0, 1), unreadable),
    odd("negative-count", swapped("<count>3", "<count>-3"), (0, 1), unreadable),
    odd("count-that-lies", swapped("<count>3", f"<count>{'9' * 4000}"), (0, 1), unreadable),
    odd("float-as-a-count", swapped("<count>3", "<count>3.0"), 3, of_row("count")),
    odd("empty-record", feedback(METADATA, POLICY, "<record/>", RECORD), (1, 1), unreadable),
    odd("several-records", feedback(METADATA, POLICY, RECORD * 3), 9, lambda r, _: r.messages),
    odd("upper-case-words", swapped(EVALUATED, EVALUATED.replace(">pass<", ">PASS<").replace(
        ">fail<", ">Fail<")), ("pass", "fail"),
        lambda _, rows: (first(rows, "dkim"), first(rows, "spf"))),
    odd("disposition-that-nobody-knows", swapped("<disposition>none", "<disposition>bounce"),
        "unknown", of_row("disposition")),
    odd("no-evaluation", swapped(EVALUATED, ""), "unknown", of_row("dkim")),
    odd("result-of-the-mechanism-as-evaluation", swapped("<spf>fail<", "<spf>softfail<"), "fail",
        of_row("spf")),
    odd("no-identifiers", swapped(IDENTIFIERS, ""), None, of_row("header_from")),
    odd("address-in-header-from", swapped("<header_from>", "<header_from>ann@"), "mycompany.com",
        of_row("header_from")),
    odd("u-labels-in-header-from", swapped("<header_from>mycompany.com", "<header_from>bücher.de"),
        "xn--bcher-kva.de", of_row("header_from")),
    odd("null-sender", swapped("bounces.mycompany.com</envelope_from>", "</envelope_from>"), None,
        of_row("envelope_from")),
    odd("brackets-as-a-null-sender", swapped("<envelope_from>bounces.mycompany.com",
        "<envelope_from>&lt;&gt;"), None, of_row("envelope_from")),
    odd("no-results", swapped(RESULTS, ""), [], dkim),
    odd("empty-signature", swapped(DKIM, "<dkim/>"), [], dkim),
    odd("signature-without-a-selector", swapped("<selector>s1</selector>", ""),
        [("mycompany.com", "", "pass")], dkim),
    odd("several-signatures", swapped(DKIM, DKIM + DKIM.replace("s1", "S2")),
        [("mycompany.com", "s1", "pass"), ("mycompany.com", "s2", "pass")], dkim),
    odd("human-result", swapped("<result>pass</result></dkim>",
        "<result>fail</result><human_result>no key</human_result></dkim>"),
        [("mycompany.com", "s1", "fail")], dkim),
    odd("helo-without-a-domain-as-zoho-has", swapped(SPF,
        "<spf><scope>helo</scope><result>none</result></spf>"), [("None", "helo", "none")], spf),
    odd("result-in-upper-case", swapped(SPF, SPF.replace("pass", "SoftFail")),
        [("bounces.mycompany.com", "mfrom", "softfail")], spf),
    odd("hardfail", swapped(SPF, SPF.replace("pass", "hardfail")),
        [("bounces.mycompany.com", "mfrom", "fail")], spf),
    odd("result-is-missing", swapped(SPF, SPF.replace("<result>pass</result>", "")),
        [("bounces.mycompany.com", "mfrom", "unknown")], spf),
    odd("both-identities", swapped(SPF, SPF + SPF.replace("mfrom", "helo")),
        [("bounces.mycompany.com", each, "pass") for each in ("mfrom", "helo")], spf),
    odd("reason", reason("<reason><type>Local_Policy</type><comment>arc=pass</comment></reason>"),
        [("local_policy", "arc=pass")], overrides),
    odd("empty-reason", reason("<reason/>"), [], overrides),
    odd("reason-with-an-empty-type", reason("<reason><type/><comment>c</comment></reason>"),
        [("", "c")], overrides),
    odd("reason-as-a-text", reason("<reason>forwarded</reason>"), [("forwarded", "")], overrides),
    odd("several-reasons", reason("<reason><type>other</type></reason>" * 2),
        [("other", "")] * 2, overrides),
    odd("1000-reasons", reason("<reason><type>other</type></reason>" * 900),
        100, lambda _, rows: len(rows[0].overrides)),
    odd("blanks-everywhere", GOOD.replace(">", ">\n\t ").replace("<", "  <").strip(), "192.0.2.1",
        of_row("source")),
    odd("evaluation-outside-its-row", swapped(ROW, ROW.replace(EVALUATED, "") + EVALUATED), "pass",
        of_row("dkim")),
]  # fmt: skip


def test_there_are_many_odd_reports_and_each_has_a_name_of_its_own() -> None:
    assert len({each.name for each in ODD}) == len(ODD) > 100


@pytest.mark.parametrize("odd", [pytest.param(each, id=each.name) for each in ODD])
def test_an_odd_report_has_its_outcome(odd: Odd) -> None:
    report, rows = read(odd.data)

    if isinstance(report, ReportProblem):
        assert report.kind is odd.outcome, report.text
        assert report.text
    else:
        assert odd.look(report, rows) == odd.outcome


@pytest.mark.parametrize("odd", [pytest.param(each, id=each.name) for each in ODD])
def test_an_odd_report_has_the_same_outcome_octet_by_octet(odd: Odd) -> None:
    whole = read(odd.data)
    pieces = [odd.data[at : at + 1] for at in range(len(odd.data))]

    report, rows = read(pieces)

    if isinstance(report, ReportProblem):
        assert isinstance(whole[0], ReportProblem)
        assert report.kind is whole[0].kind
    else:
        assert (report, rows) == whole


def test_a_good_report_is_read_whole() -> None:
    report, rows = read(gzip.compress(XML))

    assert repr(report) == (
        "Report(organization='Receiver', email_domain=Domain(name='receiver.example'), "
        "report_id='r-1', begin=1700000000, end=1700086399, policy=PublishedPolicy("
        "domain=Domain(name='mycompany.com'), adkim='r', aspf='r', p='reject', sp='none', np='', "
        "pct='100', testing='', discovery_method=''), rows=1, messages=3, unreadable_rows=0)"
    )
    assert repr(rows) == (
        "[Row(source=IPv4Address('192.0.2.1'), count=3, disposition=<Disposition.NONE: 'none'>, "
        "dkim=<Outcome.PASS: 'pass'>, spf=<Outcome.FAIL: 'fail'>, overrides=(), "
        "header_from=Domain(name='mycompany.com'), "
        "envelope_from=Domain(name='bounces.mycompany.com'), "
        "dkim_results=(DkimResult(domain=Domain(name='mycompany.com'), selector='s1', "
        "result='pass'),), spf_results=(SpfResult(domain=Domain(name='bounces.mycompany.com'), "
        "scope='mfrom', result='pass'),))]"
    )
