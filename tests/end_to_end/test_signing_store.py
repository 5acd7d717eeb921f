"""Shipping, reading and compacting against a server that checks signatures, which the other S3 server does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy_addon.log_directory import LogDirectory
from proxy_addon.ship_options import ShipOptions
from proxy_addon.shipper import ship_once
from tests.reports.command import crawl_audit, refused
from tests.reports.shipped import two_logs
from tests.signing_stores import SigningStore, signing_store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return two_logs(tmp_path / "audit-log")


def shipped(root: Path, store: SigningStore) -> None:
    for _ in range(10):
        status = ship_once(LogDirectory(root), ShipOptions(url=store.address))
        if "unavailable" not in status.failures:  # the server answers 500 now and then to two uploads at once
            break
    assert (status.fault, status.conflicts, status.unshipped_segments) == (None, [], 0)


def test_every_request_of_shipping_reading_and_compacting_is_signed_as_the_server_wants_it(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRAWL_AUDIT_CACHE", str(tmp_path / "cache"))
    with signing_store(tmp_path / "remote") as store:
        shipped(root, store)
        local = {file for part in ("segments", "checkpoints") for file in files(root, part)}
        assert {key.removeprefix("logs/") for key in store.found if not key.startswith("logs/shipped/")} == local
        assert crawl_audit("verify", store.address, "--format", "json").json["records"] > 0
        assert len(crawl_audit("fleet", "compact", store.address, "--format", "json").json["made"]) == 1
        asked = [
            crawl_audit("report", "activity", place, "--format", "json").json["content_sha256"]
            for place in (store.address, root)
        ]
        assert asked[0] == asked[1]
        methods = {method for method, _ in store.troubled.requests}
        signed = [fields.get("authorization", "") for fields in store.troubled.headers]
    assert methods >= {"GET", "PUT"} and all(one.startswith("AWS4-HMAC-SHA256 ") for one in signed)


def files(root: Path, part: str) -> list[str]:
    return [path.relative_to(root).as_posix() for path in (root / part).rglob("*") if path.is_file()]


def test_a_wrong_secret_is_told_by_the_shipper_and_by_the_reader_and_nothing_is_put(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRAWL_AUDIT_CACHE", str(tmp_path / "cache"))
    with signing_store(tmp_path / "remote") as store, pytest.MonkeyPatch.context() as within:
        within.setenv("AWS_SECRET_ACCESS_KEY", "another")
        status = ship_once(LogDirectory(root), ShipOptions(url=store.address))
        assert status.fault is not None and "does not accept the credentials (SignatureDoesNotMatch)" in status.fault
        assert status.failures == {"credentials": 1} and store.found == []
        assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in refused("status", store.address, code=78)


def test_a_real_store_that_writes_over_what_is_there_is_shipped_nothing(tmp_path: Path, root: Path) -> None:
    with signing_store(tmp_path / "remote", keeps=False) as store:
        status = ship_once(LogDirectory(root), ShipOptions(url=store.address))
        assert status.fault is not None and "writes over what is there" in status.fault
        assert status.unshipped_segments > 0 and len(store.found) == 1
