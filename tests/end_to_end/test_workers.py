"""A sidecar of two workers: one port, one admin port, one directory with two logs, and an end of either on record."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from reports import proof
from reports.evidence import open_evidence
from tests.end_to_end import harness
from tests.end_to_end.harness import EXIT_CONFIGURATION, ROOT, Sidecar, Site, tls_context
from tests.end_to_end.ledger import disagreements, ledger
from tests.end_to_end.load import Load
from tests.end_to_end.origin import Farm

TWO = ("--crawler", "tester", "--product-token", "TestBot", "--workers", "2")
WORKER = re.compile(r"-w([12])-\d{8}T\d{6}Z-[0-9a-f]{8}$")


def workers(sidecar: Sidecar) -> dict[int, int]:
    """Process id of each worker, by its number, by the lock that it holds on its log's name."""
    found = {}
    for child in Path(f"/proc/{sidecar.pid}/task/{sidecar.pid}/children").read_text().split():
        for link in Path(f"/proc/{child}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                if match := re.search(r"-w([12])-[^/]+\.lock$", os.readlink(link)):
                    found[int(match[1])] = int(child)
    return found


def metrics(sidecar: Sidecar) -> dict[str, float]:
    """Sum over the labels of each sample."""
    text = httpx.get(f"http://{sidecar.ready['admin']}/metrics", trust_env=False).text
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def probe(sidecar: Sidecar) -> dict[str, Any]:
    """What /readyz answers."""
    found: dict[str, Any] = httpx.get(f"http://{sidecar.ready['admin']}/readyz", trust_env=False).json()
    return found


def verify(sidecar: Sidecar) -> set[str]:
    """Numbers of the checks that `crawl-audit verify` could not close, given the last head of each log as a pin.

    Fails where it finds a contradiction.
    """
    heads = {}
    for output in sorted(sidecar.directory.glob("stdout.*")):
        for line in output.read_text().splitlines():
            if note := json.loads(line).get("checkpoint"):
                heads[note.partition("\n")[0]] = note
    pins = []
    for number, note in enumerate(heads.values()):
        pins += ["--pin", str(sidecar.directory / f"pin.{number}")]
        Path(pins[-1]).write_text(note)
    command = [sys.executable, "-m", "reports", "verify", str(sidecar.log), *pins, "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    return set(re.findall(r'"check": "(\w+)"', done.stdout))


def wait_until(true: Callable[[], bool], seconds: float = 30) -> None:
    """Look again and again."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.02)


def fetch(sidecar: Sidecar, url: str) -> int:
    """Status of one request on a connection of its own."""
    with sidecar.client() as client:
        return client.get(url).status_code


def crawl(load: Load) -> threading.Thread:
    """A load in a thread of its own."""
    thread = threading.Thread(target=lambda: asyncio.run(load.run(100_000, workers=8)))
    thread.start()
    return thread


def test_two_workers_serve_one_port_and_each_keeps_a_log(sidecar: Callable[..., Sidecar], sites: Farm) -> None:
    origins = [sites.start(), sites.start("https")]
    started = sidecar(arguments=TWO, mode="enforce", settings="[pacing]\nenforce = true")
    assert list(started.ready) == ["ready", "proxy", "admin", "ca", "log"]
    assert started.ready_status() == 200
    for number in range(30):  # a connection each, which the kernel gives to one worker or the other
        assert fetch(started, f"{origins[number % 2].url}/page?id={number}") == 200
    counted = metrics(started)
    assert counted["crawl_audit_requests_total"] == 30
    assert counted["crawl_audit_log_available"] == 2
    started.seal()
    logs = {row["log"]: row["n"] for row in started.rows("SELECT log, count(*) AS n FROM decision GROUP BY log")}
    assert sorted(WORKER.search(log)[1] for log in logs) == ["1", "2"]  # type: ignore[index]
    assert sum(logs.values()) == 30
    fetched = [len(origin.hits("/robots.txt")) for origin in origins]
    # Where a machine is so busy that a store does not answer in time, a worker fetches for itself, and says so.
    assert fetched == [1, 1] or '"shared_robots_away"' in started.stderr.read_text()

    slow = sites.start(robots=b"User-agent: *\nCrawl-delay: 0.2\n")
    with ThreadPoolExecutor(8) as crawlers:
        asked = [crawlers.submit(fetch, started, f"{slow.url}/page?id={100 + number}") for number in range(8)]
    assert [one.result() for one in asked] == [200] * 8
    left = sorted(seen.at_us for seen in slow.hits("/page"))
    assert left[-1] - left[0] > 1_200_000, "two workers that knew nothing of each other would take half as long"
    origins.append(slow)

    begun = time.monotonic()
    with started.connect() as one, started.connect() as another:
        for connection in (one, another):
            head = f"GET {origins[0].url}/odd/drip?seconds=1 HTTP/1.1\r\nHost: {origins[0].authority}\r\n\r\n"
            connection.sendall(head.encode())
        wait_until(lambda: len(origins[0].hits("/odd/drip")) == 2)
        for pid in workers(started).values():  # as where a whole group of processes is told to end
            os.kill(pid, signal.SIGTERM)
        assert started.stop() == 0
    assert time.monotonic() - begun < 15
    drips = started.rows("SELECT outcome FROM exchange WHERE target LIKE '/odd/drip%'")
    assert [row["outcome"] for row in drips] == ["completed", "completed"]
    firsts = started.rows(f"SELECT seq FROM decision WHERE port = {slow.port} AND since_previous_ms IS NULL")
    assert len(firsts) == 1, "each worker knows what left through the other"
    assert disagreements(ledger(started, origins)) == []
    assert verify(started) == set()
    last = started.rows("SELECT reason FROM seal WHERE (log, seq) IN (SELECT (log, max(seq)) FROM seal GROUP BY log)")
    assert [row["reason"] for row in last] == ["shutdown", "shutdown"]
    named = [line for line in started.stderr.read_text().splitlines() if '"log_closed"' in line]
    assert ['"worker": 1' in line for line in named].count(True) == 1


def test_a_worker_that_is_killed_is_replaced_and_its_end_is_on_record(
    sidecar: Callable[..., Sidecar], sites: Farm
) -> None:
    origins = [sites.start(), sites.start("https")]
    started = sidecar(arguments=TWO, mode="enforce")
    load = Load(proxy=started.ready["proxy"], origins=origins, tls=tls_context(started.site.certificate))
    thread = crawl(load)
    try:
        wait_until(lambda: len(load.sent) > 200)
        before, processes = metrics(started), workers(started)
        assert sorted(processes) == [1, 2]
        os.kill(processes[2], signal.SIGKILL)
        wait_until(lambda: probe(started)["ready"] is False)
        assert re.match(r"worker 2, which wrote the log \S+, was ended by signal 9", probe(started)["reason"])
        answered = sum(sent.status is not None for sent in load.sent)
        wait_until(lambda: sum(sent.status is not None for sent in load.sent) > answered + 20)  # by the other one
        assert probe(started)["ready"] is False, "the machine was too fast for what this wants to see"
        wait_until(lambda: probe(started)["ready"] is True)
        after = metrics(started)
        assert workers(started)[1] == processes[1]
        counters = [name for name in before if name.endswith(("_total", "_count"))]
        assert [name for name in counters if after[name] < before[name]] == []
        wait_until(lambda: len(load.sent) > 600)
    finally:
        load.stopped = True
        thread.join(60)
    assert started.stop() == 0
    assert disagreements(ledger(started, origins)) == []
    (told,) = started.rows("SELECT log, detail FROM incident WHERE incident = 'worker_ended'")
    runs = started.rows("SELECT log, previous_log FROM run WHERE event = 'start' ORDER BY recorded_at")
    replaced = next(run for run in runs if run["log"] == told["log"])
    assert replaced["previous_log"] in told["detail"]
    assert "-w2-" in replaced["previous_log"]
    ends = started.rows("SELECT incident FROM incident WHERE incident IN ('unclean_stop', 'recovered_log')")
    assert len(ends) == 2
    assert verify(started) <= {"C3", "H6", "H5"}  # the unclean stop, and that no pin covers what was recovered


def test_when_the_supervisor_is_killed_the_workers_end_and_the_next_start_recovers_both_logs(
    sidecar: Callable[..., Sidecar], sites: Farm
) -> None:
    origin = sites.start()
    started = sidecar(arguments=TWO)
    for number in range(8):
        assert fetch(started, f"{origin.url}/page?id={number}") == 200
    processes = workers(started)
    os.kill(started.pid, signal.SIGKILL)
    assert started.process is not None
    started.process.wait(10)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes.values()))
    started.arguments = TWO[:4]  # one process finishes what two have left
    started.start()
    assert started.stop() == 0
    assert disagreements(ledger(started, [origin])) == []
    decided = started.rows("SELECT log, min(seq) AS seq FROM decision GROUP BY log")
    with open_evidence(str(started.log)) as evidence:
        successors = [proof.of_record(evidence, row["log"], row["seq"]).signed_by for row in decided]
    named = [one.entries[0].entry["event"] for one in successors if one is not None]
    assert sorted(named) == ["recovered", "start"]
    reasons = started.rows(
        "SELECT reason FROM seal WHERE (log, seq) IN (SELECT (log, max(seq)) FROM seal GROUP BY log)"
    )
    assert sorted(row["reason"] for row in reasons) == ["recovered", "recovered", "shutdown"]
    assert verify(started) <= {"C3", "H6", "H5"}  # the unclean stop, and that no pin covers what was recovered


def test_what_keeps_a_worker_from_starting_is_said_as_one_process_says_it(site: Site, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    (log / "emergency").mkdir()
    (log / "emergency" / "one.ndjson").mkdir()  # cannot be read as a file
    places = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log", str(log), "--ca", str(site.ca))
    done = harness.command(site, "run", *places, "--product-token", "TestBot", "--workers", "2")
    assert done.returncode == EXIT_CONFIGURATION, done.stderr
    assert '"ready"' not in done.stdout
    assert "Traceback" not in done.stderr
    (sentence,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert "holds records of an earlier run that cannot be finished now" in sentence
