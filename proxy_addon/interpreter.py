"""How Python shares one processor's time between the event loop and threads that compute.

A hostile robots.txt is compiled in a thread for a second or so, and only one thread runs Python at a time.  Measured
by benchmarks/loop_lag.py.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator

SWITCH_INTERVAL_S = 0.001
"""How long the loop waits for a thread that computes, each time it comes back from waiting for the network.

Python's own 5 ms add up to a tenth of a second for one request; a switch costs some 10 µs.
"""


@contextlib.contextmanager
def sharing_time() -> Iterator[None]:
    """Set up this process for as long as the loop runs; to be entered once, when everything is imported."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # What is imported stays for ever: not looking through it again makes the longest collections 50 ms shorter.
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()  # else DuckDB's binding complains of leaks on standard error when the process ends
        sys.setswitchinterval(before)
