"""Whole letters, as people read them: a snapshot for each language, and for each kind of record.

Run with ALIGND_SNAPSHOTS=write to keep what is written now; then look at the difference.
"""

import os
from pathlib import Path

import pytest

from alignd.languages.language import Language
from alignd.letter.layout.plain_text import WIDTH
from tests.lab.places import SNAPSHOTS
from tests.unit.letter.test_letter import ADVISED, LINK, advice_for, hosting_at, written

EN, DA, CS, DE = Language
BROKEN = (
    'mycompany.com. TXT "v=spf1 ip4:198.51.100.1 nonsense -all"\n'
    'mycompany.com. TXT "v=spf1 a:mail.example -all"\n'
    'mycompany.com. TXT "google-site-verification=x"\n'
)


@pytest.mark.parametrize(
    ("name", "zone", "language", "host", "number"),
    [
        ("letter-en", ADVISED, EN, "GoDaddy", 1),
        ("letter-da", ADVISED, DA, "Simply.com", 1),
        ("letter-cs", ADVISED, CS, "WEDOS", 1),
        ("letter-de", ADVISED, DE, "STRATO", 1),
        ("letter-dkim", ADVISED, EN, "Cloudflare", 2),
        ("letter-dkim-de", ADVISED, DE, "Hetzner", 2),
        ("letter-broken", BROKEN, EN, "", 1),
        ("letter-no-record", "mycompany.com. A 198.51.100.1\n", DA, "Loopia", 1),
    ],
)
def test_what_people_read(
    name: str, zone: str, language: Language, host: str, number: int
) -> None:
    made = written(advice_for(zone), language, hosting_at(host), number=number, link=LINK)
    text = f"{made.subject}\n\n{made.text}"

    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("ALIGND_SNAPSHOTS") == "write":
        path.write_text(text)
        return
    assert text == path.read_text(), "see the docstring of this file"


@pytest.mark.parametrize(
    "path", sorted(SNAPSHOTS.glob("letter-*.txt")), ids=lambda path: path.stem
)
def test_a_letter_fits_its_columns_but_for_what_is_copied(path: Path) -> None:
    _subject, *lines = path.read_text().splitlines()

    assert all(len(line) <= WIDTH for line in lines if not line.startswith("    "))
