"""A part of a whole in digits: exact arithmetic, one way of rounding, and never all or nothing where it is neither."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

Number = int | float | Fraction
SUPPRESSED = "suppressed"
OF_AT_LEAST = 100
"""Of fewer, two digits would tell the numbers themselves: then nothing is said of shares."""


def share(part: int, whole: int) -> str:
    """``part / whole`` with two digits, for example ``0.43``; ``whole`` is above zero."""
    return _said(part, whole, 100, lambda hundredths: f"{hundredths // 100}.{hundredths % 100:02d}")


def ratio(part: int, whole: int) -> str | None:
    """The same as a record holds it: suppressed of fewer than 100, None of nothing."""
    if not whole:
        return None
    return SUPPRESSED if whole < OF_AT_LEAST else share(part, whole)


def percent(part: Number, whole: Number) -> str:
    """The same in per cent with one digit, for example ``62.9%``; shares that are rounded already may be given."""
    return _said(part, whole, 1000, lambda tenths: f"{tenths // 10}.{tenths % 10}") + "%"


def in_percent(shared: str) -> str:
    """A share as a record holds it, in per cent: ``43%`` of ``0.43``, ``<1%`` of ``<0.01``."""
    sign, digits = (shared[0], shared[1:]) if shared[0] in "<>" else ("", shared)
    return f"{sign}{round(Fraction(digits) * 100)}%"


def size(shared: str) -> float:
    """How much of a chart a share takes: one that is next to nothing, half of what it is less than."""
    return float(shared[1:]) / 2 if shared[0] == "<" else float(shared.removeprefix(">"))


def _said(part: Number, whole: Number, steps: int, digits: Callable[[int], str]) -> str:
    exact = _exact(part) / _exact(whole) * steps
    rounded = round(exact)  # half to even
    if exact > 0 and rounded == 0:
        return "<" + digits(1)
    if exact < steps and rounded >= steps:
        return ">" + digits(steps - 1)
    return digits(rounded)


def _exact(value: Number) -> Fraction:
    """A float is meant as it is written: 0.43 is 43 hundredths."""
    return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)
