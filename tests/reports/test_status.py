"""What is in a log directory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from crawl_audit.records import Anchor, Gap, Incident, Instant
from reports import status
from reports.log import look
from tests import logs
from tests.reports.command import crawl_audit


def test_status_counts_every_kind_and_lists_every_run(mixed: logs.LogBuilder) -> None:
    answer = crawl_audit("status", mixed.root, "--format", "json").json
    expected = Counter(record.KIND for record in mixed.records)
    assert {kind: count for kind, count in answer["records"].items() if count} == expected
    (run,) = answer["logs"]
    assert (run["log"], run["records"], run["first_seq"], run["last_seq"]) == (mixed.log, 721, 0, 720)
    assert (run["started_at"], run["stopped_at"]) == ("2026-11-18T11:06:40Z", "2026-11-18T11:13:22Z")
    assert answer["segments"]["count"] == 3
    files = list((mixed.root / "segments" / mixed.log).rglob("*.parquet"))
    assert answer["segments"]["bytes"] == sum(file.stat().st_size for file in files)
    assert answer["live"] == {"files": [], "unread_seconds": None}
    text = crawl_audit("status", mixed.root).out
    assert mixed.log in text
    assert "721" in text


def test_live_records_are_announced_and_never_opened(root: Path) -> None:
    made = logs.LogBuilder(root)
    made.add(logs.run())
    made.publish()
    (root / "live").mkdir()
    live = root / "live" / f"{made.log}-000001.duckdb"
    live.write_bytes(b"locked by the writer")
    live.chmod(0)
    answer = crawl_audit("status", root, "--format", "json").json
    assert answer["live"]["files"] == [live.name]
    assert answer["live"]["unread_seconds"] >= 0
    ran = crawl_audit("status", root)
    assert "not yet readable; run `crawl-audit-proxy seal`" in ran.out
    assert "not stopped" in ran.out


def test_a_directory_without_segments_has_a_status_too(root: Path) -> None:
    logs.LogBuilder(root)
    (root / "live").mkdir()
    (root / "live" / "x.duckdb").touch()
    ran = crawl_audit("status", root)
    assert ran.code == 0
    assert "none sealed yet" in ran.out
    assert "not yet readable" in ran.out


def test_checkpoints_and_quarantine_are_listed(root: Path) -> None:
    made = logs.LogBuilder(root)
    made.add(logs.run())
    made.publish()
    for name, content in (("a", "crawl-audit/a\n17\nAAAA\n\n— key sig\n"), ("b", "rubbish"), ("c", "o\nnumber\nr\n")):
        (root / "checkpoints").mkdir(exist_ok=True)
        (root / "checkpoints" / f"{name}.checkpoint").write_text(content)
    (root / "quarantine").mkdir()
    (root / "quarantine" / "old.duckdb").touch()
    answer = status.status(look(str(root)), None)
    assert [(c["origin"], c["size"]) for c in answer["checkpoints"]] == [
        ("crawl-audit/a", 17),
        (None, None),
        (None, None),
    ]
    assert answer["quarantine"] == ["old.duckdb"]
    assert "size 17" in crawl_audit("status", root).out


def test_incidents_are_counted_with_the_last_of_each_and_the_disk_is_looked_at(root: Path) -> None:
    made = logs.LogBuilder(root)
    made.add(logs.run())
    for second, word in enumerate(("hook_error", "log_suspended", "hook_error")):
        at = Instant(logs.START + second * logs.SECOND)
        made.add(Incident(recorded_at=at, incident=word, exchange_id=None, crawler=None, client=None, detail="x"))
    made.publish()
    answer = crawl_audit("status", root, "--format", "json").json
    assert [(row["word"], row["times"], row["last_at"]) for row in answer["incidents"]] == [
        ("hook_error", 2, "2026-11-18T11:06:42Z"),
        ("log_suspended", 1, "2026-11-18T11:06:41Z"),
    ]
    assert (answer["gaps"], answer["anchors"]) == ([], [])
    assert 0 < answer["disk"]["free_bytes"] <= answer["disk"]["total_bytes"]
    assert [run["dropped"] for run in answer["logs"]] == [0]
    assert "2 × hook_error, last 2026-11-18T11:06:42Z" in crawl_audit("status", root).out


def test_requests_that_left_unrecorded_and_those_who_saw_the_log_are_named(root: Path) -> None:
    made = logs.LogBuilder(root)
    made.add(logs.run())
    gap = {"cause": "audit_log_unavailable", "first_at": logs.START, "last_at": logs.START, "requests": 4, "kept": 4}
    made.add(Gap(recorded_at=logs.START, first_seq=None, last_seq=None, file_sha256=None, detail="x", **gap))
    seen = {"method": "witness", "authority": "w1", "checkpoint_size": 1, "checkpoint_root": "00", "stated_at": None}
    made.add(Anchor(recorded_at=logs.START, receipt_sha256="11", **seen))
    made.publish()
    answer = crawl_audit("status", root, "--format", "json").json
    assert [(row["word"], row["times"]) for row in answer["gaps"]] == [("audit_log_unavailable", 4)]
    assert [(row["word"], row["times"]) for row in answer["anchors"]] == [("witness: w1", 1)]
