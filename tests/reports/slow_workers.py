"""What a process of a verification does in place of its work, in tests: a process finds it by its name."""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection
from typing import Any


def dies(connection: Connection, *_: Any) -> None:
    """End without a word, as one does that the system kills."""
    del connection
    os._exit(9)


def meets_a_change(connection: Connection, *_: Any) -> None:
    """Tell that a log changed."""
    connection.send(None)


def never_ends(connection: Connection, *_: Any) -> None:
    """Tell of some work, and work on."""
    connection.send(1)
    time.sleep(600)
