"""The real sidecar under a fault: scripted sites behind it, a crawler in front of it, and what each of them says."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import trustme

from crawl_audit import schema
from tests.end_to_end import harness
from tests.end_to_end.harness import Sidecar, Site, tls_context
from tests.end_to_end.load import Load
from tests.end_to_end.origin import Farm, Origin, farm
from tests.faults.history import Asked, Decided, History, Rule, Saw, Verdict, judge
from tests.faults.processes import until
from tests.faults.results import Row
from tests.writing import check

_DECISIONS = """
SELECT d.log, d.seq, regexp_extract(d.target, '[?&]id=([0-9]+)', 1) AS number, d.port, d.exchange_id, d.action,
       epoch_us(d.recorded_at) AS recorded_us,
       list({'seq': c.seq, 'outcome': c.outcome}) FILTER (c.seq IS NOT NULL) AS completions
FROM decision AS d LEFT JOIN completion AS c ON c.log = d.log AND c.decision_seq = d.seq
WHERE d.target LIKE '%id=%' GROUP BY ALL ORDER BY d.log, d.seq
"""
_STRAY = """
SELECT count(*) AS n FROM completion AS c
WHERE NOT EXISTS (FROM decision AS d WHERE d.log = c.log AND d.seq = c.decision_seq)
"""
_EVERYTHING = " UNION ALL ".join(f"SELECT log, seq FROM {kind}" for kind in schema.KINDS)
_EXTENTS = f"SELECT log, count(*) AS records, max(seq) AS last FROM ({_EVERYTHING}) GROUP BY log"

# Control: a sidecar that goes on where the record failed, as mitmproxy would by itself.
_CARELESS = """
from proxy_addon import writer as _writer
from crawl_audit.errors import LogUnavailable as _LogUnavailable

_append = _writer.Writer.append

async def append(self, record, **named):
    try:
        return await _append(self, record, **named)
    except _LogUnavailable:
        return 10**9

_writer.Writer.append = append
"""


@dataclass(slots=True, kw_only=True)
class Stage:
    """Sites and the two CAs, for as many sidecars as wanted; ``careless`` makes those of the control."""

    place: Path
    farm: Farm
    site: Site
    made: int = 0

    def sidecar(self, *, careless: bool = False, log: Path | None = None, **options: Any) -> Sidecar:
        """A sidecar that is not yet started."""
        self.made += 1
        directory = self.place / f"sidecar{self.made}"
        directory.mkdir()
        site = self.site
        if careless:
            names = directory / "names"
            names.mkdir()
            known = (self.site.names / "sitecustomize.py").read_text()
            (names / "sitecustomize.py").write_text(known + _CARELESS)
            site = replace(self.site, names=names)
        return Sidecar(site=site, directory=directory, mode="enforce", log=log or Path(), **options)


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """A stage in a directory of its own."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("shop.test").configure_cert(tls)
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as name, farm(tls) as sites:
        place = Path(name)
        origin_ca = place / "origins.pem"
        authority.cert_pem.write_to_path(str(origin_ca))
        shared = place / "site"
        shared.mkdir()
        yield Stage(place=place, farm=sites, site=harness.make_site(shared, origin_ca))


class PatientLoad(Load):
    """A crawler that waits while there is no sidecar to ask, and finds the next one."""

    async def _connect(self, origin: Origin) -> Any:
        while True:
            try:
                return await super()._connect(origin)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)


@dataclass(slots=True, kw_only=True)
class Crawl:
    """A crawl through one sidecar, from a thread of its own, until it is ended."""

    sidecar: Sidecar
    origins: list[Origin]
    load: Load
    thread: threading.Thread = field(init=False)

    def begin(self, count: int, workers: int) -> None:
        """Start asking."""
        self.thread = threading.Thread(target=lambda: asyncio.run(self.load.run(count, workers)), daemon=True)
        self.thread.start()

    def restart(self) -> None:
        """Start the sidecar again, which is dead, and send the crawl to it."""
        self.sidecar.start()
        self.load.proxy = self.sidecar.ready["proxy"]

    def end(self) -> None:
        """Ask nothing more and wait for what is under way."""
        self.load.stopped = True
        self.thread.join(60)
        assert not self.thread.is_alive(), "the crawl does not end"

    def statuses(self, since: int = 0) -> Counter[int | None]:
        """How often which status came back since the ``since``-th request."""
        return Counter(sent.status for sent in self.load.sent[since:])

    def served(self) -> int:
        """How many answers of sites came back."""
        return sum(sent.status in (200, 404) for sent in self.load.sent)

    def goes_on(self, seconds: float = 30) -> None:
        """Wait until 30 more requests were answered by sites; AssertionError where that does not happen."""
        wanted = self.served() + 30
        until(lambda: self.served() >= wanted, seconds, "going on by itself")

    def refuses(self, seconds: float = 20) -> None:
        """Wait until requests are refused, 5 of them; AssertionError where that does not happen."""
        since = len(self.load.sent)
        until(lambda: self.statuses(since)[503] >= 5, seconds, "a refusal")


@contextlib.contextmanager
def crawling(
    on: Stage, sidecar: Sidecar, *, mix: dict[str, int] | None = None, workers: int = 6, count: int = 10_000_000
) -> Iterator[Crawl]:
    """A started sidecar with a crawl going through it; both are ended, the sidecar as an operator would."""
    origins = [on.farm.start(), on.farm.start("https")]
    sidecar.start()
    load = PatientLoad(proxy=sidecar.ready["proxy"], origins=origins, tls=tls_context(on.site.certificate))
    if mix:
        load.mix = mix
    crawl = Crawl(sidecar=sidecar, origins=origins, load=load)
    crawl.begin(count, workers)
    try:
        crawl.goes_on()
        yield crawl
    finally:
        load.stopped = True
        crawl.thread.join(60)
        harness.end(sidecar)


def history(crawl: Crawl, *, clock_is_true: bool = True) -> History:
    """The three histories of a crawl whose sidecar has been stopped."""
    ports = {origin.port for origin in crawl.origins}
    rows = [row for row in crawl.sidecar.rows(_DECISIONS) if row["port"] in ports]
    decided = [
        Decided(
            row["log"],
            row["seq"],
            row["number"],
            row["exchange_id"],
            row["action"],
            row["recorded_us"],
            tuple((end["seq"], end["outcome"]) for end in row["completions"] or ()),
        )
        for row in rows
    ]
    saw = [
        Saw(seen.target.partition("id=")[2].partition("&")[0], seen.at_us)
        for origin in crawl.origins
        for seen in list(origin.seen)
        if "id=" in seen.target
    ]
    return History(
        asked=[Asked(str(sent.number), sent.status) for sent in crawl.load.sent],
        saw=saw,
        decided=decided,
        extents={row["log"]: (row["records"], row["last"]) for row in crawl.sidecar.rows(_EXTENTS)},
        stray=crawl.sidecar.rows(_STRAY)[0]["n"],
        clock_is_true=clock_is_true,
    )


def add(row: Row, found: History) -> Verdict:
    """Judge a history and enter it into a row of results."""
    verdict = judge(found)
    row.runs += 1
    row.records += len(found.decided)
    row.lost += verdict.counts[Rule.LOST]
    row.duplicated += verdict.counts[Rule.DUPLICATED] + verdict.counts[Rule.ENDED_TWICE]
    row.unrecorded = (row.unrecorded or 0) + verdict.counts[Rule.UNRECORDED]
    row.failures += verdict.sentences
    return verdict


def stop_and_judge(crawl: Crawl, row: Row, *, clock_is_true: bool = True) -> History:
    """End the crawl and the sidecar, read the log, judge all of it; the history."""
    crawl.end()
    code = crawl.sidecar.stop()
    if code:
        row.failures.append(f"the sidecar ended with {code}: {crawl.sidecar.stderr.read_text()[-300:]}")
    found = history(crawl, clock_is_true=clock_is_true)
    add(row, found)
    try:
        check(crawl.sidecar.log)
    except AssertionError as error:
        row.failures.append(f"the log does not hold together: {error}")
    return found
