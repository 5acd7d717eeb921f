"""Start, stop, kill, start again, and every reason not to start at all."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end import harness
from tests.end_to_end.harness import EXIT_CONFIGURATION, Sidecar, Site, tls_context
from tests.end_to_end.ledger import disagreements, ledger
from tests.end_to_end.load import Load
from tests.end_to_end.origin import Farm

LAST = "SELECT * FROM seal WHERE (log, seq) IN (SELECT (log, max(seq)) FROM seal GROUP BY log) ORDER BY log"
KINDS = ("run", "snapshot", "robots_body", "decision", "completion", "signal", "tunnel", "incident", "seal")
EVERYTHING = " UNION ALL ".join(f"SELECT log, seq FROM {kind}" for kind in KINDS)
EXTENT = f"SELECT log, count(*) AS entries, max(seq) AS last FROM ({EVERYTHING}) GROUP BY log"


def fetch(sidecar: Sidecar, url: str) -> int:
    """Status of one request through the sidecar."""
    with sidecar.client() as client:
        return client.get(url).status_code


def live_files(sidecar: Sidecar) -> list[str]:
    """Live files left in the log directory."""
    return [path.name for path in (sidecar.log / "live").iterdir() if ".duckdb" in path.name]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["sigterm", "sigint"])
def test_a_stop_leaves_a_sealed_log_that_the_next_start_continues(
    number: int, sidecar: Callable[..., Sidecar], sites: Farm
) -> None:
    origin = sites.start()
    started = sidecar()
    assert fetch(started, origin.url + "/first") == 200
    assert started.stop(number) == 0
    assert live_files(started) == []
    (seal,) = started.rows(LAST)
    (extent,) = started.rows(EXTENT)
    assert (seal["reason"], seal["seq"], seal["in_flight"]) == ("shutdown", extent["last"], 0)
    assert extent["entries"] == extent["last"] + 1

    started.start()
    assert fetch(started, origin.url + "/second") == 200
    assert started.stop(number) == 0
    targets = started.rows("SELECT target FROM decision ORDER BY recorded_at")
    assert [row["target"] for row in targets] == ["/first", "/second"]
    runs = started.rows("SELECT log, event, reason, previous_log FROM run ORDER BY recorded_at, seq")
    assert [(run["event"], run["reason"]) for run in runs] == [("start", None), ("stop", "signal")] * 2
    assert runs[2]["previous_log"] == runs[0]["log"]
    assert [row["reason"] for row in started.rows(LAST)] == ["shutdown", "shutdown"]
    assert [line for line in started.stderr.read_text().splitlines() if not line.startswith("{")] == []


def test_a_stop_finishes_what_is_open_within_its_time_and_records_the_rest(
    sidecar: Callable[..., Sidecar], sites: Farm
) -> None:
    origin = sites.start()
    started = sidecar(settings="drain_timeout_s = 2.0")
    head = "GET {}/odd/drip?seconds={} HTTP/1.1\r\nHost: {}\r\n\r\n"
    with started.connect() as short, started.connect() as long:
        short.sendall(head.format(origin.url, 1, origin.authority).encode())
        long.sendall(head.format(origin.url, 60, origin.authority).encode())
        _wait_until(lambda: len(origin.hits("/odd/drip")) == 2)
        begun = time.monotonic()
        assert started.stop() == 0
        assert 1.5 < time.monotonic() - begun < 10
    rows = started.rows(
        "SELECT target, outcome, in_flight FROM exchange, (SELECT max(in_flight) AS in_flight FROM seal)"
    )
    outcomes = {row["target"]: row["outcome"] for row in rows}
    assert outcomes == {"/odd/drip?seconds=1": "completed", "/odd/drip?seconds=60": "proxy_shutdown"}


def test_a_stop_under_load_ends_every_exchange_on_record(sidecar: Callable[..., Sidecar], sites: Farm) -> None:
    origins = [sites.start(), sites.start("https")]
    started = sidecar(mode="enforce", settings="drain_timeout_s = 1.0")
    load = Load(proxy=started.ready["proxy"], origins=origins, tls=tls_context(started.site.certificate))
    crawl = threading.Thread(target=_crawl, args=(load,))
    crawl.start()
    _wait_until(lambda: sum(len(origin.seen) for origin in origins) > 200)
    try:
        assert started.stop() == 0
    finally:
        load.stopped = True
        crawl.join(60)
    assert live_files(started) == []
    assert disagreements(ledger(started, origins)) == []
    (seal,) = started.rows(LAST)
    assert (seal["reason"], seal["in_flight"]) == ("shutdown", 0)


def test_after_kill_9_under_load_every_request_a_site_saw_is_on_record(
    sidecar: Callable[..., Sidecar], sites: Farm
) -> None:
    origins = []
    started = sidecar(mode="enforce")
    for seed in (1, 2):
        wave = [sites.start(), sites.start("https")]
        origins += wave
        load = Load(proxy=started.ready["proxy"], origins=wave, tls=tls_context(started.site.certificate), seed=seed)
        crawl = threading.Thread(target=_crawl, args=(load,))
        crawl.start()
        _wait_until(lambda: sum(len(origin.seen) for origin in wave) > 150)  # noqa: B023
        _wait_until(lambda: any(origin.hits("/odd/drip") for origin in wave))  # noqa: B023
        _kill(started)
        load.stopped = True
        crawl.join(60)
        started.start()
    assert fetch(started, origins[0].url + "/after") == 200
    assert started.stop() == 0
    book = ledger(started, origins)
    assert disagreements(book) == []
    assert len(book.seen) > 250
    assert [row["reason"] for row in started.rows(LAST)] == ["recovered", "recovered", "shutdown"]
    assert all(row["entries"] == row["last"] + 1 for row in started.rows(EXTENT))


def test_what_was_open_at_a_kill_9_is_recorded_as_unknown(sidecar: Callable[..., Sidecar], sites: Farm) -> None:
    origin = sites.start()
    started = sidecar()
    with started.connect() as connection:
        connection.sendall(f"GET {origin.url}/odd/drip HTTP/1.1\r\nHost: {origin.authority}\r\n\r\n".encode())
        origin.wait_for("/odd/drip")
        _kill(started)
    started.start()
    assert started.stop() == 0
    (row,) = started.rows("SELECT target, action, outcome, status FROM exchange")
    assert row == {"target": "/odd/drip", "action": "forwarded", "outcome": "unknown_after_crash", "status": None}
    assert [row["reason"] for row in started.rows(LAST)] == ["recovered", "shutdown"]


def _crawl(load: Load) -> None:
    asyncio.run(load.run(100_000, workers=8))


def _kill(sidecar: Sidecar) -> None:
    assert sidecar.process is not None
    os.kill(sidecar.pid, signal.SIGKILL)
    sidecar.process.wait(10)


def _wait_until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.01)


def test_a_second_sidecar_on_the_same_log_is_refused_and_told_who_holds_it(
    sidecar: Callable[..., Sidecar], site: Site
) -> None:
    started = sidecar()
    said = refused(site, "--log", str(started.log))
    assert str(started.pid) in said
    assert str(started.log) in said
    assert started.ready_status() == 200


def refused(site: Site, *arguments: str, listen: str | None = None) -> str:
    """What a sidecar says that refuses to start: one sentence, exit 78, and nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = f"127.0.0.1:{probe.getsockname()[1]}"
    places = ("--listen", listen or free, "--admin", "127.0.0.1:0")
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    rest = [] if "--ca" in given else ["--ca", str(site.ca)]
    done = harness.command(site, "run", *places, *arguments, *rest, "--product-token", "TestBot")
    assert done.returncode == EXIT_CONFIGURATION, done.stderr
    assert '"ready"' not in done.stdout
    assert "Traceback" not in done.stderr
    (sentence,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert sentence.endswith(".")
    if listen is None:
        host, _, port = free.rpartition(":")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), timeout=5)
    return sentence


def test_a_busy_port_is_named(site: Site, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        assert address in refused(site, "--log", str(tmp_path / "log"), listen=address)
        assert address in refused(site, "--log", str(tmp_path / "log"), "--admin", address)
    assert not (tmp_path / "log").exists()


def test_a_missing_ca_is_named_with_the_command_that_makes_it(site: Site, tmp_path: Path) -> None:
    said = refused(site, "--log", str(tmp_path / "log"), "--ca", str(tmp_path / "none"))
    assert f"crawl-audit-proxy ca --ca {tmp_path / 'none'}" in said
    assert not (tmp_path / "none").exists()


def test_a_log_directory_that_is_a_file_is_named(site: Site, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("not a directory")
    assert str(tmp_path / "log") in refused(site, "--log", str(tmp_path / "log"))


def test_a_log_directory_in_which_nobody_may_write_is_named(site: Site) -> None:
    # Rights mean nothing to root, so a place where the kernel lets nobody make a directory.
    assert "/proc/crawl-audit" in refused(site, "--log", "/proc/crawl-audit")


def test_an_unknown_setting_is_named_with_the_one_that_was_meant(site: Site, tmp_path: Path) -> None:
    config = tmp_path / "sidecar.toml"
    config.write_text("[robots]\nttl_seconds = 5\n")
    said = refused(site, "--log", str(tmp_path / "log"), "--config", str(config))
    assert "robots.ttl_seconds" in said
    assert "ttl_s" in said
