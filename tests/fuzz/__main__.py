"""`make fuzz`: every target driven by coverage with atheris, one process after the other.

    python -m tests.fuzz [SECONDS] [TARGET...]

Each target gets SECONDS (60).  Prints how many executions there were; ends with an error at the first octets that
break what tests/fuzz/targets.py asserts, and says where they are kept.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["crawl_audit", "protego"]):
    from tests.fuzz.targets import SEEDS, TARGETS

GOLDEN = Path(__file__).parents[1] / "golden" / "entries_v1.jsonl"
_INPUT_BYTES_MAX = 4096
_RUN_S_MAX = 10  # one input; longer counts as a hang


def drive(name: str, arguments: list[str]) -> None:
    """Hand this process to libFuzzer, which ends it."""
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name])
    atheris.Fuzz()


def main(arguments: list[str]) -> int:
    """Fuzz the targets named, or all; 1 at the first that fails."""
    seconds = int(arguments[0]) if arguments else 60
    total = 0
    for name in arguments[1:] or TARGETS:
        executions, failed = fuzz(name, seconds)
        total += executions
        print(f"{name:>14} {executions:>12,} executions", flush=True)
        if failed:
            return 1
    print(f"{'all':>14} {total:>12,} executions")
    return 0


def fuzz(name: str, seconds: int) -> tuple[int, bool]:
    """(executions, whether one failed) of one target in a process of its own."""
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds(name)):
            (Path(corpus) / f"seed{number}").write_bytes(seed)
        limits = [f"-max_total_time={seconds}", f"-max_len={_INPUT_BYTES_MAX}", f"-timeout={_RUN_S_MAX}"]
        command = [sys.executable, "-m", "tests.fuzz", "--drive", name, *limits, "-print_final_stats=1", corpus]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    found = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    if done.returncode:
        print(done.stdout[-2000:] + done.stderr[-4000:], file=sys.stderr)
    return int(found[1]) if found else 0, done.returncode != 0


def seeds(name: str) -> list[bytes]:
    """Inputs to start from."""
    if name != "entries":
        return SEEDS[name]
    return [json.loads(line)["entry"].encode() for line in GOLDEN.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--drive"]:
        drive(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main(sys.argv[1:]))
