"""Makes the mail of a digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from hashlib import sha256

from alignd.digest.digest import Digest
from alignd.languages.language import Language
from alignd.mail.mailbox import Mailbox

_TOKEN = 20
"""Digits: with more of them, the Message-ID of many would be folded."""


@dataclass(frozen=True, slots=True)
class Addressed:
    """From whom a digest goes to whom, and when."""

    sender: Mailbox
    recipients: Sequence[Mailbox]
    at: float
    """Unix time."""


def as_message(digest: Digest, addressed: Addressed, language: Language) -> bytes:
    """Make the message, in lines that every server takes.

    It has no List-Id: nobody subscribes to it. Filters have Auto-Submitted.
    """
    sender, at = addressed.sender, addressed.at
    content = f"{at}\n{sender.address}\n{digest.subject}\n{digest.text}\n{digest.html}"
    token = sha256(content.encode()).hexdigest()[:_TOKEN]
    message = EmailMessage(SMTP)
    message["From"] = Address("alignd", addr_spec=sender.address)
    if addressed.recipients:
        message["To"] = [Address(addr_spec=each.address) for each in addressed.recipients]
    message["Subject"] = digest.subject
    message["Date"] = datetime.fromtimestamp(at, UTC)
    message["Message-ID"] = f"<{token}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834, section 5: no vacation answers it
    message.set_content(digest.text, cte="quoted-printable")
    message.add_alternative(digest.html, subtype="html", cte="quoted-printable")
    message["Content-Language"] = language.value  # the content takes away what is there before
    message.set_boundary(f"alignd-{token}")
    return message.as_bytes()
