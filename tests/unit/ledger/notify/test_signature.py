"""The secrets of a webhook: a bad one is told with its line and the cure, and nothing of it."""

import base64
import traceback
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook as Verifier

from alignd.ledger.notify.signature import SecretError, parse_secrets, signed_headers

GOOD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        pytest.param("", 1, "there is no secret", id="an empty file"),
        pytest.param("# none yet\n", 1, "there is no secret", id="a comment alone"),
        pytest.param(f"{GOOD}\nMfKQ9r8GKYqrTwjU\n", 2, 'begins with "whsec_"', id="no prefix"),
        pytest.param("whsec_MfKQ9r8*\n", 1, "is not base64", id="no base64"),
        pytest.param("whsec_é\n", 1, "is not base64", id="no ASCII"),
        pytest.param("\n\nwhsec_MfKQ9r8G\n", 3, "24 to 64 octets, and this one has 6", id="short"),
        pytest.param(f"whsec_{'A' * 100}\n", 1, "and this one has 75", id="long"),
    ],
)
def test_a_bad_secret_is_told_with_its_line_and_how_to_make_one(
    text: str, line: int, said: str
) -> None:
    with pytest.raises(SecretError, match=said) as raised:
        parse_secrets(text)
    assert raised.value.line == line
    assert "openssl rand -base64 32" in str(raised.value)
    assert "MfKQ" not in "".join(traceback.format_exception(raised.value))


@given(secret=st.binary(min_size=24, max_size=64), body=st.text())
def test_any_secret_signs_what_the_library_of_standard_webhooks_signs(
    secret: bytes, body: str
) -> None:
    written = "whsec_" + base64.b64encode(secret).decode()
    headers = signed_headers(parse_secrets(written), "e1", 1.9, body.encode())
    expected = Verifier(written).sign("e1", datetime.fromtimestamp(1, UTC), body)
    assert headers["webhook-signature"] == expected
