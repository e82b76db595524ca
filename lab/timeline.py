"""Draws a history as one SVG: per action the rate of its answers and their latency, with the faults shaded.

The picture needs nothing beside itself, brings its light background along and is, byte by byte, the same for
the same history.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from lab.checks import gaps
from lab.history import SECOND, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.history import Fault, History, Operation

WIDTH, LEFT, RIGHT = 1000, 76, 16
LEGEND, LANE = 48, 15  # heights above the panels: title and legend, one row of fault labels
HEADING, RATE, BETWEEN, LATENCY, AXIS = 30, 72, 12, 104, 40
PANEL = HEADING + RATE + BETWEEN + LATENCY
INTERVALS, TICKS = 160, 10  # at most so many intervals of the rate, steps of the time axis
MILLISECOND = SECOND // 1000
INK, FAINT, GRID = "#222", "#666", "#ddd"
FAULT, RECOVERY = "#f6b8a0", "#f9e7b5"
COLOURS = {Result.OK: "#0072b2", Result.FAIL: "#cf1f0a", Result.UNKNOWN: "#8f4fc0"}
BAR = {**COLOURS, Result.OK: "#8bbce0"}  # lighter, for there is much of it
SHAPES = {Result.OK: "h0", Result.FAIL: "m-2.5 -2.5l5 5m0 -5l-5 5", Result.UNKNOWN: "m0 -4v8"}
STROKES = {Result.OK: 3.0, Result.FAIL: 1.4, Result.UNKNOWN: 1.6}
LETTER = 6.5  # pixels: about the width of one
CELL = 2  # pixels: marks nearer to each other than this are one
DASHES = {"stroke-dasharray": "3 3"}
HALO = {"paint-order": "stroke", "stroke": "#fff", "stroke-width": "3", "stroke-linejoin": "round"}


class Scale:
    """Maps `low` to `high` onto pixels, evenly or by their logarithm; what lies outside, onto the ends."""

    def __init__(self, low: float, high: float, start: float, end: float, *, log: bool = False) -> None:
        """Map `low` onto `start` and `high` onto `end`."""
        self.low, self.high, self._start = low, high, start
        self._form: Callable[[float], float] = math.log if log else float
        self._zero = self._form(low)
        self._slope = (end - start) / (self._form(high) - self._zero)

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        inside = min(max(value, self.low), self.high)
        return round(self._start + self._slope * (self._form(inside) - self._zero), 1)


class Svg:
    """A picture under construction; lengths in pixels."""

    def __init__(self, height: float, title: str) -> None:
        """Begin with a white page of the given height."""
        size = {"width": str(WIDTH), "height": f"{height:g}", "viewBox": f"0 0 {WIDTH} {height:g}"}
        font = {"font-family": "system-ui, sans-serif", "font-size": "11", "role": "img"}
        self._root = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **size, **font})
        ET.SubElement(self._root, "title").text = _printable(title)
        self.rect(0, 0, WIDTH, height, fill="#fff")

    def rect(self, x: float, y: float, width: float, height: float, **style: str) -> None:
        """Fill a rectangle."""
        size = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{width:g}", "height": f"{height:g}"}
        ET.SubElement(self._root, "rect", {**size, "shape-rendering": "crispEdges", **style})

    def path(self, d: str, stroke: str, width: float = 1, **style: str) -> None:
        """Draw lines; one of no length is a dot."""
        line = {"stroke": stroke, "stroke-width": f"{width:g}", "stroke-linecap": "round", "fill": "none"}
        ET.SubElement(self._root, "path", {"d": d, **line, **style})

    def text(self, x: float, y: float, text: str, anchor: str = "start", **style: str) -> None:
        """Write one line, from, around or up to x."""
        place = {"x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor, "fill": INK}
        ET.SubElement(self._root, "text", {**place, **style}).text = _printable(text)

    def __str__(self) -> str:
        """Return the picture as XML."""
        ET.indent(self._root)
        return ET.tostring(self._root, encoding="unicode") + "\n"


def render(history: History, title: str = "timeline", actions: Sequence[str] = ()) -> str:
    """Return the SVG of a history: of all actions in the order of their first use, unless some are named."""
    asked: dict[str, list[Operation]] = defaultdict(list)
    for it in history.operations():
        if not actions or it.action in actions:
            asked[it.action].append(it)
    times = [record.time for record in history.records] or [0]
    time = Scale(times[0], max(times[-1], times[0] + MILLISECOND), LEFT, WIDTH - RIGHT)
    faults = history.faults()
    lanes = _lanes(faults, time)
    top = LEGEND + LANE * (max((lane for lane, _ in lanes), default=-1) + 1)
    bottom = top + PANEL * max(len(asked), 1)
    svg = Svg(bottom + AXIS, title)
    _legend(svg, title)
    for fault, (lane, _) in zip(faults, lanes, strict=True):
        _shade(svg, fault, time, LEGEND + LANE * lane, bottom)
    for fault, (lane, x) in zip(faults, lanes, strict=True):
        svg.text(x, LEGEND + LANE * lane + 11, _label(fault), **HALO)
    for place, (action, operations) in enumerate(asked.items()):
        _action(svg, action, operations, time, top + PANEL * place)
    if not asked:
        svg.text(WIDTH / 2, top + PANEL / 2, "no operation was recorded", "middle")
    _axis(svg, time, bottom)
    return str(svg)


def _legend(svg: Svg, title: str) -> None:
    svg.text(LEFT, 18, title, **{"font-size": "14", "font-weight": "bold"})
    for place, result in enumerate(Result):
        svg.path(f"M{LEFT + 4 + 70 * place} 32{SHAPES[result]}", COLOURS[result], STROKES[result] + 1)
        svg.text(LEFT + 14 + 70 * place, 36, result)
    for x, fill, name in ((304, FAULT, "fault"), (362, RECOVERY, "healed, not yet recovered")):
        svg.rect(x, 26, 12, 12, fill=fill)
        svg.text(x + 18, 36, name)
    svg.path("M540 26v12", INK, 1, **DASHES)
    svg.text(548, 36, "fault seen")
    svg.path("M630 32h16m0 -4v8m-16 0v-8", INK)
    svg.text(652, 36, "longest time without a good answer")


def _label(fault: Fault) -> str:
    return f"{fault.name} {', '.join(fault.targets)}".strip()


def _lanes(faults: Sequence[Fault], time: Scale) -> list[tuple[int, float]]:
    """Return for each fault the row and the x at which its label overlaps no other and stays on the page."""
    ends: list[float] = []
    places = []
    for fault in faults:
        width = LETTER * len(_label(fault))
        x = max(min(time(fault.injected) + 3, WIDTH - width), 0)
        lane = next((lane for lane, end in enumerate(ends) if end < x), len(ends))
        ends[lane : lane + 1] = [x + width + 3]
        places.append((lane, x))
    return places


def _shade(svg: Svg, fault: Fault, time: Scale, top: float, bottom: float) -> None:
    """Shade a fault from its injection until it was healed, lighter until the system had recovered."""
    injected, end = time(fault.injected), time(time.high)
    healed = end if fault.healed is None else time(fault.healed)
    recovered = end if fault.recovered is None else time(fault.recovered)
    svg.rect(injected, top, max(healed - injected, 1), bottom - top, fill=FAULT, **{"class": "fault"})
    svg.rect(healed, top, max(recovered - healed, 0), bottom - top, fill=RECOVERY, **{"class": "recovery"})
    if fault.seen is not None:
        svg.path(f"M{time(fault.seen):g} {top:g}V{bottom:g}", INK, 0.7, **DASHES, **{"class": "seen"})


def _action(svg: Svg, action: str, operations: Sequence[Operation], time: Scale, top: float) -> None:
    """Draw the two panels of one action, one above the other."""
    results = Counter(it.result for it in operations)
    counts = ", ".join(f"{results[result]:,} {result}" for result in Result)
    svg.text(LEFT, top + HEADING - 8, f"{action}: {counts}", **{"font-weight": "bold"}, **HALO)
    _rate(svg, operations, time, top + HEADING)
    _gap(svg, operations, time, top + HEADING)
    _latency(svg, operations, time, top + HEADING + RATE + BETWEEN)


def _rate(svg: Svg, operations: Sequence[Operation], time: Scale, top: float) -> None:
    """Draw a stack of bars for each interval: how many operations ended in it, and how."""
    interval = _step((time.high - time.low) / INTERVALS)
    counts: dict[int, Counter[Result]] = defaultdict(Counter)
    for it in operations:
        counts[int((it.end if it.end < math.inf else it.start) - time.low) // interval][it.result] += 1
    most = max(count.total() for count in counts.values())
    rate = _step(most * SECOND / interval, (1, 1.2, 1.5, 2, 3, 4, 5, 6, 8, 10))
    scale = Scale(0, rate * interval / SECOND, top + RATE, top)
    _grid(svg, "ended per s", {top: f"{rate:,}", top + RATE: "0"})
    for place, count in sorted(counts.items()):
        x, until = (time(time.low + (place + side) * interval) for side in (0, 1))
        y = top + RATE
        for result in (it for it in Result if count[it]):
            height = max(top + RATE - scale(count[result]), 1.5)
            y -= height
            svg.rect(x, y, max(until - x, 0.5), height, fill=BAR[result], **{"class": f"rate {result}"})


def _gap(svg: Svg, operations: Sequence[Operation], time: Scale, y: float) -> None:
    """Mark the longest time without a good answer, and say it."""
    for gap in sorted(gaps(operations), key=lambda it: -it.length)[:1]:
        left, right = time(gap.start), time(gap.end)
        svg.path(f"M{left:g} {y:g}H{right:g}m0 -4v8M{left:g} {y - 4:g}v8", INK, 1.4, **{"class": "gap"})
        start, end = ((at - time.low) / SECOND for at in (gap.start, gap.end))
        words = f"no good answer for {end - start:.3f} s, from {start:.3f} to {end:.3f} s"
        svg.text(WIDTH - RIGHT, y - 8, words, "end", **HALO)


def _latency(svg: Svg, operations: Sequence[Operation], time: Scale, top: float) -> None:
    """Draw a mark for each operation: how long it took, over the time at which it was asked for."""
    taken = [max(min(it.end, time.high) - it.start, 1) for it in operations]
    low = math.floor(math.log10(min(taken)))
    high = max(math.ceil(math.log10(max(taken))), low + 1)
    scale = Scale(10**low, 10**high, top + LATENCY, top, log=True)
    _grid(svg, "latency", {scale(10**power): _duration(power) for power in range(low, high + 1)})
    cells: dict[Result, set[tuple[float, float]]] = defaultdict(set)
    for it, took in zip(operations, taken, strict=True):
        cells[it.result].add((round(time(it.start) / CELL) * CELL, round(scale(took) / CELL) * CELL))
    for result in Result:
        marks = (f"M{x:g} {y:g}{SHAPES[result]}" for x, y in sorted(cells[result]))
        svg.path("".join(marks), COLOURS[result], STROKES[result], **{"class": f"latency {result}"})


def _grid(svg: Svg, title: str, lines: dict[float, str]) -> None:
    for y, label in lines.items():
        svg.path(f"M{LEFT} {y:g}H{WIDTH - RIGHT}", GRID)
        svg.text(LEFT - 6, y + 4, label, "end", fill=FAINT)
    x, middle = 14, sum((min(lines), max(lines))) / 2
    svg.text(x, middle, title, "middle", fill=FAINT, transform=f"rotate(-90 {x} {middle:g})")


def _axis(svg: Svg, time: Scale, y: float) -> None:
    step = _step((time.high - time.low) / TICKS)
    for at in range(0, int(time.high - time.low) + 1, step):
        x = time(time.low + at)
        svg.path(f"M{x:g} {y:g}v4", FAINT)
        svg.text(x, y + 16, f"{at / SECOND:g}", "middle", fill=FAINT)
    svg.text(WIDTH / 2, y + 32, "seconds since the history began", "middle", fill=FAINT)


def _step(least: float, factors: Sequence[float] = (1, 2, 5, 10)) -> int:
    """Return the first whole product of a power of ten and a factor that is not below `least`."""
    power = int(10 ** max(math.floor(math.log10(least)), 0))
    return next(whole for factor in factors if (whole := round(factor * power)) >= least)


def _duration(power: int) -> str:
    """Return 10 to the `power` nanoseconds in words."""
    unit = min(power // 3, 3)
    return f"{10 ** (power - 3 * unit)} {('ns', 'µs', 'ms', 's')[unit]}"


def _printable(text: str) -> str:
    """Return the text without what XML cannot hold."""
    return "".join(it if it.isprintable() else "?" for it in text)
