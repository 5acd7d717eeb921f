"""``crawl-audit-proxy demo``: local sites, the sidecar, a real crawl, the log and what its readers say, in one go.

The readers run as programs of their own, as they do for an auditor, who has no sidecar.
"""

from __future__ import annotations

import itertools
import json
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TextIO

from crawl_audit.errors import ConfigurationError, CrawlAuditError
from proxy_addon import demo_comparison, demo_crawlers, demo_processes, demo_sites
from proxy_addon.demo_comparison import Compared
from proxy_addon.demo_crawlers import Crawler
from proxy_addon.demo_screen import Screen
from proxy_addon.demo_sites import PRODUCT_TOKEN, Site

DEFAULT_LOG = "demo-log"
# Said once in full, by the first answer that says it.
_COMMON_SECTIONS = ("Coverage", "What this does not say", "About this report")


def run(log: Path | None, crawler: str | None, out: TextIO) -> None:
    """Tell the whole story on ``out``; CrawlAuditError, one sentence, where a step goes wrong."""
    directory = log_directory(log)
    chosen = demo_crawlers.choose(crawler)
    story = Story(Screen(out), directory)
    with _ended_by_signals(), tempfile.TemporaryDirectory(prefix="crawl-audit-demo-") as work:
        with demo_sites.running() as sites:
            story.introduce(sites)
            story.crawl(sites, chosen, Path(work))
        by_name = {site.plan.name: site for site in sites}
        story.read(by_name["studio"], by_name["gazette"])
        story.compare(sites)
    story.close(by_name["gazette"])


def log_directory(wanted: Path | None) -> Path:
    """The directory for the log: the one asked for if it is new or empty, else the first free ``demo-log-N``."""
    if wanted is not None:
        if not _is_free(wanted):
            raise ConfigurationError(
                f"{wanted} is there and not empty, and the demo's log has to have a directory of its own: "
                "name another with --log, or leave --log out."
            )
        return wanted
    names = itertools.chain([DEFAULT_LOG], (f"{DEFAULT_LOG}-{number}" for number in itertools.count(2)))
    return next(path for path in map(Path, names) if _is_free(path))


def _is_free(path: Path) -> bool:
    try:
        return not any(path.iterdir())
    except FileNotFoundError:
        return True
    except OSError:  # a file, or nothing that we may look into
        return False


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind like Ctrl-C does, so that no child outlives the demo."""

    def unwind(number: int, frame: object) -> NoReturn:  # noqa: ARG001 the signature of a signal handler
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, unwind) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Story:
    """What the demo shows, step by step."""

    def __init__(self, screen: Screen, log: Path) -> None:
        self._screen = screen
        self._log = log
        self._began = time.monotonic()

    def introduce(self, sites: Sequence[Site]) -> None:
        """The sites and what their robots.txt says."""
        self._screen.step(
            "Six sites", "Each runs on this machine, has another robots.txt and keeps its own access log."
        )
        width = max(len(site.url) for site in sites)
        for site in sites:
            self._screen.line(f"  {site.plan.name:<8} {site.url:<{width}}  robots.txt {site.plan.robots_is}")

    def crawl(self, sites: Sequence[Site], crawler: Crawler, work: Path) -> None:
        """Start the sidecar, crawl through it, publish and stop."""
        say = self._screen
        say.step(
            "The sidecar", f"It judges every request of the crawler {PRODUCT_TOKEN} and denies what is disallowed."
        )
        with demo_processes.sidecar(self._log, work, PRODUCT_TOKEN) as sidecar:
            say.line(f"  listens on {sidecar.proxy} in enforce mode and records in {self._log}")
            say.step(
                "The crawl", "The crawler is told to ignore robots.txt: whatever it does not reach, the sidecar denied."
            )
            say.line(f"  {demo_crawlers.described(crawler)}")
            began, begin = time.monotonic(), f"{sites[0].url}/"
            hosts = [site.host for site in sites]
            demo_crawlers.crawl(crawler, begin=begin, hosts=hosts, proxy=sidecar.proxy, work=work)
            pages = sum(len(site.pages_seen()) for site in sites)
            say.line(f"  done in {time.monotonic() - began:.1f} s; {pages} requests for pages reached the sites")
            say.line(f"  {sidecar.seal()} records published on demand, while the sidecar runs")
            sidecar.stop()
        say.line("  the sidecar has sealed its log and stopped")

    def read(self, open_site: Site, closed_site: Site) -> None:
        """The commands of somebody who has nothing but the log directory."""
        say = self._screen.step
        say("The log", "What a reader finds in the log directory.")
        self._reader("status")
        say("Every site", "One row a site: what left the sidecar, and what it denied.")
        self._reader("report", "sites", omit=_COMMON_SECTIONS)
        say(
            "“Did you crawl my site?”",
            f"The answer to the owner of {open_site.plan.name}, who allows crawling, but not training.",
        )
        self._reader("inquiry", open_site.host)
        closes = f"The answer to the owner of {closed_site.plan.name}, who closes /private/ to {PRODUCT_TOKEN}."
        say("The same question from another owner", closes)
        self._reader("inquiry", closed_site.host, omit=_COMMON_SECTIONS)
        say(
            "Why was a page denied?",
            "One decision: the line of robots.txt that decided it, and the decision made again.",
        )
        self._reader("explain", f"{closed_site.url}/private/salaries.html", omit=_COMMON_SECTIONS)

    def compare(self, sites: Sequence[Site]) -> None:
        """The sites' own access logs against the log; CrawlAuditError where they differ."""
        self._screen.step("The other side's account", "The sites' own access logs, held against the log.")
        decisions, snapshots = self._rows(demo_comparison.DECISIONS), self._rows(demo_comparison.SNAPSHOTS)
        compared = demo_comparison.compare(sites, decisions, snapshots)
        self._screen.line("  site     pages arrived  decided before  denied  forbidden, reached  robots.txt")
        for one in compared:
            self._screen.line(
                f"  {one.site.plan.name:<8} {one.arrived:>12}  {one.recorded:>14}  {one.denied:>6}"
                f"  {one.trespasses:>18}  {one.robots_recorded:>5} of {one.robots_arrived}"
            )
        self._screen.paragraph(self._verdict(compared))

    def _verdict(self, compared: Sequence[Compared]) -> str:
        """What the comparison has shown; CrawlAuditError where that is not what the sidecar promises."""
        differing = [one.site.plan.name for one in compared if not one.agrees]
        if differing:
            raise CrawlAuditError(
                f"The demo failed: what {', '.join(differing)} saw and what the log in {self._log} says do not agree."
            )
        arrived, denied = sum(one.arrived for one in compared), sum(one.denied for one in compared)
        if not arrived or not denied:
            raise CrawlAuditError("The demo failed: the crawl did not ask for both what is open and what is closed.")
        return (
            f"All {arrived} requests for pages that arrived had been recorded before, as forwarded; {denied} were "
            "denied, and 0 pages that robots.txt forbids were reached."
        )

    def close(self, closed_site: Site) -> None:
        """Where things lie and what to try."""
        self._screen.step("Now you", f"The log stays in {self._log}; sites, crawler and sidecar are gone. Try:")
        by_basis = "SELECT site, basis, action, count(*) FROM decision GROUP BY ALL"
        press = f"{closed_site.url}/private/press.html"
        for arguments in (("report", "activity"), ("explain", press), ("query", by_basis)):
            self._screen.line(f"  {_program('crawl-audit', 'reports')} {self._shown(*arguments)}")
        self._screen.line(f"  {_program('crawl-audit-proxy', 'proxy_addon')} run --help   # before your own crawler")
        self._screen.line(f"\nDone in {time.monotonic() - self._began:.0f} s.")

    def _reader(self, command: str, *arguments: str, omit: Sequence[str] = ()) -> None:
        """Run a command of the readers and show it with what it says."""
        self._screen.line(f"  $ crawl-audit {self._shown(command, *arguments)}")
        told = demo_processes.module("reports", *self._arguments(command, *arguments))
        self._screen.output(demo_processes.run(told, f"crawl-audit {command}"), omit)

    def _rows(self, sql: str) -> list[dict[str, Any]]:
        told = demo_processes.module("reports", "query", str(self._log), sql, "--format", "json")
        rows: list[dict[str, Any]] = json.loads(demo_processes.run(told, "crawl-audit query"))
        return rows

    def _arguments(self, command: str, *arguments: str) -> list[str]:
        """The log comes after the kind of a report and before everything else."""
        kinds = 1 if command == "report" else 0
        return [command, *arguments[:kinds], str(self._log), *arguments[kinds:]]

    def _shown(self, command: str, *arguments: str) -> str:
        return shlex.join(self._arguments(command, *arguments))


def _program(name: str, module: str) -> str:
    """How the script ``name`` is called from here: bare on the PATH, else by where it lies beside our Python."""
    if shutil.which(name):
        return name
    beside = Path(sys.executable).with_name(name)
    if not beside.exists():
        return f"{shlex.quote(sys.executable)} -m {module}"
    inside = beside.is_relative_to(Path.cwd())
    return shlex.quote(str(beside.relative_to(Path.cwd()) if inside else beside))
