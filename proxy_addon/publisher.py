"""Beside the writer thread: makes the next live file ready, and turns closed ones into segments in a helper process.

Closed live files are published in order.  One that cannot be published stays where it is and is tried again; nothing
is deleted before the helper has read it back out of the segment.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from crawl_audit.errors import LogUnavailable
from proxy_addon.live import LiveFile, remove
from proxy_addon.log_directory import LogDirectory
from proxy_addon.segments import Segment

logger = logging.getLogger("crawl_audit.publisher")

# A conversion of 1,000,000 records takes about two minutes; one that takes this long hangs.
_CONVERSION_S_MAX = 1800.0


class Publisher:
    """Two threads of one log: one opens live files ahead, one closes and publishes them."""

    def __init__(self, directory: LogDirectory, wake: Callable[[], None]) -> None:
        self._directory = directory
        self._wake = wake
        self._opener = ThreadPoolExecutor(1, "live-file-opener")
        self._converter = ThreadPoolExecutor(1, "segment-publisher")
        self._pending: deque[tuple[LiveFile, int, Future[Segment]]] = deque()
        self.fault: str | None = None

    @property
    def unpublished(self) -> int:
        """How many closed live files wait to be published."""
        return len(self._pending)

    def prepare(self, path: Path, spill: Path, wal_bytes_max: int) -> Future[LiveFile]:
        """Create and open the next live file beside the current one."""
        future = self._opener.submit(LiveFile.create, path, spill, wal_bytes_max)
        future.add_done_callback(lambda _: self._wake())
        return future

    def publish(self, live: LiveFile, last_seq: int) -> Future[Segment]:
        """Close a live file that no longer changes and publish it, after all that were handed over before.

        The future fails with LogUnavailable at the first attempt that fails; attempts go on all the same.
        """
        future: Future[Segment] = Future()
        self._pending.append((live, last_seq, future))
        self._converter.submit(self._work)
        return future

    def retry(self) -> None:
        """Try again what could not be published."""
        if self.fault is not None:
            self._converter.submit(self._work)

    def close(self) -> None:
        """Wait for what was handed over."""
        self._opener.shutdown(wait=True)
        self._converter.shutdown(wait=True)

    def _work(self) -> None:
        while self._pending:
            live, last_seq, future = self._pending[0]
            try:
                live.close()
                segment = _convert(live.path, self._directory.path, last_seq)
                remove(live.path)
            except (LogUnavailable, OSError) as error:
                self.fault = f"The live file {live.path.name} could not be published: {error}"
                logger.warning("%s", self.fault)
                for _, _, waiting in self._pending:
                    if not waiting.done():
                        waiting.set_exception(LogUnavailable(self.fault, reason="audit_segment_unpublished"))
                return
            self.fault = None
            self._pending.popleft()
            if not future.done():
                future.set_result(segment)


def _convert(live: Path, log_directory: Path, last_seq: int) -> Segment:
    package_root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(part for part in (package_root, os.environ.get("PYTHONPATH")) if part)
    # -P: the working directory is not a place to import from.  A session of its own: Ctrl-C is for the parent, which
    # waits for the conversion; should the parent die, the closing pipe ends the helper.
    command = [sys.executable, "-P", "-m", "proxy_addon.segments", str(live), str(log_directory)]
    with subprocess.Popen(
        [*command, "--last-seq", str(last_seq), "--with-parent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    ) as process:
        watchdog = threading.Timer(_CONVERSION_S_MAX, process.kill)
        watchdog.start()
        assert process.stdout is not None
        said = process.stdout.read().strip()
        code = process.wait()
        watchdog.cancel()
    # Whatever else a library printed at the end, the result is the one line that is an object.
    lines = [line for line in said.splitlines() if line.startswith("{")]
    try:
        result = json.loads(lines[-1])
        if code == 0:
            return Segment(**result)
        reason = result["error"]
    except (ValueError, LookupError, TypeError):
        reason = said.splitlines()[-1] if said else f"the helper process ended with {code}"
    raise LogUnavailable(reason, reason="audit_segment_unpublished")
