"""What is known of the lines of a message in progress."""

import pytest

from alignd.config.file import parse_configuration
from alignd.judgement.evidence import Wanted, wanted_by
from alignd.mta.transaction import Transaction
from tests.lab.settings import configuration

SIGNS = '[dkim]\nsigns = [{ domain = "mycompany.com", selector = "s" }]\n'


def wanted(config: str) -> Wanted:
    return wanted_by(parse_configuration(configuration(config), "test"))


def begun(config: str, *, leading_blank: bool = True, body_comes: bool = True) -> Transaction:
    return Transaction(
        wanted(config), b"<>", None, "", leading_blank=leading_blank, body_comes=body_comes
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param("", False, id="by-default"),
        pytest.param(
            '[dkim]\ndelegate = { selector = "s", target = "x.example" }\n', False, id="advice"
        ),
        pytest.param(SIGNS, True, id="signs"),
        pytest.param('[dkim]\ntrusted_authserv_ids = ["relay"]\n', True, id="upstream"),
        pytest.param("[dkim]\nverify = true\n", True, id="verify"),
        pytest.param(
            '[dkim]\nopendkim = { signing_table = "file:/etc/s", key_table = "/etc/k" }\n',
            True,
            id="opendkim",
        ),
    ],
)
def test_lines_matter_where_a_signature_may_count(config: str, expected: bool) -> None:
    assert wanted(config).line_length is expected
    long = begun(config)
    long.add_body(b"x" * 999)
    assert long.has_long_line is expected


@pytest.mark.parametrize(
    ("leading_blank", "value"),
    [
        pytest.param(True, b" " + b"x" * 990, id="as-it-stands"),
        pytest.param(False, b"x" * 990, id="where-the-mta-takes-the-blank-away"),
    ],
)
def test_a_field_that_is_not_wanted_is_measured(leading_blank: bool, value: bytes) -> None:
    for size, expected in ((len(value), True), (len(value) - 1, False)):
        transaction = begun(SIGNS, leading_blank=leading_blank)
        transaction.add_field("Subject", value[:size])

        assert transaction.has_long_line is expected


def test_a_body_that_nobody_saw_may_have_a_long_line() -> None:
    # A reload may begin to want the body, in a session that was negotiated without.
    assert begun(SIGNS, body_comes=False).has_long_line
    assert not begun("", body_comes=False).has_long_line
