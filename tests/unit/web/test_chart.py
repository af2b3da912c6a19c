"""Charts: each is XML that says in words what it draws, and draws it to scale and in place."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.web.chart import (
    DAY,
    MAX_DAYS,
    Chart,
    ChartTexts,
    DayMessages,
    Mark,
    Row,
    chart_of,
    chart_svg,
    curve_svg,
)

TODAY = 20_000 * DAY
TEXTS = ChartTexts(
    title="Messages of mycompany.com",
    description="By day.",
    rewritten="rewritten",
    passed="passed",
    nothing="No messages",
    day=lambda day, rewritten, passed: f"{day // DAY}: {rewritten} rewritten, {passed} passed",
    date=lambda at: f"day {int(at // DAY)}",
    number=lambda number: f"{number:,}".replace(",", "\N{NO-BREAK SPACE}"),
)
HUGE = 10**400


def drawn(chart: Chart, texts: ChartTexts = TEXTS) -> ElementTree.Element:
    return ElementTree.fromstring(chart_svg(chart, texts))


def of_class(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [each for each in root.iter() if each.get("class") == name]


def length(element: ElementTree.Element, name: str) -> float:
    return float(element.attrib[name])


def month(*counts: tuple[int, int]) -> Chart:
    """The days up to today that have these rewritten and passed messages."""
    first = TODAY - (len(counts) - 1) * DAY
    days = [DayMessages(first + n * DAY, *each) for n, each in enumerate(counts)]
    return chart_of(days, (), first, TODAY)


def test_parts_of_a_day_are_added_up_and_days_between_are_empty() -> None:
    messages = [
        DayMessages(TODAY + 5, 1, 0),
        DayMessages(TODAY, 2, 3),
        DayMessages(TODAY - 2 * DAY, 0, 7),
        DayMessages(TODAY - 9 * DAY, 99, 99),
        DayMessages(TODAY + 9 * DAY, 99, 99),
    ]

    chart = chart_of(messages, (), TODAY - 2 * DAY, TODAY + 10)

    assert chart.rows == (
        Row(TODAY - 2 * DAY, 0, 7),
        Row(TODAY - DAY, 0, 0),
        Row(TODAY, 3, 3),
    )


def test_marks_stand_at_their_day_in_their_order() -> None:
    marks = [
        Mark(TODAY + 7.0, "Then it passed."),
        Mark(TODAY - 1.0, "It began."),
        Mark(TODAY + 3.0, "Then the policy changed."),
        Mark(TODAY - 9.0 * DAY, "Long ago."),
    ]
    chart = chart_of((), marks, TODAY - DAY, TODAY)

    root = drawn(chart)

    assert [mark.text for mark in chart.marks] == [
        *("It began.", "Then the policy changed.", "Then it passed."),
    ]
    titles = [each.findtext("title") for each in of_class(root, "chart-mark")]
    assert titles == [
        "day 19999: It began.",
        "day 20000: Then the policy changed. Then it passed.",
    ]
    assert [each.findtext("text") for each in of_class(root, "chart-mark")] == ["1", "2-3"]


@pytest.mark.parametrize(
    "chart",
    [
        pytest.param(Chart(()), id="no day"),
        pytest.param(month((0, 0)), id="a day without messages"),
        pytest.param(month(*[(0, 0)] * 30), id="a month without messages"),
    ],
)
def test_what_is_empty_says_so(chart: Chart) -> None:
    root = drawn(chart)

    assert chart.is_empty
    assert [each.text for each in of_class(root, "chart-nothing")] == ["No messages"]
    assert not of_class(root, "chart-scale")
    assert not of_class(root, "chart-day")


@pytest.mark.parametrize(
    "chart",
    [
        pytest.param(month((3, 4)), id="one day"),
        pytest.param(month((0, 0), (0, 1), (0, 0)), id="one message"),
        pytest.param(month((1, 0)), id="rewritten alone"),
        pytest.param(month(*((n, 30 - n) for n in range(30))), id="a month"),
        pytest.param(month((HUGE, 1), (1, HUGE), (3, 3)), id="huge"),
        pytest.param(month(*((n % 7, n % 5) for n in range(MAX_DAYS))), id="years"),
    ],
)
def test_bars_are_to_scale_and_inside(chart: Chart) -> None:
    root = drawn(chart)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    passed, rewritten = of_class(root, "chart-passed"), of_class(root, "chart-rewritten")

    assert len(passed) == sum(1 for row in chart.rows if row.passed)
    assert len(rewritten) == sum(1 for row in chart.rows if row.rewritten)
    for bar in (*passed, *rewritten):
        assert 0 <= length(bar, "x") <= length(bar, "x") + length(bar, "width") <= width
        assert 0 <= length(bar, "y") <= length(bar, "y") + length(bar, "height") <= height
    middles = [length(bar, "y") + length(bar, "height") for bar in passed]
    middles += [length(bar, "y") for bar in rewritten]
    assert max(middles) - min(middles) <= 0.02
    most = max(max(row.passed, row.rewritten) for row in chart.rows)
    tallest = max(length(bar, "height") for bar in (*passed, *rewritten))
    heights = [length(bar, "height") for bar in passed]
    expected = [tallest * (row.passed / most) for row in chart.rows if row.passed]
    assert heights == pytest.approx(expected, abs=0.02)
    assert tallest >= 200 / 3


def test_each_day_says_in_words_what_it_draws() -> None:
    root = drawn(month((3, 4), (0, 0), (0, 1)))

    titles = [each.findtext("title") for each in of_class(root, "chart-day")]
    assert titles == ["19998: 3 rewritten, 4 passed", "20000: 0 rewritten, 1 passed"]


@pytest.mark.parametrize(
    ("most", "numbers"),
    [
        (1, ["0", "1"]),
        (4, ["0", "1", "2", "3", "4"]),
        (5, ["0", "2", "4", "6"]),
        (17, ["0", "5", "10", "15", "20"]),
        (100_000, ["0", "50\xa0000", "100\xa0000"]),
    ],
)
def test_the_scale_has_few_round_numbers(most: int, numbers: list[str]) -> None:
    (scale,) = of_class(drawn(month((0, most))), "chart-scale")

    shown = [each.text for each in scale.iter("text") if each.get("class") is None]
    assert shown == numbers


def test_there_is_room_for_each_date() -> None:
    for days in (1, 2, 6, 7, 30, MAX_DAYS):
        (dates,) = of_class(drawn(month(*[(1, 1)] * days)), "chart-dates")
        assert 1 <= len(dates) <= 6


def test_more_days_than_a_chart_has_room_for_are_the_last_ones() -> None:
    chart = chart_of((), (), 0.0, float(TODAY))

    assert len(chart.rows) == MAX_DAYS
    assert chart.rows[-1].day == TODAY


def test_a_screen_reader_is_told_what_it_is() -> None:
    root = drawn(month((1, 2)))

    assert root.get("role") == "img"
    told = {each.attrib["id"]: each.text for each in root if "id" in each.attrib}
    assert root.attrib["aria-labelledby"].split() == list(told)
    assert list(told.values()) == ["Messages of mycompany.com", "By day."]


def test_two_charts_on_a_page_have_ids_of_their_own() -> None:
    first, second = (chart_svg(month((1, 2)), TEXTS, name) for name in ("a", "b"))

    assert not set(re.findall(r' id="(.*?)"', first)) & set(re.findall(r' id="(.*?)"', second))


@pytest.mark.parametrize("svg", [chart_svg(month((1, 2)), TEXTS), curve_svg([1, 2], "x")])
def test_nothing_is_styled_or_run_where_it_stands(svg: str) -> None:
    for element in ElementTree.fromstring(svg).iter():
        assert element.get("fill") in {None, "none"}
        assert not any(
            name in {"style", "stroke", "href"} or name.startswith("on") for name in element.attrib
        )


hostile = st.text() | st.sampled_from(["</title><script>alert(1)</script>", '"onload="x', "]]>&"])


@given(hostile)
def test_hostile_text_is_shown_and_never_markup(text: str) -> None:
    texts = replace(TEXTS, title=text, description=text, passed=text, day=lambda *_: text)
    chart = replace(month((1, 2)), rows=(Row(TODAY, 1, 2, (Mark(TODAY, text),)),))

    for svg in (chart_svg(chart, texts), curve_svg([1], text)):
        root = ElementTree.fromstring(svg.encode())
        assert {each.tag for each in root.iter()} <= {
            *("svg", "title", "desc", "g", "rect", "line", "text", "circle", "polyline"),
        }


@pytest.mark.parametrize(
    ("values", "points"),
    [
        pytest.param([0] * 30, 30, id="nothing happened"),
        pytest.param([5] * 30, 30, id="always the same"),
        pytest.param([0, 1], 2, id="two days"),
        pytest.param([HUGE, 0, -3], 3, id="huge and odd"),
        pytest.param(list(range(30)), 30, id="a month"),
    ],
)
def test_a_curve_has_a_point_for_each_day(values: list[int], points: int) -> None:
    root = ElementTree.fromstring(curve_svg(values, "30 days"))
    (line,) = of_class(root, "curve-line")

    places = [tuple(map(float, each.split(","))) for each in line.attrib["points"].split()]
    assert len(places) == points
    assert all(0 <= x <= 120 and 0 <= y <= 24 for x, y in places)
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    highest = min(range(points), key=lambda place: places[place][1])
    assert values[highest] == max(values)
    assert root.findtext("title") == "30 days"


def test_a_curve_of_one_day_is_a_point_and_of_none_is_empty() -> None:
    one = ElementTree.fromstring(curve_svg([3], "one"))
    none = ElementTree.fromstring(curve_svg([], "none"))

    assert len(of_class(one, "curve-point")) == 1
    assert [each.tag for each in none] == ["title"]
