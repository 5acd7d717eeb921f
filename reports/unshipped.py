"""What of a log directory is not in its object store yet, by the notes its sidecar keeps of what is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from crawl_audit.shipped_ranges import Coverage, Range

_RANGE = re.compile(r"([0-9]{12})-([0-9]{12})(?:\.json)?")


def unshipped(root: Path) -> dict[str, Any] | None:
    """Segments, octets and age that wait to be shipped, and what was; None where nothing was ever to be."""
    notes = root / "shipped"
    if not notes.is_dir():
        return None
    shipped, waiting = 0, list[Path]()
    for log in sorted(path for path in (root / "segments").iterdir() if path.is_dir() and path.name != "schema"):
        known = _ranges(notes / log.name, ".json")
        shipped += len(known)
        coverage = Coverage(known)
        waiting += [log / f"{one[0]:012d}-{one[1]:012d}" for one in _ranges(log, "") if not coverage.covers(*one)]
    sizes, oldest = 0, None
    for segment in waiting:
        try:
            sizes += sum(file.stat().st_size for file in segment.iterdir())
            born = segment.stat().st_mtime
        except FileNotFoundError:  # merged meanwhile
            continue
        oldest = born if oldest is None else min(born, oldest)
    return {"shipped": shipped, "waiting": len(waiting), "waiting_bytes": sizes, "waiting_since": oldest}


def _ranges(place: Path, suffix: str) -> list[Range]:
    if not place.is_dir():
        return []
    names = [path.name for path in place.iterdir() if path.name.endswith(suffix)]
    return sorted((int(match[1]), int(match[2])) for name in names if (match := _RANGE.fullmatch(name)))
