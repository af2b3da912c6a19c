"""Makes a draft of a mail: an .eml file that mail programs open to be sent."""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTP
from hashlib import sha256

from alignd.languages.language import Language


def as_message(subject: str, text: str, html: str, language: Language) -> bytes:
    """Make the message of the text and the page, without sender and recipient."""
    message = EmailMessage(SMTP)
    message["Subject"] = subject
    message["X-Unsent"] = "1"  # Outlook opens it to be sent, not read
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    message["Content-Language"] = language.value  # the content takes away what is there before
    # By content, so that the same letter is the same message, and no line of it is a boundary.
    message.set_boundary(f"alignd-{sha256((text + html).encode()).hexdigest()[:32]}")
    return message.as_bytes()
