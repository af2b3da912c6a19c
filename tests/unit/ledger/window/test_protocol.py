"""What crosses the socket of a ledger: what is well formed comes back, and nothing else passes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.ledger.answer import Finding
from alignd.ledger.queries.history import DayCount, History, PastEvent
from alignd.ledger.queries.overview import SHOWN_DAYS, DomainRow, Order, Selection
from alignd.ledger.queries.relays import RelayRow
from alignd.ledger.window.protocol import (
    MAX_LINE,
    MAX_QUESTION,
    VERSION,
    MalformedError,
    Obstacle,
    WindowError,
    decode_answer,
    encode_end,
    encode_obstacle,
    encode_question,
    encode_row,
)
from alignd.ledger.window.questions import (
    AnyQuestion,
    HistoryQuestion,
    OtherMessagesQuestion,
    OverviewQuestion,
    RelaysQuestion,
    read_question,
)
from alignd.ledger.window.spans import EventsQuestion, ReceiversQuestion, Span, TrafficQuestion
from tests.support.hostile_questions import HOSTILE

NOW = 1_782_900_000.0
SELECTION = Selection("outbound", ("rewrite", "pass"), "", "*.example", NOW - 7)
QUESTIONS: list[AnyQuestion] = [
    OverviewQuestion(SELECTION, NOW, Order.SINCE),
    OverviewQuestion(Selection(tenant="Łódź & söner"), 0.5),
    OtherMessagesQuestion(Selection(), NOW),
    HistoryQuestion("return", "mycompany.com", 0.0, NOW),
    RelaysQuestion(NOW),
    RelaysQuestion(NOW, "outbound"),
    EventsQuestion(Span("outbound", None, 0.0, NOW)),
    TrafficQuestion(Span("return", "easy", 0.0, NOW)),
    ReceiversQuestion(Span("outbound", None, 0.0, NOW), "mycompany.com"),
    ReceiversQuestion(Span("outbound", "easy", 0.5, NOW)),
]


@pytest.mark.parametrize("question", QUESTIONS, ids=repr)
def test_a_question_comes_as_it_was_asked(question: AnyQuestion) -> None:
    line = encode_question(question.word, question.fields)
    assert line.endswith(b"\n")
    assert read_question(line[:-1]) == question


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_question_is_refused(line: str) -> None:
    assert len(line) < MAX_QUESTION
    with pytest.raises(WindowError) as caught:
        read_question(line.encode("latin-1"))
    assert caught.value.obstacle is Obstacle.MALFORMED
    assert len(str(caught.value)) < 120


def test_a_question_of_another_version_is_told_so_whatever_else_it_has() -> None:
    for line in (b'{"version":2}', b'{"version":2,"ask":"anything","x":[]}', b'{"version":0}'):
        with pytest.raises(WindowError, match="version 1 are answered") as caught:
            read_question(line)
        assert caught.value.obstacle is Obstacle.VERSION


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_whatever_comes_is_a_question_or_an_obstacle(line: bytes) -> None:
    assert obstacle_to(line) in {None, Obstacle.MALFORMED, Obstacle.VERSION}


def obstacle_to(line: bytes) -> Obstacle | None:
    try:
        found = read_question(line)
    except WindowError as error:
        return error.obstacle
    encode_question(found.word, found.fields)
    return None


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@given(st.sampled_from(QUESTIONS), st.data())
def test_a_question_with_another_value_is_a_question_or_an_obstacle(
    question: AnyQuestion, data: st.DataObject
) -> None:
    fields: dict[str, Any] = {"version": VERSION, "ask": question.word, **question.fields}
    fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(_JSON)
    line = json.dumps(fields).encode()
    assert obstacle_to(line) in {None, Obstacle.MALFORMED, Obstacle.VERSION}


def answer_of(*lines: bytes) -> list[Any]:
    return list(decode_answer(line.removesuffix(b"\n") for line in lines))


def test_an_answer_is_its_rows() -> None:
    rows: list[list[Any]] = [["ø", 1, 1.5, None, {"a": [True]}], []]
    assert answer_of(*map(encode_row, rows), encode_end(2)) == rows


ROW = encode_row([1])
BROKEN = {
    "nothing": [],
    "no-end": [ROW],
    "fewer-rows-than-it-says": [ROW, encode_end(2)],
    "more-rows-than-it-says": [ROW, encode_end(0)],
    "not-json": [ROW, b"rows"],
    "an-end-without-a-number": [b'{"version":1}'],
    "an-end-of-text": [b'{"version":1,"rows":"0"}'],
    "a-text": [b'"rows"'],
    "an-empty-line": [b""],
}


@pytest.mark.parametrize("lines", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_is_not_whole_is_none(lines: list[bytes]) -> None:
    with pytest.raises(WindowError) as caught:
        answer_of(*lines)
    assert caught.value.obstacle is Obstacle.BROKEN


def test_an_obstacle_comes_as_it_was_told() -> None:
    told = WindowError(Obstacle.TOO_LARGE, "60000 domains; ask for some of them")
    with pytest.raises(WindowError, match="60000 domains") as caught:
        answer_of(ROW, encode_obstacle(told))
    assert caught.value.obstacle is Obstacle.TOO_LARGE


@pytest.mark.parametrize(
    ("line", "obstacle"),
    [
        pytest.param(b'{"version":2,"rows":0}', Obstacle.VERSION, id="of-another-version"),
        pytest.param(
            b'{"version":2,"obstacle":"new-word","problem":"x"}',
            Obstacle.FAILED,
            id="an-obstacle-of-a-later-version",
        ),
    ],
)
def test_what_another_alignd_says_is_understood(line: bytes, obstacle: Obstacle) -> None:
    with pytest.raises(WindowError) as caught:
        answer_of(line)
    assert caught.value.obstacle is obstacle


def test_what_would_be_too_long_is_not_sent() -> None:
    with pytest.raises(WindowError) as caught:
        encode_row(["x" * MAX_LINE])
    assert caught.value.obstacle is Obstacle.TOO_LARGE
    with pytest.raises(MalformedError, match="a question of"):
        encode_question("x" * MAX_QUESTION, {})


STATE = ["", "a.example", ["pass", "spf-aligned", "", "", ""], [1.0, 1, 2, 0, 0]]
DOMAIN = [*STATE, [0] * SHOWN_DAYS, 3, 4]
OTHER_ROWS: list[tuple[AnyQuestion, list[Any]]] = [
    (QUESTIONS[0], []),
    (QUESTIONS[0], DOMAIN[:-1]),
    (QUESTIONS[0], [*DOMAIN[:-1], "4"]),
    (QUESTIONS[0], [1, *DOMAIN[1:]]),
    (QUESTIONS[0], [*DOMAIN[:4], [0] * 29, 3, 4]),
    (QUESTIONS[0], [*DOMAIN[:2], {}, *DOMAIN[3:]]),
    (QUESTIONS[2], []),
    (QUESTIONS[2], [1, 2]),
    (QUESTIONS[2], [1.5]),
    (QUESTIONS[3], DOMAIN),
    (QUESTIONS[3], ["state"]),
    (QUESTIONS[3], ["day", 1, "", "pass", None, 4]),
    (QUESTIONS[3], ["event", 1.0, "", "began", [], {}]),
    (QUESTIONS[4], ["smtp1", "outbound", 1.0, 2.0, "1", "", 0, False, 4]),
]


@pytest.mark.parametrize(("question", "row"), OTHER_ROWS, ids=repr)
def test_a_row_of_another_form_is_not_read(question: AnyQuestion, row: list[Any]) -> None:
    with pytest.raises(MalformedError):
        question.read([row])


def test_rows_are_read_as_what_they_are() -> None:
    finding = Finding("pass", "spf-aligned")
    domain = DomainRow("", "a.example", finding, 1.0, 1, 2, 0, 0, (0,) * SHOWN_DAYS, 3, 4)
    assert QUESTIONS[0].read([DOMAIN]) == [domain]
    day, event = ["day", 86400, "", "pass", "x", 4], ["event", 1.5, "easy", "new", {}, {"a": 1}]
    assert QUESTIONS[3].read([["state", *DOMAIN], day, event]) == History(
        "return",
        "mycompany.com",
        (domain,),
        (DayCount(86400, "", "pass", "x", 4),),
        (PastEvent(1.5, "easy", "new", {}, {"a": 1}),),
    )
    relay = ["smtp1", "outbound", 1.0, 2.0, "1", "c0ffee", True, False, 4]
    assert QUESTIONS[4].read([relay]) == [
        RelayRow("smtp1", "outbound", 1.0, 2.0, "1", "c0ffee", True, False, 4)
    ]
