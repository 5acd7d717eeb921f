"""What waits for a commit, and what became of it: the words between the event loop and the log thread."""

from __future__ import annotations

from dataclasses import dataclass

from proxy_addon.journal import Item


@dataclass(slots=True, eq=False)
class Queued(Item):
    """An item with the one who wants to know what became of it.

    ``abandoned``: nobody does any more.  ``leaves``: its request leaves all the same (`fail_open`), so where it is not
    written it is not *dropped*, which says that nothing left.
    """

    abandoned: bool = False
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one queued item: its first ``seq`` and count, or why there is none."""

    item: Item
    first: int = -1
    count: int = 0
    error: Exception | None = None
