"""The letter: what happens to the mail of a domain, and the record that changes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from alignd.advice.alternatives import Advice, Alternative
from alignd.advice.report_request import ReportRequest
from alignd.judgement.own_sender import AddressResult
from alignd.judgement.reasons import Action, Reason
from alignd.languages.texts import Texts
from alignd.letter.entry import Entry
from alignd.letter.hosting import Hosting
from alignd.letter.layout.blocks import Block, Heading, Paragraph
from alignd.letter.layout.mailto import mailto
from alignd.letter.layout.message import as_message
from alignd.letter.layout.page import as_html
from alignd.letter.layout.plain_text import as_text
from alignd.letter.proof import how_to_see
from alignd.letter.reasons import say_reason
from alignd.letter.record import record, replaced
from alignd.letter.reports import optional_reports
from alignd.letter.short import short_bodies
from alignd.letter.traps import traps
from alignd.letter.where import where_to_enter


class NoLetter(Enum):
    """Why there is nothing to ask of the owner of the domain."""

    PASSES = "the mail passes as it is"
    FREEMAIL = "the domain is a mailbox provider's, which can never authorise this relay"
    UNKNOWN = "DNS did not answer"
    NO_RECORD_HELPS = "no record would help"
    NO_SUCH_RECORD = "there are not so many records to choose from"


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter, ready to send."""

    subject: str
    blocks: tuple[Block, ...]
    text: str
    html: str
    """A whole page."""
    mailto: str
    """A link of at most 2,000 characters; with the record, if that has room."""
    message: bytes
    """A draft of a mail, with the text and the page."""


def letter(
    advice: Advice,
    texts: Texts,
    hosting: Hosting,
    *,
    looked_at: float,
    number: int = 1,
    link: str = "",
    reports: ReportRequest | None = None,
) -> Letter | NoLetter:
    """Write the letter that asks for the alternative of *advice* with that *number*.

    *looked_at* is the Unix time of the advice. *link* leads to the page that shows what we see.
    *reports* is what the owner can publish, if he likes, to have reports sent to the operator.
    """
    alternative = choose_alternative(advice, number)
    if isinstance(alternative, NoLetter):
        return alternative
    entry = Entry(alternative.publication, hosting)
    domain = advice.author.domain.name
    subject = texts.text(
        "A DNS record for {domain}, so that your helpdesk's mail keeps your own addresses",
        domain=domain,
    )
    blocks = (
        *_opening(advice, alternative, entry, texts, looked_at),
        Heading(texts.text("The record")),
        record(entry, texts),
        *replaced(entry, texts),
        Heading(texts.text("Where to enter it")),
        *where_to_enter(entry, texts),
        Heading(texts.text("What often goes wrong")),
        *traps(entry, texts),
        Heading(texts.text("How to see that it worked")),
        *how_to_see(entry, alternative, texts, link),
        *optional_reports(domain, reports, texts),
        Paragraph(texts.text("If anything is unclear, simply answer this message.")),
    )
    text, html = as_text(blocks), as_html(subject, blocks, texts)
    return Letter(
        subject,
        blocks,
        text,
        html,
        mailto(subject, map(as_text, short_bodies(domain, entry, texts, link))),
        as_message(subject, text, html, texts.language),
    )


def choose_alternative(advice: Advice, number: int) -> Alternative | NoLetter:
    """The alternative with that *number*, from 1 and best first; or why there is none."""
    if advice.authenticates:
        return NoLetter.PASSES
    if not advice.alternatives:
        if advice.judgement.reason is Reason.FREEMAIL:
            return NoLetter.FREEMAIL
        return NoLetter.UNKNOWN if advice.is_unknown else NoLetter.NO_RECORD_HELPS
    if not 1 <= number <= len(advice.alternatives):
        return NoLetter.NO_SUCH_RECORD
    return advice.alternatives[number - 1]


def _opening(
    advice: Advice, alternative: Alternative, entry: Entry, texts: Texts, looked_at: float
) -> Iterator[Block]:
    domain, reason = advice.author.domain.name, advice.judgement.reason
    yield Paragraph(texts.text("Hello,"))
    yield Paragraph(_what_happens(advice, texts))
    yield Paragraph(say_reason(reason, domain, texts, advice.prediction))
    if alternative.checked:
        yield Paragraph(_what_was_tried(advice, texts, looked_at))
    if entry.is_dkim_key:
        yield Paragraph(
            texts.text(
                "The record lets us sign this mail with DKIM in the name of {domain}. Your SPF "
                "record stays as it is.",
                domain=domain,
            )
        )


def _what_happens(advice: Advice, texts: Texts) -> str:
    domain, settings = advice.author.domain.name, advice.judgement.settings
    relay = settings.relay.hostname.name
    if advice.judgement.reason.action is not Action.REWRITE or settings.rules.dry_run:
        return texts.text(
            "Your helpdesk sends its mail through our mail server {relay}, from your agents' own "
            "addresses at {domain}. The servers of the recipients cannot see that you allow this.",
            relay=relay,
            domain=domain,
        )
    has_own = advice.judgement.address is AddressResult.RETURN
    sender_domain = settings.return_domain if has_own else settings.notifications.domain
    return texts.text(
        "Your helpdesk sends its mail through our mail server {relay}. What your agents write "
        "does not leave from their own addresses at {domain} now, but with their names from an "
        "address at our domain {sender_domain}.",
        relay=relay,
        domain=domain,
        sender_domain=sender_domain.name,
    )


def _what_was_tried(advice: Advice, texts: Texts, looked_at: float) -> str:
    return texts.plural(
        "One record in your DNS changes this: mail from your agents' own addresses then passes. "
        "We tried it on {date} with the DNS of {domain} as it was, and with the address of our "
        "mail server.",
        "One record in your DNS changes this: mail from your agents' own addresses then passes. "
        "We tried it on {date} with the DNS of {domain} as it was, and with all {n} addresses of "
        "our mail server.",
        len(advice.judgement.settings.relay.addresses),
        date=texts.date(looked_at),
        domain=advice.author.domain.name,
    )
