"""Text in a URL means the same to whoever reads the URL."""

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from alignd.mail.percent_encoding import percent_encoded


@given(st.text())
def test_all_but_the_unreserved_characters_is_encoded(text: str) -> None:
    assert percent_encoded(text) == quote(text, safe="")
