"""The process of one worker as its supervisor has it: started afresh, asked over a socket of its own, listened to.

Never forked: threads of mitmproxy and DuckDB do not survive that.  Its lines come through pipes, so that those of
several workers reach standard output and standard error whole.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from crawl_audit.errors import CrawlAuditError
from crawl_audit.text import first_line
from proxy_addon import own_processes
from proxy_addon.operational_log import about
from proxy_addon.settings import ENV_PREFIX, Settings
from proxy_addon.worker_orders import Orders

logger = logging.getLogger("crawl_audit.workers")

# A line of the operational log has 10,000 characters at most, a signed head fewer.
_LINE_BYTES_MAX = 2**20
_COMPLAINT_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the workers of one sidecar have in common."""

    settings: Settings
    listen: str
    recovered: asyncio.Event
    """Set when the first worker has finished what an earlier run left: the others, started already, wait for it."""
    directory_lock: int
    """Held by every worker too, so that nobody else writes the directory while one lives."""
    memory: int
    """Descriptor of what they share of paces and limits."""
    live: Path
    say: Callable[[str], object]
    """What workers say on standard output besides that they are ready."""
    say_error: Callable[[str], object]
    """Standard error."""


class WorkerGoneError(CrawlAuditError):
    """A worker does not answer; the text says so in a sentence."""


class WorkerProcess:
    """One process, from :meth:`start` until :meth:`ended` returns."""

    def __init__(
        self, number: int, place: Place, process: asyncio.subprocess.Process, live: int, orders: Orders
    ) -> None:
        self.number = number
        self.log: str | None = None  # the log that it writes, once it is ready
        self.complaint: str | None = None  # the last that it said on standard error and not in the operational log
        self.ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._place = place
        self._process = process
        self._live = live  # descriptor of the directory in which its socket lies
        self._tasks = [asyncio.create_task(self._hear_output()), asyncio.create_task(self._hear_errors())]
        self._ordering = asyncio.create_task(self._order(orders))

    @classmethod
    async def start(cls, number: int, place: Place, predecessor: str | None) -> Self:
        """Start a worker; ``predecessor``: a sentence on the end of the one before it.  Raises OSError."""
        live = os.open(place.live, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with _listening(_address(live, number)) as admin:
                orders = Orders(
                    settings=place.settings.model_dump_json(exclude_unset=True),
                    settings_recorded=place.settings.recorded(),
                    worker=number,
                    listen=place.listen,
                    admin_descriptor=admin.fileno(),
                    memory_descriptor=place.memory,
                    shared_robots=str(place.live / "robots"),
                    predecessor=predecessor,
                )
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",  # the working directory is not a place to import from
                    "-m",
                    "proxy_addon.worker",
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    limit=_LINE_BYTES_MAX,
                    env=_environment(),
                    pass_fds=(admin.fileno(), place.directory_lock, place.memory),
                    start_new_session=True,  # Ctrl-C is for the supervisor
                )
        except OSError:
            os.close(live)
            raise
        return cls(number, place, process, live, orders)

    async def ended(self) -> int:
        """Wait for the end; the exit code, below zero for the signal that ended it."""
        code = await self._process.wait()
        self._ordering.cancel()
        await asyncio.wait([*self._tasks, self._ordering])
        os.close(self._live)
        self._live = -1
        self.ready.cancel()
        return code

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.returncode is None

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.is_running:
            self._process.send_signal(number)

    async def ask(
        self, path: str, *, method: str = "GET", accept: str = "", within_s: float = 2.0
    ) -> tuple[int, bytes]:
        """(status, body) of what the worker answers on its own admin socket; WorkerGoneError where it does not."""
        fields = ("Host: worker", f"Accept: {accept}", "Content-Length: 0", "Connection: close")
        head = "\r\n".join((f"{method} {path} HTTP/1.1", *fields, "", ""))
        try:
            async with asyncio.timeout(within_s):
                reader, writer = await asyncio.open_unix_connection(_address(self._live, self.number))
                try:
                    writer.write(head.encode())
                    answer = await reader.read(-1)
                finally:
                    writer.close()
            return int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[2]
        except TimeoutError as error:
            raise WorkerGoneError(f"Worker {self.number} has not answered within {within_s:g} s.") from error
        except (OSError, ValueError, LookupError) as error:
            raise WorkerGoneError(f"Worker {self.number} does not answer: {first_line(error)}.") from error

    async def _order(self, orders: Orders) -> None:
        if self.number > 1:
            await self._place.recovered.wait()
        assert self._process.stdin is not None
        # Left open: its end tells the worker that the supervisor is gone.
        self._process.stdin.write(orders.line())

    async def _hear_output(self) -> None:
        assert self._process.stdout is not None
        async for line in _lines(self._process.stdout):
            said = _object(line)
            if said.get("ready") is True and not self.ready.done():
                self.log = said.pop("writes", None)
                self.ready.set_result(said)
            else:
                self._place.say(line)

    async def _hear_errors(self) -> None:
        assert self._process.stderr is not None
        async for line in _lines(self._process.stderr):
            if line.startswith("{"):
                self._place.say_error(line)
            elif line.strip():
                self.complaint = line.strip()[:_COMPLAINT_MAX]
                logger.warning("Worker %d says: %s", self.number, line, extra=about("worker_said"))


def how(code: int) -> str:
    """How a process ended, for a sentence."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"was ended by signal {-code}"


def _address(live: int, number: int) -> str:
    # By way of the open directory: the address of a Unix socket has 107 octets, which a path soon exceeds.
    return f"/proc/self/fd/{live}/worker-{number}.socket"


def _listening(address: str) -> socket.socket:
    Path(address).unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(address)
        made.listen(64)
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made


def _environment() -> dict[str, str]:
    """This process's, without settings: the worker gets those that were checked, whatever has become of the rest."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(ENV_PREFIX)}
    return own_processes.with_packages(kept)


async def _lines(stream: asyncio.StreamReader) -> Any:
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # longer than any line of ours
            continue
        if not line:
            return
        yield line.decode("utf-8", "replace").rstrip("\n")


def _object(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
