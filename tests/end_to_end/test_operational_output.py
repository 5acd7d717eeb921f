"""What the sidecar says beside the evidence: nobody has to read it, and no secret is in it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import httpx

from tests.end_to_end.harness import Sidecar, Site, tls_context
from tests.end_to_end.origin import Farm

TOKEN = "token-canary-7f3a9c51"
CANARIES = {
    "proxy token": TOKEN,
    "proxy token, encoded": base64.b64encode(f"news:{TOKEN}".encode()).decode(),
    "wrong proxy token": "wrong-canary-51d2e84b",
    "Authorization": "authorization-canary-60",
    "Cookie": "cookie-canary-61",
    "cookie of the site": "set-cookie-canary-62",
    "query": "query-canary-63",
    "body": "body-canary-64",
    "answer": "answer-canary-65",
}
# docs/log-format.md: `target` is path and query as sent.  Nothing else of these may be in the log.
IN_THE_LOG = {"query"}


@contextmanager
def full_pipe() -> Iterator[int]:
    """The writing end of a pipe that is full and that nobody reads."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    for size in (65_536, 4096, 1):
        while True:
            try:
                os.write(writing, b"." * size)
            except BlockingIOError:
                break
    os.set_blocking(writing, True)
    try:
        yield writing
    finally:
        os.close(writing)
        os.close(reading)


def free_ports(count: int) -> list[int]:
    with socket.socket() as one, socket.socket() as other:
        holders = (one, other)[:count]
        for holder in holders:
            holder.bind(("127.0.0.1", 0))
        return [holder.getsockname()[1] for holder in holders]


def wait_until_ready(admin: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None
        try:
            if httpx.get(f"{admin}/readyz", trust_env=False, timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the sidecar did not get ready")


def test_pipes_that_nobody_reads_do_not_hold_up_the_sidecar(site: Site, sites: Farm, tmp_path: Path) -> None:
    origin = sites.start()
    proxy_port, admin_port = free_ports(2)
    admin = f"http://127.0.0.1:{admin_port}"
    config = tmp_path / "sidecar.toml"
    config.write_text(f'[upstream]\ntrusted_ca = "{site.origin_ca}"\n[logging]\nseal_interval_s = 0.1\n')
    places = ["--listen", f"127.0.0.1:{proxy_port}", "--admin", f"127.0.0.1:{admin_port}"]
    places += ["--log", str(tmp_path / "log"), "--ca", str(site.ca)]
    with full_pipe() as out, full_pipe() as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "proxy_addon", "run", "--config", str(config), *places],
            env=site.environment(),
            cwd=tmp_path,
            stdout=out,
            stderr=err,
        )
        try:
            wait_until_ready(admin, process)
            with httpx.Client(proxy=f"http://127.0.0.1:{proxy_port}", trust_env=False, timeout=10) as client:
                for number in range(20):
                    assert client.get(f"{origin.url}/{number}").status_code == 200
                    time.sleep(0.05)
            for _ in range(3):
                assert httpx.post(f"{admin}/seal", trust_env=False, timeout=20).json()["sealed"] is True
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait(10)


def test_no_secret_is_said_anywhere_and_none_is_recorded_beyond_the_format(
    sidecar: Callable[..., Sidecar], sites: Farm, tmp_path: Path
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}\n")
    settings = (
        '[[crawlers]]\nid = "news"\nproduct_tokens = ["NewsBot"]\n'
        f'token_file = "{token_file}"\n[[crawlers]]\nid = "shop"\nproduct_tokens = ["ShopBot"]\n'
        f'token_sha256 = "{hashlib.sha256(b"another").hexdigest()}"\n'
    )
    started = sidecar(settings=settings, arguments=())
    fields = {
        "Authorization": f"Bearer {CANARIES['Authorization']}",
        "Cookie": f"session={CANARIES['Cookie']}",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }
    paths = ("/page", "/private/x", "/missing", "/odd/reset", "/odd/cut")
    for origin in (sites.start("http"), sites.start("https")):
        for token in (TOKEN, CANARIES["wrong proxy token"]):
            proxy = f"http://news:{token}@{started.ready['proxy']}"
            verify = tls_context(started.site.certificate)
            with httpx.Client(proxy=proxy, verify=verify, trust_env=False, timeout=20) as client:
                for path in paths:
                    url = f"{origin.url}{path}?secret={CANARIES['query']}"
                    try:
                        client.post(url, headers=fields, content=CANARIES["body"])
                    except httpx.TransportError:
                        continue
        dead = f"{origin.scheme}://nowhere.invalid/?secret={CANARIES['query']}"
        with httpx.Client(proxy=f"http://news:{TOKEN}@{started.ready['proxy']}", trust_env=False, timeout=20) as client:
            try:
                client.get(dead, headers=fields)
            except httpx.TransportError:
                continue
    said = b"".join(
        httpx.get(f"http://{started.ready['admin']}{path}", trust_env=False).content
        for path in ("/metrics", "/readyz", "/livez", "/startupz")
    )
    started.seal()
    trace_ids = {row["trace_id"] for row in started.rows("SELECT DISTINCT trace_id FROM decision")}
    assert trace_ids == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    assert started.stop() == 0
    said += started.stdout.read_bytes() + started.stderr.read_bytes()
    assert said.count(b"\n") > 50
    assert {what for what, canary in CANARIES.items() if canary.encode() in said} == set()
    recorded = _recorded(started)
    assert {what for what, canary in CANARIES.items() if canary in recorded} == IN_THE_LOG


def _recorded(sidecar: Sidecar) -> str:
    """Every value of every record, as text; Parquet may hide octets from a search of the files."""
    found = []
    with duckdb.connect() as connection:
        for file in sorted(sidecar.log.glob("segments/*/*/*.parquet")):
            rows = connection.execute("SELECT to_json(r) FROM read_parquet(?) AS r", [str(file)]).fetchall()
            found += [row[0] for row in rows]
    assert any(json.loads(row).get("settings") for row in found)
    return "\n".join(found)
