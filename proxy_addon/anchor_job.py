"""When a running sidecar shows its log's head outside: soon after the start, at intervals, on demand, after the stop.

Nothing waits for it but who asked: requests and commits go on while authorities are slow or away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from crawl_audit.errors import CrawlAuditError
from crawl_audit.records import Instant
from proxy_addon.anchor_settings import AnchorSettings
from proxy_addon.anchoring import Anchoring
from proxy_addon.clock import now_us
from proxy_addon.log_directory import LogDirectory
from proxy_addon.metrics import Metrics
from proxy_addon.operational_log import about
from proxy_addon.receipts import Shown
from proxy_addon.writer import Writer

logger = logging.getLogger("crawl_audit.anchors")

# The first head is shown soon: what precedes it could still be rewritten unnoticed.
_FIRST_S = 30.0


class AnchorJob:
    """The schedule of one sidecar; without authorities it does nothing."""

    def __init__(
        self,
        settings: AnchorSettings,
        directory: LogDirectory,
        metrics: Metrics,
        ours: Callable[[str], bool] = bool,
    ) -> None:
        """``ours``: which logs besides the running one are shown; raises ConfigurationError where a file is unfit."""
        self._settings = settings
        self._ours = ours
        self._anchoring = Anchoring(directory, settings, metrics.anchor_failed) if settings.configured else None
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.last_receipt_at: Instant | None = None

    @property
    def warnings(self) -> list[str]:
        """Who failed to give a receipt when last asked, one sentence each."""
        return list(self._anchoring.faults.values()) if self._anchoring else []

    def start(self, writer: Writer) -> None:
        """Begin the schedule."""
        if self._anchoring is not None:
            self._task = asyncio.create_task(self._schedule(writer), name="anchors")

    async def stop(self) -> None:
        """End the schedule; a round that is on its way is given up, and its authorities asked again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def anchor(self, writer: Writer) -> dict[str, object]:
        """Seal and publish, show the head to everybody, and record each receipt in the log.

        What follows in the log is thereby dated after the receipts.  Raises CrawlAuditError where nothing could be
        shown.
        """
        anchoring = self._anchoring
        if anchoring is None:
            raise CrawlAuditError("Nobody is configured to be shown the log: see [anchors] in the configuration.")
        async with self._lock:
            await writer.rotate("anchor")
            shown = Shown.of(writer.log, await writer.checkpoint())
            outcome = await asyncio.to_thread(anchoring.show, shown)
            for receipt in outcome.receipts:
                self.last_receipt_at = now_us()
                await writer.append(receipt.record(outcome.shown, self.last_receipt_at))
            others = await asyncio.to_thread(partial(anchoring.show_others, writer.log, ours=self._ours))
        return {**outcome.document(), "others": [other.document() for other in others]}

    async def finish(self, log: str) -> None:
        """After the log is closed: show its last head; where that fails, the next start does it."""
        if self._anchoring is not None:
            await asyncio.to_thread(self._anchoring.show_last, log)

    async def _schedule(self, writer: Writer) -> None:
        await asyncio.sleep(min(_FIRST_S, self._settings.interval_s))
        while True:
            try:
                await self.anchor(writer)
            except (CrawlAuditError, OSError, ValueError) as error:  # the last: a note on disk that is no text
                logger.warning("The log could not be anchored: %s", error, extra=about("anchor_failed"))
            await asyncio.sleep(self._settings.interval_s)
