"""Two real sidecars and one store: a site sees one fetch, both logs verify, and without the store each fetches."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from reports.verify import verify
from tests.end_to_end.harness import Sidecar
from tests.end_to_end.origin import ROBOTS, Farm, Origin
from tests.redis_server import redis_server

_DECISIONS = """
SELECT d.url, d.verdict, d.robots_sha256, d.robots_age_ms, d.recorded_at, s.source, s.origin_log, s.log,
       epoch_us(s.fetched_at) AS fetched_us, epoch_us(s.recorded_at) AS snapshot_us,
       epoch_us(d.recorded_at) AS decided_us, b.body
FROM decision d JOIN snapshot s ON s.log = d.log AND s.seq = d.snapshot_seq
JOIN robots_body b ON b.log = d.log AND b.robots_sha256 = d.robots_sha256
WHERE d.port = {port}
ORDER BY d.log, d.seq
"""
KEY = "a secret of the fleet, long enough\n"


def sharing(url: str, directory: Path, name: str) -> str:
    """Settings of a sidecar ``name`` that shares through ``url``."""
    key = directory / "shared.key"
    key.write_text(KEY)
    return f'node = "{name}"\n[robots]\nshared = "{url}"\nshared_key_file = "{key}"\n'


def get(sidecar: Sidecar, origin: Origin, path: str = "/a.html") -> int:
    with sidecar.client() as client:
        return client.get(origin.url + path).status_code


def result(sidecar: Sidecar, word: str) -> float:
    """How often the sidecar says that asking a store came to this."""
    text = httpx.get(f"http://{sidecar.ready['admin']}/metrics", trust_env=False).text
    begin = f'crawl_audit_shared_robots_total{{result="{word}"}} '
    return sum(float(line.removeprefix(begin)) for line in text.splitlines() if line.startswith(begin))


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def shared_by(sites: Farm, one: Sidecar, two: Sidecar) -> Origin:
    """A site asked by two sidecars one after the other and fetched by the first alone.

    On a machine so busy that the store is away for a moment by their measure, the next site it is.
    """
    for _ in range(8):
        origin, shared = sites.start("http"), result(one, "shared")
        assert get(one, origin) == 200
        with contextlib.suppress(AssertionError):
            until(lambda before=shared: result(one, "shared") > before, 2)  # type: ignore[misc]
        assert get(two, origin) == 200
        if len(origin.hits("/robots.txt")) == 1:
            break
    return origin


def together(directory: Path, *sidecars: Sidecar) -> Path:
    """One directory that holds the logs of all, as object storage would."""
    for one in sidecars:
        shutil.copytree(one.log, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.lock", "audit.duckdb"))
    return directory


def errors(path: Path) -> list[tuple[str, str]]:
    answer: dict[str, Any] = verify(str(path))
    return [(one["check"], one["message"]) for one in answer["findings"] if one["severity"] == "error"]


def test_two_sidecars_fetch_once_and_both_logs_hold_the_bytes(
    sidecar: Callable[..., Sidecar], sites: Farm, tmp_path: Path
) -> None:
    with redis_server(password="of the store") as server:
        url = server.url.replace("of the store", "of%20the%20store")
        one = sidecar("one", settings=sharing(url, tmp_path, "one"), mode="enforce")
        two = sidecar("two", settings=sharing(url, tmp_path, "two"), mode="enforce")
        origin = shared_by(sites, one, two)
        assert get(two, origin, "/private/one.html") == 403
        assert [len(origin.hits(path)) for path in ("/robots.txt", "/a.html", "/private")] == [1, 2, 0]
        assert min(result(one, "fetched"), result(one, "shared"), result(two, "taken")) >= 1
        (first,) = one.sealed_rows(_DECISIONS.format(port=origin.port))
        rows = two.sealed_rows(_DECISIONS.format(port=origin.port))
        settings = json.loads(two.rows("SELECT settings FROM run")[0]["settings"])
        assert (one.stop(), two.stop()) == (0, 0)
    digest = hashlib.sha256(ROBOTS).hexdigest()
    assert [(row["source"], row["verdict"]) for row in rows] == [("shared", "allowed"), ("shared", "disallowed")]
    for row in rows:
        assert (row["robots_sha256"], bytes(row["body"]), row["origin_log"]) == (digest, ROBOTS, first["log"])
        assert row["fetched_us"] == first["snapshot_us"], "the very fetch that the other log has on record"
        assert row["robots_age_ms"] == (row["decided_us"] - row["fetched_us"]) // 1000
    assert (first["source"], first["origin_log"], first["fetched_us"]) == ("fetched", None, None)
    assert settings["robots"]["shared"] == f"redis://127.0.0.1:{server.port}/0", "without the password"
    assert settings["robots"]["shared_key_file"] is True
    assert errors(together(tmp_path / "fleet", one, two)) == []
    assert "B6" not in verify(str(tmp_path / "fleet"))["checks"]
    alone = verify(str(two.log))
    assert [one["severity"] for one in alone["findings"] if one["check"] == "B6"] == ["warning"]


def test_many_requests_to_many_sidecars_at_once_are_one_fetch(
    sidecar: Callable[..., Sidecar], sites: Farm, tmp_path: Path
) -> None:
    with redis_server() as server:
        fleet = [sidecar(name, settings=sharing(server.url, tmp_path, name)) for name in ("one", "two")]
        for _ in range(8):  # see shared_by
            origin = sites.start("http")
            with ThreadPoolExecutor(8) as crawlers:
                asked = [crawlers.submit(get, fleet[number % 2], origin) for number in range(16)]
            assert {one.result() for one in asked} == {200}
            if len(origin.hits("/robots.txt")) == 1:
                break
        assert len(origin.hits("/robots.txt")) == 1


def test_without_its_store_each_sidecar_fetches_itself_and_says_so_once(
    sidecar: Callable[..., Sidecar], sites: Farm, tmp_path: Path
) -> None:
    with redis_server() as server:
        one = sidecar("one", settings=sharing(server.url, tmp_path, "one"))
        two = sidecar("two", settings=sharing(server.url, tmp_path, "two"))
        before = shared_by(sites, one, two)
        assert len(before.hits("/robots.txt")) == 1
        server.kill()
        for origin in (sites.start("http"), sites.start("http")):
            assert (get(one, origin), get(two, origin)) == (200, 200)
            assert len(origin.hits("/robots.txt")) == 2
    said = [line for line in one.stderr.read_text().splitlines() if '"shared_robots_' in line]
    assert "fetches every robots.txt itself" in said[-1], "once, when it went, and not for each site"
    events = [json.loads(line)["event"] for line in said]
    assert all(one != following for one, following in pairwise(events))
    assert (one.stop(), two.stop()) == (0, 0)
    assert errors(together(tmp_path / "fleet", one, two)) == []
