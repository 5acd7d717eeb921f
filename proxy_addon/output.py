"""Lines for standard output and standard error that nobody waits for: a bounded queue and a thread for each stream.

Whoever collects these lines may stop reading; a full pipe would then hold up whoever writes, which is the event loop
or the log's thread.  Here a line that finds the queue full is dropped and counted, and the next one written says so.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from io import UnsupportedOperation
from typing import TextIO

LINES_MAX = 1000
"""Lines that may wait."""
_CLOSE_S = 1.0


class Lines:
    """The lines of one stream; ``say`` returns at once, from any thread."""

    def __init__(self, stream: TextIO, name: str, *, lines_max: int = LINES_MAX) -> None:
        self.name = name
        self.dropped = 0
        self._stream = stream
        self._lines_max = lines_max
        self._told = 0  # of the dropped, how many a line has told of
        self._condition = threading.Condition()  # guards the next three
        self._queue: deque[str] = deque()
        self._writing = False
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether a person reads them."""
        return self._stream.isatty()

    def say(self, line: str) -> None:
        """Have a line written when the stream takes it, or drop it where too many wait."""
        with self._condition:
            if len(self._queue) >= self._lines_max:
                self.dropped += 1
                return
            self._queue.append(line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"lines-{self.name}", daemon=True)
                self._thread.start()
            self._condition.notify_all()

    def settle(self, seconds: float = _CLOSE_S) -> bool:
        """Wait until all is written, at most so long; whether it is."""
        until = time.monotonic() + seconds
        with self._condition:
            while self._queue or self._writing:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._condition.wait(left)
        return True

    def _run(self) -> None:
        while True:
            with self._condition:
                self._writing = False
                self._condition.notify_all()
                while not self._queue:
                    self._condition.wait()
                line = self._queue.popleft()
                self._writing = True
                missing, self._told = self.dropped - self._told, self.dropped
            try:
                if missing:
                    self._write(json.dumps({"event": "lines_dropped", "stream": self.name, "lines": missing}))
                self._write(line)
            except (OSError, ValueError):  # nobody reads it any more, or the disk under it is full
                with self._condition:
                    self.dropped += 1

    def _write(self, line: str) -> None:
        """Write a whole line past the stream's own buffer, which a thread blocked here would hold at the exit."""
        try:
            descriptor = self._stream.fileno()
        except UnsupportedOperation:  # a stream in memory
            self._stream.write(f"{line}\n")
            return
        octets = memoryview(f"{line}\n".encode("utf-8", "backslashreplace"))
        while octets:
            octets = octets[os.write(descriptor, octets) :]
