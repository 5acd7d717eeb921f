"""Whether what a process holds is flat over a long run: the rule, and nothing else.

The rule looks at the last two thirds of the run, because caches and pools fill in the first.  A straight line is laid
through the samples (least squares); what it gains from its start to its end is the growth.  The growth is noise where
it is not larger than the allowance: the larger of a twentieth of the median and of twice the standard deviation of the
samples around the line, and never more than a fifth of the median.  Shrinking is never a fault.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_SHARE_LOW = 0.05
_SHARE_HIGH = 0.20
_DEVIATIONS = 2.0
SAMPLES_MIN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Flatness:
    """What the rule found of one series."""

    median: float
    highest: float
    growth: float
    allowed: float

    @property
    def flat(self) -> bool:
        """Whether the growth is noise."""
        return self.growth <= self.allowed


def judge(times: Sequence[float], values: Sequence[float], *, least: float = 0.0) -> Flatness:
    """Judge one series of samples; ``least`` is an allowance in the unit of the values that holds in any case.

    Raises ValueError where the last two thirds have fewer than six samples.
    """
    from_s = times[0] + (times[-1] - times[0]) / 3 if times else 0.0
    kept = [(at, value) for at, value in zip(times, values, strict=True) if at >= from_s]
    if len(kept) < SAMPLES_MIN:
        raise ValueError(f"{len(kept)} samples in the last two thirds of the run are too few to judge by")
    at, found = [at for at, _ in kept], [value for _, value in kept]
    line = statistics.linear_regression(at, found)
    around = statistics.pstdev(value - line.slope * moment for moment, value in kept)
    median = statistics.median(found)
    allowed = min(max(_SHARE_LOW * median, _DEVIATIONS * around), _SHARE_HIGH * median)
    return Flatness(
        median=median, highest=max(values), growth=line.slope * (at[-1] - at[0]), allowed=max(allowed, least)
    )
