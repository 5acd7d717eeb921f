"""kill -9 at random moments: what ``append`` acknowledged is in the log after recovery, once, in its place."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.comparing import Comparison, recovered
from tests.faults.processes import kill, start, until
from tests.faults.results import Row

_PER_LOG_DIRECTORY = 5


def run(*, quick: bool, say: Callable[[str], None]) -> Iterator[Row]:
    """Kills of a writer under load with rotations going on, each followed by recovery."""
    kills = 4 if quick else 250
    found, done = Comparison(), 0
    with ThreadPoolExecutor(2) as both:
        for one in both.map(lambda seed: series(min(_PER_LOG_DIRECTORY, kills), seed=seed), range(0, kills, 5)):
            found += one
            done = min(kills, done + _PER_LOG_DIRECTORY)
            say(f"{done} of {kills} kills, {found.acknowledged} records, {found.lost} lost")
    row = Row(
        family="kills",
        fault="kill -9 of a writer under load at a random moment, with rotations",
        runs=kills,
        records=found.acknowledged,
        lost=found.lost,
        duplicated=found.duplicated,
        control="",
        failures=found.broken[:5],
    )
    controls = 1 if quick else 10
    early = [series(1, seed=number, control="tell-before-commit") for number in range(controls)]
    twice = [series(1, seed=number, control="write-again-without-looking") for number in range(controls)]
    losing, repeating = sum(one.lost > 0 for one in early), sum(not one.clean for one in twice)
    row.control = (
        f"a writer that acknowledges before the commit loses records in {losing} of {controls} kills;"
        f" one that writes again without looking is found out in {repeating} of {controls}"
    )
    if losing < controls or repeating < controls:
        row.failures.append("a control did not fail")
    yield row


def series(kills: int, *, seed: int, control: str | None = None) -> Comparison:
    """Several kills on one log directory, recovery after each, compared as a whole at the end of each."""
    chance = random.Random(seed)
    found = Comparison()
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        told, directory = Path(place) / "told", Path(place) / "log"
        for _ in range(kills):
            before = told.stat().st_size if told.exists() else 0
            arguments = ("--control", control) if control else ()
            process = start("crawl", directory, told, *arguments)
            until(
                lambda: process.poll() is not None or (told.exists() and told.stat().st_size > before),  # noqa: B023
                what="the first acknowledged record",
            )
            time.sleep(chance.uniform(0, 0.8))
            ended_by_itself = process.poll() is not None
            said = kill(process)
            found = recovered(directory, told)
            if ended_by_itself:
                found.broken.append(f"the writer ended before it was killed: {said[-300:]}")
            if control or not found.clean:
                break
    return found
