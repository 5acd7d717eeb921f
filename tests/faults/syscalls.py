"""kill -9, or an error, at every system call on the files of the log, one after the other.

A dry run under ``strace`` lists the calls of one step that change a file; then the step is run once per call, and
strace kills whoever makes it, or has it fail.  A call is named by its file, its name and how many of that name on that
file came before it, so the list is the same every time.
"""

from __future__ import annotations

import queue
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.faults import child
from tests.faults.comparing import Comparison, recovered
from tests.faults.processes import at_gate, ended, kill, start, traced, until
from tests.faults.results import Row
from tests.writing import directory_of

CALLS = (
    "write,pwrite64,writev,pwritev,fdatasync,fsync,ftruncate,truncate,fallocate,openat,"
    "unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,rmdir,chmod,fchmod,fchmodat"
)
_LINE = re.compile(r"^(?P<tid>\d+)\s+(?P<call>\w+)\((?P<arguments>.*)")
_CREATES = re.compile(r"O_CREAT|O_TRUNC")
# Calls that a failing disk fails; the others fail with the same errors and are covered by these.
# Which records share a commit is a matter of milliseconds; a call that was not made this time is waited for again.
_TRIES = 4
_HIT = re.compile(r"killed by SIGKILL|INJECTED")
_FAILING = ("write", "pwrite64", "fdatasync", "fsync", "openat", "rename", "ftruncate")


@dataclass(frozen=True, slots=True)
class Point:
    """The ``number``-th ``call`` on ``path`` (relative to the log directory) in a step."""

    step: str
    path: str
    call: str
    number: int


class Scene:
    """A place for one run: log directory, gates, what was told; made anew for every run at the same path."""

    def __init__(self, place: Path, crashed: Path | None = None) -> None:
        self.place = place
        self.log, self.gates, self.told = place / "log", place / "gates", place / "told"
        self.more: tuple[str, ...] = ()
        self._crashed = crashed

    def fresh(self, *, empty: bool = False) -> None:
        """Make the place as it is before the first step."""
        for path in (self.log, self.gates):
            shutil.rmtree(path, ignore_errors=True)
        self.told.unlink(missing_ok=True)
        self.gates.mkdir()
        if self._crashed is not None:
            shutil.copytree(self._crashed / "log", self.log)
            shutil.copyfile(self._crashed / "told", self.told)
        elif not empty:
            with directory_of(self.log):
                pass

    def run(self, step: str, options: list[str], paths: list[Path], both: bool = False) -> tuple[str, str]:
        """One run with strace on one step: what strace saw, and standard error of the process.

        The first fault is the only one.  Should it have hit a helper process, its parent goes on, or with ``both`` is
        killed as well.
        """
        self.fresh(empty=step == "create")
        what = ("recover",) if step == "recover" else ("stepwise", "--watched", step)
        # Names of temporary files hold the number of their process; here it is always the same.
        (self.gates / "sitecustomize.py").write_text("import os\nos.getpid = lambda: 4000000\n")
        process = start(
            what[0], self.log, self.told, "--gates", str(self.gates), *what[1:], *self.more, python_path=self.gates
        )
        listing = self.place / "listing"
        listing.unlink(missing_ok=True)
        try:
            at_gate(process, self.gates, step)
            with traced(process.pid, paths, options, output=str(listing)):
                (self.gates / f"go-{step}").touch()
                after = self.gates / f"at-end-of-{step}"
                until(lambda: after.exists() or process.poll() is not None or _hit(listing), seconds=40)
            if both:
                process.kill()
            (self.gates / f"go-end-of-{step}").touch()
            said = ended(process)
        finally:
            if process.poll() is None:
                kill(process)
        return listing.read_text(errors="replace"), said

    def calls(self, step: str) -> list[Point]:
        """The calls of a step that change a file, each once."""
        listing, said = self.run(step, ["-y", "-s", "0", "-e", f"trace={CALLS}"], [])
        assert not said, f"the step {step} does not run: {said}"
        return points(step, listing, self.log)


def points(step: str, listing: str, log: Path) -> list[Point]:
    """The points of a strace listing; calls are counted per thread and file, as strace counts them."""
    seen: Counter[tuple[str, str, str]] = Counter()
    found: dict[Point, None] = {}
    for line in listing.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        named = re.search(rf"{re.escape(str(log))}(/[^\"<>]*)?(?=[\">])", match["arguments"])
        if named is None or f"{log}/lock" in line:
            continue
        path = (named[1] or "/").lstrip("/")
        seen[match["tid"], match["call"], path] += 1
        if match["call"] == "openat" and not _CREATES.search(match["arguments"]):
            continue
        found[Point(step, path, match["call"], seen[match["tid"], match["call"], path])] = None
    return list(found)


def run(*, quick: bool, say: Callable[[str], None]) -> Iterator[Row]:
    """Every point of every step killed, then recovered; recovery killed too; then the same with an error instead."""
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        places = [Path(name) / "a", Path(name) / "b"]
        for place in places:
            place.mkdir()
        scenes = [Scene(place) for place in places]
        by_step = {step: scenes[0].calls(step) for step in (("commit",) if quick else child.STEPS)}
        for step, found in by_step.items():
            what = f"kill -9 at every system call on the log's files: {step}"
            yield _row(what, found[:: 4 if quick else 1], "signal=SIGKILL", scenes, say)
        if quick:
            return
        crashed = _crashed(Path(name) / "crashed")
        again = [Scene(place, crashed) for place in places]
        what = "kill -9 at every system call of recovery, which is then done again"
        yield _row(what, again[0].calls("recover"), "signal=SIGKILL", again, say)
        errors = [point for step in ("commit", "rotate") for point in by_step[step] if point.call in _FAILING]
        for error in ("EIO", "ENOSPC"):
            what = f"{error} once at every system call of commit and rotation; the process goes on"
            yield _row(what, errors, f"error={error}", scenes, say)


def _row(what: str, chosen: list[Point], fault: str, scenes: list[Scene], say: Callable[[str], None]) -> Row:
    total, missed, free = Comparison(), 0, queue.SimpleQueue[Scene]()
    for scene in scenes:
        free.put(scene)

    def one(numbered: tuple[int, Point]) -> tuple[Comparison, bool]:
        number, point = numbered
        scene = free.get()
        try:
            found = Comparison()
            for _ in range(_TRIES):
                one, hit = at(point, fault, scene, both=number % 2 == 0 and "signal" in fault)
                found += one
                if hit:
                    break
            return found, hit
        finally:
            free.put(scene)

    with ThreadPoolExecutor(len(scenes)) as workers:
        for number, (found, hit) in enumerate(workers.map(one, enumerate(chosen)), 1):
            total += found
            missed += not hit
            say(f"{what}: {number} of {len(chosen)}, {total.lost} lost, {total.duplicated} duplicated")
    row = Row(
        family="syscalls",
        fault=what,
        runs=len(chosen),
        records=total.acknowledged,
        lost=total.lost,
        duplicated=total.duplicated,
        control="",
        failures=total.broken[:5],
    )
    row.runs -= missed
    if missed > len(chosen) // 20 + 1:
        row.failures.append(f"{missed} of {len(chosen)} calls were not made again, so nothing happened there")
    lost = _control(scenes[0])
    row.control = f"a writer that tells before it commits, killed at its first write: {lost} of 3 records lost"
    if lost != 3:
        row.failures.append("the control did not fail")
    return row


def _control(scene: Scene) -> int:
    """How many of three records are lost that were told before their commit, whose first write is where it dies."""
    plain = Scene(scene.place)
    plain.more = ("--control", "tell-first")
    found, hit = at(Point("commit", f"live/{child.LOG}.000000.duckdb.front", "pwrite64", 1), "signal=SIGKILL", plain)
    return found.lost if hit else 0


def at(point: Point, fault: str, scene: Scene, *, both: bool = False) -> tuple[Comparison, bool]:
    """One run with a fault at a point, then recovery and comparison; whether the fault came about."""
    inject = f"inject={point.call}:{fault}:when={point.number}"
    listing, said = scene.run(point.step, ["-e", f"trace={point.call}", "-e", inject], [scene.log / point.path], both)
    found = recovered(scene.log, scene.told)
    if any(word in said for word in ("hung", "did not", "terminate called")):
        found.broken.append(said[-300:])
    found.broken = [f"{point}: {sentence}" for sentence in found.broken]
    return found, bool(_HIT.search(listing))


def _hit(listing: Path) -> bool:
    return listing.exists() and bool(_HIT.search(listing.read_text(errors="replace")))


def _crashed(place: Path) -> Path:
    """What a writer killed in the middle left behind: several live files, segments, a checkpoint."""
    (place / "gates").mkdir(parents=True)
    process = start("crawl", place / "log", place / "told", "--segment-bytes", "20000")
    until(lambda: (place / "told").exists() and (place / "told").stat().st_size > 20_000)
    kill(process)
    return place
