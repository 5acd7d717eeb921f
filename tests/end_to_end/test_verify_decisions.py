"""The log of a real sidecar under load raises no false alarm; one that was changed to suit somebody does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from reports import verify_decisions
from reports.evidence import open_evidence
from reports.findings import Findings, Tally
from tests.end_to_end.harness import Sidecar, tls_context
from tests.end_to_end.load import Load
from tests.end_to_end.origin import ROBOTS, Farm, Origin

REQUESTS = 1_500
SETTINGS = """
[robots]
unreachable_ttl_s = 0.1
[logging]
seal_interval_s = 1
"""


@pytest.mark.timeout(180)
def test_a_log_written_under_load_has_no_findings_until_it_is_changed(
    sidecar: Callable[..., Sidecar], sites: Farm
) -> None:
    started = sidecar(mode="enforce", settings=SETTINGS)
    origins = [sites.start(name=f"127.0.0.{n}", address=f"127.0.0.{n}") for n in (1, 2)]
    for origin in origins:
        origin.robots = 500
    load = Load(proxy=started.ready["proxy"], origins=origins, tls=tls_context(started.site.certificate))
    asyncio.run(_change_while(load, origins))
    assert started.stop() == 0

    findings, tally = checked(started.log)
    assert [(one.check, one.where, one.message) for one in findings.listed()] == []
    assert tally.replayed > REQUESTS // 2
    bases = {row["basis"] for row in started.rows("SELECT DISTINCT basis FROM decision")}
    assert bases >= {"rule", "no_rule", "unreachable"}
    (taken,) = started.rows("SELECT count(*) AS n FROM snapshot")
    assert taken["n"] > 4

    _rest_on_the_first_snapshot(started.log)
    assert "B4" in checked(started.log)[0].counts


async def _change_while(load: Load, origins: list[Origin]) -> None:
    """Run the load; after a third of it the sites have a robots.txt."""

    async def change() -> None:
        while len(load.sent) < REQUESTS // 3:
            await asyncio.sleep(0.01)
        for origin in origins:
            origin.robots = ROBOTS

    changing = asyncio.create_task(change())
    await load.run(REQUESTS)
    await changing


def checked(root: Path) -> tuple[Findings, Tally]:
    """The checks on the decisions of the one log under ``root``."""
    with open_evidence(str(root)) as evidence:
        (log,) = evidence.logs
        findings, tally = Findings(), Tally(log)
        verify_decisions.check(evidence, log, findings, tally)
        return findings, tally


def _rest_on_the_first_snapshot(root: Path) -> None:
    """Let every decision rest on the first snapshot of its site, as one would who likes that one better.

    They are dated half a minute later too: what was decided within seconds of a change may rest on the older copy.
    """
    for file in (root / "segments").glob("*/*/decision.parquet"):
        snapshots = str(file.parent.parent / "*" / "snapshot.parquet")
        first = "SELECT host, port, min(seq) AS seq, arg_min(robots_sha256, seq) AS sha"
        with duckdb.connect() as connection:
            connection.execute(
                f"CREATE TABLE changed AS SELECT d.* REPLACE (s.seq AS snapshot_seq, s.sha AS robots_sha256,"
                f" recorded_at + INTERVAL 30 SECOND AS recorded_at)"
                f" FROM '{file}' AS d LEFT JOIN ({first} FROM '{snapshots}' GROUP BY ALL) AS s USING (host, port)"
            )
            connection.execute(f"COPY changed TO '{file}' (FORMAT parquet)")
