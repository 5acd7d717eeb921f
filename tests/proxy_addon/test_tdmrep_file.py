"""What a site answers for tdmrep.json, kept as signals beside the robots.txt snapshot."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from crawl_audit import schema
from crawl_audit.records import Incident, Instant, Record, RobotsOutcome, Signal, Snapshot
from crawl_audit.signals import SIGNALS_MAX
from crawl_audit.target import Scope
from crawl_audit.tdmrep import ENTRIES_MAX, reservation_for
from proxy_addon import tdmrep_file
from proxy_addon.fetcher import ROBOTS_PATH, Fetched, Fetcher
from proxy_addon.policy_settings import SignalSettings
from tests.proxy_addon.robots_server import Asked, answer, by_path, serving
from tests.proxy_addon.test_fetcher import LIMITS, client_tls
from tests.proxy_addon.test_robots_cache import HOUR, SECOND, Bench, got, run

RESERVED = json.dumps([{"location": "/", "tdm-reservation": 1, "tdm-policy": "https://a.example/p.json"}]).encode()
URL = "https://a.example" + tdmrep_file.PATH


def file(status: int | None = 200, body: bytes = RESERVED, **more: Any) -> Fetched:
    return got(status, body, final_url=URL, **more)


def signals_of(fetched: Fetched) -> list[Record]:
    records = tdmrep_file.records_of(tdmrep_file.read(fetched), Instant(1))
    for record in records:
        schema.to_entry(record, bytes(16) if schema.has_salt(record.KIND) else None)
    return records


def test_each_entry_is_a_signal_with_its_location_as_scope() -> None:
    (signal,) = signals_of(file())
    assert isinstance(signal, Signal)
    assert (signal.protocol, signal.value, signal.scope) == ("tdmrep", "reserved", "/")
    assert json.loads(signal.raw)["tdm-policy"] == "https://a.example/p.json"


@pytest.mark.parametrize(
    ("fetched", "raw"),
    [
        (file(404), f"GET {URL}: status 404"),
        (file(503), f"GET {URL}: status 503"),
        (file(None), f"GET {URL}: no answer; timeout: No whole answer within 600 ms."),
        (file(200, b"[]"), f"GET {URL}: status 200; an empty array"),
        (file(200, b"<html>"), f"GET {URL}: status 200; not a TDMRep file, or one that is too long"),
        (file(200, RESERVED, truncated=True), f"GET {URL}: status 200; not a TDMRep file, or one that is too long"),
    ],
    ids=["404", "503", "timeout", "empty", "html", "truncated"],
)
def test_an_answer_without_entries_is_on_record_too(fetched: Fetched, raw: str) -> None:
    (signal,) = signals_of(fetched)
    assert isinstance(signal, Signal)
    assert (signal.protocol, signal.raw, signal.value, signal.scope) == ("tdmrep", raw, None, None)


def test_more_entries_than_are_recorded_are_cut_and_an_incident_says_so() -> None:
    *signals, incident = signals_of(file(200, json.dumps([{"location": "/x"}] * ENTRIES_MAX).encode()))
    assert len(signals) == SIGNALS_MAX
    assert isinstance(incident, Incident)
    assert incident.incident == "signals_cut"


@pytest.mark.parametrize(("status", "known"), [(404, True), (410, True), (403, True), (429, False), (500, False)])
def test_4xx_says_that_there_is_no_file_and_a_server_in_trouble_says_nothing(status: int, known: bool) -> None:
    assert (tdmrep_file.read(file(status)).entries == ()) is known


def test_nothing_is_recorded_where_nothing_was_asked() -> None:
    assert tdmrep_file.records_of(tdmrep_file.Found(), Instant(1)) == []


@pytest.mark.parametrize(
    ("settings", "fetched"),
    [
        ({}, False),
        ({"tdmrep": True}, True),
        ({"policy": {"tdmrep": "record"}}, False),
        ({"policy": {"tdmrep": "deny"}}, True),
        ({"policy": {"tdmrep": {"training": "deny"}}}, True),
        ({"policy": {"content-signal": "deny"}}, False),
    ],
)
def test_the_file_is_asked_for_where_it_is_wanted_or_may_deny(settings: dict[str, Any], fetched: bool) -> None:
    assert SignalSettings(**settings).fetches_tdmrep is fetched


# --- in the cache --------------------------------------------------------------------------------------------------


class Site:
    """Answers for both files; the last answer of each for ever."""

    def __init__(self, robots: list[Fetched], beside: list[Fetched]) -> None:
        self.answers = {ROBOTS_PATH: robots, tdmrep_file.PATH: beside}
        self.asked: list[str] = []

    async def fetch(
        self,
        scope: Scope,
        user_agent: str | None = None,
        etag: str | None = None,
        etag_url: str | None = None,
        *,
        path: str = ROBOTS_PATH,
    ) -> Fetched:
        self.asked.append(path)
        await asyncio.sleep(0)
        answers = self.answers[path]
        return answers.pop(0) if len(answers) > 1 else answers[0]


def bench_of(bench: Bench, robots: list[Fetched], beside: list[Fetched]) -> Site:
    site = Site(robots, beside)
    bench.cache._fetcher = site
    return site


def test_a_thousand_first_requests_ask_for_each_file_once_and_get_the_entries() -> None:
    async def work(bench: Bench) -> None:
        site = bench_of(bench, [got()], [file()])
        found = await asyncio.gather(*(bench.current() for _ in range(1000)))
        assert sorted(site.asked) == [tdmrep_file.PATH, ROBOTS_PATH]
        for in_force in found:
            entry = reservation_for(in_force.tdmrep, "/page")
            assert entry is not None
            assert entry.reserved
        (signal,) = bench.log.of(Signal)
        assert signal.snapshot_seq == found[0].seq
        assert bench.cache.body_bytes > len(RESERVED)

    run(work, tdmrep=True)


def test_the_file_is_not_asked_for_unless_it_is_wanted() -> None:
    async def work(bench: Bench) -> None:
        site = bench_of(bench, [got()], [file()])
        assert (await bench.current()).tdmrep == ()
        assert site.asked == [ROBOTS_PATH]

    run(work)


def test_it_holds_as_long_as_the_robots_txt_beside_it() -> None:
    async def work(bench: Bench) -> None:
        site = bench_of(bench, [got()], [file(), file(404)])
        await bench.current()
        bench.time += HOUR - 1
        assert len((await bench.current()).tdmrep) == 1
        bench.time += 1
        assert (await bench.current()).tdmrep == ()
        assert len(site.asked) == 4

    run(work, tdmrep=True)


def test_a_file_that_cannot_be_reached_any_more_has_withdrawn_nothing() -> None:
    async def work(bench: Bench) -> None:
        bench_of(bench, [got()], [file(), file(None), file(500), file(404)])
        for expected in (1, 1, 1, 0):
            assert len((await bench.current()).tdmrep) == expected
            bench.time += HOUR
        assert [s.value for s in bench.log.of(Signal)] == ["reserved", None, None, None]

    run(work, tdmrep=True)


def test_its_entries_are_known_while_robots_txt_is_unreachable() -> None:
    async def work(bench: Bench) -> None:
        bench_of(bench, [got(None)], [file()])
        in_force = await bench.current()
        assert in_force.snapshot.outcome is RobotsOutcome.UNREACHABLE
        assert len(in_force.tdmrep) == 1

    run(work, tdmrep=True)


def test_an_observed_robots_txt_does_not_keep_the_file_from_being_asked_for() -> None:
    async def work(bench: Bench) -> None:
        site = bench_of(bench, [got()], [file()])
        await bench.observe()
        assert len((await bench.current()).tdmrep) == 1
        assert len(site.asked) == 2

    run(work, tdmrep=True)


def test_an_observed_robots_txt_in_force_leaves_the_entries_as_they_are() -> None:
    async def work(bench: Bench) -> None:
        bench_of(bench, [got(None)], [file()])
        await bench.current()
        bench.time += SECOND
        await bench.observe()
        in_force = await bench.current()
        assert in_force.snapshot.outcome is RobotsOutcome.SUCCESSFUL
        assert len(in_force.tdmrep) == 1
        assert len(bench.log.of(Snapshot)) == 2

    run(work, tdmrep=True)


def test_a_real_server_is_asked_for_both_files() -> None:
    async def session() -> list[Asked]:
        replies = {ROBOTS_PATH: answer(404), tdmrep_file.PATH: answer(200, RESERVED)}
        async with serving(by_path(replies)) as server:
            fetcher = Fetcher(ssl_context=client_tls(), limits=LIMITS, user_agent="ExampleBot/1.0")
            bench = Bench(tdmrep=True)
            bench.cache._fetcher = fetcher
            in_force = await bench.current(server.scope)
            assert in_force.snapshot.outcome is RobotsOutcome.UNAVAILABLE
            assert [entry.location for entry in in_force.tdmrep] == ["/"]
            await bench.cache.aclose()
            await fetcher.aclose()
            return server.asked

    assert sorted(asked.path for asked in asyncio.run(session())) == [tdmrep_file.PATH, ROBOTS_PATH]
