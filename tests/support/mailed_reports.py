"""Mail that brings an aggregate report, which its sender has signed."""

import base64

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.lab.cast import NOTIFICATIONS_DOMAIN, RELAY_IPV4
from tests.support.reports import POLICY, feedback, gzipped
from tests.support.signing import Draft, public_key, txt

REPORTER = "receiver.example"
SIGNS = (
    "[dkim]\n"
    f'signs = [{{ domain = "{NOTIFICATIONS_DOMAIN}", selector = "n1" }}]\n'
    'delegate = { selector = "helpdesk", target = "helpdesk.easysoftware.com" }\n'
)


BEGIN = 1_764_000_000
"""Of the first report, 2025-11-24, 16:00 UTC."""


def report(
    *records: str, number: int = 1, name: str = "Receiver", begin: int | None = None
) -> bytes:
    """A report of a day, by default the day of that *number*."""
    begin = BEGIN + number * 86_400 if begin is None else begin
    metadata = (
        f"<report_metadata><org_name>{name}</org_name><email>d@{REPORTER}</email>"
        f"<report_id>r-{number}</report_id><date_range><begin>{begin}"
        f"</begin><end>{begin + 86_399}</end></date_range></report_metadata>"
    )
    return feedback(metadata, POLICY, *records).encode()


def record(
    header_from: str = NOTIFICATIONS_DOMAIN,
    source: str = RELAY_IPV4,
    dkim: str = "pass",
    spf: str = "pass",
    disposition: str = "none",
    selector: str = "n1",
    count: int = 3,
) -> str:
    """A row of a report."""
    return (
        f"<record><row><source_ip>{source}</source_ip><count>{count}</count><policy_evaluated>"
        f"<disposition>{disposition}</disposition><dkim>{dkim}</dkim><spf>{spf}</spf>"
        f"</policy_evaluated></row><identifiers><header_from>{header_from}</header_from>"
        f"</identifiers><auth_results><dkim><domain>{header_from}</domain>"
        f"<selector>{selector}</selector><result>{dkim}</result></dkim><spf>"
        f"<domain>{header_from}</domain><result>{spf}</result></spf></auth_results></record>"
    )


GOOD, LOST = record(), record(dkim="fail", spf="fail", disposition="reject")


def published(key: rsa.RSAPrivateKey) -> str:
    """The zone of who sends it."""
    zone = txt(f"s1._domainkey.{REPORTER}.", f"v=DKIM1; k=rsa; p={public_key(key)}")
    return zone + "; SERVFAIL s1._domainkey.silent.example.\n"


def report_mail(key: rsa.RSAPrivateKey, data: bytes, domain: str = REPORTER) -> bytes:
    """Mail of *domain* with *data* in it."""
    header = (
        ("From", f" <noreply@{domain}>".encode()),
        ("To", b" <dmarc@notifications.example>"),
        ("Subject", b" Report Domain"),
        ("Content-Type", b" application/gzip"),
        ("Content-Transfer-Encoding", b" base64"),
    )
    body = base64.encodebytes(gzipped(data)).replace(b"\n", b"\r\n")
    return Draft(header=header, body=body).with_tags(d=domain).message(key)
