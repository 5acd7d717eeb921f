"""One fetch for many sidecars: who fetches, who takes over, and that nothing about the store ever fails a request."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import pytest

from crawl_audit.errors import LogUnavailable
from crawl_audit.records import Instant, RobotsBody, RobotsOutcome, Signal, Snapshot, SnapshotSource
from crawl_audit.target import Scope
from proxy_addon import shared_robots
from proxy_addon.fetcher import ROBOTS_PATH, Fetched
from proxy_addon.freshness import Freshness
from proxy_addon.robots_cache import CacheSettings, RobotsCache
from proxy_addon.shared_answer import Question, pack
from proxy_addon.shared_robots import Sharing, SharingFetcher
from proxy_addon.shared_robots_files import FileStore
from proxy_addon.shared_robots_settings import SharedRobotsSettings
from proxy_addon.shared_store import Patient, Store, StoreError
from proxy_addon.tdmrep_file import PATH as TDMREP
from tests.proxy_addon.test_robots_cache import DENY, HOUR, RULES, SCOPE, SECOND, START, TOKENS, FakeLog, got
from tests.proxy_addon.test_shared_store import FakeStore

ASKED = Question(scope=SCOPE, path=ROBOTS_PATH)
KEY = b"a key that is long enough"


@dataclass
class Clock:
    """Microseconds since 1970 of a whole world."""

    now: Instant = field(default_factory=lambda: Instant(START))

    def __call__(self) -> Instant:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now = Instant(self.now + int(seconds * SECOND))


@dataclass
class Site:
    """What a site answers, the last one for ever, and how often it was asked for what."""

    answers: list[Fetched]
    beside: Fetched = field(default_factory=lambda: got(404))
    takes_s: float = 0.0
    asked: list[str] = field(default_factory=list)
    conditions: list[str | None] = field(default_factory=list)

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
        self.conditions.append(etag)
        await asyncio.sleep(self.takes_s)
        number = self.asked.count(path)
        return self.beside if path != ROBOTS_PATH else self.answers[min(number, len(self.answers)) - 1]

    async def aclose(self) -> None:
        pass

    @property
    def fetches(self) -> int:
        return self.asked.count(ROBOTS_PATH)


class Sidecar:
    """One sidecar's view of robots.txt: its cache, its log, its side of the store."""

    def __init__(self, name: str, site: Site, store: Store, clock: Clock, **options: Any) -> None:
        self.name = name
        self.log = FakeLog()
        self.counted: Counter[str] = Counter()
        self.fetched: list[Snapshot] = []
        cache = CacheSettings(
            freshness=options.pop("freshness", Freshness()),
            tdmrep=options.pop("tdmrep", False),
            last_good_copy_s=options.pop("last_good_copy_s", 0),
        )
        patient = Patient(store, operation_s=options.pop("operation_s", 5.0))  # a busy machine is not what is tested
        sharing = Sharing(cache=cache, log=name, deadline_s=options.pop("deadline_s", 5), **options)
        self.fetcher = SharingFetcher(site, patient, sharing, now=clock, count=lambda word: self.counted.update([word]))
        self.cache = RobotsCache(
            fetcher=self.fetcher,
            append_many=self.log.append_many,
            now=clock,
            settings=cache,
            on_fetched=self.fetched.append,
            on_recorded=self.fetcher.recorded,
        )

    async def ask(self, scope: Scope = SCOPE) -> Snapshot:
        """The snapshot in force; what is shared thereby is there for others before it is given."""
        in_force = await self.cache.current(scope, TOKENS)
        for _ in range(1000):
            if not self.fetcher._tasks:
                break
            await asyncio.sleep(0.001)
        return in_force.snapshot

    async def aclose(self) -> None:
        await self.cache.aclose()
        await self.fetcher.aclose()


class World:
    """Two sidecars, one store, one site, one clock."""

    def __init__(self, *answers: Fetched, store: Store | None = None, **options: Any) -> None:
        self.clock = Clock()
        self.site = Site(list(answers) or [got()])
        self.store = FakeStore() if store is None else store
        self.one = Sidecar("one", self.site, self.store, self.clock, **options)
        self.two = Sidecar("two", self.site, self.store, self.clock, **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.one.aclose()
        await self.two.aclose()

    def put(self, fetched: Fetched, key: bytes | None = None, origin: str = "three") -> None:
        """Put an answer into the store as another sidecar would."""
        assert isinstance(self.store, FakeStore)
        self.store.kept[ASKED.digest] = pack(ASKED, fetched, origin, key)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]


# --- one fetch --------------------------------------------------------------------------------------------------


def test_the_second_sidecar_takes_over_what_the_first_has_on_record() -> None:
    async def scenario() -> None:
        async with World(got(etag='"x"', content_type="text/plain")) as world:
            first = await world.one.ask()
            world.clock.pass_s(60)
            second = await world.two.ask()
            assert world.site.fetches == 1
            assert (first.source, first.fetched_at, first.origin_log) == (SnapshotSource.FETCHED, None, None)
            assert (second.source, second.origin_log) == (SnapshotSource.SHARED, "one")
            assert second.fetched_at == first.recorded_at == START
            assert second.recorded_at == START + 60 * SECOND
            assert second.valid_until == first.valid_until == START + HOUR
            assert second.taken_at == START
            same = ("robots_sha256", "status", "etag", "content_type", "final_url", "outcome", "body_bytes")
            assert [getattr(first, name) for name in same] == [getattr(second, name) for name in same]
            assert [body.body for body in world.two.log.of(RobotsBody)] == [RULES], "each log is whole by itself"
            assert (len(world.one.fetched), len(world.two.fetched)) == (1, 0), "only fetches are counted as such"
            assert (world.one.counted, world.two.counted) == ({"fetched": 1, "shared": 1}, {"taken": 1})

    run(scenario)


def test_whoever_comes_while_another_fetches_waits_and_takes_over() -> None:
    async def scenario() -> None:
        async with World() as world:
            world.site.takes_s = 0.1
            sources = {(await each).source for each in [asyncio.create_task(s.ask()) for s in (world.one, world.two)]}
            assert (world.site.fetches, sources) == (1, {SnapshotSource.FETCHED, SnapshotSource.SHARED})

    run(scenario)


def test_nothing_is_shared_before_it_is_on_record_and_never_where_that_failed() -> None:
    async def scenario() -> None:
        async with World() as world:
            world.one.log.failures = 1
            with pytest.raises(LogUnavailable):
                await world.one.ask()
            await asyncio.sleep(0.01)
            assert isinstance(world.store, FakeStore)
            assert (world.store.kept, world.store.leases) == ({}, {}), "and somebody else may fetch"
            assert (await world.two.ask()).source is SnapshotSource.FETCHED

    run(scenario)


def test_when_it_runs_out_one_fetch_renews_it_for_all() -> None:
    async def scenario() -> None:
        async with World(got(), got(body=DENY)) as world:
            await world.one.ask()
            await world.two.ask()
            world.clock.pass_s(3601)
            renewed = await world.two.ask()
            assert (renewed.source, world.site.fetches) == (SnapshotSource.FETCHED, 2)
            taken = await world.one.ask()
            assert (taken.source, taken.origin_log, world.site.fetches) == (SnapshotSource.SHARED, "two", 2)
            assert taken.robots_sha256 == hashlib.sha256(DENY).hexdigest()

    run(scenario)


def test_a_304_is_shared_with_the_octets_it_is_about() -> None:
    async def scenario() -> None:
        gone = got(304, body=None, not_modified=True, content_type=None)
        async with World(got(etag='"x"'), gone) as world:
            await world.one.ask()
            world.clock.pass_s(3601)
            first = await world.one.ask()
            second = await world.two.ask()
            assert world.site.conditions == [None, '"x"']
            assert (first.status, first.source) == (304, SnapshotSource.FETCHED)
            assert (second.status, second.source) == (304, SnapshotSource.SHARED)
            assert second.outcome is RobotsOutcome.SUCCESSFUL
            assert second.robots_sha256 == first.robots_sha256 == hashlib.sha256(RULES).hexdigest()
            assert second.fetched_at == first.recorded_at
            assert second.content_type == "text/plain"
            assert [body.body for body in world.two.log.of(RobotsBody)] == [RULES]

    run(scenario)


def test_only_if_changed_is_asked_of_ones_own_copy_alone() -> None:
    async def scenario() -> None:
        async with World(got(etag='"x"')) as world:
            await world.one.ask()
            await world.two.ask()
            world.clock.pass_s(3601)
            await world.two.ask()
            assert world.site.conditions == [None, None], "another name may have been sent another representation"

    run(scenario)


def test_a_crawlers_own_fetch_does_not_replace_a_valid_shared_answer_and_is_compared_with_it() -> None:
    async def scenario() -> None:
        async with World() as world:
            await world.one.ask()
            shared = await world.two.ask()
            await world.two.cache.observe(
                SCOPE, status=200, headers=(), body=DENY, final_url=SCOPE.robots_url, fetch_ms=1
            )
            assert await world.two.ask() == shared
            incidents = [record for record in world.two.log.records if record.KIND == "incident"]
            assert [one.incident for one in incidents] == ["robots_mismatch"]  # type: ignore[union-attr]

    run(scenario)


# --- until when it holds ------------------------------------------------------------------------------------------


def test_the_readers_own_settings_say_how_long_an_answer_holds() -> None:
    async def scenario() -> None:
        async with World(freshness=Freshness(ttl_s=100)) as world:
            world.put(got(fetched_at=Instant(START - 99 * SECOND)))
            taken = await world.one.ask()
            assert (taken.source, taken.valid_until) == (SnapshotSource.SHARED, START + SECOND)
            world.clock.pass_s(1)
            assert (await world.two.ask()).source is SnapshotSource.FETCHED
            assert world.two.counted["expired"] > 0

    run(scenario)


def test_a_copy_is_never_taken_to_be_younger_than_it_is() -> None:
    async def scenario() -> None:
        async with World() as world:
            world.put(got(fetched_at=Instant(START - 86_400 * SECOND), cache_control="max-age=999999999"))
            assert (await world.one.ask()).source is SnapshotSource.FETCHED, "RFC 9309 2.4: 24 h from the fetch"

    run(scenario)


def test_an_answer_from_the_future_is_not_used() -> None:
    async def scenario() -> None:
        async with World() as world:
            world.put(got(fetched_at=Instant(START + 2 * SECOND)))
            assert (await world.one.ask()).source is SnapshotSource.FETCHED
            assert world.one.counted["from_the_future"] > 0

    run(scenario)


def test_for_a_clock_that_is_a_little_behind_the_moment_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with World() as world:
            ahead = int(0.4 * SECOND)
            world.put(got(fetched_at=Instant(START + ahead)))
            waits: list[float] = []
            sleep = asyncio.sleep

            async def passing(seconds: float) -> None:
                waits.extend([seconds] if seconds else [])
                world.clock.pass_s(seconds)
                await sleep(0)

            monkeypatch.setattr(shared_robots.asyncio, "sleep", passing)
            taken = (await world.one.cache.current(SCOPE, TOKENS)).snapshot
            monkeypatch.undo()
            assert (taken.source, waits) == (SnapshotSource.SHARED, [0.4])
            assert taken.fetched_at is not None and taken.fetched_at <= taken.recorded_at

    run(scenario)


@pytest.mark.parametrize("status,error", [(503, None), (429, None)])
def test_that_a_site_says_it_is_unavailable_is_shared_for_a_short_while(status: int, error: str | None) -> None:
    async def scenario() -> None:
        async with World(got(status, error=error)) as world:
            await world.one.ask()
            second = await world.two.ask()
            assert (second.source, second.outcome) == (SnapshotSource.SHARED, RobotsOutcome.UNREACHABLE)
            assert second.valid_until == START + 60 * SECOND
            assert isinstance(world.store, FakeStore)
            assert world.store.lifetimes[ASKED.digest] == 60

    run(scenario)


@pytest.mark.parametrize("faults", [False, True], ids=["a fleet", "workers of one sidecar"])
def test_that_a_site_could_not_be_reached_is_shared_only_where_all_reach_the_same(faults: bool) -> None:
    async def scenario() -> None:
        async with World(got(None), faults=faults) as world:
            await world.one.ask()
            second = await world.two.ask()
            assert second.outcome is RobotsOutcome.UNREACHABLE
            assert (second.source is SnapshotSource.SHARED) is faults
            assert world.site.fetches == (1 if faults else 2)

    run(scenario)


def test_while_unreachable_the_age_of_a_shared_last_good_copy_counts_from_its_fetch() -> None:
    async def scenario() -> None:
        async with World(got(None), last_good_copy_s=7200) as world:
            world.put(got(fetched_at=Instant(START - 1800 * SECOND)))
            good = await world.one.ask()
            assert good.source is SnapshotSource.SHARED
            world.clock.pass_s(5399)
            assert await world.one.ask() == good
            world.clock.pass_s(2)
            assert (await world.one.ask()).outcome is RobotsOutcome.UNREACHABLE

    run(scenario)


# --- a store that does not help -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["away", "hangs"])
def test_without_a_store_each_fetches_for_itself(fault: str) -> None:
    async def scenario() -> None:
        async with World(operation_s=0.1) as world:
            assert isinstance(world.store, FakeStore)
            if fault == "hangs":
                world.store.hangs = True
            else:
                world.store.error = StoreError("refused")
            sources = {(await one.ask()).source for one in (world.one, world.two)}
            assert (sources, world.site.fetches) == ({SnapshotSource.FETCHED}, 2)
            assert world.one.counted["away"] > 0

    run(scenario)


def test_a_store_that_dies_between_the_fetch_and_the_sharing_costs_nothing() -> None:
    async def scenario() -> None:
        async with World() as world:
            assert isinstance(world.store, FakeStore)
            world.site.takes_s = 0.05
            asking = asyncio.create_task(world.one.ask())
            await asyncio.sleep(0.02)
            world.store.error = StoreError("gone")
            assert (await asking).source is SnapshotSource.FETCHED
            assert world.one.counted["not_shared"] == 1

    run(scenario)


def test_whoever_holds_a_lease_for_ever_is_waited_for_no_longer_than_a_fetch_may_take() -> None:
    async def scenario() -> None:
        async with World(deadline_s=0.2) as world:
            assert await world.store.lease(ASKED.digest, 60) is not None
            snapshot = await world.one.ask()
            assert (snapshot.source, world.one.counted["waited_out"]) == (SnapshotSource.FETCHED, 1)
            assert 200 <= snapshot.fetch_ms < 2000, "the wait is on record"
            assert (await world.two.ask()).source is SnapshotSource.SHARED, "it is shared nevertheless"

    run(scenario)


def test_a_poisoned_value_is_not_used_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with World(got(body=DENY)) as world:
            assert isinstance(world.store, FakeStore)
            with caplog.at_level(logging.INFO, logger="crawl_audit.shared_robots"):
                for host in ("a", "b", "c"):
                    scope = Scope("https", f"{host}.example", 443)
                    world.store.kept[Question(scope=scope, path=ROBOTS_PATH).digest] = b"User-agent: *\nAllow: /\n"
                    assert (await world.one.ask(scope)).robots_sha256 == hashlib.sha256(DENY).hexdigest()
            assert world.one.counted["refused"] >= 3

    run(scenario)
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == 1 and "is not in the form this version reads" in warned[0].getMessage()
    assert warned[0].__dict__["event"] == "shared_robots_refused"


def test_with_a_key_only_those_who_know_it_are_believed() -> None:
    async def scenario() -> None:
        allow_all = got(body=b"", fetched_at=Instant(START))
        async with World(got(body=DENY), key=KEY) as world:
            for key in (None, b"the key of an attacker"):
                world.put(allow_all, key)
                scope_digest = (await world.one.ask()).robots_sha256
                assert scope_digest == hashlib.sha256(DENY).hexdigest()
                world.clock.pass_s(3601)
            world.put(replace(allow_all, fetched_at=world.clock.now), KEY)
            assert (await world.two.ask()).source is SnapshotSource.SHARED

    run(scenario)


def test_without_a_key_a_store_can_make_an_answer_up() -> None:
    """What threats.md says of it: then the store is as trusted as the sidecar."""

    async def scenario() -> None:
        async with World(got(body=DENY)) as world:
            world.put(got(body=b"", fetched_at=Instant(START)), origin="nobody")
            made_up = await world.one.ask()
            assert (made_up.source, made_up.origin_log, world.site.fetches) == (SnapshotSource.SHARED, "nobody", 0)

    run(scenario)


def test_closing_gives_leases_back_whatever_is_under_way() -> None:
    async def scenario() -> None:
        async with World() as world:
            assert isinstance(world.store, FakeStore)
            world.site.takes_s = 60
            asking = asyncio.create_task(world.one.cache.current(SCOPE, TOKENS))
            await asyncio.sleep(0.02)
            assert ASKED.digest in world.store.leases
            await world.one.aclose()
            assert world.store.leases == {} and world.store.closed
            with pytest.raises(LogUnavailable):
                await asking

    run(scenario)


# --- what lies beside robots.txt, layers, wiring ------------------------------------------------------------------


def test_a_tdmrep_json_is_shared_with_the_robots_txt_beside_it_and_says_so() -> None:
    async def scenario() -> None:
        entries = b'[{"location": "/", "tdm-reservation": 1}]'
        async with World(tdmrep=True) as world:
            world.site.beside = got(body=entries, final_url="https://a.example" + TDMREP)
            await world.one.ask()
            world.clock.pass_s(10)
            await world.two.ask()
            assert sorted(world.site.asked) == [TDMREP, ROBOTS_PATH]
            own, taken = (
                [s.raw for s in one.log.of(Signal) if s.protocol == "tdmrep"] for one in (world.one, world.two)
            )
            assert own == taken[:1]
            assert taken[1:] == [
                f"GET https://a.example{TDMREP}: status 200; shared, fetched by one at 2027-01-15T08:00:00.000+00:00"
            ]
            assert (await world.two.cache.current(SCOPE, TOKENS)).tdmrep != ()

    run(scenario)


def test_a_tdmrep_json_much_older_than_the_robots_txt_is_fetched_anew() -> None:
    async def scenario() -> None:
        async with World(tdmrep=True) as world:
            await world.one.ask()
            world.clock.pass_s(61)
            await world.two.ask()
            assert sorted(world.site.asked) == [TDMREP, TDMREP, ROBOTS_PATH], "it would hold longer than it may"

    run(scenario)


def test_workers_ask_the_fleet_once_and_name_who_fetched(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock, site, fleet = Clock(), Site([got()]), FakeStore()
        abroad = Sidecar("abroad", site, fleet, clock)
        await abroad.ask()
        asked = fleet.asked
        workers = []
        for name in ("w1", "w2"):
            worker = Sidecar(name, site, FileStore(tmp_path / "shared", clock=lambda: clock() / SECOND), clock)
            worker.fetcher._fetcher = SharingFetcher(
                site, Patient(fleet, operation_s=5), Sharing(cache=CacheSettings(), log=name, deadline_s=5), now=clock
            )
            workers.append(worker)
        origins = [(await worker.ask()).origin_log for worker in workers]
        assert (origins, site.fetches) == (["abroad", "abroad"], 1)
        assert fleet.asked == asked + 1, "the second worker had it from the first"
        for one in (*workers, abroad):
            await one.aclose()

    run(scenario)


def test_a_large_file_is_shared_whole() -> None:
    async def scenario() -> None:
        body = b"User-agent: *\n" + b"".join(b"Disallow: /%d\n" % n for n in range(5000))
        async with World(got(body=body, truncated=True)) as world:
            await world.one.ask()
            second = await world.two.ask()
            assert (second.source, second.body_bytes, second.truncated) == (
                SnapshotSource.SHARED,
                len(body),
                True,
            )
            assert isinstance(world.store, FakeStore)
            assert len(world.store.kept[ASKED.digest]) < len(gzip.compress(body)) * 2

    run(scenario)


def test_only_what_is_configured_is_wrapped_around_the_fetcher(tmp_path: Path) -> None:
    site = Site([got()])
    sharing = Sharing(cache=CacheSettings(), log="one", deadline_s=5, key=KEY)
    plain = SharedRobotsSettings()
    fleet = SharedRobotsSettings(shared="redis://127.0.0.1:1/0")
    assert shared_robots.wrap(site, plain, None, sharing) is site  # type: ignore[arg-type]
    both = shared_robots.wrap(site, fleet, tmp_path, sharing)  # type: ignore[arg-type]
    assert isinstance(both, SharingFetcher) and isinstance(both._fetcher, SharingFetcher)
    assert (both._sharing.key, both._sharing.faults) == (None, True)
    assert (both._fetcher._sharing, both._fetcher._fetcher) == (sharing, site)
