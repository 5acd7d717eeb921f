"""Starting, tracing and killing the processes under test, and the tools that takes, each missing one by its name."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "strace": "strace",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "mount": "mount",
    "prlimit": "util-linux",
}
_LIBRARIES = {"libeatmydata.so": "libeatmydata1", "libfaketime.so.1": "libfaketime"}


class MissingError(Exception):
    """A tool or a right that a fault needs is not there; the text names it."""


def need(*programs: str) -> None:
    """Raise MissingError where a program is not installed."""
    for program in programs:
        if shutil.which(program) is None and shutil.which(program, path="/usr/sbin:/sbin") is None:
            raise MissingError(f"{program} is not installed (Debian package {PACKAGES[program]})")


def need_root() -> None:
    """Raise MissingError where this process may not mount file systems."""
    if os.geteuid() != 0:
        raise MissingError("mounting file systems needs root")


def library(name: str) -> str:
    """Path of a library to preload."""
    for place in (Path("/usr/lib"), Path("/usr/lib64"), Path("/usr/local/lib")):
        if found := sorted(place.rglob(name)):
            return str(found[0])
    raise MissingError(f"{name} is not installed (Debian package {_LIBRARIES[name]})")


def start(
    what: str, directory: Path, told: Path, *more: str, preload: str | None = None, python_path: Path | None = None
) -> subprocess.Popen[bytes]:
    """The program of :mod:`tests.faults.child` in a process group of its own."""
    environment = dict(os.environ)
    if python_path:
        environment["PYTHONPATH"] = str(python_path)
    if preload:
        environment["LD_PRELOAD"] = preload
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.child", what, str(directory), "--told", str(told), *more],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[bytes]) -> str:
    """Kill -9, and what it had said on standard error."""
    process.kill()
    return ended(process)


def ended(process: subprocess.Popen[bytes], seconds: float = 60) -> str:
    """Wait for the end; standard error."""
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        _, said = process.communicate()
        return f"hung for {seconds} s and was killed: " + said.decode(errors="replace")
    return said.decode(errors="replace")


def until(condition: Callable[[], bool], seconds: float = 30, what: str = "what was waited for") -> None:
    """Wait for a condition; AssertionError where it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.005)


def at_gate(process: subprocess.Popen[bytes], gates: Path, step: str) -> None:
    """Wait until a stepwise process has come to a step."""
    until(lambda: (gates / f"at-{step}").exists() or process.poll() is not None, what=f"the step {step}")
    assert process.poll() is None, f"the process ended before {step}: {ended(process)}"


@contextlib.contextmanager
def traced(
    pid: int, paths: Sequence[Path | str], options: Sequence[str], *, output: str = "/dev/null"
) -> Iterator[None]:
    """A process with ``strace`` attached, all its threads and children, for as long as the block lasts."""
    need("strace")
    filters = [word for path in paths for word in ("-P", str(path))]
    command = ["strace", "-f", "-p", str(pid), "-o", output, *filters, *options]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, bufsize=0) as strace:
        assert strace.stderr is not None
        said = b""
        while b"attached" not in said:
            chunk = strace.stderr.readline()
            said += chunk
            if not chunk:
                raise MissingError(f"strace cannot attach: {said.decode().strip()}")
        time.sleep(0.02)
        try:
            yield
        finally:
            if strace.poll() is None:
                strace.send_signal(signal.SIGINT)  # lets go of what it traces
            with contextlib.suppress(subprocess.TimeoutExpired):
                strace.communicate(timeout=0.3)
            if strace.poll() is None:  # it can wait for ever for a thread that was killed
                strace.kill()
