"""A message is split as Postfix splits it: each line of the table was seen by a milter of 3.7."""

import pytest

from alignd.mail.message import MessageError, split_message

FROM = b"From: a@b.example\r\n"
REST = FROM + b"\r\nhi\r\n"


@pytest.mark.parametrize(
    ("data", "header", "body"),
    [
        pytest.param(REST, [("From", b"a@b.example")], b"hi\r\n", id="plain"),
        pytest.param(
            b"no field\r\n" + REST, [], b"no field\r\n" + REST, id="a-first-line-of-text"
        ),
        pytest.param(b"\xef\xbb\xbf" + REST, [], b"\xef\xbb\xbf" + REST, id="a-byte-order-mark"),
        pytest.param(b"X Y: z\r\n" + REST, [], b"X Y: z\r\n" + REST, id="a-blank-in-the-name"),
        pytest.param(b" folded\r\n" + REST, [], b" folded\r\n" + REST, id="a-fold-of-nothing"),
        pytest.param(
            b"From  : a@b.example\r\nTo: c@d.example\r\n\r\nhi",
            [("X-Mailbox-Line", b"From  : a@b.example"), ("To", b"c@d.example")],
            b"hi",
            id="from-and-blanks-on-top",
        ),
        pytest.param(
            b"To: c@d.example\r\nFrom  : a@b.example\r\n\r\nhi",
            [("To", b"c@d.example"), ("From", b"a@b.example")],
            b"hi",
            id="from-and-blanks-further-down",
        ),
        pytest.param(
            b"From\t: a@b.example\r\n\r\nhi",
            [("From", b"a@b.example")],
            b"hi",
            id="from-and-a-tab",
        ),
        pytest.param(
            b"From x Fri\r\n>From y Fri\r\n" + REST,
            [
                ("X-Mailbox-Line", b"From x Fri"),
                ("X-Mailbox-Line", b">From y Fri"),
                ("From", b"a@b.example"),
            ],
            b"hi\r\n",
            id="lines-of-mailboxes",
        ),
        pytest.param(
            b"From x Fri\r\n\tfold\r\n" + REST,
            [("X-Mailbox-Line", b"From x Fri")],
            b"\tfold\r\n" + REST,
            id="a-fold-behind-the-line-of-a-mailbox",
        ),
        pytest.param(
            FROM + b"From x Fri\r\nX: y\r\n\r\nhi",
            [("From", b"a@b.example")],
            b"From x Fri\r\nX: y\r\n\r\nhi",
            id="the-line-of-a-mailbox-further-down",
        ),
        pytest.param(FROM + b"text\r\n", [("From", b"a@b.example")], b"text\r\n", id="no-gap"),
    ],
)
def test_a_message_is_split(data: bytes, header: list[tuple[str, bytes]], body: bytes) -> None:
    fields, found = split_message(data)

    assert ([(field.name, field.value) for field in fields], found) == (header, body)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\r\n" + REST, id="a-body"),
        pytest.param(b"Hello\r\nworld\r\n", id="text"),
        pytest.param(bytes(range(256)), id="binary"),
    ],
)
def test_what_has_no_field_on_top_is_no_message(data: bytes) -> None:
    with pytest.raises(MessageError):
        split_message(data)
