"""Plots of cost against size, as SVG with logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 230, 40, 50

#: Told apart by people who do not see all colours (the palette of Okabe and Ito).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")

Points = Sequence[tuple[float, float]]


def plot(title: str, horizontal: str, vertical: str, lines: Mapping[str, Points]) -> str:
    """Return a plot of lines through points.

    :param lines: name of the line -> its points, each above 0.
    """
    x_axis = _Axis([x for points in lines.values() for x, _ in points], LEFT, WIDTH - RIGHT)
    y_axis = _Axis([y for points in lines.values() for _, y in points], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="12"><title>{escape(title)}</title>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 22, title, size=15),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, horizontal, anchor="middle"),
        _text(LEFT, TOP - 6, vertical, size=11),
        *_grid(x_axis, y_axis),
    ]
    for number, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [(x_axis.place(x), y_axis.place(y)) for x, y in sorted(points)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        row = TOP + 14 + 18 * number
        parts.append(f'<rect x="{WIDTH - RIGHT + 15}" y="{row - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(WIDTH - RIGHT + 30, row, name, size=11))
    return "\n".join([*parts, "</svg>\n"])


class _Axis:
    """A logarithmic axis that covers whole powers of ten."""

    def __init__(self, values: Sequence[float], first: float, last: float):
        self.low = math.floor(math.log10(min(values)))
        self.high = max(self.low + 1, math.ceil(math.log10(max(values))))
        self._first, self._last = first, last

    def place(self, value: float) -> float:
        """Return where a value is, in units of the picture."""
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self._first + share * (self._last - self._first)

    def ticks(self) -> Iterator[float]:
        """Yield the powers of ten."""
        for power in range(self.low, self.high + 1):
            yield 10.0**power


def _grid(x_axis: _Axis, y_axis: _Axis) -> Iterator[str]:
    style = 'stroke="#dddddd" stroke-width="1"'
    for value in x_axis.ticks():
        x = x_axis.place(value)
        yield f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}" {style}/>'
        yield _text(x, HEIGHT - BOTTOM + 16, _tick(value), anchor="middle")
    for value in y_axis.ticks():
        y = y_axis.place(value)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" {style}/>'
        yield _text(LEFT - 6, y + 4, _tick(value), anchor="end")


def _tick(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _text(x: float, y: float, text: str, *, size: int = 12, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="#222222">'
        f"{escape(text)}</text>"
    )
