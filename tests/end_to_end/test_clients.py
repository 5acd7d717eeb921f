"""Real crawlers through the real sidecar: what the sites saw, what the crawlers got, what the log says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.crawlers import CLIENTS, RealClient, curl
from tests.end_to_end.harness import Sidecar
from tests.end_to_end.origin import Farm, Origin

RealCrawl = tuple[Origin, str, list[dict[str, Any]]]


def crawl(client: RealClient, sidecar: Sidecar, sites: Farm, directory: Path) -> RealCrawl:
    """(site, what the crawler said, what was recorded of it) of one crawl of a fresh site."""
    origin = sites.start(client.scheme)
    said = client.crawl(sidecar, origin, directory)
    rows = sidecar.sealed_rows(f"SELECT * FROM exchange WHERE port = {origin.port} ORDER BY seq")
    assert rows, f"{client} never came through the sidecar: {said}"
    return origin, said, rows


@pytest.mark.parametrize("client", CLIENTS, ids=str)
def test_in_enforce_mode_no_crawler_reaches_a_disallowed_page(
    client: RealClient, enforcing: Sidecar, sites: Farm, tmp_path: Path
) -> None:
    origin, said, rows = crawl(client, enforcing, sites, tmp_path)
    assert origin.hits("/private/") == []
    assert origin.hits("/a.html"), said
    private = [row for row in rows if row["target"].startswith("/private/")]
    assert {(row["action"], row["verdict"], row["rule"], row["rule_line"]) for row in private} == (
        set() if client.obeys else {("denied", "disallowed", "Disallow: /private/", 2)}
    )
    assert all(row["outcome"] is None for row in private)
    assert len({row["target"] for row in private}) == (0 if client.obeys else 2)


@pytest.mark.parametrize("client", CLIENTS, ids=str)
def test_in_audit_mode_each_disallowed_fetch_is_a_violation(
    client: RealClient, auditing: Sidecar, sites: Farm, tmp_path: Path
) -> None:
    origin, said, rows = crawl(client, auditing, sites, tmp_path)
    fetched = sorted(seen.target for seen in origin.hits("/private/"))
    violations = auditing.rows(f"SELECT * FROM violation WHERE port = {origin.port} ORDER BY target")
    assert [row["target"] for row in violations] == fetched
    assert bool(fetched) is not client.obeys, said
    assert all((row["rule"], row["rule_line"], row["status"]) == ("Disallow: /private/", 2, 200) for row in violations)
    assert {row["action"] for row in rows} == {"forwarded"}
    assert {row["outcome"] for row in rows} == {"completed"}
    asked_itself = [row for row in rows if row["target"] == "/robots.txt"]
    assert bool(asked_itself) is client.fetches_robots
    # The sidecar asks once, unless the crawler's own copy came first, which serves for both.
    snapshots = auditing.rows(f"SELECT source FROM snapshot WHERE port = {origin.port} ORDER BY seq")
    fetched_by_sidecar = [row for row in snapshots if row["source"] == "fetched"]
    assert len(origin.hits("/robots.txt")) == len(asked_itself) + len(fetched_by_sidecar)
    assert len(fetched_by_sidecar) == (0 if snapshots[0]["source"] == "observed" else 1)


def test_a_denial_says_why_and_where_it_is_on_record(enforcing: Sidecar, sites: Farm) -> None:
    origin = sites.start("https")
    with enforcing.client() as client:
        answer = client.get(origin.url + "/private/page?q=1")
        head = client.head(origin.url + "/private/page")
        after = client.get(origin.url + "/after")
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    assert answer.headers["proxy-status"].endswith("error=http_request_denied")
    problem = answer.json()
    (row,) = enforcing.sealed_rows(f"SELECT * FROM decision WHERE exchange_id = '{problem['exchange_id']}'")
    assert row["url"] == origin.url + "/private/page?q=1"
    for name in ("verdict", "basis", "rule", "rule_line", "robots_sha256", "product_token"):
        assert problem[name] == row[name]
    assert (head.status_code, head.content, after.status_code) == (403, b"", 200)


def test_curl_with_http2_falls_back_cleanly(auditing: Sidecar, sites: Farm, tmp_path: Path) -> None:
    origin = sites.start("https")
    said = curl("--http2", "-o", "/dev/null")(auditing, origin, tmp_path)
    assert f"1.1 200 {origin.url}/a.html" in said.splitlines()
    assert "curl:" not in said


def test_a_site_without_robots_txt_and_one_that_fails_are_judged_by_the_rfc(enforcing: Sidecar, sites: Farm) -> None:
    absent, failing = sites.start(robots=404), sites.start(robots=500)
    with enforcing.client() as client:
        answers = [client.get(origin.url + "/private/x").status_code for origin in (absent, failing)]
    rows = enforcing.sealed_rows(
        f"SELECT basis, action FROM decision WHERE port IN ({absent.port}, {failing.port}) ORDER BY seq"
    )
    assert answers == [200, 403]
    assert rows == [{"basis": "unavailable", "action": "forwarded"}, {"basis": "unreachable", "action": "denied"}]
    assert failing.hits("/private/") == []
