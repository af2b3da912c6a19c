"""The page with the letter to the admin of a customer, ready to send."""

from __future__ import annotations

from dataclasses import dataclass

from alignd.languages.language import Language
from alignd.languages.texts import Texts
from alignd.letter.hosting import UNKNOWN_HOSTING, Hosting
from alignd.letter.letter import NoLetter, letter
from alignd.web.desk.examined import CheckProblem, Examined, Invitation
from alignd.web.views.events import say_trouble
from alignd.web.views.query import Choice
from alignd.web.views.sentences import nothing_to_ask


@dataclass(frozen=True, slots=True)
class LetterPage:
    """All that the page shows."""

    name: str
    languages: tuple[Choice, ...]
    """Of the letter; the page around it is in the supporter's language."""
    records: tuple[Choice, ...]
    """Which record is asked for."""
    letter_language: str = ""
    subject: str = ""
    text: str = ""
    html: str = ""
    """The source of the page that mail programs take, to be shown as text."""
    mailto: str = ""
    no_letter: str = ""
    """Why there is none; else empty."""
    link: str = ""
    """Leads to the page that the admin may see; it is in the letter. Empty for none."""
    link_id: str = ""
    """By which it is revoked."""
    link_ends: str = ""
    """A date."""


def letter_page(
    name: str,
    found: Examined | CheckProblem,
    texts: Texts,
    letter_texts: Texts,
    offered: tuple[Language, ...],
    *,
    number: int = 1,
    invitation: Invitation | None = None,
) -> LetterPage:
    """Make the page in *texts* around a letter in *letter_texts*.

    *number* is that of the record, from 1; *invitation* leads to the page that the admin may see.
    """
    languages = tuple(
        Choice(each.value, each.own_name, each is letter_texts.language) for each in offered
    )
    if isinstance(found, CheckProblem):
        return LetterPage(name, languages, (), no_letter=say_trouble(found, texts))
    made = letter(
        found.advice,
        letter_texts,
        _hosting(found, number),
        looked_at=found.looked_at,
        number=number,
        link=invitation.url if invitation else "",
        reports=found.reports,
    )
    if isinstance(made, NoLetter):
        return LetterPage(name, languages, (), no_letter=nothing_to_ask(made, texts))
    return LetterPage(
        name,
        languages,
        _records(found, number, texts),
        letter_texts.language.value,
        made.subject,
        made.text,
        made.html,
        made.mailto,
        link=invitation.url if invitation else "",
        link_id=invitation.id if invitation else "",
        link_ends=texts.date(invitation.expires) if invitation else "",
    )


def _hosting(found: Examined, number: int) -> Hosting:
    if not found.hostings:
        return found.hosting
    return found.hostings[number - 1] if 1 <= number <= len(found.hostings) else UNKNOWN_HOSTING


def _records(found: Examined, number: int, texts: Texts) -> tuple[Choice, ...]:
    publications = [each.publication for each in found.advice.alternatives]
    return tuple(
        Choice(
            str(place),
            texts.text("{kind} record of {name}", kind=each.kind.value, name=each.name),
            place == number,
        )
        for place, each in enumerate(publications, start=1)
    )
