"""Draws messages by day as SVG: a small curve for a list, and a chart with what happened.

Nothing has a colour of its own, which the page's policy would forbid: classes say what it is, and
the stylesheet how it looks. What a chart shows by place and length is in its texts and rows too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

DAY = 86_400
MAX_DAYS = 800
"""Days of a chart: more than the ledger keeps by default."""
_CURVE_WIDTH, _CURVE_HEIGHT, _CURVE_EDGE = 120, 24, 2
_LEFT, _TOP, _PLOT_WIDTH, _PLOT_HEIGHT, _FOOT = 64, 24, 640, 200, 28
_WIDTH, _HEIGHT = _LEFT + _PLOT_WIDTH + 12, _TOP + _PLOT_HEIGHT + _FOOT
_MARK_RADIUS = 8
_GAP = 0.2
"""Of the room of a day, how much is left between its bar and the next."""
_STEPS = 4
"""The most lines of the scale on one side of the middle."""
_NICE = (1, 2, 5, 10)
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML can hold, escaped or not (XML 1.0, section 2.2)."""
_DATES = 4
"""The most dates below a chart: long ones, such as 30 September 2026, have room."""


@dataclass(frozen=True, slots=True)
class DayMessages:
    """Messages of one day, or a part of them."""

    day: int
    """A Unix time within it (UTC)."""
    rewritten: int
    passed: int


@dataclass(frozen=True, slots=True)
class Mark:
    """What happened at a time."""

    at: float
    """Unix time."""
    text: str
    """What, in one sentence."""


@dataclass(frozen=True, slots=True)
class ChartTexts:
    """The words of a chart, in one language."""

    title: str
    description: str
    rewritten: str
    """What is below the middle."""
    passed: str
    """What is above it."""
    nothing: str
    """Shown where there is no message."""
    day: Callable[[int, int, int], str]
    """A sentence of a day's Unix time, its rewritten and its passed messages."""
    date: Callable[[float], str]
    """The date of a Unix time."""
    number: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Row:
    """A day of a chart, as a table has it."""

    day: int
    """The Unix time at which it begins (UTC)."""
    rewritten: int
    passed: int
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Chart:
    """Messages by day, and what happened; each day once, those without a message too."""

    rows: tuple[Row, ...]
    """The oldest first."""

    @property
    def marks(self) -> tuple[Mark, ...]:
        """What happened, the oldest first: the numbers in the chart count these from 1."""
        return tuple(mark for row in self.rows for mark in row.marks)

    @property
    def is_empty(self) -> bool:
        """Whether there is no message."""
        return not any(row.rewritten or row.passed for row in self.rows)


def chart_of(
    messages: Iterable[DayMessages], marks: Iterable[Mark], first: float, last: float
) -> Chart:
    """The chart of the days from that of *first* to that of *last*, both Unix times.

    What is on no such day is left out; of more than MAX_DAYS the last ones are kept.
    """
    end = int(last // DAY)
    start = max(int(first // DAY), end - MAX_DAYS + 1)
    counted: dict[int, tuple[int, int]] = {}
    for each in messages:
        rewritten, passed = counted.get(each.day // DAY, (0, 0))
        total = (rewritten + max(each.rewritten, 0), passed + max(each.passed, 0))
        counted[each.day // DAY] = total
    happened: dict[int, list[Mark]] = {}
    for mark in sorted(marks, key=lambda mark: mark.at):
        happened.setdefault(int(mark.at // DAY), []).append(mark)
    return Chart(
        tuple(
            Row(day * DAY, *counted.get(day, (0, 0)), tuple(happened.get(day, ())))
            for day in range(start, end + 1)
        )
    )


def curve_svg(values: Sequence[int], text: str) -> str:
    """A small curve of *values*, the oldest first, which *text* tells in words."""
    top = max([*values, 1])
    width, height = _CURVE_WIDTH - 2 * _CURVE_EDGE, _CURVE_HEIGHT - 2 * _CURVE_EDGE
    steps = max(len(values) - 1, 1)
    points = [
        (_CURVE_EDGE + width * place / steps, _CURVE_EDGE + height - height * max(value, 0) / top)
        for place, value in enumerate(values)
    ]
    svg = _Svg()
    svg.begin("svg", viewBox=f"0 0 {_CURVE_WIDTH} {_CURVE_HEIGHT}", role="img", class_="curve")
    svg.element("title", text)
    if len(points) == 1:
        _, y = points[0]
        svg.empty("circle", class_="curve-point", cx=_n(_CURVE_WIDTH / 2), cy=_n(y), r=2)
    elif points:
        line = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        svg.empty("polyline", class_="curve-line", points=line, fill="none")
    svg.end("svg")
    return svg.whole


def chart_svg(chart: Chart, texts: ChartTexts, name: str = "chart") -> str:
    """*chart* as SVG: what passed above a line, what was rewritten below it.

    *name* tells its ids from those of others on the page.
    """
    scale = _Scale.of(chart.rows)
    svg = _Svg()
    label = f"{name}-title {name}-description"
    box = f"0 0 {_WIDTH} {_HEIGHT}"
    svg.begin("svg", viewBox=box, role="img", class_="chart", aria_labelledby=label)
    svg.element("title", texts.title, id=f"{name}-title")
    svg.element("desc", texts.description, id=f"{name}-description")
    if chart.is_empty:
        middle = {"x": _n(_LEFT + _PLOT_WIDTH / 2), "y": _n(_TOP + _PLOT_HEIGHT / 2)}
        svg.element("text", texts.nothing, class_="chart-nothing", text_anchor="middle", **middle)
    else:
        _draw_scale(svg, scale, texts)
    _draw_days(svg, chart.rows, scale, texts)
    if not chart.is_empty:
        _draw_sides(svg, scale, texts)
    _draw_dates(svg, chart.rows, texts)
    _draw_marks(svg, chart.rows, texts)
    svg.end("svg")
    return svg.whole


@dataclass(frozen=True, slots=True)
class _Scale:
    """What a number of messages is in height; both sides have the same."""

    step: int
    above: int
    """Messages at the upper edge."""
    below: int
    """Messages at the lower edge."""

    @classmethod
    def of(cls, rows: Sequence[Row]) -> _Scale:
        passed = max((row.passed for row in rows), default=0)
        rewritten = max((row.rewritten for row in rows), default=0)
        step = _nice_step(max(passed, rewritten))
        above, below = (-(-each // step) * step for each in (passed, rewritten))
        return cls(step, above, below) if above or below else cls(1, 1, 0)

    def height(self, messages: int) -> float:
        return _PLOT_HEIGHT * messages / (self.above + self.below)

    @property
    def middle(self) -> float:
        return _TOP + self.height(self.above)


def _nice_step(most: int) -> int:
    """The smallest of 1, 2, 5, 10, 20 ... that reaches *most* in few steps."""
    power = 1
    while True:
        for factor in _NICE:
            if factor * power * _STEPS >= most:
                return factor * power
        power *= 10


def _draw_scale(svg: _Svg, scale: _Scale, texts: ChartTexts) -> None:
    svg.begin("g", class_="chart-scale", aria_hidden="true")
    for messages in range(-scale.below, scale.above + 1, scale.step):
        y = scale.middle - scale.height(messages)
        kind = "chart-line" if messages else "chart-middle"
        left, right = _n(_LEFT), _n(_LEFT + _PLOT_WIDTH)
        svg.empty("line", class_=kind, x1=left, x2=right, y1=_n(y), y2=_n(y))
        svg.element(
            "text", texts.number(abs(messages)), x=_LEFT - 6, y=_n(y + 4), text_anchor="end"
        )
    svg.end("g")


def _draw_sides(svg: _Svg, scale: _Scale, texts: ChartTexts) -> None:
    """What is on each side of the middle; after the bars, which would hide it."""
    svg.begin("g", class_="chart-sides", aria_hidden="true")
    for side, what, y in (
        (scale.above, texts.passed, _TOP + 12.0),
        (scale.below, texts.rewritten, _TOP + _PLOT_HEIGHT - 4.0),
    ):
        if side:
            svg.element("text", what, class_="chart-side", x=_LEFT + 4, y=_n(y))
    svg.end("g")


def _draw_days(svg: _Svg, rows: Sequence[Row], scale: _Scale, texts: ChartTexts) -> None:
    slot = _slot(rows)
    for place, row in enumerate(rows):
        if not (row.rewritten or row.passed):
            continue
        svg.begin("g", class_="chart-day")
        svg.element("title", texts.day(row.day, row.rewritten, row.passed))
        across = {"x": _n(_LEFT + (place + _GAP / 2) * slot), "width": _n(slot * (1 - _GAP))}
        if row.passed:
            height = scale.height(row.passed)
            along = {"y": _n(scale.middle - height), "height": _n(height)}
            svg.empty("rect", class_="chart-passed", **across, **along)
        if row.rewritten:
            along = {"y": _n(scale.middle), "height": _n(scale.height(row.rewritten))}
            svg.empty("rect", class_="chart-rewritten", **across, **along)
        svg.end("g")


def _draw_dates(svg: _Svg, rows: Sequence[Row], texts: ChartTexts) -> None:
    every = max(-(-len(rows) // _DATES), 1)
    slot = _slot(rows)
    svg.begin("g", class_="chart-dates", aria_hidden="true")
    for place in range(0, len(rows), every):
        x = _n(_LEFT + place * slot)
        svg.element("text", texts.date(rows[place].day), x=x, y=_HEIGHT - 8)
    svg.end("g")


def _draw_marks(svg: _Svg, rows: Sequence[Row], texts: ChartTexts) -> None:
    slot = _slot(rows)
    number = 1
    for place, row in enumerate(rows):
        if not row.marks:
            continue
        last = number + len(row.marks) - 1
        x = _LEFT + (place + 0.5) * slot
        svg.begin("g", class_="chart-mark")
        told = " ".join(mark.text for mark in row.marks)
        svg.element("title", f"{texts.date(row.day)}: {told}")
        svg.empty("line", x1=_n(x), x2=_n(x), y1=_TOP, y2=_TOP + _PLOT_HEIGHT)
        svg.empty("circle", cx=_n(x), cy=_TOP - _MARK_RADIUS - 2, r=_MARK_RADIUS)
        shown = str(number) if last == number else f"{number}-{last}"
        svg.element("text", shown, x=_n(x), y=_TOP - _MARK_RADIUS + 2, text_anchor="middle")
        svg.end("g")
        number = last + 1


def _slot(rows: Sequence[Row]) -> float:
    return _PLOT_WIDTH / max(len(rows), 1)


def _n(number: float) -> str:
    """A length, to a hundredth."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


@dataclass(slots=True)
class _Svg:
    """Writes elements; whatever stands in texts and attributes is escaped."""

    _parts: list[str] = field(default_factory=list)

    @property
    def whole(self) -> str:
        return "".join(self._parts)

    def begin(self, element: str, **attributes: str | float) -> None:
        self._parts.append(f"<{element}{_attributes(attributes)}>")

    def end(self, element: str) -> None:
        self._parts.append(f"</{element}>")

    def empty(self, element: str, **attributes: str | float) -> None:
        self._parts.append(f"<{element}{_attributes(attributes)}/>")

    def element(self, element: str, text: str, **attributes: str | float) -> None:
        self._parts.append(f"<{element}{_attributes(attributes)}>{_safe(text)}</{element}>")


def _attributes(attributes: dict[str, str | float]) -> str:
    return "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_safe(str(value))}"'
        for name, value in attributes.items()
    )


def _safe(text: str) -> str:
    return escape(_NO_XML.sub("\N{REPLACEMENT CHARACTER}", text))
