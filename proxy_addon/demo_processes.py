"""The demo's child processes: the sidecar and the commands, run the way an operator and an auditor run them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from crawl_audit.errors import CrawlAuditError
from proxy_addon import own_processes

_START_S = 30
_STOP_S = 30
_COMMAND_S = 60
_POLL_S = 0.02


def environment(**more: str) -> dict[str, str]:
    """The environment of a child: ours, without settings of another sidecar and without anybody else's proxy."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith("CRAWL_AUDIT_") and not name.lower().endswith("_proxy")
    }
    return {**own_processes.with_packages(kept), "PYTHONIOENCODING": "utf-8", **more}


def module(name: str, *arguments: str) -> list[str]:
    """The command line that runs a module; with ``-P`` a directory here named like a package is not taken for it."""
    return [sys.executable, "-P", "-m", name, *arguments]


def run(command: Sequence[str], what: str, good: Sequence[int] = (0,)) -> str:
    """The standard output of a command run to its end; CrawlAuditError with its last words where it went wrong."""
    try:
        done = subprocess.run(
            command, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=_COMMAND_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise CrawlAuditError(f"The demo stopped: {what} took longer than {_COMMAND_S} s.") from None
    if done.returncode not in good:
        raise CrawlAuditError(f"The demo stopped: {what} ended with code {done.returncode}: {last_words(done.stderr)}")
    return done.stdout.decode("utf-8", "replace")


def last_words(output: bytes) -> str:
    """The last line a process wrote: where ours fail, that is the sentence that says why."""
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """A running sidecar as its ``ready`` line describes it."""

    proxy: str  # HOST:PORT
    admin: str
    process: subprocess.Popen[bytes]
    stderr: Path

    def seal(self) -> int:
        """Ask it to publish what it has recorded, as ``crawl-audit-proxy seal`` does; the number of records."""
        request = urllib.request.Request(f"http://{self.admin}/seal", method="POST", data=b"")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_COMMAND_S) as answer:
                return int(json.load(answer)["entries"])
        except (urllib.error.URLError, OSError, KeyError, ValueError) as error:
            raise CrawlAuditError(f"The demo stopped: the sidecar did not seal its log: {error}.") from error

    def stop(self) -> None:
        """SIGTERM, and wait until it has sealed its log; CrawlAuditError where it does not end well."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            raise CrawlAuditError(f"The demo stopped: the sidecar did not end within {_STOP_S} s.") from None
        if code != 0:
            words = last_words(self.stderr.read_bytes())
            raise CrawlAuditError(f"The demo stopped: the sidecar ended with code {code}: {words}")


@contextmanager
def sidecar(log: Path, work: Path, product_token: str) -> Iterator[Sidecar]:
    """A sidecar in enforce mode with a new CA; it ends with the block, whatever happens in it."""
    authority = str(work / "ca")
    run(module("proxy_addon", "ca", "--ca", authority), "making the certificate authority")
    places = ("--log", str(log), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ca", authority)
    who = ("--mode", "enforce", "--crawler", "demo", "--product-token", product_token)
    stdout, stderr = work / "sidecar.out", work / "sidecar.err"
    with stdout.open("wb") as out, stderr.open("wb") as err:
        process = subprocess.Popen(
            module("proxy_addon", "run", *places, *who),
            env=environment(CRAWL_AUDIT_EGRESS__ALLOW_NETWORKS='["127.0.0.0/8"]'),  # where the demo's sites are
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
    try:
        ready = _ready(process, stdout, stderr)
        yield Sidecar(proxy=ready["proxy"], admin=ready["admin"], process=process, stderr=stderr)
    finally:
        _end(process)


def _ready(process: subprocess.Popen[bytes], stdout: Path, stderr: Path) -> dict[str, str]:
    """The ``ready`` line, as soon as it is there."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        first, newline, _ = stdout.read_bytes().partition(b"\n")
        if newline:
            said: dict[str, str] = json.loads(first)
            return said
        if ended:
            raise CrawlAuditError(f"The demo stopped: the sidecar did not start: {last_words(stderr.read_bytes())}")
        time.sleep(_POLL_S)
    raise CrawlAuditError(f"The demo stopped: the sidecar was not ready within {_START_S} s.")


def _end(process: subprocess.Popen[bytes]) -> None:
    """See to it that the process is gone: gently, then not."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_STOP_S / 3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
