"""A day that is over is compacted once, answers like its originals, and is believed only as long as those are there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from crawl_audit.compacted_day import parse_compacted
from reports import compaction, compaction_job
from reports.log import open_log
from reports.object_store import ObjectStore
from reports.remote_session import session
from tests import logs, object_stores
from tests.reports import shipped
from tests.reports.command import crawl_audit, refused


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shipped.two_logs(tmp_path_factory.mktemp("local") / "audit-log")


@pytest.fixture
def store(local: Path, tmp_path: Path) -> Iterator[object_stores.Store]:
    with shipped.fleet(local, tmp_path / "cache") as store:
        yield store


def _compact(store: object_stores.Store, *more: object) -> dict[str, object]:
    ran = crawl_audit("fleet", "compact", store.address(), "--format", "json", *more)
    assert ran.code == 0, ran
    found: dict[str, object] = ran.json
    return found


def _inquiry(store: object_stores.Store, *before: str) -> dict[str, object]:
    return shipped.without_names(
        crawl_audit(*before, "inquiry", store.address(), "example.com", "--format", "json").out
    )


def _copied(store: object_stores.Store) -> list[str]:
    found: list[str] = crawl_audit("status", store.address(), "--format", "json").json["copied_from"]["compacted_days"]
    return found


def test_a_compacted_day_answers_like_its_originals(store: object_stores.Store, tmp_path: Path) -> None:
    before = _inquiry(store)
    made = _compact(store)["made"]
    assert made == [{"day": shipped.DAY, "segments": 6, "records": 150, "octets": made[0]["octets"]}]  # type: ignore[index]
    assert _inquiry(store) == before == _inquiry(store, "--originals")
    assert _copied(store) == [shipped.DAY]
    session.begin(originals=False)
    with open_log(store.address()) as opened:
        assert len(opened.files.segments) == 1
        (counted,) = opened.select("SELECT sum(records)::BIGINT AS n, count(DISTINCT log) AS logs FROM files.extent")
    assert counted == {"n": 150, "logs": 2}
    session.begin(originals=False)


def test_verify_reads_the_originals_alone(store: object_stores.Store, tmp_path: Path) -> None:
    _compact(store)
    store.requests.clear()
    assert crawl_audit("verify", store.address(), "--format", "json").json["records"] == 150
    assert not [path for _, path in store.requests if "compacted" in path]


def test_a_head_that_changed_is_new_to_every_reader(store: object_stores.Store, tmp_path: Path) -> None:
    _compact(store)
    assert crawl_audit("verify", store.address()).code == 3
    (head, *_) = store.keys("logs/checkpoints/")
    before = store.get(head)
    assert crawl_audit("inquiry", store.address(), "example.com").code == 0
    store.put(head, before + b"\n")
    assert crawl_audit("inquiry", store.address(), "example.com").code == 0
    crawl_audit("verify", store.address())
    heads = [(tree / head.removeprefix("logs/")).read_bytes() for tree in shipped.trees(tmp_path / "cache")]
    assert heads.count(before + b"\n") == 2


def test_what_is_done_is_not_done_again(store: object_stores.Store) -> None:
    _compact(store)
    keys = store.keys()
    again = _compact(store)
    assert (again["made"], again["already"], store.keys()) == ([], [shipped.DAY], keys)
    assert "Nothing to compact" in crawl_audit("fleet", "compact", store.address()).out


def test_a_copy_names_what_it_was_made_of(store: object_stores.Store) -> None:
    _compact(store)
    described = parse_compacted(store.get(f"logs/compacted/{shipped.DAY}.json"), shipped.DAY)
    assert len(described.segments) == 6
    assert sorted(f"logs/{described.file_key(file)}" for file in described.files) == store.keys(
        f"logs/compacted/{shipped.DAY}/"
    )


def test_an_interrupted_job_leaves_nothing_that_is_read(
    store: object_stores.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = ObjectStore.put

    def killed(self: ObjectStore, key: str, content: bytes | Path, *, unless_there: bool = False) -> bool:
        if "completion" in key:
            raise KeyboardInterrupt
        return put(self, key, content, unless_there=unless_there)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "put", killed)
        assert crawl_audit("fleet", "compact", store.address()).code == 130
    left = store.keys("logs/compacted/")
    assert left
    assert _copied(store) == []
    assert len(_compact(store)["made"]) == 1  # type: ignore[arg-type]
    assert not set(left) & set(store.keys("logs/compacted/"))
    assert _copied(store) == [shipped.DAY]


def test_what_comes_late_is_read_as_it_is_until_its_day_is_compacted_anew(
    store: object_stores.Store, tmp_path: Path
) -> None:
    _compact(store)
    late = logs.sound(tmp_path / "late", "node3-20261118T120000Z-00000003", node="node3", at=60)
    shipped.ship(late.root, store.address())
    assert crawl_audit("status", store.address(), "--format", "json").json["records"]["decision"] == 90
    left = _compact(store)
    assert (left["made"], left["late"]) == ([], {shipped.DAY: 3})
    assert "came after it was compacted" in crawl_audit("fleet", "compact", store.address()).out
    before = set(store.keys("logs/compacted/"))
    (anew,) = _compact(store, "--day", shipped.DAY)["made"]  # type: ignore[misc]
    assert (anew["segments"], anew["records"]) == (9, 225)
    assert before & set(store.keys("logs/compacted/")) == {f"logs/compacted/{shipped.DAY}.json"}
    assert crawl_audit("status", store.address(), "--format", "json").json["records"]["decision"] == 90
    assert len(shipped.trees(tmp_path / "cache")) == 2


def test_a_copy_is_not_read_once_an_original_is_gone_or_another(store: object_stores.Store) -> None:
    _compact(store)
    marker = store.keys("logs/shipped/")[-1]
    octets = store.get(marker)
    store.delete(marker)
    assert _copied(store) == []
    store.put(marker, octets)
    assert _copied(store) == [shipped.DAY]
    store.delete(marker)
    assert _compact(store, "--day", "2026-11-17")["stale"] == [shipped.DAY]
    (anew,) = _compact(store)["made"]  # type: ignore[misc]
    assert anew["segments"] == 5
    assert _copied(store) == [shipped.DAY]


def test_a_copy_without_entity_tags_is_held_to_digests(store: object_stores.Store) -> None:
    _compact(store)
    key = f"logs/compacted/{shipped.DAY}.json"
    value = json.loads(store.get(key))
    for log in value["logs"]:
        log["segments"] = [[first, last, digest, ""] for first, last, digest, _ in log["segments"]]
    store.put(key, (json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n").encode())
    assert _copied(store) == [shipped.DAY]
    value["logs"][0]["segments"][0][2] = "0" * 64
    store.put(key, (json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n").encode())
    assert _copied(store) == []


def test_a_damaged_copy_is_named_and_the_originals_stay_readable(store: object_stores.Store) -> None:
    _compact(store)
    (victim,) = [key for key in store.keys("logs/compacted/") if "/decision-" in key]
    store.put(victim, store.get(victim)[::-1])
    said = refused("inquiry", store.address(), "example.com", code=3)
    assert victim.removeprefix("logs/") in said
    assert "compact the day anew" in said
    assert crawl_audit("--originals", "inquiry", store.address(), "example.com").code == 0
    _compact(store, "--day", shipped.DAY)
    assert crawl_audit("inquiry", store.address(), "example.com").code == 0


def test_extents_that_footers_do_not_bear_out_are_not_relied_on(
    store: object_stores.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    extents = compaction._extents

    def lying(connection: object, made: object, work: Path) -> compaction.Made:
        wrong = extents(connection, made, work)  # type: ignore[arg-type]
        connection.execute(f"CREATE TABLE e AS SELECT * REPLACE (records + 1 AS records) FROM '{wrong.path}'")  # type: ignore[attr-defined]
        connection.execute(f"COPY e TO '{wrong.path}' (FORMAT parquet)")  # type: ignore[attr-defined]
        return wrong

    monkeypatch.setattr(compaction, "_extents", lying)
    _compact(store)
    session.begin(originals=False)
    with open_log(store.address()) as opened:
        (counted,) = opened.select("SELECT sum(records)::BIGINT AS n FROM files.extent")
    session.begin(originals=False)
    assert counted == {"n": 150}


def test_a_copy_that_does_not_arrive_whole_is_not_published(local: Path, tmp_path: Path) -> None:
    with shipped.fleet(local, tmp_path / "cache", faulty=True) as store:
        store.fault("wrong_stored", method="PUT", path="compacted/.*/decision", times=2)
        assert "does not arrive whole" in refused("fleet", "compact", store.address(), code=3)
        assert f"logs/compacted/{shipped.DAY}.json" not in store.keys("logs/compacted")
        store.fault("wrong_stored", method="PUT", path="compacted/.*/decision")
        assert len(_compact(store)["made"]) == 1  # type: ignore[arg-type]
        assert crawl_audit("inquiry", store.address(), "example.com").code == 0


def test_two_jobs_at_once_leave_one_copy(store: object_stores.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded = compaction_job._uploaded

    def meanwhile(*given: object) -> list[object]:
        made = list(uploaded(*given))  # type: ignore[arg-type]
        monkeypatch.setattr(compaction_job, "_uploaded", uploaded)
        store.put(f"logs/compacted/{shipped.DAY}.json", b"another job's")
        monkeypatch.setattr("reports.remote_listing.compacted", lambda _: [])
        return made

    monkeypatch.setattr(compaction_job, "_uploaded", meanwhile)
    assert "Another job has compacted" in refused("fleet", "compact", store.address(), code=3)
    assert store.keys("logs/compacted/") == [f"logs/compacted/{shipped.DAY}.json"]


def test_a_day_that_is_not_over_is_refused(store: object_stores.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is not over" in refused("fleet", "compact", store.address(), "--day", "2126-11-18", code=2)
    assert "is not a day" in refused("fleet", "compact", store.address(), "--day", "yesterday", code=2)
    monkeypatch.setattr(compaction_job, "_today", lambda: shipped.DAY)
    assert compaction_job.run(store.address()).not_over == 6


def test_another_day_than_there_is_has_nothing_to_compact(store: object_stores.Store) -> None:
    assert compaction_job.run(store.address(), date(2026, 11, 17)).made == []


def test_a_directory_that_is_a_copy_of_a_bucket_is_compacted_in_place(
    store: object_stores.Store, tmp_path: Path
) -> None:
    copied = tmp_path / "copied"
    for key in store.keys("logs/"):
        place = copied / key.removeprefix("logs/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(store.get(key))
    before = shipped.without_names(crawl_audit("inquiry", copied, "example.com", "--format", "json").out)
    assert crawl_audit("fleet", "compact", copied).code == 0
    assert (copied / "compacted" / f"{shipped.DAY}.json").is_file()
    after = shipped.without_names(crawl_audit("inquiry", copied, "example.com", "--format", "json").out)
    assert after == before
    assert crawl_audit("status", copied, "--format", "json").json["copied_from"]["compacted_days"] == [shipped.DAY]
    assert crawl_audit("--originals", "status", copied, "--format", "json").json["copied_from"] is None
    assert crawl_audit("verify", copied, "--format", "json").json["records"] == 150


def test_a_directory_in_which_nothing_was_shipped_is_refused(local: Path) -> None:
    assert "has no directory `shipped/`" in refused("fleet", "compact", local, code=78)
