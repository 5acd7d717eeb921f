"""Where the sidecar's time goes under one scenario: a flame graph, and the share of what we know how to name.

    python -m benchmarks.profile "https new host each" --svg profile.svg

Needs py-spy (`pip install py-spy`), which looks at the running process from outside; numbers of a sampled run are for
finding what to change, and benchmarks/proxy.py says what came of it.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks import load, proxy

# The first that is found anywhere in a stack names it: from what is ours and narrow to what is mitmproxy's and wide.
_PARTS = (
    ("LogThread._run", "the log's thread"),
    ("CheckpointWriter._run", "signing checkpoints"),
    ("RobotsCache._refresh", "fetching robots.txt"),
    ("get_cert", "certificates for hosts"),
    ("receive_handshake_data", "TLS handshakes"),
    ("tls_start_", "setting up TLS"),
    ("open_connection", "connections to sites"),
    ("proxy_addon/addon.py", "our hooks on exchanges"),
    ("proxy_addon/boundary.py", "our hooks on connections"),
    ("_SelectorSocketTransport.write", "writing to sockets"),
    ("mitmproxy/proxy", "mitmproxy's layers"),
    ("asyncio/", "the event loop"),
)
_IDLE = ("Condition.wait", "_worker (concurrent/futures/thread.py", "EpollSelector.select")


def parts(raw: str) -> Counter[str]:
    """Samples by part, of py-spy's raw form: a stack with semicolons, a space, a count; waiting is left out."""
    found: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        if not stack.rpartition(";")[2].startswith(_IDLE):
            name = next((name for part, name in _PARTS if part in stack), "the rest")
            found[name] += int(count)
    return found


def _record(pid: int, form: str, seconds: float, to: Path) -> subprocess.Popen[bytes]:
    command = ["py-spy", "record", "--pid", str(pid), "--duration", str(round(seconds)), "--rate", "200"]
    quiet = subprocess.DEVNULL
    return subprocess.Popen([*command, "--format", form, "--output", to], stdout=quiet, stderr=quiet)


def main() -> None:
    """Load a sidecar, sample it twice, print the shares."""
    names = [scenario.name for scenario in proxy.SCENARIOS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", choices=names)
    parser.add_argument("--svg", type=Path, default=Path("profile.svg"), help="where the flame graph goes")
    parser.add_argument("--seconds", type=float, default=15.0)
    chosen = parser.parse_args()
    if shutil.which("py-spy") is None:
        raise SystemExit("This needs py-spy: pip install py-spy.")
    scenario = proxy.SCENARIOS[names.index(chosen.scenario)]
    with tempfile.TemporaryDirectory(prefix="crawl-audit-profile-") as directory:
        place = Path(directory)
        with proxy.origin(place) as (ca, ports):
            sidecar = proxy.sidecar(place, "audit", ca)
            raw = place / "raw"
            for form, to in (("raw", raw), ("flamegraph", chosen.svg)):
                sampling = _record(sidecar.process.pid, form, chosen.seconds, to)
                port = ports[1] if scenario.tls else ports[0]
                asyncio.run(load.run(scenario, sidecar.address, port, 10, chosen.seconds + 1))
                if sampling.wait() != 0:
                    raise SystemExit("py-spy could not look at the process: it needs root, or ptrace_scope 0.")
            sidecar.process.terminate()
            sidecar.process.wait(60)
            found = parts(raw.read_text(encoding="utf-8"))
    total = found.total() or 1
    for name, count in found.most_common():
        sys.stdout.write(f"{100 * count / total:5.1f} %  {name}\n")
    sys.stdout.write(f"The flame graph is in {chosen.svg}.\n")


if __name__ == "__main__":
    main()
