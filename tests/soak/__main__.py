"""An hour of steady mixed load through the real sidecar: ``python -m tests.soak [--seconds 3600] [--rate 150]``.

Several crawlers ask sites over http and https, hosts come and go, requests are denied, refused, broken off and end in
errors; segments rotate every minute and are merged.  Every ten seconds memory, descriptors, threads, queue and the
event loop's lag are noted.  At the end everything asked must be on record exactly once, the log must verify, and what
is watched must not have grown (flatness.py has the rule).  Exit code 1 where it did not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import trustme

from tests.end_to_end import harness
from tests.end_to_end.harness import Sidecar, tls_context
from tests.end_to_end.origin import Origin, farm
from tests.faults.results import machine
from tests.soak import crawl, judging
from tests.soak.crawl import Crawl
from tests.soak.judging import Counted
from tests.soak.sampling import Sample, Sampler

RESULT = Path(__file__).resolve().parent / "results.json"
_LOGGING = "[logging]\nsegment_age_s = 60\nmerge_interval_h = 0.2\n"
# Hosts that pass come round again after about 7 minutes, and have to be asked for their robots.txt anew.
_ROBOTS = "[robots]\nttl_s = 300\n"


def main(arguments: list[str] | None = None) -> int:
    """Run, judge, and write what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600, help="how long to ask (default 3600)")
    parser.add_argument("--rate", type=float, default=150, help="requests a second (default 150)")
    parser.add_argument("--every", type=float, default=10, help="seconds between two samples (default 10)")
    parser.add_argument(
        "--json", type=Path, default=RESULT, help="where the result goes; `make docs` reads the default"
    )
    given = parser.parse_args(arguments)
    result = run(given.seconds, given.rate, given.every)
    given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for sentence in result["failures"]:
        sys.stderr.write(f"{sentence}\n")
    sys.stdout.write(f"{'failed' if result['failures'] else 'passed'}: {given.json}\n")
    return int(bool(result["failures"]))


def run(seconds: float, rate: float, every: float) -> dict[str, Any]:
    """One soak: what was counted, what was sampled, and sentences on what is wrong."""
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as name, _stage(Path(name)) as parts:
        sidecar, origins = parts
        with _closed_port() as closed:
            load = Crawl(
                proxy=sidecar.ready["proxy"],
                origins=origins,
                closed_port=closed,
                tls=tls_context(sidecar.site.certificate),
                rate=rate,
            )
            began = time.monotonic()
            samples, seen = _watch(sidecar, load, origins, seconds, every)
            took = time.monotonic() - began
        code = sidecar.stop()
        counted = _counted(sidecar, load, seen)
        if code:
            counted.failures.append(f"the sidecar ended with {code}")
        counts = judging.histories(counted)
        rows, grown = judging.growth(samples)
        verified = _verified(sidecar)
        counted.failures += grown
        if verified["errors"]:
            counted.failures.append(f"crawl-audit verify found {verified['errors']} errors")
        return {
            "on": f"{datetime.now(UTC):%Y-%m-%d}",
            "where": machine(),
            "seconds": round(took),
            "rate_wanted": rate,
            "rate": round(len(load.statuses) / took, 1),
            "counts": counts,
            "statuses": {str(status or "none"): number for status, number in sorted(load.came_back.items())},
            "kinds": dict(load.kinds),
            "robots_fetched": sidecar.rows("SELECT count(*) AS n FROM snapshot WHERE source = 'fetched'")[0]["n"],
            "hosts": sidecar.rows("SELECT count(DISTINCT host) AS n FROM decision")[0]["n"],
            "segments_made": samples[-1].segments,
            "verify": verified,
            "flatness": rows,
            "failures": counted.failures,
            "samples": [asdict(sample) for sample in samples],
        }


@contextlib.contextmanager
def _stage(place: Path) -> Iterator[tuple[Sidecar, list[Origin]]]:
    """A running sidecar of three crawlers, and a site on http and one on https that answer to every host name."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("*.shop.test").configure_cert(tls)
    authority.cert_pem.write_to_path(str(place / "origins.pem"))
    shared, own = place / "site", place / "sidecar"
    shared.mkdir()
    own.mkdir()
    site = harness.make_site(shared, place / "origins.pem")
    digests = {name: hashlib.sha256(token.encode()).hexdigest() for name, token in crawl.TOKENS.items()}
    crawlers = "".join(
        f'[[crawlers]]\nid = "{name}"\nproduct_tokens = ["SoakBot"]\ntoken_sha256 = "{digest}"\n'
        for name, digest in digests.items()
    )
    settings = f"{crawlers}{_LOGGING}{_ROBOTS}"
    with farm(tls) as sites:
        origins = [sites.start("http"), sites.start("https")]
        sidecar = Sidecar(site=site, directory=own, mode="enforce", settings=settings, arguments=())
        try:
            sidecar.start(300)
            yield sidecar, origins
        finally:
            harness.end(sidecar)


@contextlib.contextmanager
def _closed_port() -> Iterator[int]:
    """A port that is taken and refuses every connection."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def _watch(
    sidecar: Sidecar, load: Crawl, origins: list[Origin], seconds: float, every: float
) -> tuple[list[Sample], list[int]]:
    """Let the crawl run and sample beside it; the samples, and the numbers that the sites have seen."""
    sampler = Sampler(sidecar.pid, sidecar.ready["admin"], sidecar.log)
    thread = threading.Thread(target=lambda: asyncio.run(load.run(seconds)), name="crawl", daemon=True)
    samples: list[Sample] = []
    seen: list[int] = []
    began = time.monotonic()
    thread.start()
    while thread.is_alive():
        samples.append(sampler.look(time.monotonic() - began, len(load.statuses)))
        thread.join(max(0.1, began + every * len(samples) - time.monotonic()))
        seen += _drained(origins)
        _bar(samples[-1], seconds)
    return samples, seen + _drained(origins)


def _drained(origins: list[Origin]) -> list[int]:
    """The numbers of the requests that the sites have seen since the last time; what they keep is let go."""
    targets: list[str] = []
    for origin in origins:
        while origin.seen:
            targets.append(origin.seen.pop(0).target)
        origin.first_bytes.clear()
    return list(crawl.numbers(iter(targets)))


def _counted(sidecar: Sidecar, load: Crawl, seen: list[int]) -> Counted:
    number = "CAST(regexp_extract(target, '[?&]id=([0-9]+)', 1) AS BIGINT) AS number"
    rows = sidecar.rows(
        f"SELECT {number}, count(*) AS decided, count(*) FILTER (action = 'forwarded') AS forwarded,"
        " count(outcome) AS ended FROM exchange WHERE target LIKE '%id=%' GROUP BY 1"
    )
    size = len(load.statuses)
    columns = {name: [0] * size for name in ("decided", "forwarded", "ended")}
    for row in rows:
        for name, values in columns.items():
            values[row["number"]] = row[name]
    refused = sidecar.rows("SELECT count(*) AS n FROM incident WHERE incident = 'unknown_crawler'")[0]["n"]
    return Counted(**columns, seen=judging.tally(size, seen), statuses=load.statuses, incidents=refused)


def _verified(sidecar: Sidecar) -> dict[str, Any]:
    """What `crawl-audit verify` says of the log."""
    done = subprocess.run(
        [sys.executable, "-m", "reports", "verify", str(sidecar.log), "--format", "json"],
        env=sidecar.site.environment(),
        capture_output=True,
        text=True,
        timeout=1800,
    )
    said = json.loads(done.stdout)
    errors = sum(finding["severity"] == "error" for finding in said["findings"])
    return {"result": said["result"], "errors": errors}


def _bar(sample: Sample, seconds: float) -> None:
    if sys.stderr.isatty():
        done = min(30, int(30 * sample.at_s / seconds))
        bar = "█" * done + "░" * (30 - done)
        sys.stderr.write(f"\r{bar} {sample.requests:,} requests, {sample.rss_mib:.0f} MiB ")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
