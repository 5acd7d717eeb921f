"""An address is read as the log directory that was shipped there, from a cache that holds nothing unchecked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawl_audit.errors import ConfigurationError
from reports.cli import main
from reports.remote_session import refuse_change, session
from tests import logs, object_stores
from tests.reports import shipped
from tests.reports.command import crawl_audit, refused

SEGMENT = f"logs/segments/{shipped.LOGS[0]}/000000000000-"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shipped.two_logs(tmp_path_factory.mktemp("local") / "audit-log")


@pytest.fixture
def store(local: Path, tmp_path: Path) -> Iterator[object_stores.Store]:
    with shipped.fleet(local, tmp_path / "cache", faulty=True) as store:
        yield store


def _first(store: object_stores.Store, kind: str) -> str:
    return next(key for key in store.keys(SEGMENT) if key.endswith(f"/{kind}.parquet"))


@pytest.mark.parametrize(
    "command",
    [
        ("inquiry", "{}", "example.com", "--format", "json"),
        ("report", "activity", "{}", "--format", "json"),
    ],
    ids=["inquiry", "activity"],
)
def test_an_address_answers_like_the_directory_that_was_shipped(
    store: object_stores.Store, local: Path, command: tuple[str, ...]
) -> None:
    answers = [crawl_audit(*(part.format(place) for part in command)) for place in (store.address(), local)]
    assert answers[0].code == answers[1].code == 0
    assert shipped.without_names(answers[0].out) == shipped.without_names(answers[1].out)


def test_query_and_verify_take_an_address(store: object_stores.Store, local: Path) -> None:
    counted = [crawl_audit("query", place, "SELECT count(*) FROM exchange").out for place in (store.address(), local)]
    assert counted[0] == counted[1]
    verified = [crawl_audit("verify", place, "--format", "json") for place in (store.address(), local)]
    assert verified[0].json["result"] == verified[1].json["result"] == "incomplete"
    assert verified[0].json["records"] == verified[1].json["records"] == 150
    assert verified[0].json["checks"] == verified[1].json["checks"]


def test_export_and_proof_are_made_of_the_originals(store: object_stores.Store, tmp_path: Path) -> None:
    assert crawl_audit("export", store.address(), tmp_path / "bundle.duckdb", "--level", "internal").code == 0
    assert crawl_audit("verify", tmp_path / "bundle.duckdb").code == 3
    proof = tmp_path / "proof.json"
    assert crawl_audit("explain", store.address(), "http://example.com/", "--proof", proof).code == 0
    assert crawl_audit("verify", proof).code == 3


def test_only_what_is_new_is_fetched_again(store: object_stores.Store, tmp_path: Path) -> None:
    crawl_audit("status", store.address())
    store.requests.clear()
    made = logs.sound(tmp_path / "more", "node3-20261118T120000Z-00000003", node="node3")
    crawl_audit("status", store.address())
    assert {path.partition("?")[0] for method, path in store.requests if method == "GET"} == {f"/{store.bucket}"}
    shipped.ship(made.root, store.address())
    store.requests.clear()
    assert len(crawl_audit("status", store.address(), "--format", "json").json["logs"]) == 3
    fetched = {path for _, path in store.requests if "/segments/" in path}
    assert fetched
    assert all("node3" in path for path in fetched)


def test_within_a_minute_nobody_asks_the_store_again_but_verify(
    store: object_stores.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRAWL_AUDIT_CACHE_SECONDS", "60")
    crawl_audit("inquiry", store.address(), "example.com")
    store.requests.clear()
    assert crawl_audit("inquiry", store.address(), "example.com").code == 0
    assert store.requests == []
    crawl_audit("verify", store.address())
    assert store.requests


def test_a_command_never_writes_to_the_store(store: object_stores.Store) -> None:
    crawl_audit("inquiry", store.address(), "example.com")
    crawl_audit("verify", store.address())
    assert {method for method, _ in store.requests} <= {"GET", "HEAD"}


def test_a_segment_taken_away_is_not_read_from_the_cache(store: object_stores.Store) -> None:
    before = crawl_audit("status", store.address(), "--format", "json").json["records"]["decision"]
    (gone,) = [key for key in store.keys("logs/shipped") if shipped.LOGS[1] in key and "000000000000" in key]
    store.delete(gone)
    after = crawl_audit("status", store.address(), "--format", "json").json
    assert after["records"]["decision"] < before
    assert after["copied_from"]["torn_uploads"] == [gone.removeprefix("logs/shipped/").removesuffix(".json")]


def test_an_upload_that_is_not_whole_is_named_and_not_read(store: object_stores.Store) -> None:
    torn = f"{shipped.LOGS[0]}/000000000900-000000000999"
    store.put(f"logs/segments/{torn}/decision.parquet", b"half")
    answer = crawl_audit("verify", store.address(), "--format", "json").json
    (finding,) = [one for one in answer["findings"] if one["where"] == torn.replace("/", " ")]
    assert (finding["check"], finding["severity"]) == ("R2", "warning")
    assert any(torn.replace("/", " ") in one["what"] for one in answer["not_checked"])
    assert torn in crawl_audit("status", store.address()).out


def test_a_file_that_is_not_what_was_shipped_is_named(store: object_stores.Store, tmp_path: Path) -> None:
    victim = _first(store, "decision")
    octets = store.get(victim)
    store.put(victim, octets[:-1] + bytes([octets[-1] ^ 1]))
    for command in (("inquiry", store.address(), "example.com"), ("verify", store.address())):
        said = refused(*command, code=3)
        assert victim.removeprefix("logs/") in said
        assert "not what its `shipped` record says" in said
    assert not list((tmp_path / "cache").glob(f"*/*/{victim.removeprefix('logs/')}"))
    store.put(victim, octets)
    assert crawl_audit("inquiry", store.address(), "example.com").code == 0


@pytest.mark.parametrize("change", [lambda octets: octets[:-1], lambda octets: octets + b"x"], ids=["cut", "longer"])
def test_a_file_of_another_size_is_named(store: object_stores.Store, change: object) -> None:
    victim = _first(store, "completion")
    store.put(victim, change(store.get(victim)))  # type: ignore[operator]
    assert victim.removeprefix("logs/") in refused("inquiry", store.address(), "example.com", code=3)


def test_a_file_that_is_missing_is_named(store: object_stores.Store) -> None:
    victim = _first(store, "completion")
    store.delete(victim)
    assert f"The object {victim.removeprefix('logs/')} is missing" in refused("status", store.address(), code=3)


@pytest.mark.parametrize("kind", ["wrong_answered", "torn_answer", "unavailable"])
def test_trouble_on_the_way_is_got_over(store: object_stores.Store, kind: str) -> None:
    store.fault(kind, method="GET", path="decision.parquet")
    assert crawl_audit("inquiry", store.address(), "example.com").code == 0


def test_a_marker_of_another_segment_is_refused(store: object_stores.Store) -> None:
    (first, second, *_) = store.keys(f"logs/shipped/{shipped.LOGS[0]}")
    store.put(second, store.get(first))
    assert "tells of another segment" in refused("status", store.address(), code=3)


def test_a_segment_shipped_anew_replaces_the_one_in_the_cache(store: object_stores.Store, tmp_path: Path) -> None:
    assert crawl_audit("status", store.address(), "--format", "json").json["records"]["decision"] == 60
    *_, last = store.keys(f"logs/shipped/{shipped.LOGS[0]}")
    first, _, end = last.rpartition("/")[2].removesuffix(".json").partition("-")
    kept = {
        key.rpartition("/")[2]: store.get(key)
        for key in store.keys(f"logs/segments/{shipped.LOGS[0]}/{first}-{end}")
        if "decision" not in key
    }
    shipped.marker(store, shipped.LOGS[0], int(first), int(end), kept)
    assert crawl_audit("status", store.address(), "--format", "json").json["records"]["decision"] == 50


def test_a_segment_within_another_counts_once(store: object_stores.Store, tmp_path: Path) -> None:
    (_, second, *_) = store.keys(f"logs/shipped/{shipped.LOGS[0]}")
    last = int(second.rpartition("-")[2].removesuffix(".json"))
    shipped.marker(store, shipped.LOGS[0], 0, last, {"seal.parquet": store.get(_first(store, "seal"))})
    crawl_audit("status", store.address())
    (tree,) = shipped.trees(tmp_path / "cache")
    assert len(list((tree / "segments" / shipped.LOGS[0]).iterdir())) == 2


def test_segments_that_overlap_otherwise_are_refused(store: object_stores.Store) -> None:
    shipped.marker(store, shipped.LOGS[0], 5, 30, {"seal.parquet": store.get(_first(store, "seal"))})
    assert "overlap" in refused("status", store.address(), code=3)


def test_nothing_there_is_said_in_one_sentence(store: object_stores.Store) -> None:
    assert "There is no log at" in refused("status", f"s3://{store.bucket}/elsewhere", code=3)


def test_a_bucket_that_is_not_there_is_named(store: object_stores.Store) -> None:
    assert "There is no bucket no-such-bucket" in refused("status", "s3://no-such-bucket/logs", code=78)


def test_what_is_denied_says_so(store: object_stores.Store) -> None:
    store.fault("denied", times=99)
    assert "denies it to these credentials" in refused("status", store.address(), code=78)


def test_missing_credentials_are_one_sentence(store: object_stores.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert "without credentials: set AWS_ACCESS_KEY_ID" in refused("inquiry", store.address(), "example.com", code=78)


def test_an_address_that_is_none_is_refused_before_anybody_is_asked(store: object_stores.Store) -> None:
    refused("status", "s3://UPPER/logs", code=78)
    assert store.requests == []


@pytest.mark.parametrize(
    "command",
    [
        ("redact", "{}", "--domain", "example.com", "--field", "client", "--reason", "r", "--by", "b", "--yes"),
        ("prune", "{}", "--before", "2026-11-19", "--reason", "r", "--by", "b"),
        ("inquiry", "{}", "example.com", "--hold", "--reason", "r", "--by", "b"),
    ],
    ids=["redact", "prune", "hold"],
)
def test_what_lies_there_is_never_changed_from_here(store: object_stores.Store, command: tuple[str, ...]) -> None:
    said = refused(*(part.format(store.address()) for part in command), code=78)
    assert "is only read from here" in said
    assert store.requests == []


def test_a_directory_may_be_changed() -> None:
    refuse_change("audit-log")
    with pytest.raises(ConfigurationError):
        refuse_change("s3://bucket")


def test_an_interrupted_fetch_goes_on_where_it_was(
    store: object_stores.Store, tmp_path: Path, interruptible: None
) -> None:
    store.fault("slow", path=f"{shipped.LOGS[1]}/.*decision.parquet", times=99, seconds=20)
    threading.Timer(3.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    ran = crawl_audit("inquiry", store.address(), "example.com")
    assert (ran.code, ran.err) == (130, "crawl-audit: Interrupted.\n")
    assert time.monotonic() - began < 15
    (tree,) = shipped.trees(tmp_path / "cache")
    assert len(list((tree / "segments" / shipped.LOGS[0]).iterdir())) == 3
    store.faults.clear()
    store.requests.clear()
    assert crawl_audit("inquiry", store.address(), "example.com").code == 0
    assert not [path for _, path in store.requests if f"segments/{shipped.LOGS[0]}" in path]


def test_two_readers_at_once_share_a_cache(store: object_stores.Store, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "reports", "query", store.address(), "SELECT count(*) AS n FROM decision"]
    both = [subprocess.Popen([*program, "--format", "csv"], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [one.communicate(timeout=60)[0].split() for one in both] == [["n", "60"]] * 2
    fetched = [path for _, path in store.requests if path.endswith(".parquet")]
    assert len(fetched) == len(set(fetched))


def test_a_command_begins_without_what_an_earlier_one_fetched(store: object_stores.Store) -> None:
    first = session.mirror(store.address())
    assert session.mirror(store.address()) is first
    with pytest.raises(SystemExit):
        main(["--originals", "judge", "--jsonl", "--help"])
    assert session.originals
    session.begin(originals=False)
    assert session.mirror(store.address()) is not first
