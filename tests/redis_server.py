"""A real Redis server of Debian's package ``redis-server`` on a free loopback port, for one test or for many."""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

_STARTS_MAX = 5  # another process may take the port between looking for it and listening on it
_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisServer:
    """A running server."""

    port: int
    process: subprocess.Popen[bytes]
    password: str | None
    tls: bool

    @property
    def url(self) -> str:
        """How clients name it."""
        who = "" if self.password is None else f":{self.password}@"
        return f"{'rediss' if self.tls else 'redis'}://{who}127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """A plain client, to look and to meddle."""
        return redis.Redis(port=self.port, password=self.password)

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait(_SECONDS)

    def halt(self) -> None:
        """Let it accept connections and answer nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def redis_server(*options: str, password: str | None = None, tls: bool = False) -> Iterator[RedisServer]:
    """A server without persistence that ends with the block; ``options``: further ones of redis-server."""
    if password is not None:
        options = (*options, "--requirepass", password)
    with tempfile.TemporaryDirectory() as directory:
        server = _started(Path(directory), options, password, tls)
        try:
            yield server
        finally:
            server.kill()


def _started(directory: Path, options: tuple[str, ...], password: str | None, tls: bool) -> RedisServer:
    for _ in range(_STARTS_MAX):
        port = _free_port()
        ports = ("--port", "0", "--tls-port", str(port)) if tls else ("--port", str(port))
        output = directory / "redis.log"
        with output.open("wb") as out:
            process = subprocess.Popen(
                ["redis-server", "--bind", "127.0.0.1", "--save", "", "--dir", str(directory), *ports, *options],
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        until = time.monotonic() + _SECONDS
        while process.poll() is None and time.monotonic() < until:
            if b"Ready to accept connections" in output.read_bytes():
                return RedisServer(port=port, process=process, password=password, tls=tls)
            time.sleep(0.01)
        process.kill()
        process.wait(_SECONDS)
    raise AssertionError(f"redis-server does not start: {output.read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
