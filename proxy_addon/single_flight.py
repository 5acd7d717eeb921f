"""One task for all who want the same thing at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class FlightCancelledError(Exception):
    """The shared task was cancelled under its waiters, because the owner is closing."""


class SingleFlight[K, V]:
    """Runs at most one task per key; a waiter that is cancelled leaves the task to the others."""

    def __init__(self) -> None:
        self._tasks: dict[K, asyncio.Task[V]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    async def run(self, key: K, start: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """The result of the task under way for ``key``, or of a new one; its exception is raised in every waiter.

        Raises FlightCancelledError where the task was cancelled by :meth:`aclose`.
        """
        task = self._tasks.get(key)
        if task is None or task.done():
            task = asyncio.create_task(start())
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if task.cancelled() and me is not None and not me.cancelling():
                raise FlightCancelledError from None
            raise

    async def aclose(self) -> None:
        """Cancel what is under way and wait for it."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, key: K, done: asyncio.Task[V]) -> None:
        if self._tasks.get(key) is done:
            del self._tasks[key]
        # Read the exception even where every waiter has gone: asyncio would report it as never retrieved.
        if not done.cancelled():
            done.exception()
