"""What somebody was told against what the log holds after recovery: lost, duplicated, broken."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import duckdb

from crawl_audit.errors import CrawlAuditError
from tests.writing import check, directory_of, published


@dataclass(slots=True)
class Comparison:
    """How many records were acknowledged, and which of them are missing or there twice; what else is wrong."""

    acknowledged: int = 0
    lost: int = 0
    duplicated: int = 0
    broken: list[str] = field(default_factory=list)

    def __iadd__(self, other: Comparison) -> Self:
        self.acknowledged += other.acknowledged
        self.lost += other.lost
        self.duplicated += other.duplicated
        self.broken += other.broken
        return self

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, duplicated or broken."""
        return not (self.lost or self.duplicated or self.broken)


def told(path: Path) -> set[tuple[str, int, str]]:
    """(log, seq, exchange id) of everything that was acknowledged; a last line without its end was not."""
    text = path.read_text() if path.exists() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()
    return {(log, int(seq), name) for log, seq, name in (line.split(" ") for line in lines)}


def compare(directory: Path, acknowledged: set[tuple[str, int, str]]) -> Comparison:
    """What the published log makes of it."""
    entries = published(directory)
    recorded = [(log, seq, entry["exchange_id"]) for log, seq, entry in entries if entry["k"] == "decision"]
    found = Comparison(acknowledged=len(acknowledged))
    found.lost = len({name for _, _, name in acknowledged} - {name for _, _, name in recorded})
    if misplaced := len(acknowledged - set(recorded)) - found.lost:
        found.broken.append(f"{misplaced} records are not where it was said")
    found.duplicated = sum(times - 1 for times in Counter(name for _, _, name in recorded).values())
    ended = Counter((log, entry["decision_seq"]) for log, _, entry in entries if entry["k"] == "completion")
    forwarded = {(log, seq) for log, seq, _ in recorded}
    if set(ended) != forwarded or set(ended.values()) - {1}:
        found.broken.append(
            f"{len(forwarded - set(ended))} decisions without a completion, {len(set(ended) - forwarded)} completions"
            f" without a decision, {sum(times > 1 for times in ended.values())} decisions with several"
        )
    try:
        check(directory)
    except AssertionError as error:
        found.broken.append(f"the log does not hold together: {error}")
    return found


def recovered(directory: Path, told_in: Path) -> Comparison:
    """Recover as the next start would, then compare; what recovery refuses is a broken promise too."""
    try:
        with directory_of(directory) as (_, found_there):
            torn = sum("were cut off" in incident.detail for incident in found_there.incidents)
    except (CrawlAuditError, duckdb.Error, OSError) as error:
        return Comparison(broken=[f"recovery refused: {error}"])
    found = compare(directory, told(told_in))
    left = [path.name for path in (directory / "live").iterdir() if path.name != "lock"]
    quarantined = [path.name for path in (directory / "quarantine").iterdir()]
    if left or len(quarantined) > 2 * torn:  # a live file whose end was torn is kept as it was, with its WAL
        found.broken.append(f"left in live/: {left}, in quarantine/: {quarantined}")
    return found
