"""A backup of a running sidecar's log is whole, can be gone on with, and cannot pass for the newer one it replaced."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.harness import Sidecar, Site, running
from tests.end_to_end.origin import Farm, Origin


def back_up(log: Path, copy: Path) -> None:
    """What docs/operating.md says: the signed heads first, then the segments; the rest is made anew."""
    for name in ("checkpoints", "segments"):
        shutil.copytree(log / name, copy / name)


def ask(sidecar: Sidecar, origin: Origin, count: int) -> None:
    with sidecar.client() as client:
        assert {client.get(f"{origin.url}/{number}").status_code for number in range(count)} == {200}


def pins(sidecar: Sidecar, name: Path) -> Path:
    """The heads that a collector of standard output has by now."""
    name.write_bytes(sidecar.stdout.read_bytes())
    return name


def verify(site: Site, log: Path, *pinned: Path) -> dict[str, Any]:
    """What an auditor who holds these heads is told."""
    options = [option for pin in pinned for option in ("--pin", str(pin))]
    done = subprocess.run(
        [sys.executable, "-m", "reports", "verify", str(log), *options, "--format", "json"],
        env=site.environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def errors(said: dict[str, Any]) -> set[str]:
    return {finding["check"] for finding in said["findings"] if finding["severity"] == "error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A copy of a log that was made while it was written, and the heads shown before and after that."""

    origin: Origin
    copy: Path
    log: str
    before: Path
    after: Path


@pytest.fixture
def restored(sidecar: Callable[..., Sidecar], sites: Farm, tmp_path: Path) -> Restored:
    started, origin = sidecar("first"), sites.start()
    ask(started, origin, 5)
    started.seal()
    before = pins(started, tmp_path / "before.jsonl")
    back_up(started.log, tmp_path / "copy")
    ask(started, origin, 3)
    started.seal()
    assert started.stop() == 0
    after = pins(started, tmp_path / "after.jsonl")
    (run,) = started.rows("SELECT log FROM run WHERE event = 'start'")
    assert errors(verify(started.site, started.log, after)) == set()
    return Restored(origin=origin, copy=tmp_path / "copy", log=run["log"], before=before, after=after)


def test_a_restored_log_verifies_and_a_new_log_goes_on_where_it_ends(
    restored: Restored, site: Site, tmp_path: Path
) -> None:
    assert errors(verify(site, restored.copy, restored.before)) == set()
    own = tmp_path / "second"
    own.mkdir()
    with running(site, own, log=restored.copy) as second:
        ask(second, restored.origin, 2)
        assert second.stop() == 0
        runs = second.rows("SELECT log, previous_log FROM run WHERE event = 'start' ORDER BY recorded_at")
        assert [run["previous_log"] for run in runs] == [None, restored.log]
        counts = second.rows("SELECT log, count(*) AS n FROM decision GROUP BY log ORDER BY n DESC")
        assert [row["n"] for row in counts] == [5, 2]
        assert second.rows("SELECT incident FROM incident") == []
        newer = pins(second, tmp_path / "second.jsonl")
    assert errors(verify(site, restored.copy, restored.before, newer)) == set()


def test_an_older_copy_in_place_of_a_newer_log_is_reported_as_that(
    restored: Restored, site: Site, tmp_path: Path
) -> None:
    said = verify(site, restored.copy, restored.after)
    assert (said["result"], errors(said)) == ("failed", {"H3"})
    own = tmp_path / "second"
    own.mkdir()
    with running(site, own, log=restored.copy) as second:
        ask(second, restored.origin, 1)
        assert second.stop() == 0
    said = verify(site, restored.copy, restored.after)
    assert (said["result"], errors(said)) == ("failed", {"H3"})


def test_older_segments_under_a_newer_signed_head_are_on_record_from_the_next_start(
    restored: Restored, site: Site, tmp_path: Path
) -> None:
    for file in (tmp_path / "first" / "log" / "checkpoints").iterdir():
        shutil.copy(file, restored.copy / "checkpoints" / file.name)
    assert "H3" in errors(verify(site, restored.copy)) | errors(verify(site, restored.copy, restored.after))
    own = tmp_path / "second"
    own.mkdir()
    with running(site, own, log=restored.copy) as second:
        ask(second, restored.origin, 1)
        found = second.sealed_rows("SELECT incident, detail FROM incident")
        assert [row["incident"] for row in found] == ["checkpoint_mismatch"]
        assert restored.log in found[0]["detail"]
