"""Signatures and keys: those that every verifier takes count, and no others."""

import base64
from collections.abc import Callable

import pytest

from tests.support.signatures import COUNTED, KEY, NOT_COUNTED, PLAIN, counts, messages
from tests.support.signing import BODY, HEADER, written

MESSAGES = messages()


@pytest.mark.parametrize("name", COUNTED)
def test_what_every_verifier_takes_counts(name: str) -> None:
    assert counts(MESSAGES[name])


@pytest.mark.parametrize("name", NOT_COUNTED)
def test_what_some_verifier_does_not_take_does_not_count(name: str) -> None:
    assert not counts(MESSAGES[name])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda number, _: b"\0" + number.to_bytes(256, "big"), id="a-zero-in-front"),
        pytest.param(lambda number, n: (number + n).to_bytes(257, "big"), id="above-the-modulus"),
    ],
)
def test_a_signature_has_the_length_of_its_key(change: Callable[[int, int], bytes]) -> None:
    # The same number to who only raises it to a power, and no signature by RFC 8017.
    head, _, encoded = PLAIN.signed(KEY).rpartition(b" b=")
    number = int.from_bytes(base64.b64decode(encoded), "big")
    changed = base64.b64encode(change(number, KEY.public_key().public_numbers().n))

    assert counts(written((("DKIM-Signature", head + b" b=" + encoded), *HEADER), BODY))
    assert not counts(written((("DKIM-Signature", head + b" b=" + changed), *HEADER), BODY))
