"""How long a judgement takes on a warm file, beside Protego alone and beside robotspy, and questions a second in bulk.

Run from the repository: ``python benchmarks/robots_judge.py``.  Takes some 20 s; files are synthetic and the same
each time.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable
from functools import partial

from protego import Protego
from robots import RobotsParser

from crawl_audit.robots import compile_rules
from reports.judge import judge_lines

TARGETS = ["/", "/abc/index.html", "/blog/2024/05/some-title-of-a-post", "/search?q=x&page=2", "/img/a%20b.png"]


def main() -> None:
    """Print one line per file, then the bulk rate."""
    print(f"{'file':>10} {'rules':>6} {'compile ms':>11} {'judge us':>9} {'protego us':>11} {'robotspy us':>12}")
    for size in (2_048, 10_240, 800_000):
        body = synthetic(size)
        started = time.perf_counter()
        rules = compile_rules(body, ("ExampleBot",))
        compile_ms = (time.perf_counter() - started) * 1000
        alone = Protego.parse(body.decode())
        ours = median_us(rules.judge)
        protego = median_us(partial(_ask, alone))
        robotspy = median_us(partial(_ask_robotspy, RobotsParser.from_string(body.decode())))
        figures = f"{compile_ms:>11.1f} {ours:>9.1f} {protego:>11.1f} {robotspy:>12.1f}"
        print(f"{len(body):>10} {body.count(b'llow:'):>6} {figures}")
    print(f"judge --jsonl: {bulk_rate():,.0f} lines/s (100 files of 2 KB, each asked about 500 URLs)")


def synthetic(size: int, seed: int = 1) -> bytes:
    """A robots.txt of about ``size`` octets; one rule in twelve has a wildcard, as in files one meets."""
    numbers = random.Random(seed)
    lines, length = ["User-agent: *"], 0
    while length < size:
        word = "".join(numbers.choice("abcdefghijklmnop") for _ in range(numbers.randint(4, 16)))
        kind = numbers.random()
        path = f"/*?{word}=" if kind < 0.04 else f"/{word}/*.php$" if kind < 0.08 else f"/{word}/"
        lines.append(("Allow: " if numbers.random() < 0.2 else "Disallow: ") + path)
        length += len(lines[-1]) + 1
    return "\n".join(lines).encode()


def median_us(judge: Callable[[str], object]) -> float:
    """Median over rounds of the mean time of one call over all targets, in microseconds."""
    rounds = []
    for _ in range(51):
        started = time.perf_counter()
        for _ in range(20):
            for target in TARGETS:
                judge(target)
        rounds.append((time.perf_counter() - started) / (20 * len(TARGETS)) * 1e6)
    return statistics.median(rounds)


def _ask(alone: Protego, target: str) -> bool:
    return alone.can_fetch("https://x" + target, "ExampleBot")


def _ask_robotspy(parser: RobotsParser, target: str) -> bool:
    return bool(parser.can_fetch("ExampleBot", "https://x" + target))


def bulk_rate() -> float:
    """Lines a second of `judge_lines` where files repeat."""
    files = [synthetic(2_048, seed).decode() for seed in range(100)]
    lines = [
        json.dumps({"id": number, "robots": file, "token": "ExampleBot", "url": f"https://example.com/p/{number}"})
        for number in range(500)
        for file in files
    ]
    started = time.perf_counter()
    for _ in judge_lines(lines):
        pass
    return len(lines) / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
