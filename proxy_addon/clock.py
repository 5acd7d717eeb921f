"""The wall clock as records have it."""

from __future__ import annotations

import time

from crawl_audit.records import Instant


def now_us() -> Instant:
    """The current instant, in microseconds since 1970, UTC."""
    return Instant(time.time_ns() // 1000)
