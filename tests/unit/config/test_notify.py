"""Who is told of events: options that contradict one another are refused at their lines."""

import pytest

from alignd.config.file import parse_configuration
from tests.support.configtext import BASE, problems

HOOK = 'webhook = "https://helpdesk.example/hook"\nsecret_file = "/s"'
TENANT = '[[tenant]]\nname = "mycompany"\nmatch = { X-Host = "a.example" }\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            '[notify]\nwebhook = "https://helpdesk.example/hook"',
            ["8: notify.webhook needs notify.secret_file: the secret that signs what it gets"],
            id="no secret",
        ),
        pytest.param(
            f'[ledger]\nurl = ""\n[notify]\n{HOOK}',
            ['10: notify.webhook gets no events: ledger.url = "" switches the ledger off'],
            id="a webhook without a ledger",
        ),
        pytest.param(
            '[ledger]\nurl = ""\n[notify]\ncommand = ["/bin/true"]',
            ['10: notify.command gets no events: ledger.url = "" switches the ledger off'],
            id="a command without a ledger",
        ),
        pytest.param(
            f'[notify]\n{HOOK}\ntenants = ["mycompany", "mycompamy"]\n{TENANT}',
            ["10: notify.tenants names no tenant: 'mycompamy'; write the name of a [[tenant]]"],
            id="a tenant that there is not",
        ),
    ],
)
def test_options_that_contradict_are_told_at_their_lines(text: str, expected: list[str]) -> None:
    assert problems(f"{BASE}{text}") == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f'[notify]\n{HOOK}\ntenants = ["mycompany"]\n{TENANT}', id="a webhook"),
        pytest.param(
            '[notify]\ncommand = ["/bin/true"]\ntenants = ["X-Host=a.example"]\n'
            '[[tenant]]\nmatch = { X-Host = "a.example" }',
            id="a command, and a tenant without a name",
        ),
        pytest.param('[ledger]\nurl = ""\n[notify]\nkinds = ["began"]', id="nobody is told"),
    ],
)
def test_options_that_agree_are_taken(text: str) -> None:
    assert parse_configuration(f"{BASE}{text}", "alignd.conf").conflicts() == ()
