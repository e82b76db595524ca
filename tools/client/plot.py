"""The connections over time as an SVG picture, without any library."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .timeline import Row

WIDTH, HEIGHT = 800, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 20, 40, 40
# Colours that stay apart for the colour-blind (Okabe and Ito), and dashes for print.
_CURVES = {
    "held": ("#0072B2", ""),
    "opens_per_second": ("#E69F00", "6 3"),
    "lost": ("#D55E00", "2 2"),
}


def svg(rows: list[Row], title: str) -> str:
    """Return a picture of connections held, opened a second and lost so far, over the seconds of the run."""
    seconds = max((row["time"] for row in rows), default=0.0) or 1.0
    most = max((row[name] for row in rows for name in _CURVES), default=0) or 1
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{_escape(title)}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="18">{_escape(title)}</text>',
        *_axes(seconds, most),
        *(_curve(rows, name, seconds, most) for name in _CURVES),
        *_legend(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _x(time: float, seconds: float) -> float:
    return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * time / seconds, 1)


def _y(value: float, most: float) -> float:
    return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * value / most, 1)


def _axes(seconds: float, most: float) -> list[str]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    lines = [f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="black"/>']
    for share in (0.0, 0.5, 1.0):
        x, y = _x(share * seconds, seconds), _y(share * most, most)
        lines.append(f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{share * seconds:.3g} s</text>')
        lines.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{share * most:,.0f}</text>')
    return lines


def _curve(rows: list[Row], name: str, seconds: float, most: float) -> str:
    colour, dashes = _CURVES[name]
    points = " ".join(f"{_x(row['time'], seconds)},{_y(row[name], most)}" for row in rows)
    line = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"'
    return f'<polyline points="{points}" fill="none" {line}/>'


def _legend() -> list[str]:
    lines = []
    for place, (name, (colour, dashes)) in enumerate(_CURVES.items()):
        x = WIDTH - _RIGHT - 150 * (len(_CURVES) - place)
        lines.append(
            f'<path d="M{x} 30h24" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>'
            f'<text x="{x + 30}" y="34">{name.replace("_", " ")}</text>'
        )
    return lines


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
