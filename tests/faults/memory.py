"""Too little memory: allocations that fail in the running sidecar, and a kernel that kills it."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.processes import MissingError, need_root, until
from tests.faults.results import Row
from tests.faults.sidecars import Crawl, crawling, stage, stop_and_judge

_KILLS = 3
_CGROUPS = Path("/sys/fs/cgroup")


def run(*, quick: bool, say: Callable[[str], None]) -> Iterator[Row]:
    """Limits on the address space, tighter and tighter, then a control group that is too small."""
    with stage() as on:
        row = _row("no more address space than in use (+16, +4, +1, +0 MiB) for 4 s each, then as before")
        with crawling(on, on.sidecar()) as crawl:
            died = sum(_squeeze(crawl, extra) for extra in (16, 4, 1, 0))
            stop_and_judge(crawl, row)
        row.runs = 4
        row.control = (
            f"the limit was met: {_failures(crawl)} failed allocations reported, {died} of 4 ended the process"
        )
        if not died and not _failures(crawl):
            row.failures.append("no allocation failed, so nothing was shown")
        yield row
        say("killed by the kernel")
        row = _row("killed by the kernel for want of memory (control group), then started again")
        with crawling(on, on.sidecar()) as crawl:
            tries = killed = 0
            while killed < _KILLS and tries < 3 * _KILLS:  # it can also be starved without being killed
                killed += _kernel_kills(crawl)
                tries += 1
            stop_and_judge(crawl, row)
        row.runs = killed
        row.control = f"the kernel killed it in {killed} of {tries} tries"
        if killed < _KILLS:
            row.failures.append("the kernel did not kill the sidecar as often as wanted")
        yield row


def _row(fault: str) -> Row:
    return Row(family="memory", fault=fault, runs=0, records=0, lost=0, duplicated=0, control="")


def _squeeze(crawl: Crawl, extra_mib: int) -> bool:
    """Limit the address space for a while; whether the process ended, which is then started again."""
    process, pid = crawl.sidecar.process, crawl.sidecar.pid
    assert process is not None
    in_use = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    hard = resource.prlimit(pid, resource.RLIMIT_AS)[1]
    resource.prlimit(pid, resource.RLIMIT_AS, (in_use + extra_mib * 2**20, hard))
    deadline = time.monotonic() + 4
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    ended = process.poll() is not None
    if ended:
        crawl.restart()
    else:
        resource.prlimit(pid, resource.RLIMIT_AS, (hard, hard))
    crawl.goes_on()
    return ended


def _failures(crawl: Crawl) -> int:
    said = "".join(path.read_text(errors="replace") for path in crawl.sidecar.directory.glob("stderr.*"))
    words = ("MemoryError", "Out of Memory", "bad allocation", "bad_alloc", "Cannot allocate", "can't start new thread")
    return sum(said.count(word) for word in words)


def _kernel_kills(crawl: Crawl) -> bool:
    """Run the sidecar in a control group with no room left; whether it was killed.  It is started again outside."""
    crawl.sidecar.stop(signal.SIGKILL)
    with _control_group() as (group, limit), contextlib.ExitStack() as held:
        home = group.parent / _own_group(group.parent) / "cgroup.procs"
        (group / "cgroup.procs").write_text(str(os.getpid()))
        try:
            crawl.restart()
        finally:
            home.write_text(str(os.getpid()))
        process = crawl.sidecar.process
        assert process is not None
        crawl.goes_on()
        usage = next(path for name in ("memory.current", "memory.usage_in_bytes") if (path := group / name).exists())
        address = str(crawl.sidecar.ready["proxy"]).rpartition(":")
        end = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(OSError):  # less than what cannot be given up is refused at first
                (group / limit).write_text(str(int(usage.read_text()) - 2**20))
            for _ in range(20):  # each wants memory for a request that does not end
                with contextlib.suppress(OSError):
                    client = held.enter_context(socket.create_connection((address[0], int(address[2])), timeout=1))
                    client.sendall(b"GET http://shop.test/ HTTP/1.1\r\nX: " + b"x" * 100_000)
            time.sleep(0.1)
        killed = process.poll() == -signal.SIGKILL
        if process.poll() is None:
            process.kill()
        process.wait(10)
        until(lambda: not (group / "cgroup.procs").read_text().strip(), 20, "the end of its helpers")
    crawl.restart()
    crawl.goes_on()
    return killed


def _own_group(root: Path) -> str:
    """The control group of this process, relative to the root of the memory controller's tree."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == ("" if root == _CGROUPS else root.name):
            return path.lstrip("/")
    raise MissingError("this process is in no control group")


@contextlib.contextmanager
def _control_group() -> Iterator[tuple[Path, str]]:
    """An empty control group with the memory controller, and the name of the file of its limit."""
    need_root()
    parent = _CGROUPS / "memory" if (_CGROUPS / "memory").is_dir() else _CGROUPS
    group = parent / f"faults-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        raise MissingError(f"no control group can be made in {parent}: {error.strerror}") from error
    try:
        limits = [name for name in ("memory.max", "memory.limit_in_bytes") if (group / name).exists()]
        if not limits:
            raise MissingError(f"the control groups in {parent} have no memory controller")
        yield group, limits[0]
    finally:
        group.rmdir()
