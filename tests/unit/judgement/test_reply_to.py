"""Reply-To: whether it names anybody, and whom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.judgement.reply_to import mailboxes_of, names_somebody
from alignd.mail.message import HeaderField


@pytest.mark.parametrize(
    "value",
    [
        *("a@b.cz", "<a@b.cz>", "Ann <a@b.cz>", "a@b.cz ", "ticket@helpdesk", "a@b.cz, c@d.cz"),
        *(
            "Team: a@b.cz;",
            "Lee, Ann <a@b.cz>",
            '"a b"@c.cz',
            "Ann (x) <a@b.cz>",
            "Ji\xf8 <a@b.cz>",
        ),
        *("Ann\n <a@b.cz>", "a@ b.cz", f"{'x' * 80}@b.cz", ", ".join(["someone@b.cz"] * 300)),
    ],
)
def test_somebody(value: str) -> None:
    assert names_somebody(value.encode("latin-1"))


@pytest.mark.parametrize(
    "value",
    [
        *("", "<>", "Ann", "(do not answer @ all)", "Support @ Acme", "foo@", "@b.cz", '"x@y"'),
        *('"x@y.cz"', "(a@b.cz)", "undisclosed:;", "a@-", "a@b@c.cz", "m\xe1@b.cz", "@", "<@>"),
    ],
)
def test_nobody(value: str) -> None:
    assert not names_somebody(value.encode("latin-1"))


@given(st.binary(max_size=60))
def test_who_names_somebody_can_be_answered(value: bytes) -> None:
    assert names_somebody(value) == bool(mailboxes_of([HeaderField("Reply-To", value)]))


def test_an_address_of_several_fields_stands_once() -> None:
    values = (b"Ticket <a@b.cz>", b"<>", b"c@d.cz, a@B.cz", b"Lee, Ann <e@f.cz>")

    found = mailboxes_of([HeaderField("Reply-To", value) for value in values])

    assert [(each.display_name, each.address) for each in found] == [
        ("Ticket", "a@b.cz"),
        ("", "c@d.cz"),
        ("", "e@f.cz"),
    ]
