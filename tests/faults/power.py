"""Power cuts: a file system that is shut down with nothing of its journal flushed, then mounted again.

The writer is stopped, the file system is told to forget what is not on its device (the shutdown ioctl that ext4 and
xfs share), unmounted and mounted: what is there then is what a power cut would have left.  With fsync switched off
(libeatmydata) the same must lose records, or the test shows nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.comparing import Comparison, recovered
from tests.faults.processes import MissingError, kill, library, need, need_root, start, until
from tests.faults.results import Row

# EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are the same number; 2: without flushing the journal (fs/ext4/ext4.h).
_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2
_MAKE = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}
_SIZE = 320 * 2**20  # mkfs.xfs makes none smaller than 300 MiB; the file is sparse


def run(*, quick: bool, say: Callable[[str], None]) -> Iterator[Row]:
    """Cuts on both file systems, each with its control."""
    for kind, cuts, controls in (("ext4", 3, 1), ("xfs", 0, 0)) if quick else (("ext4", 60, 10), ("xfs", 20, 5)):
        if not cuts:
            continue
        found = Comparison()
        for number in range(cuts):
            found += cut(kind, seed=number)
            say(f"{kind}: {number + 1} of {cuts} cuts, {found.acknowledged} records, {found.lost} lost")
        without = [cut(kind, seed=number, preload=library("libeatmydata.so")) for number in range(controls)]
        losing = sum(one.lost > 0 for one in without)
        row = Row(
            family="power",
            fault=f"power cut on {kind} under load, with rotations",
            runs=cuts,
            records=found.acknowledged,
            lost=found.lost,
            duplicated=found.duplicated,
            control=f"with fsync switched off (libeatmydata): {losing} of {controls} cuts lose records,"
            f" {sum(one.lost for one in without)} of {sum(one.acknowledged for one in without)}",
            failures=found.broken[:5],
        )
        if losing < controls:
            row.failures.append("the control did not lose records in every cut")
        yield row


def cut(kind: str, *, seed: int, preload: str | None = None) -> Comparison:
    """One file system, one writer, one cut, one recovery."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="faults-") as name, device(kind, Path(name)) as disk:
        told, directory = Path(name) / "told", disk / "log"
        process = start("crawl", directory, told, preload=preload)
        until(lambda: process.poll() is not None or (told.exists() and told.stat().st_size > 0))
        time.sleep(chance.uniform(0, 1.0))
        process.send_signal(signal.SIGSTOP)
        _shut_down(disk)
        said = kill(process)
        _mount_again(disk, Path(name))
        found = recovered(directory, told)
        if process.returncode != -signal.SIGKILL:
            found.broken.append(f"the writer ended before the power was cut: {said[-300:]}")
        return found


@contextlib.contextmanager
def device(kind: str, place: Path) -> Iterator[Path]:
    """A mounted file system of a kind in a file."""
    need("mount", f"mkfs.{kind}")
    need_root()
    image, disk = place / "image", place / "disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(_SIZE)
    make = shutil.which(_MAKE[kind][0], path="/usr/sbin:/sbin:/usr/bin:/bin")
    assert make is not None
    subprocess.run([make, *_MAKE[kind][1:], str(image)], check=True, capture_output=True)
    _mount(disk, place)
    try:
        yield disk
    finally:
        _unmount(disk)


def _mount(disk: Path, place: Path) -> None:
    done = subprocess.run(["mount", "-o", "loop", str(place / "image"), str(disk)], capture_output=True, text=True)
    if done.returncode:
        raise MissingError(f"a file system in a file cannot be mounted here: {done.stderr.strip()}")


def _shut_down(disk: Path) -> None:
    descriptor = os.open(disk, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
    except OSError as error:
        raise MissingError(f"the file system cannot be shut down: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _mount_again(disk: Path, place: Path) -> None:
    _unmount(disk)
    _mount(disk, place)


def _unmount(disk: Path) -> None:
    """Unmount; a helper process of the dead writer may hold the file system for another moment."""
    until(
        lambda: subprocess.run(["umount", str(disk)], capture_output=True).returncode == 0,
        seconds=20,
        what=f"unmounting {disk}",
    )
