"""Somebody who crawls a good site while others misbehave, and what must hold when they are done."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.end_to_end.harness import Sidecar
from tests.end_to_end.origin import Origin

# What misbehaviour may add to the sidecar's memory, all cases together.
MEMORY_KIB = 150 * 1024


@dataclass(slots=True)
class Bystander:
    """The answers that somebody else got meanwhile."""

    statuses: list[int | str] = field(default_factory=list)


@contextmanager
def bystander(sidecar: Sidecar, origin: Origin, **options: Any) -> Iterator[Bystander]:
    """One request after the other through the sidecar for as long as the block lasts, at least three."""
    made, over = Bystander(), threading.Event()

    def crawl() -> None:
        with sidecar.client(**options) as client:
            while not over.is_set() or len(made.statuses) < 3:
                try:
                    made.statuses.append(client.get(origin.url + "/bystander").status_code)
                except httpx.HTTPError as error:
                    made.statuses.append(repr(error))
                time.sleep(0.05)

    thread = threading.Thread(target=crawl, name="bystander")
    thread.start()
    try:
        yield made
    finally:
        over.set()
        thread.join(60)


def exchanges(sidecar: Sidecar, *ports: int) -> list[dict[str, Any]]:
    """Every exchange with the sites on some ports, once each that was forwarded has ended."""
    deadline = time.monotonic() + 15
    chosen = ", ".join(map(str, ports))
    while True:
        rows = sidecar.sealed_rows(f"SELECT * FROM exchange WHERE port IN ({chosen}) ORDER BY seq")
        open_yet = [row for row in rows if row["action"] == "forwarded" and row["outcome"] is None]
        if not open_yet or time.monotonic() > deadline:
            return rows
        time.sleep(0.2)


def visits(origin: Origin) -> int:
    """Requests that a site saw, without those for its robots.txt, which the sidecar makes itself."""
    return sum(seen.path != "/robots.txt" for seen in list(origin.seen))
