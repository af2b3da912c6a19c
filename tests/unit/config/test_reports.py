"""Where reports come: an address, and a mailbox whose password is in a file of its own."""

import pytest

from alignd.config.file import parse_configuration
from tests.support.configtext import BASE, problems

IMAP = 'imap = "imaps://ann@mail.example/DMARC"\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            IMAP,
            "8: reports.imap needs reports.password_file: the file with the password of the "
            "mailbox",
            id="no password",
        ),
        pytest.param(
            'imap = "imaps://ann:secret@mail.example/"',
            "8: reports.imap: not a folder over IMAP: 'imaps://ann:***@mail.example/': a password "
            "does not belong here, but into a file of its own; or '' for none",
            id="a password in the URL",
        ),
        pytest.param(
            'imap = "imap://ann@mail.example/"',
            "8: reports.imap: not a folder over IMAP: 'imap://ann@mail.example/': imap:// sends "
            "the password in the clear: imaps:// does not; or '' for none",
            id="in the clear",
        ),
        pytest.param(
            'address = "a!b@mail.example"',
            "8: reports.address: receivers read other characters than letters, digits, '.', '_', "
            "'+' and '-' in rua in different ways: 'a!b@mail.example'",
            id="an address that rua cannot hold as it is",
        ),
    ],
)
def test_what_cannot_serve_is_refused(text: str, expected: str) -> None:
    (problem,) = problems(f"{BASE}[reports]\n{text}")

    assert problem == expected


def test_a_mailbox_is_read_from_a_url() -> None:
    text = f'{BASE}[reports]\n{IMAP}password_file = "/p"\n'

    options = parse_configuration(text, "x").reports

    assert str(options.imap) == "ann@mail.example/DMARC"
    assert options.move_to == ""
