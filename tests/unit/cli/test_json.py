"""JSON for scripts: one object on a line, which no terminal obeys."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.cli.render.json import json_line, word_json
from alignd.judgement.reasons import Word
from alignd.judgement.words import WORDS

CONTROLS = "\x00\x1b\x7f\x9b\u2028\u202e\udcff\n"


@given(st.text() | st.text(alphabet=CONTROLS))
def test_any_value_is_one_printable_line_that_reads_back(text: str) -> None:
    line = json_line({"value": text, text: [text]})

    assert line.isprintable()
    assert line.isascii()
    assert json.loads(line) == {"value": text, text: [text]}


@pytest.mark.parametrize("word", WORDS)
def test_a_word_has_its_keys_in_order(word: Word) -> None:
    assert list(word_json(word)) == ["word", "key", "meaning", "fix", "rule", "options"]
