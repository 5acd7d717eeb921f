"""The snapshot in force: recorded first, fetched once, renewed in time, never a word from a clock set wrong."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from crawl_audit import robots, schema, signals
from crawl_audit.errors import LogUnavailable
from crawl_audit.records import (
    Incident,
    Instant,
    Record,
    RobotsBody,
    RobotsOutcome,
    Signal,
    Snapshot,
    SnapshotSource,
    Verdict,
)
from crawl_audit.target import Scope
from proxy_addon import compiled_rules
from proxy_addon.fetcher import Fetched, Fetcher, FetchLimits
from proxy_addon.robots_cache import CacheSettings, InForce, RobotsCache
from tests.proxy_addon.robots_server import answer, raw, serving
from tests.proxy_addon.test_fetcher import client_tls

SCOPE = Scope("https", "a.example", 443)
TOKENS = ("ExampleBot",)
RULES = b"User-agent: *\nDisallow: /private\n"
DENY = b"User-agent: *\nDisallow: /\n"
SECOND = 1_000_000
HOUR = 3600 * SECOND
START = 1_800_000_000 * SECOND


def got(status: int | None = 200, body: bytes | None = RULES, **more: Any) -> Fetched:
    values: dict[str, Any] = {
        "status": status,
        "final_url": "https://a.example/robots.txt",
        "redirects": (),
        "error": None if status else "timeout: No whole answer within 600 ms.",
        "body": body if status == 200 else None,
        "truncated": False,
        "content_type": "text/plain",
        "etag": None,
        "cache_control": None,
        "age": None,
        "retry_after": None,
        "duration_ms": 12,
        "server_ip": "192.0.2.1",
        "too_many_redirects": False,
        "not_modified": False,
    }
    return Fetched(**{**values, **more})


@dataclass
class FakeFetcher:
    """Gives the scripted answers, the last one for ever; waits for ``gate`` where there is one."""

    answers: list[Fetched]
    gate: asyncio.Event | None = None
    conditions: list[tuple[str | None, str | None]] = field(default_factory=list)

    async def fetch(
        self, scope: Scope, user_agent: str | None = None, etag: str | None = None, etag_url: str | None = None
    ) -> Fetched:
        self.conditions.append((etag, etag_url))
        number = len(self.conditions)
        if self.gate is not None:
            await self.gate.wait()
        return self.answers[min(number, len(self.answers)) - 1]

    @property
    def fetches(self) -> int:
        return len(self.conditions)


@dataclass
class FakeLog:
    """Keeps what is appended; raises LogUnavailable for as many appends as ``failures`` says."""

    records: list[Record] = field(default_factory=list)
    failures: int = 0
    batches: int = 0

    async def append_many(self, factory: Callable[[int], list[Record]]) -> list[int]:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise LogUnavailable("The disk is full; make room.")
        base = len(self.records)
        made = factory(base)
        await asyncio.to_thread(_assert_storable, made)  # the writer encodes in a thread of its own too
        self.records += made
        self.batches += 1
        return list(range(base, base + len(made)))

    def of[T](self, kind: type[T]) -> list[T]:
        return [record for record in self.records if isinstance(record, kind)]


def _assert_storable(made: list[Record]) -> None:
    for record in made:
        schema.to_entry(record, bytes(16) if schema.has_salt(record.KIND) else None)


class Bench:
    """A cache with a fetcher, a log and a clock that the test holds in its hands."""

    def __init__(self, *answers: Fetched, **settings: Any) -> None:
        self.fetcher = FakeFetcher(list(answers) or [got()])
        self.log = FakeLog()
        self.time = START
        self.cache = RobotsCache(
            fetcher=self.fetcher,
            append_many=self.log.append_many,
            now=lambda: Instant(self.time),
            settings=CacheSettings(**settings),
        )

    async def current(self, scope: Scope = SCOPE, tokens: tuple[str, ...] = TOKENS) -> InForce:
        return await self.cache.current(scope, tokens)

    async def observe(self, body: bytes | None = RULES, status: int = 200, **headers: str) -> None:
        await self.cache.observe(
            SCOPE,
            status=status,
            headers=[(name.replace("_", "-"), value) for name, value in headers.items()],
            body=body,
            final_url=SCOPE.robots_url,
            fetch_ms=5,
            exchange_id="0198c000-0000-7000-8000-000000000000",
            crawler="example",
        )


def run(work: Callable[[Bench], Coroutine[Any, Any, None]], *answers: Fetched, **settings: Any) -> Bench:
    """Do ``work`` on a fresh bench and close it."""

    async def session() -> Bench:
        bench = Bench(*answers, **settings)
        try:
            await work(bench)
        finally:
            await bench.cache.aclose()
        return bench

    return asyncio.run(session())


# --- on record before use ------------------------------------------------------------------------------------------


def test_a_snapshot_is_on_record_with_its_body_and_signals_before_its_first_use() -> None:
    body = b"User-agent: *\nCrawl-delay: 5\nDisallow: /private\n"

    async def work(bench: Bench) -> None:
        in_force = await bench.current()
        assert bench.log.records[in_force.seq] == in_force.snapshot
        assert in_force.rules is not None
        assert in_force.rules.judge("/private").verdict is Verdict.DISALLOWED
        assert in_force.rules.judge("/public").verdict is Verdict.ALLOWED

    bench = run(work, got(body=body))
    (snapshot,), (kept,), (signal,) = (bench.log.of(kind) for kind in (Snapshot, RobotsBody, Signal))
    assert snapshot.robots_sha256 == kept.robots_sha256 == hashlib.sha256(body).hexdigest()
    assert (kept.body, snapshot.body_bytes) == (body, len(body))
    assert (signal.protocol, signal.snapshot_seq) == ("crawl-delay", 0)
    assert bench.log.batches == 1


def test_signals_name_their_snapshot_wherever_it_lands_in_the_log() -> None:
    async def work(bench: Bench) -> None:
        await bench.current()
        await bench.current(Scope("https", "b.example", 443))

    bench = run(work, got(body=b"User-agent: *\nCrawl-delay: 5\n"))
    seqs = [seq for seq, record in enumerate(bench.log.records) if isinstance(record, Snapshot)]
    assert [signal.snapshot_seq for signal in bench.log.of(Signal)] == seqs
    assert seqs[1] > 0


def test_a_body_seen_before_is_not_written_again() -> None:
    async def work(bench: Bench) -> None:
        for number in range(5):
            await bench.current(Scope("https", f"{number}.example", 443))

    bench = run(work)
    assert len(bench.log.of(Snapshot)) == 5
    assert len(bench.log.of(RobotsBody)) == 1


def test_a_body_whose_append_failed_is_written_the_next_time() -> None:
    async def work(bench: Bench) -> None:
        bench.log.failures = 1
        with pytest.raises(LogUnavailable):
            await bench.current()
        await bench.current()

    assert len(run(work).log.of(RobotsBody)) == 1


def test_more_signals_than_are_kept_are_cut_and_an_incident_says_so() -> None:
    lines = b"".join(b"User-agent: bot%c\nCrawl-delay: %d\nDisallow: /\n" % (97 + n % 26, n) for n in range(1, 900))

    async def work(bench: Bench) -> None:
        await bench.current()

    bench = run(work, got(body=lines))
    assert len(bench.log.of(Signal)) == signals.SIGNALS_MAX
    (incident,) = bench.log.of(Incident)
    assert incident.incident == "signals_cut"


@pytest.mark.parametrize(
    ("fetched", "outcome"),
    [
        (got(404), RobotsOutcome.UNAVAILABLE),
        (got(503), RobotsOutcome.UNREACHABLE),
        (got(None), RobotsOutcome.UNREACHABLE),
        (got(200, None, error="incomplete_body: The answer broke off."), RobotsOutcome.UNREACHABLE),
        (got(301, too_many_redirects=True, error="too_many_redirects: More than 5."), RobotsOutcome.UNAVAILABLE),
    ],
)
def test_an_answer_without_a_body_has_no_digest_and_no_rules(fetched: Fetched, outcome: RobotsOutcome) -> None:
    async def work(bench: Bench) -> None:
        in_force = await bench.current()
        assert (in_force.snapshot.outcome, in_force.rules) == (outcome, None)

    bench = run(work, fetched)
    assert bench.log.of(Snapshot)[0].robots_sha256 is None
    assert bench.log.of(RobotsBody) == []


def test_429_is_a_recorded_choice() -> None:
    async def work(bench: Bench) -> None:
        await bench.current()

    assert run(work, got(429)).log.of(Snapshot)[0].outcome is RobotsOutcome.UNREACHABLE
    lenient = run(work, got(429), treat_429_as_unreachable=False)
    assert lenient.log.of(Snapshot)[0].outcome is RobotsOutcome.UNAVAILABLE


# --- one fetch at a time -------------------------------------------------------------------------------------------


def test_a_thousand_first_requests_make_one_fetch() -> None:
    async def session() -> tuple[int, int, set[int]]:
        log = FakeLog()
        fetcher = Fetcher(ssl_context=client_tls(), limits=FetchLimits(deadline_ms=2000), user_agent="ExampleBot/1.0")
        cache = RobotsCache(fetcher=fetcher, append_many=log.append_many, now=lambda: Instant(time.time_ns() // 1000))
        async with serving(answer(200, RULES)) as server:
            found = await asyncio.gather(*(cache.current(server.scope, TOKENS) for _ in range(1000)))
            asked = len(server.asked)
        await cache.aclose()
        await fetcher.aclose()
        return asked, len(log.of(Snapshot)), {in_force.seq for in_force in found}

    assert asyncio.run(session()) == (1, 1, {0})


def test_a_large_file_that_many_wait_for_is_compiled_once_per_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[tuple[str, ...]] = []

    def compile_rules(body: bytes, tokens: tuple[str, ...]) -> robots.Rules:
        compiled.append(tokens)
        return robots.compile_rules(body, tokens)

    monkeypatch.setattr(compiled_rules, "robots", _Stand(compile_rules))

    async def work(bench: Bench) -> None:
        await asyncio.gather(*(bench.current(tokens=(name,)) for name in ("One", "Two") * 50))

    run(work, got(body=DENY + b"# x\n" * 10_000))
    assert sorted(compiled) == [("One",), ("Two",)]


def test_a_cancelled_waiter_leaves_the_fetch_to_the_others() -> None:
    async def work(bench: Bench) -> None:
        bench.fetcher.gate = asyncio.Event()
        first, second = (asyncio.create_task(bench.current()) for _ in range(2))
        await asyncio.sleep(0.01)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        bench.fetcher.gate.set()
        assert (await second).seq == 0

    assert run(work).fetcher.fetches == 1


def test_a_fetch_whose_waiters_have_all_gone_is_still_used() -> None:
    async def work(bench: Bench) -> None:
        bench.fetcher.gate = asyncio.Event()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bench.current(), 0.01)
        bench.fetcher.gate.set()
        await asyncio.sleep(0.01)
        await bench.current()

    assert run(work).fetcher.fetches == 1


def test_a_log_that_cannot_be_written_reaches_every_waiter_and_the_next_request_tries_again() -> None:
    async def work(bench: Bench) -> None:
        bench.log.failures = 1
        results = await asyncio.gather(*(bench.current() for _ in range(20)), return_exceptions=True)
        assert all(isinstance(result, LogUnavailable) for result in results)
        assert len(bench.cache) == 0
        assert (await bench.current()).seq == 0

    assert run(work).fetcher.fetches == 2


def test_a_failure_nobody_waits_for_any_more_is_not_an_unhandled_error() -> None:
    complaints: list[dict[str, Any]] = []

    async def work(bench: Bench) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        bench.log.failures = 1
        bench.fetcher.gate = asyncio.Event()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bench.current(), 0.01)
        bench.fetcher.gate.set()
        await asyncio.sleep(0.01)

    run(work)
    assert complaints == []


def test_closing_ends_the_waiting_with_an_unavailable_log() -> None:
    async def work(bench: Bench) -> None:
        bench.fetcher.gate = asyncio.Event()
        waiting = asyncio.create_task(bench.current())
        await asyncio.sleep(0.01)
        await bench.cache.aclose()
        with pytest.raises(LogUnavailable) as caught:
            await waiting
        assert caught.value.reason == "draining"

    run(work)


# --- how long it holds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fetched", "seconds"),
    [
        (got(), 3600),
        (got(404), 3600),
        (got(cache_control="max-age=600"), 600),
        (got(cache_control="public, max-age=7200, s-maxage=900"), 900),
        (got(cache_control="max-age=600", age="100"), 500),
        (got(cache_control="max-age=0"), 60),
        (got(cache_control="no-cache"), 60),
        (got(cache_control="No-Store, max-age=600"), 60),
        (got(cache_control='private="set-cookie", max-age="600"'), 600),
        (got(cache_control="max-age=soon"), 60),
        (got(cache_control="max-age=99999999999999999999"), 86_400),
        (got(cache_control="max-age=604800"), 86_400),
        (got(cache_control=",,=;\\"), 3600),
        (got(404, cache_control="max-age=120"), 120),
        (got(503), 60),
        (got(503, cache_control="max-age=86400"), 60),
        (got(503, retry_after="900"), 900),
        (got(429, retry_after="86400"), 3600),
        (got(503, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), 60),
        (got(None), 60),
    ],
)
def test_an_answer_holds_as_long_as_the_site_and_the_rfc_allow(fetched: Fetched, seconds: int) -> None:
    async def work(bench: Bench) -> None:
        snapshot = (await bench.current()).snapshot
        assert snapshot.valid_until - snapshot.recorded_at == seconds * SECOND
        bench.time = snapshot.valid_until - 1
        await bench.current()
        assert bench.fetcher.fetches == 1
        bench.time = snapshot.valid_until
        await bench.current()
        assert bench.fetcher.fetches == 2

    run(work, fetched)


def test_an_old_copy_is_not_used_while_the_new_one_is_fetched() -> None:
    async def work(bench: Bench) -> None:
        await bench.current()
        bench.time += HOUR
        bench.fetcher.gate = asyncio.Event()
        waiting = asyncio.create_task(bench.current())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        bench.fetcher.gate.set()
        in_force = await waiting
        assert in_force.rules is not None
        assert in_force.rules.judge("/x").verdict is Verdict.DISALLOWED

    run(work, got(), got(body=DENY))


def test_a_site_that_cannot_be_reached_any_more_is_disallowed_whatever_it_said_before() -> None:
    async def work(bench: Bench) -> None:
        await bench.current()
        bench.time += HOUR
        in_force = await bench.current()
        assert (in_force.snapshot.outcome, in_force.rules) == (RobotsOutcome.UNREACHABLE, None)

    run(work, got(), got(None))


# --- the last good copy ----------------------------------------------------------------------------------------------


def test_the_last_good_copy_stays_in_force_while_unreachable_and_its_true_age_is_told() -> None:
    async def work(bench: Bench) -> None:
        good = await bench.current()
        bench.time += 47 * HOUR
        in_force = await bench.current()
        assert (in_force.seq, in_force.snapshot) == (good.seq, good.snapshot)
        assert bench.time - in_force.snapshot.recorded_at == 47 * HOUR
        assert bench.time > in_force.snapshot.valid_until
        assert in_force.rules is not None
        assert in_force.rules.judge("/private").verdict is Verdict.DISALLOWED
        assert in_force.rules.judge("/").verdict is Verdict.ALLOWED
        assert [s.outcome for s in bench.log.of(Snapshot)] == [RobotsOutcome.SUCCESSFUL, RobotsOutcome.UNREACHABLE]

    run(work, got(), got(503), last_good_copy_s=48 * 3600)


def test_a_last_good_copy_that_grows_too_old_gives_way_to_complete_disallow() -> None:
    async def work(bench: Bench) -> None:
        await bench.current()
        bench.time += 2 * HOUR
        assert (await bench.current()).rules is not None
        bench.time += 1  # within the pause after the failed fetch, so that the held copy itself grows too old
        assert (await bench.current()).snapshot.outcome is RobotsOutcome.UNREACHABLE
        bench.time += HOUR
        assert (await bench.current()).snapshot.outcome is RobotsOutcome.UNREACHABLE

    run(work, got(), got(None), last_good_copy_s=2 * 3600)


def test_the_site_is_asked_again_while_the_last_good_copy_stands_in_and_its_new_answer_counts() -> None:
    async def work(bench: Bench) -> None:
        await bench.current()
        bench.time += HOUR
        for _ in range(3):
            in_force = await bench.current()
            assert in_force.snapshot.robots_sha256 == hashlib.sha256(RULES).hexdigest()
            bench.time += 300 * SECOND
        in_force = await bench.current()
        assert in_force.snapshot.robots_sha256 == hashlib.sha256(DENY).hexdigest()
        assert bench.fetcher.fetches == 5

    run(work, got(), got(None), got(503), got(429), got(body=DENY), last_good_copy_s=86_400)


@pytest.mark.parametrize("last", [got(404), got(503)], ids=["unavailable", "unreachable"])
def test_only_a_successful_copy_is_a_good_one(last: Fetched) -> None:
    async def work(bench: Bench) -> None:
        for _ in range(2):
            await bench.current()
            bench.time += HOUR
        assert (await bench.current()).snapshot.outcome is RobotsOutcome.UNREACHABLE

    run(work, got(), last, got(None), last_good_copy_s=7200 - 1)


def test_a_404_after_a_good_copy_is_the_sites_word_and_no_copy_comes_back_after_it() -> None:
    async def work(bench: Bench) -> None:
        for outcome in (RobotsOutcome.SUCCESSFUL, RobotsOutcome.UNAVAILABLE, RobotsOutcome.UNREACHABLE):
            assert (await bench.current()).snapshot.outcome is outcome
            bench.time += HOUR

    run(work, got(), got(404), got(None), last_good_copy_s=86_400)


def test_a_clock_set_back_behind_the_last_good_copy_ends_it() -> None:
    async def work(bench: Bench) -> None:
        await bench.current()
        bench.time -= SECOND
        assert (await bench.current()).snapshot.outcome is RobotsOutcome.UNREACHABLE

    run(work, got(), got(None), last_good_copy_s=86_400)


def test_the_weight_of_a_last_good_copy_is_counted_until_it_is_dropped() -> None:
    async def work(bench: Bench) -> None:
        for _ in range(3):
            await bench.current()
            assert bench.cache.body_bytes == len(RULES)
            bench.time += HOUR
        bench.time += 7 * HOUR
        await bench.current()
        assert bench.cache.body_bytes == 0

    run(work, got(), got(None), last_good_copy_s=3 * 3600)


def test_the_pause_between_failures_doubles_up_to_five_minutes_and_starts_anew() -> None:
    pauses: list[int] = []

    async def work(bench: Bench) -> None:
        for _ in range(6):
            snapshot = (await bench.current()).snapshot
            pauses.append((snapshot.valid_until - snapshot.recorded_at) // SECOND)
            bench.time = snapshot.valid_until

    run(work, got(None), got(503), got(503), got(None), got(), got(503))
    assert pauses == [60, 120, 240, 300, 3600, 60]


@pytest.mark.parametrize("step", [-1, -86_400 * SECOND])
def test_a_clock_set_back_ends_the_validity(step: int) -> None:
    async def work(bench: Bench) -> None:
        await bench.current()
        bench.time += step
        await bench.current()

    assert run(work).fetcher.fetches == 2


def test_a_304_renews_the_same_digest_without_writing_the_body_again() -> None:
    async def work(bench: Bench) -> None:
        first = await bench.current()
        bench.time += HOUR
        second = await bench.current()
        assert second.seq > first.seq
        assert second.snapshot.robots_sha256 == first.snapshot.robots_sha256
        assert second.snapshot.valid_until == START + HOUR + 600 * SECOND
        assert (second.snapshot.status, second.snapshot.outcome) == (304, RobotsOutcome.SUCCESSFUL)
        assert second.snapshot.recorded_at == START + HOUR
        assert second.rules is not None
        assert second.rules.judge("/private").verdict is Verdict.DISALLOWED
        bench.time += HOUR
        await bench.current()

    not_modified = got(304, not_modified=True, cache_control="max-age=600", content_type=None)
    bench = run(work, got(etag='"v1"'), not_modified)
    assert len(bench.log.of(RobotsBody)) == 1
    assert bench.fetcher.conditions == [(None, None), *[('"v1"', "https://a.example/robots.txt")] * 2]
    assert {snapshot.content_type for snapshot in bench.log.of(Snapshot)} == {"text/plain"}


def test_a_304_from_a_real_server_keeps_the_file_in_force() -> None:
    async def session() -> list[InForce]:
        log, clock = FakeLog(), [START]
        fetcher = Fetcher(ssl_context=client_tls(), limits=FetchLimits(deadline_ms=2000), user_agent="ExampleBot/1.0")
        cache = RobotsCache(fetcher=fetcher, append_many=log.append_many, now=lambda: Instant(clock[0]))
        replies = [answer(200, DENY, {"ETag": 'W/"1"'}), raw(b"HTTP/1.1 304 Not Modified\r\n\r\n")]
        async with serving(replies) as server:
            found = [await cache.current(server.scope, TOKENS)]
            clock[0] += HOUR
            found.append(await cache.current(server.scope, TOKENS))
            assert server.asked[1].headers["if-none-match"] == 'W/"1"'
        await cache.aclose()
        await fetcher.aclose()
        return found

    first, second = asyncio.run(session())
    assert second.snapshot.robots_sha256 == first.snapshot.robots_sha256
    assert second.rules is first.rules


def test_a_tag_is_not_asked_about_after_a_failure_that_left_no_body() -> None:
    async def work(bench: Bench) -> None:
        await bench.current()
        for _ in range(2):
            bench.time += HOUR
            await bench.current()

    bench = run(work, got(etag='"v1"'), got(503, etag='"e"'), got())
    assert bench.fetcher.conditions[2] == (None, None)


# --- how much is kept ----------------------------------------------------------------------------------------------


def test_the_scope_used_least_recently_is_forgotten_first() -> None:
    one, two, three = (Scope("https", f"{name}.example", 443) for name in "abc")

    async def work(bench: Bench) -> None:
        for scope in (one, two, one, three, one, two):
            await bench.current(scope)
        assert len(bench.cache) == 2

    assert run(work, entries_max=2).fetcher.fetches == 4


def test_the_bodies_held_stay_within_their_bound() -> None:
    async def work(bench: Bench) -> None:
        for number in range(20):
            await bench.current(Scope("https", f"{number}.example", 443))
            assert bench.cache.body_bytes <= 3 * 10_000
        assert len(bench.cache) == 3

    run(work, got(body=b"#" * 10_000), body_bytes_max=3 * 10_000)


def test_one_body_over_the_bound_is_still_in_force() -> None:
    async def work(bench: Bench) -> None:
        await bench.current()
        await bench.current()

    assert run(work, got(body=b"#" * 10_000), body_bytes_max=100).fetcher.fetches == 1


def test_the_weight_of_a_renewed_copy_is_counted_once() -> None:
    async def work(bench: Bench) -> None:
        for _ in range(5):
            await bench.current()
            bench.time += HOUR
        assert bench.cache.body_bytes == 1000

    run(work, got(body=b"#" * 1000))


def test_rules_are_shared_by_sites_with_the_same_file() -> None:
    async def work(bench: Bench) -> None:
        first = await bench.current()
        second = await bench.current(Scope("https", "b.example", 443))
        other = await bench.current(tokens=("OtherBot",))
        assert first.rules is second.rules
        assert first.rules is not other.rules

    run(work)


# --- the crawler's own fetch ---------------------------------------------------------------------------------------


def test_an_observed_file_is_in_force_where_there_is_no_other() -> None:
    async def work(bench: Bench) -> None:
        await bench.observe(DENY)
        in_force = await bench.current()
        assert in_force.snapshot.source is SnapshotSource.OBSERVED
        assert in_force.rules is not None
        assert in_force.rules.judge("/").verdict is Verdict.DISALLOWED

    bench = run(work)
    assert bench.fetcher.fetches == 0
    assert [record.body for record in bench.log.of(RobotsBody)] == [DENY]


def test_an_observed_file_does_not_replace_a_valid_fetched_one_and_the_difference_is_an_incident() -> None:
    async def work(bench: Bench) -> None:
        fetched = await bench.current()
        await bench.observe(DENY)
        assert await bench.current() == fetched

    bench = run(work)
    assert [snapshot.source.value for snapshot in bench.log.of(Snapshot)] == ["fetched", "observed"]
    (incident,) = bench.log.of(Incident)
    assert (incident.incident, incident.crawler) == ("robots_mismatch", "example")
    assert hashlib.sha256(RULES).hexdigest() in incident.detail
    assert hashlib.sha256(DENY).hexdigest() in incident.detail


def test_an_observed_file_that_agrees_is_recorded_once_per_validity() -> None:
    async def work(bench: Bench) -> None:
        await bench.current()
        for _ in range(5):
            await bench.observe()
        assert len(bench.log.of(Snapshot)) == 2
        bench.time += HOUR
        await bench.observe()
        assert len(bench.log.of(Snapshot)) == 3

    assert run(work).log.of(Incident) == []


def test_an_observed_file_is_recorded_again_when_it_changes() -> None:
    async def work(bench: Bench) -> None:
        for body in (RULES, DENY, DENY, RULES):
            await bench.observe(body)

    assert len(run(work).log.of(Snapshot)) == 3


def test_an_observed_file_replaces_a_fetch_that_reached_nothing() -> None:
    async def work(bench: Bench) -> None:
        await bench.current()
        await bench.observe()
        assert (await bench.current()).snapshot.outcome is RobotsOutcome.SUCCESSFUL

    bench = run(work, got(503))
    assert bench.fetcher.fetches == 1
    assert bench.log.of(Incident) == []


def test_an_observed_failure_is_recorded_and_never_in_force() -> None:
    async def work(bench: Bench) -> None:
        await bench.observe(b"", 503)
        assert len(bench.cache) == 0
        assert (await bench.current()).snapshot.source is SnapshotSource.FETCHED

    assert len(run(work).log.of(Snapshot)) == 2


@pytest.mark.parametrize(("status", "body"), [(304, b""), (301, b""), (200, None)])
def test_what_is_no_answer_is_not_observed(status: int, body: bytes | None) -> None:
    async def work(bench: Bench) -> None:
        await bench.observe(body, status)

    assert run(work).log.records == []


def test_an_observed_body_is_decoded_and_its_fields_are_read() -> None:
    async def work(bench: Bench) -> None:
        await bench.observe(gzip.compress(RULES), Content_Encoding="gzip", ETag='"x"', Cache_Control="max-age=120")

    (snapshot,) = run(work).log.of(Snapshot)
    assert (snapshot.robots_sha256, snapshot.etag) == (hashlib.sha256(RULES).hexdigest(), '"x"')
    assert snapshot.valid_until == START + 120 * SECOND


def test_an_observed_body_that_cannot_be_decoded_is_a_recorded_fault() -> None:
    async def work(bench: Bench) -> None:
        await bench.observe(b"nonsense", Content_Encoding="br")
        assert len(bench.cache) == 0

    (snapshot,) = run(work).log.of(Snapshot)
    assert (snapshot.outcome, snapshot.error) == (
        RobotsOutcome.UNREACHABLE,
        "bad_encoding: The body is not Brotli as declared.",
    )


def test_the_tag_of_an_observed_file_is_not_ours_to_ask_about() -> None:
    async def work(bench: Bench) -> None:
        await bench.observe(RULES, ETag='"theirs"')
        bench.time += HOUR
        await bench.current()

    assert run(work).fetcher.conditions == [(None, None)]


def test_an_observation_that_could_not_be_recorded_is_recorded_the_next_time() -> None:
    async def work(bench: Bench) -> None:
        bench.log.failures = 1
        with pytest.raises(LogUnavailable):
            await bench.observe()
        assert len(bench.cache) == 0
        await bench.observe()

    assert len(run(work).log.of(Snapshot)) == 1


# --- hostile files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"".join(b"User-agent: a%d\n" % n for n in range(2000)) + b"".join(b"Disallow: /%d\n" % n for n in range(2000)),
        b"User-agent: *\n" + b"".join(b"Disallow: *a%05d\n" % n for n in range(30_000)),
        b"User-agent: *\nDisallow: /" + b"x" * 500_000,
        b"User-agent: *\n" + b"Disallow: /p\n" * 80_000,
    ],
    ids=["2000x2000", "wildcards", "one-line", "many-rules"],
)
def test_the_event_loop_goes_on_while_a_hostile_file_is_compiled(body: bytes) -> None:
    lags: list[float] = []

    async def probe() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.002)
            lags.append(time.perf_counter() - before - 0.002)

    took: list[float] = []

    async def work(bench: Bench) -> None:
        task = asyncio.create_task(probe())
        await asyncio.sleep(0.02)
        started = time.perf_counter()
        await bench.current()
        took.append(time.perf_counter() - started)
        await asyncio.sleep(0.02)
        task.cancel()

    run(work, got(body=body))
    # On the loop the lag would be all the time it takes.  How long the lag is: tests/proxy_addon/test_interpreter.py.
    assert max(lags) < max(0.2, took[0] * 0.6)


class _Stand:
    """crawl_audit.robots with another compile_rules."""

    def __init__(self, compile_rules: Callable[[bytes, tuple[str, ...]], robots.Rules]) -> None:
        self.compile_rules = compile_rules
        self.Rules = robots.Rules


def test_the_snapshot_says_when_the_file_was_cut_or_is_html() -> None:
    async def work(bench: Bench) -> None:
        await bench.current()

    (snapshot,) = run(work, replace(got(body=b"<html>"), truncated=True)).log.of(Snapshot)
    assert (snapshot.truncated, snapshot.looks_like_html) == (True, True)
