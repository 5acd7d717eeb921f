"""The real sidecar as a process, and everything the tests ask of it from outside.

Nothing here imports the sidecar: it is started the way an operator starts it, spoken to over its two ports, and its
log is read the way an auditor reads it.  A small ``sitecustomize`` on its path makes every name under ``.test`` mean
127.0.0.1, so that crawlers see public-looking names which only the sidecar can reach.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from reports.log import open_log

ROOT = Path(__file__).resolve().parents[2]
EXIT_CONFIGURATION = 78
_PROGRAM = (sys.executable, "-m", "proxy_addon")

_NAMES = """\
import socket

_ask = socket.getaddrinfo

def getaddrinfo(host, *arguments, **named):
    name = host.decode() if isinstance(host, bytes) else host
    known = isinstance(name, str) and name.endswith(".test")
    return _ask("127.0.0.1" if known else host, *arguments, **named)

socket.getaddrinfo = getaddrinfo
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What the sidecars of one test run share: the CA that crawlers trust, and the one that origins are trusted by."""

    ca: Path
    certificate: Path
    origin_ca: Path
    names: Path
    allowed: tuple[str, ...] = ("127.0.0.0/8", "::1/128")

    def environment(self) -> dict[str, str]:
        """Environment of a sidecar: no settings from outside, and the names under ``.test``."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CRAWL_AUDIT_") and "proxy" not in k.lower()}
        # The sites of the tests are on this machine, where no sidecar may go unless its operator says so.
        kept |= {"CRAWL_AUDIT_EGRESS__ALLOW_NETWORKS": json.dumps(self.allowed)}
        return kept | {"PYTHONPATH": f"{self.names}{os.pathsep}{ROOT}", "PYTHONUNBUFFERED": "1"}


def make_site(directory: Path, origin_ca: Path) -> Site:
    """Make the CA with the product's own command."""
    names = directory / "names"
    names.mkdir()
    (names / "sitecustomize.py").write_text(_NAMES)
    ca = directory / "ca"
    site = Site(ca=ca, certificate=ca / "ca.pem", origin_ca=origin_ca, names=names)
    done = command(site, "ca", "--ca", str(ca))
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == site.certificate
    return site


def command(site: Site, *arguments: str, seconds: float = 30) -> subprocess.CompletedProcess[str]:
    """Run ``crawl-audit-proxy`` to its end."""
    return subprocess.run(
        [*_PROGRAM, *arguments],
        env=site.environment(),
        cwd=site.names,
        capture_output=True,
        text=True,
        timeout=seconds,
    )


@dataclass(slots=True, kw_only=True, eq=False)
class Sidecar:
    """One log directory and the process that writes it, which may be started again."""

    site: Site
    directory: Path
    mode: str = "audit"
    settings: str = ""
    upstream: str = ""
    log: Path = Path()
    arguments: tuple[str, ...] = ("--crawler", "tester", "--product-token", "TestBot")
    prefix: tuple[str, ...] = ()  # what runs it, for example as another user
    starts: int = 0
    process: subprocess.Popen[bytes] | None = None
    ready: dict[str, Any] = field(default_factory=dict)

    def start(self, seconds: float = 30) -> None:
        """Start and wait for the ``ready`` line."""
        self.starts += 1
        self.log = self.log if self.log != Path() else self.directory / "log"
        config = self.directory / "sidecar.toml"
        config.write_text(f'{self.settings}\n[upstream]\ntrusted_ca = "{self.site.origin_ca}"\n{self.upstream}\n')
        places = (
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--log",
            str(self.log),
            "--ca",
            str(self.site.ca),
        )
        with self.stdout.open("wb") as out, self.stderr.open("wb") as err:
            self.process = subprocess.Popen(
                [
                    *self.prefix,
                    *_PROGRAM,
                    "run",
                    "--config",
                    str(config),
                    "--mode",
                    self.mode,
                    *places,
                    *self.arguments,
                ],
                env=self.site.environment(),
                cwd=self.directory,
                stdout=out,
                stderr=err,
            )
        self.ready = self._wait_until_ready(time.monotonic() + seconds)

    def _wait_until_ready(self, deadline: float) -> dict[str, Any]:
        assert self.process is not None
        while time.monotonic() < deadline:
            for line in self.stdout.read_bytes().splitlines():
                if b'"ready"' in line:
                    said: dict[str, Any] = json.loads(line)
                    return said
            assert self.process.poll() is None, f"the sidecar ended: {self.stderr.read_text()}"
            time.sleep(0.02)
        raise AssertionError(f"the sidecar did not get ready: {self.stderr.read_text()}")

    @property
    def stdout(self) -> Path:
        """Standard output of the latest start."""
        return self.directory / f"stdout.{self.starts}"

    @property
    def stderr(self) -> Path:
        """Standard error of the latest start."""
        return self.directory / f"stderr.{self.starts}"

    @property
    def proxy(self) -> str:
        """URL of the proxy."""
        return f"http://{self.ready['proxy']}"

    @property
    def pid(self) -> int:
        """Process id of the running sidecar."""
        assert self.process is not None
        return self.process.pid

    def stop(self, number: int = signal.SIGTERM, seconds: float = 40) -> int:
        """Send a signal and return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def seal(self) -> None:
        """Publish what has been recorded."""
        with urllib.request.urlopen(
            urllib.request.Request(f"http://{self.ready['admin']}/seal", method="POST", data=b""), timeout=60
        ) as answer:
            assert json.load(answer)["sealed"] is True

    def ready_status(self) -> int:
        """HTTP status of /readyz."""
        return httpx.get(f"http://{self.ready['admin']}/readyz", trust_env=False).status_code

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Rows of a query on the published log, as an auditor sees it."""
        with open_log(str(self.log)) as log:
            return log.select(sql)

    def sealed_rows(self, sql: str) -> list[dict[str, Any]]:
        """Publish, then query."""
        self.seal()
        return self.rows(sql)

    def connect(self) -> socket.socket:
        """A raw connection to the proxy."""
        host, _, port = str(self.ready["proxy"]).rpartition(":")
        return socket.create_connection((host, int(port)), timeout=20)

    def ask(self, octets: bytes) -> bytes:
        """Send octets to the proxy and return all it answers until it closes or falls silent."""
        with self.connect() as connection:
            connection.sendall(octets)
            return read_all(connection)

    def tunnel(self, authority: str) -> socket.socket:
        """A connection on which the proxy has answered CONNECT with 200."""
        connection = self.connect()
        connection.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        return connection

    def ask_in_tunnel(self, authority: str, octets: bytes) -> bytes:
        """As :meth:`ask`, through a CONNECT tunnel."""
        with self.tunnel(authority) as connection:
            connection.sendall(octets)
            return read_all(connection)

    def client(self, **options: Any) -> httpx.Client:
        """An HTTP client that goes through the sidecar and trusts its CA."""
        options = {"proxy": self.proxy, "verify": tls_context(self.site.certificate), "timeout": 30, **options}
        return httpx.Client(trust_env=False, **options)

    def rss_kib(self) -> int:
        """Resident memory of the sidecar in KiB."""
        return _status_kib(self.pid, "VmRSS")

    def peak_kib(self) -> int:
        """Highest resident memory of the sidecar since the last :meth:`reset_peak`, in KiB."""
        return _status_kib(self.pid, "VmHWM")

    def reset_peak(self) -> None:
        """Let the peak begin anew (proc(5), clear_refs 5)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


def _status_kib(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))


def tls_context(certificate: Path) -> ssl.SSLContext:
    """A client context that trusts one CA."""
    return ssl.create_default_context(cafile=str(certificate))


def read_all(connection: socket.socket, idle_s: float = 3) -> bytes:
    """What arrives until the other side closes or says nothing for ``idle_s``."""
    connection.settimeout(idle_s)
    received = b""
    try:
        while chunk := connection.recv(65_536):
            received += chunk
    except (TimeoutError, ConnectionResetError):
        pass
    return received


@contextmanager
def running(site: Site, directory: Path, **options: Any) -> Iterator[Sidecar]:
    """A started sidecar that is stopped, or killed, at the end."""
    sidecar = Sidecar(site=site, directory=directory, **options)
    try:
        sidecar.start()
        yield sidecar
    finally:
        end(sidecar)


def end(sidecar: Sidecar) -> None:
    """Make sure that the process is gone."""
    process = sidecar.process
    if process is not None and process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def quote(text: str) -> str:
    """An SQL string literal."""
    return "'" + text.replace("'", "''") + "'"
