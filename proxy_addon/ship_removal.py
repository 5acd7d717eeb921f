"""Segments that were remote for long enough leave this disk, each after its remote copy was read once more."""

from __future__ import annotations

from collections.abc import Sequence

from crawl_audit.remote_layout import ShippedSegment
from crawl_audit.shipped_ranges import Range
from proxy_addon.object_store import Digest, ObjectStore, StoreError
from proxy_addon.shipped_log import ShippedLog
from proxy_addon.shipping import removable

_CUSTODIAN = "custodian-"
"""How logs begin that say what was done to others: they are few and small, and local commands look at them."""


def remove_old(
    shipped: ShippedLog, store: ObjectStore, log: str, ranges: Sequence[Range], now: float, keep_s: float
) -> int:
    """Take from this disk what may go of a log with the segments ``ranges``; how many that were.

    Raises StoreError where a remote copy is not what was shipped or cannot be read, and OSError.
    """
    if log.startswith(_CUSTODIAN):
        return 0
    old = removable(ranges, shipped.verified_at(log), now=now, keep_s=keep_s)
    for one in old:
        for found in sorted(shipped.verified_at(log)):
            if found[0] <= one[1] and found[1] >= one[0]:
                _read_again(store, shipped.read(log, found))
        shipped.remove_segment(log, one)
    return len(old)


def _read_again(store: ObjectStore, shipped: ShippedSegment) -> None:
    for file in shipped.files:
        found = store.digest(shipped.file_key(file), file.size)
        if found != Digest(size=file.size, sha256=file.sha256):
            raise StoreError(
                f"{shipped.file_key(file)} in {store.address} is no longer what was shipped: nothing leaves this disk.",
                "changed",
            )
