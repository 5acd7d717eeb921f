"""How Python shares one processor's time between the event loop and threads that compute.

A hostile robots.txt is compiled in a thread for a second or so, and only one thread runs Python at a time.  Measured
by benchmarks/loop_lag.py.
"""

from __future__ import annotations

import gc
import sys

SWITCH_INTERVAL_S = 0.001
"""How long the loop waits for a thread that computes, each time it comes back from waiting for the network.

Python's own 5 ms add up to a tenth of a second for one request; a switch costs some 10 µs.
"""


def share_time() -> None:
    """Set up this process, once, when everything is imported and before the loop runs."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # What is imported stays for ever: not looking through it again makes the longest collections 50 ms shorter.
    gc.collect()
    gc.freeze()
