"""Batches: what is merged or kept as text says the same."""

import pytest
from hypothesis import given

from alignd.ledger.batch import Batch, DomainKey, Seen
from tests.support.batches import PASSED, REWRITTEN, batches

MARKY = DomainKey("tenant", "mycompany.com")


@given(batches(), batches(), batches())
def test_it_is_all_one_in_which_steps_batches_are_merged(
    one: Batch, other: Batch, third: Batch
) -> None:
    merged = one.merged(other).merged(third)
    assert merged == one.merged(other.merged(third))
    assert merged.messages == one.messages + other.messages + third.messages


@given(batches())
def test_a_batch_is_the_same_after_it_was_kept_as_text(batch: Batch) -> None:
    assert Batch.from_json(batch.to_json()) == batch


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("[]", id="a list"),
        pytest.param("{}", id="no counts"),
        pytest.param('{"counts":[[0,"",""]],"seen":[]}', id="a key that is too short"),
        pytest.param('{"counts":[],"seen":[["","d",1.0,2.0]]}', id="no finding"),
        pytest.param('{"counts":[0],"seen":[]}', id="a number for a row"),
    ],
)
def test_what_is_no_batch_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Batch.from_json(text)


def test_the_newest_message_says_what_was_found_though_a_clock_was_set_back() -> None:
    noon = Batch(seen={MARKY: Seen(REWRITTEN, 11.0, 12.0)})
    morning = Batch(seen={MARKY: Seen(PASSED, 8.0, 9.0)})
    assert noon.merged(morning).seen == {MARKY: Seen(REWRITTEN, 8.0, 12.0)}
