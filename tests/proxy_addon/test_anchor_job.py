"""A running log is anchored on demand and on schedule, each receipt becomes a record, and the last head is shown."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.errors import CrawlAuditError
from crawl_audit.records import Anchor
from proxy_addon import anchor_job
from proxy_addon.anchor_job import AnchorJob
from proxy_addon.anchor_settings import AnchorSettings
from proxy_addon.log_directory import LogDirectory
from proxy_addon.metrics import Metrics
from proxy_addon.writer import Writer
from tests.writing import check, incident, published, segments_made_here, writer_in

Story = Callable[[AnchorJob, Writer], Awaitable[Any]]


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    with segments_made_here():
        yield


def tell(path: Path, story: Story, *, interval_s: float = 3600, metrics: Metrics | None = None, **given: Any) -> Any:
    """What ``story`` gives with a job that pushes into a directory beside the log."""
    pushes = [{"name": "bucket", "directory": path / "mount"}]
    validated = AnchorSettings.model_validate({"pushes": pushes, **given})
    settings = validated.model_copy(update={"interval_s": interval_s})  # shorter than anybody may configure

    async def run() -> Any:
        async with writer_in(path / "log") as writer:
            job = AnchorJob(settings, LogDirectory(path / "log"), metrics or Metrics())
            try:
                return await story(job, writer)
            finally:
                await job.stop()

    return asyncio.run(run())


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    (tmp_path / "mount").mkdir()
    return tmp_path / "mount"


def copies(mount: Path) -> list[Path]:
    return sorted(mount.glob("*.checkpoint"))


def anchors(path: Path) -> list[dict[str, Any]]:
    return [entry for _, _, entry in published(path / "log") if entry["k"] == Anchor.KIND]


def test_a_receipt_becomes_a_record_that_later_seals_cover(tmp_path: Path, mount: Path) -> None:
    async def story(job: AnchorJob, writer: Writer) -> dict[str, object]:
        await writer.append(incident("a"))
        answer = await job.anchor(writer)
        assert job.last_receipt_at is not None
        assert job.warnings == []
        return answer

    answer = tell(tmp_path, story)
    assert (answer["checkpoint_size"], answer["failures"]) == (1, {})
    (record,) = anchors(tmp_path)
    receipt = next((tmp_path / "log" / "checkpoints").glob("*.anchors/*.push.json")).read_bytes()
    assert record["receipt_sha256"] == hashlib.sha256(receipt).hexdigest()
    assert (record["method"], record["authority"], record["checkpoint_size"]) == ("push", "bucket", 1)
    (copy,) = mount.iterdir()
    assert record["checkpoint_root"] == base64.b64decode(copy.read_text().split("\n")[2]).hex()
    check(tmp_path / "log")


def test_the_schedule_anchors_again_and_again(tmp_path: Path, mount: Path) -> None:
    async def story(job: AnchorJob, writer: Writer) -> None:
        job.start(writer)
        while len(copies(mount)) < 2:
            await asyncio.sleep(0.02)

    tell(tmp_path, story, interval_s=0.05)
    assert len(anchors(tmp_path)) >= 1


def test_a_round_that_fails_is_shown_and_the_next_one_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchor_job, "_FIRST_S", 0.0)
    metrics = Metrics()

    async def story(job: AnchorJob, writer: Writer) -> None:
        job.start(writer)
        while not job.warnings:
            await asyncio.sleep(0.02)
        assert "cannot be put into" in job.warnings[0]
        (tmp_path / "mount").mkdir()
        while job.warnings:
            await asyncio.sleep(0.02)
        async with job._lock:  # until the round is over, and its receipt on record
            pass

    tell(tmp_path, story, interval_s=0.05, metrics=metrics)
    assert b'crawl_audit_anchor_failures_total{method="push"}' in metrics.exposition()[0]
    assert len(anchors(tmp_path)) >= 1


def test_a_log_that_cannot_be_sealed_ends_the_round_and_not_the_schedule(
    tmp_path: Path, mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchor_job, "_FIRST_S", 0.0)
    tried: list[int] = []

    async def story(job: AnchorJob, writer: Writer) -> None:
        async def fail(reason: str) -> None:
            tried.append(1)
            raise CrawlAuditError("The log cannot be written.")

        with monkeypatch.context() as patch:
            patch.setattr(writer, "rotate", fail)
            job.start(writer)
            while len(tried) < 2:
                await asyncio.sleep(0.02)

    tell(tmp_path, story, interval_s=0.05)


def test_a_round_that_meets_a_damaged_note_does_not_end_the_schedule(
    tmp_path: Path, mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchor_job, "_FIRST_S", 0.0)
    rounds: list[int] = []

    def damaged(*_: object) -> None:
        rounds.append(1)
        b"\xff".decode()

    monkeypatch.setattr("proxy_addon.receipts.Receipts.note", damaged)

    async def story(job: AnchorJob, writer: Writer) -> None:
        job.start(writer)
        while len(rounds) < 2:
            await asyncio.sleep(0.02)

    tell(tmp_path, story, interval_s=0.05)


def test_commits_go_on_while_an_authority_is_slow(tmp_path: Path, mount: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def slow(*_: object) -> Path:
        asked.set()
        assert go_on.wait(30)
        return mount / "x"

    monkeypatch.setattr("proxy_addon.pushing.put_file", slow)

    async def story(job: AnchorJob, writer: Writer) -> None:
        round_ = asyncio.create_task(job.anchor(writer))
        while not asked.is_set():
            await asyncio.sleep(0.01)
        for number in range(20):
            await writer.append(incident(str(number)))
        assert not round_.done()
        go_on.set()
        await round_

    tell(tmp_path, story)
    assert len(anchors(tmp_path)) == 1


def test_after_the_stop_the_last_head_is_shown(tmp_path: Path, mount: Path) -> None:
    async def run() -> None:
        settings = AnchorSettings.model_validate({"pushes": [{"name": "bucket", "directory": mount}]})
        job = AnchorJob(settings, LogDirectory(tmp_path / "log"), Metrics())
        async with writer_in(tmp_path / "log") as writer:
            job.start(writer)
            await job.stop()
        await job.finish(writer.log)
        assert [copy.read_bytes() for copy in copies(mount)] == [
            LogDirectory(tmp_path / "log").checkpoint(writer.log).read_bytes()
        ]

    asyncio.run(run())


def test_finished_logs_of_earlier_starts_are_shown_too(tmp_path: Path, mount: Path) -> None:
    async def nothing(job: AnchorJob, writer: Writer) -> None:
        pass

    async def story(job: AnchorJob, writer: Writer) -> dict[str, Any]:
        return await job.anchor(writer)

    tell(tmp_path, nothing)
    answer = tell(tmp_path, story)
    assert [other["failures"] for other in answer["others"]] == [{}]
    assert len(list(mount.iterdir())) == 2


def test_without_authorities_nothing_is_done_and_asking_is_answered(tmp_path: Path) -> None:
    async def run() -> None:
        async with writer_in(tmp_path / "log") as writer:
            job = AnchorJob(AnchorSettings(), LogDirectory(tmp_path / "log"), Metrics())
            job.start(writer)
            with pytest.raises(CrawlAuditError, match="Nobody is configured"):
                await job.anchor(writer)
            await job.stop()
            await job.finish(writer.log)
            assert job.warnings == []

    asyncio.run(run())
    assert list((tmp_path / "log" / "checkpoints").glob("*.anchors")) == []
