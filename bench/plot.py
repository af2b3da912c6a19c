"""The picture of the benchmark: messages a second of every milter, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pygal
from pygal.style import LightGreenStyle

from bench.speed import CONNECTIONS, Speed


def draw(speeds: Sequence[Speed], path: Path) -> None:
    """Draw the bars, a group for each number of connections."""
    chart = pygal.Bar(style=LightGreenStyle, js=[], legend_at_bottom=True, height=420)
    chart.title = "Messages a second, by connections"
    chart.x_labels = [str(connections) for connections in CONNECTIONS]
    for speed in speeds:
        chart.add(speed.name, [round(rate) for rate in speed.rates])
    path.write_bytes(chart.render())
