"""`crawl-audit status` shows what of a log directory is not in its object store yet."""

from __future__ import annotations

import os
from pathlib import Path

from tests import logs
from tests.reports.command import crawl_audit


def test_what_is_not_shipped_yet_is_shown(root: Path) -> None:
    made = logs.sound(root)
    assert crawl_audit("status", root, "--format", "json").json["shipping"] is None
    first, second, last = sorted((root / "segments" / made.log).iterdir())
    notes = root / "shipped" / made.log
    notes.mkdir(parents=True)
    answer = crawl_audit("status", root, "--format", "json").json["shipping"]
    assert (answer["shipped"], answer["waiting"]) == (0, 3)
    for segment in (first, second):
        (notes / f"{segment.name}.json").touch()
        (notes / f"{segment.name}.seal.parquet").touch()
    os.utime(last, (1_800_000_000, 1_800_000_000))
    answer = crawl_audit("status", root, "--format", "json").json["shipping"]
    sizes = sum(file.stat().st_size for file in last.iterdir())
    expected = {"shipped": 2, "waiting": 1, "waiting_bytes": sizes, "waiting_since": "2027-01-15T08:00:00Z"}
    assert answer == expected
    assert f"2 segments; 1 wait ({sizes:,} bytes), the oldest since 2027-01-15T08:00:00Z" in crawl_audit(
        "status", root
    ).out.replace("\n", " ")
    # What was merged of shipped segments needs no shipping.
    (notes / f"{last.name}.json").touch()
    first.rename(first.with_name(f"{first.name[:12]}-{second.name[13:]}"))
    assert "waiting_since" in answer and crawl_audit("status", root, "--format", "json").json["shipping"] == {
        "shipped": 3,
        "waiting": 0,
        "waiting_bytes": 0,
        "waiting_since": None,
    }
