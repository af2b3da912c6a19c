"""Whom the digest is from and about: what cannot be is refused at its line."""

import pytest

from alignd.config.file import parse_configuration
from tests.support.configtext import BASE, problems

TENANT = '[[tenant]]\nname = "mycompany"\nmatch = { X-Host = "a.example" }\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            '[ledger]\nurl = ""\n[digest]\nto = ["ops@a.example"]',
            ['10: digest.to has nothing to tell: ledger.url = "" switches the ledger off'],
            id="no ledger",
        ),
        pytest.param(
            f'[digest]\ntenant = "mycompamy"\n{TENANT}',
            ["8: digest.tenant names no tenant: 'mycompamy'; write the name of a [[tenant]]"],
            id="a tenant that there is not",
        ),
    ],
)
def test_options_that_contradict_are_told_at_their_lines(text: str, expected: list[str]) -> None:
    assert problems(f"{BASE}{text}") == expected


@pytest.mark.parametrize(
    ("option", "said"),
    [
        pytest.param('to = ["ops"]', "digest.to", id="no address"),
        pytest.param('to = ["-x@a.example"]', "no '-' at its beginning", id="an option"),
        pytest.param('to = ["a@b.example\\nBcc: c@d.example"]', "digest.to", id="two lines"),
        pytest.param('from = "alignd"', "digest.from", id="from nobody"),
        pytest.param('sendmail = "sendmail"', "not the path of a program", id="no path"),
        pytest.param(
            'sendmail = "/bin/a\\nb"', "not the path of a program", id="a path in two lines"
        ),
        pytest.param('language = "xx"', "digest.language", id="no language"),
        pytest.param('sender = "a@b.example"', "unknown option", id="an option that there is not"),
    ],
)
def test_what_cannot_be_is_refused(option: str, said: str) -> None:
    (problem,) = problems(f"{BASE}[digest]\n{option}")
    assert problem.startswith("8: ")
    assert said in problem


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        pytest.param("", "alignd@notifications.easysoftware.com", id="nobody is named"),
        pytest.param('from = ""', "alignd@notifications.easysoftware.com", id="an empty text"),
        pytest.param('from = "ops@a.example"', "ops@a.example", id="somebody"),
        pytest.param(f'tenant = "mycompany"\n{TENANT}', None, id="a tenant"),
    ],
)
def test_whom_it_is_from(text: str, sender: str | None) -> None:
    found = parse_configuration(f"{BASE}[digest]\n{text}", "alignd.conf")

    assert found.conflicts() == ()
    assert sender in (None, found.digest_sender.address)
