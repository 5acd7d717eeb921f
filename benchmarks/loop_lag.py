"""How long a hostile robots.txt holds up everybody else: the event loop's lag while each file is taken in.

Run from the repository: ``python -m benchmarks.loop_lag``.  A ticker sleeps for 1 ms again and again; what a sleep
takes longer is the lag that every request at that moment sees.  Takes some 20 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sys
import time
from dataclasses import dataclass

from crawl_audit import signals
from proxy_addon import interpreter
from proxy_addon.compiled_rules import CompiledRules

_MIB = 1024 * 1024
_SLEEP_S = 0.001


def _filled(line: bytes) -> bytes:
    return (b"User-agent: *\n" + line * (_MIB // len(line)))[:_MIB]


FILES: dict[str, bytes] = {
    "2,000 agents x 2,000 rules": b"".join(b"User-agent: a%d\n" % n for n in range(2000))
    + b"".join(b"Disallow: /%d\n" % n for n in range(2000)),
    "one line of 500 KB": b"User-agent: *\nDisallow: /" + b"x" * 500_000,
    "one line of 250,000 wildcards": b"User-agent: *\nDisallow: /" + b"*a" * 250_000,
    "30,000 wildcard rules": b"User-agent: *\n" + b"".join(b"Disallow: /*%x*b\n" % n for n in range(30_000)),
    "1e6 rules (116,000 in 1 MiB)": (b"User-agent: *\n" + b"Allow:/\n" * 1_000_000)[:_MIB],
    "rules all different": (b"User-agent: *\n" + b"".join(b"Allow:/%x\n" % n for n in range(100_000)))[:_MIB],
    "escapes": _filled(b"Disallow:/%2a|%7\n"),
    "octets outside ASCII": _filled(b"Disallow:/\xff\xfe\xfd\xfc\n"),
    "delimiters in queries": _filled(b"Disallow:/?a:b\n"),
    "60,000 groups": _filled(b"User-agent:a\nAllow:/\n"),
    "350,000 unknown records": _filled(b"a:\n"),
    "a million empty lines": _filled(b"\n"),
    "lists of user-agents": (b"User-agent: " + b"a," * 8000 + b"\n") * 60 + b"Disallow: /",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """What the ticker saw, in milliseconds."""

    work: float  # how long the file took, in its thread
    ticks: int
    p50: float
    p99: float
    worst: float


async def lag_during(body: bytes) -> Lag:
    """The lag while signals are looked for in ``body`` and its rules are compiled, as for a fetched file."""
    compiled = CompiledRules()
    lags: list[float] = []

    async def tick() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(_SLEEP_S)
            lags.append((time.perf_counter() - before - _SLEEP_S) * 1000)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.02)
    started = time.perf_counter()
    await compiled.off_loop(lambda: signals.robots_signals(body), len(body))
    await compiled.rules(hashlib.sha256(body).hexdigest(), body, ("ExampleBot",))
    work = (time.perf_counter() - started) * 1000
    await asyncio.sleep(0.02)
    ticking.cancel()
    await compiled.aclose()
    lags.sort()
    return Lag(work=work, ticks=len(lags), p50=lags[len(lags) // 2], p99=lags[int(len(lags) * 0.99)], worst=lags[-1])


def main() -> None:
    """Print one line per file."""
    with contextlib.nullcontext() if "--default-interpreter" in sys.argv else interpreter.sharing_time():
        print(f"{'file':>30} {'work ms':>8} {'ticks':>6} {'p50 ms':>7} {'p99 ms':>7} {'worst ms':>9}")
        for name, body in FILES.items():
            lag = asyncio.run(lag_during(body))
            print(f"{name:>30} {lag.work:>8.0f} {lag.ticks:>6} {lag.p50:>7.1f} {lag.p99:>7.1f} {lag.worst:>9.1f}")


if __name__ == "__main__":
    main()
