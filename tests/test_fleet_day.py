"""A fleet's day at a hundredth of its size, from the generator through the object store to an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import fleet, fleet_day, fleet_sidecars
from tests import object_stores
from tests.reports.command import crawl_audit

SMALL = fleet_day.FleetDay(sidecars=10, segments=8, exchanges=3_000)


def test_a_small_fleet_is_made_shipped_compacted_verified_and_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "fleet"
    assert "3,000 exchanges in 80 segments" in next(fleet.generate(root, SMALL, 2))
    monkeypatch.setenv("CRAWL_AUDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CRAWL_AUDIT_CACHE_SECONDS", "0")
    with object_stores.s3_server() as store:
        told = list(fleet_sidecars.ship(root, store.address(), processes=2))
        verified = crawl_audit("verify", store.address(), "--format", "json").json
        made = crawl_audit("fleet", "compact", store.address(), "--format", "json").json["made"]
        site = fleet_day.site_name(3)
        asked = [crawl_audit("inquiry", place, site, "--format", "json").json for place in (store.address(), root)]
        (line,) = fleet.measured("inquiry", "inquiry", store.address(), site)
    assert told[0].startswith("79 segments"), "one was in conflict until its owner put it right"
    assert "rounds that failed and were begun anew: 0;" not in told[1]
    assert [line.split(" ", 1)[1] for line in told[3:]] == [
        "faults happened, each of them",
        "objects are there, all that should be and no other",
    ]
    assert {finding["check"] for finding in verified["findings"]} == {"H5", "H6"}  # nobody brought a key or a head
    assert verified["records"] == made[0]["records"] == 6_000 + 10 * (1 + 1 + fleet_day.SITES_OF_ONE + 1 + 8)
    assert asked[0]["forwarded"] == asked[1]["forwarded"] > 0
    assert asked[0]["content_sha256"] == asked[1]["content_sha256"]
    assert line.startswith("inquiry: ")
