"""The connections over time as an SVG picture, without any library."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .timeline import Row

WIDTH, HEIGHT, TOP = 800, 300, 40
_LEFT, _RIGHT, _BOTTOM = 60, 60, 40
_LEGEND = 170


class _Curve(NamedTuple):
    words: str
    colour: str
    dashes: str


# On the left scale connections, on the right one opens a second. The colours stay apart for the colour-blind
# (Okabe and Ito), the dashes in print.
_CONNECTIONS = {
    "held": _Curve("held", "#0072B2", ""),
    "lost": _Curve("lost so far", "#D55E00", "2 2"),
}
_RATES = {"opens_per_second": _Curve("opens a second", "#B07800", "6 3")}


def svg(rows: list[Row], title: str) -> str:
    """Return a picture of connections held, opened a second and lost so far, over the seconds of the run."""
    seconds = max((row["time"] for row in rows), default=0.0) or 1.0
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{_escape(title)}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="16">{_escape(title)}</text>',
        *_frame(seconds),
        *_scaled(rows, _CONNECTIONS, seconds, f'x="{_LEFT - 6}" text-anchor="end"'),
        *_scaled(
            rows, _RATES, seconds, f'x="{WIDTH - _RIGHT + 6}" fill="{_RATES["opens_per_second"].colour}"'
        ),
        *_legend(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _x(time: float, seconds: float) -> float:
    return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * time / seconds, 1)


def _y(value: float, most: float) -> float:
    return round(HEIGHT - _BOTTOM - (HEIGHT - TOP - _BOTTOM) * value / most, 1)


def _frame(seconds: float) -> list[str]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    lines = [f'<path d="M{_LEFT} {TOP}V{bottom}H{right}V{TOP}" fill="none" stroke="black"/>']
    for share in (0.0, 0.5, 1.0):
        place = f'x="{_x(share * seconds, seconds)}" y="{bottom + 16}" text-anchor="middle"'
        lines.append(f"<text {place}>{share * seconds:.3g} s</text>")
    return lines


def _scaled(rows: list[Row], curves: dict[str, _Curve], seconds: float, place: str) -> list[str]:
    """Return the curves that share one scale, and its numbers at `place`."""
    most = max((row[name] for row in rows for name in curves), default=0) or 1
    numbers = [
        f'<text {place} y="{_y(share * most, most) + 4}">{share * most:,.0f}</text>'
        for share in (0.0, 0.5, 1.0)
    ]
    return numbers + [_drawn(rows, name, curve, seconds, most) for name, curve in curves.items()]


def _drawn(rows: list[Row], name: str, curve: _Curve, seconds: float, most: float) -> str:
    points = " ".join(f"{_x(row['time'], seconds)},{_y(row[name], most)}" for row in rows)
    line = f'stroke="{curve.colour}" stroke-width="2" stroke-dasharray="{curve.dashes}"'
    return f'<polyline points="{points}" fill="none" {line}/>'


def _legend() -> list[str]:
    lines = []
    curves = [*_CONNECTIONS.values(), *_RATES.values()]
    for place, curve in enumerate(curves):
        x = WIDTH - _LEGEND * (len(curves) - place)
        line = f'stroke="{curve.colour}" stroke-width="2" stroke-dasharray="{curve.dashes}"'
        lines.append(f'<path d="M{x} 28h24" {line}/><text x="{x + 30}" y="32">{curve.words}</text>')
    return lines


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
