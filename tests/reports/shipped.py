"""Two sidecars' logs in an object store, for tests of what reads and compacts them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.fleet_shipping import ship
from crawl_audit.remote_layout import ShippedFile, ShippedSegment
from tests import logs, object_stores

LOGS = ("node1-20261118T110640Z-00000001", "node2-20261118T110700Z-00000002")
DAY = "2026-11-18"


def two_logs(root: Path) -> Path:
    """A log directory with the logs of two sidecars, both closed, all of one day."""
    logs.sound(root, LOGS[0])
    logs.sound(root, LOGS[1], at=20, node="node2")
    return root


@contextmanager
def fleet(root: Path, cache: Path, *, faulty: bool = False) -> Iterator[object_stores.Store]:
    """The log directory shipped to a bucket; what is fetched goes into ``cache``, and is looked for each time."""
    with object_stores.s3_server(faulty=faulty) as store, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRAWL_AUDIT_CACHE", str(cache))
        patch.setenv("CRAWL_AUDIT_CACHE_SECONDS", "0")
        ship(root, store.address())
        store.requests.clear()
        yield store


def marker(store: object_stores.Store, log: str, first: int, last: int, files: dict[str, bytes]) -> None:
    """Ship a segment of these files, whatever they are."""
    made = ShippedSegment(
        log=log,
        first=first,
        last=last,
        files=tuple(
            ShippedFile(name=name, size=len(octets), sha256=hashlib.sha256(octets).hexdigest())
            for name, octets in sorted(files.items())
        ),
    )
    for file in made.files:
        store.put(f"logs/{made.file_key(file)}", files[file.name])
    store.put(f"logs/{made.key}", made.to_json())


def trees(cache: Path) -> list[Path]:
    """The log directories in the cache, one for the originals and one for each state of compacted days."""
    return sorted(path.parent for path in cache.glob("*/*/segments"))


def without_names(text: str) -> dict[str, object]:
    """A record without what names this one among others of the same content."""
    own = ("record_id", "generated_at")
    return {name: value for name, value in json.loads(text).items() if name not in own}


def copy(root: Path, to: Path) -> Path:
    """A log directory to be changed."""
    shutil.copytree(root, to)
    return to
