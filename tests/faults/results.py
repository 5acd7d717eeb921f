"""What a run of the matrix found, kept as JSON beside the code and shown as a table in docs/reliability.md."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

# Where it ran is of no interest to readers.
_PLACE = re.compile(r"/[\w./-]*faults-\w+")


@dataclass(slots=True, kw_only=True)
class Row:
    """One fault: how often, what it cost, and what its control showed; ``failures`` says why it did not pass.

    ``unrecorded``: requests at a site without an earlier durable decision, where there was a site.
    """

    family: str
    fault: str
    runs: int
    records: int
    lost: int
    duplicated: int
    control: str
    unrecorded: int | None = None
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether the promise was kept and the control showed that the test can fail."""
        return not (self.failures or self.lost or self.duplicated or self.unrecorded)


def merge(path: Path, rows: Iterable[Row], *, quick: bool) -> None:
    """Replace the rows of the families that were run, and keep the others with the day they were made."""
    known = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    made = {"on": f"{datetime.now(UTC):%Y-%m-%d}", "where": machine(), "quick": quick}
    new = [asdict(row) | made for row in rows]
    for row in new:
        row["failures"] = [_PLACE.sub("…", sentence) for sentence in row["failures"]]
    run = {row["family"] for row in new}
    kept = [row for row in known if row["family"] not in run]
    path.write_text(json.dumps({"rows": kept + new}, indent=1) + "\n", encoding="utf-8")


def machine() -> str:
    """Cores, kernel and Python of this machine."""
    kernel = ".".join(platform.release().split(".")[:2])
    return f"{os.cpu_count()} cores, Linux {kernel}, Python {platform.python_version()}"
