"""Content negotiation: which of several forms of an answer a client wants most (RFC 9110, section 12.5.1)."""

from __future__ import annotations


def negotiate(accept: str, offers: tuple[str, ...]) -> str:
    """Return the offered media type that an Accept header weighs most; of equals, and of none, the first."""
    ranges = dict(_range(part) for part in accept.split(",") if part.strip())
    return max(offers, key=lambda offer: _weight(offer, ranges)) if ranges else offers[0]


def _range(part: str) -> tuple[str, float]:
    """Return media range and weight of one element; a weight that is no number is 0."""
    media, *parameters = (piece.strip() for piece in part.lower().split(";"))
    weights = [parameter[2:] for parameter in parameters if parameter.startswith("q=")]
    try:
        return media, float(weights[0]) if weights else 1.0
    except ValueError:
        return media, 0.0


def _weight(offer: str, ranges: dict[str, float]) -> float:
    kind = offer.partition("/")[0]
    return next((ranges[media] for media in (offer, f"{kind}/*", "*/*") if media in ranges), 0.0)
