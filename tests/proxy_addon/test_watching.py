"""One look at all exchanges and clients: what is too late is marked, ended and counted once, everything else let be."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from crawl_audit.records import Outcome
from proxy_addon import watching
from proxy_addon.deadlines import Deadline, Limits, Phase
from proxy_addon.exchanges import Answered, Exchange, ExchangeTable
from proxy_addon.watching import Watcher, phase_of, who_is_slow
from tests.proxy_addon.test_exchanges import NOW, exchange

LIMITS = Limits(connect_s=10, first_byte_s=20, idle_s=120, total_s=100, rate_window_s=60, client_head_s=15)


@dataclass
class FakeLink:
    """A client connection of the test's making."""

    client: Any = "client"
    site: Phase | None = None
    waits: Phase | None = Phase.CLIENT_IDLE
    key: str = "request"
    spoken: bool = True
    plain: bool = True
    backlog: tuple[int, int] = (0, 0)
    ended: list[str] = field(default_factory=list)
    parting: bytes = b""

    def site_phase(self) -> Phase | None:
        return self.site

    def client_phase(self) -> Phase | None:
        return self.waits

    def request_key(self) -> str:
        return self.key

    def has_spoken(self) -> bool:
        return self.spoken

    def reads_plain_head(self) -> bool:
        return self.plain

    def client_backlog(self) -> int:
        return self.backlog[0]

    def site_backlog(self) -> int:
        return self.backlog[1]

    def end_sites(self, why: str) -> None:
        self.ended.append("sites")

    def end_client(self, why: str, parting: bytes = b"") -> None:
        self.ended.append("client")
        self.parting = parting


class Scene:
    """A watcher over one client connection and the exchange on it."""

    def __init__(self, link: FakeLink, opened: Exchange | None = None) -> None:
        self.link, self.table = link, ExchangeTable()
        self.limits: list[str] = []
        self.incidents: list[str] = []
        self.finished: list[str] = []
        if opened is not None:
            opened.started = 0.0
            self.table.open("f", opened)
        self.watcher = Watcher(
            exchanges=self.table,
            links=lambda: {"c": link},  # type: ignore[dict-item]
            limits=LIMITS,
            on_limit=self.limits.append,
            on_client_timeout=lambda _, why: self.incidents.append(why),
            finish=self._finish,
        )

    def _finish(self, flow_id: str) -> None:
        self.finished.append(flow_id)
        self.table.finish(flow_id, NOW, Outcome.UPSTREAM_ERROR, Answered())

    def look(self, *times: float) -> None:
        for now in times:
            self.watcher.look(now)


def test_an_exchange_that_waits_too_long_is_marked_and_its_site_is_broken_off_once() -> None:
    opened = exchange()
    scene = Scene(FakeLink(site=Phase.CONNECT), opened)
    scene.look(0, 5, 9.5)
    assert (opened.cut, scene.link.ended) == (None, [])
    scene.look(10, 10.5)
    assert (opened.cut or "").startswith("timeout:connect: ")
    assert (scene.link.ended, scene.limits) == (["sites"], ["connect"])
    completion = scene.table.finish("f", NOW, Outcome.CLIENT_ABORT, Answered(), "Client disconnected.")
    assert completion is not None
    assert (completion.outcome, completion.error) == (Outcome.TIMEOUT, opened.cut)


def test_where_a_part_of_the_answer_was_passed_on_the_client_is_broken_off_first() -> None:
    opened = exchange()
    opened.head_passed = True
    scene = Scene(FakeLink(), opened)
    scene.look(0, 60)
    assert (scene.link.ended, scene.limits) == (["client", "sites"], ["rate"])


def test_an_exchange_of_which_mitmproxy_says_nothing_is_completed_by_the_watcher() -> None:
    scene = Scene(FakeLink(site=Phase.CONNECT), exchange())
    scene.look(0, 10, 10.5)
    assert scene.finished == []
    scene.look(11, 11.5)
    assert (scene.finished, len(scene.table)) == (["f"], 0)
    assert scene.link.ended == ["sites", "sites", "client"]


def test_an_exchange_whose_client_connection_is_gone_ends_as_well() -> None:
    opened = exchange(client_id="gone")
    scene = Scene(FakeLink(waits=None), opened)
    scene.look(0, 20, 21)
    assert (opened.cut or "").startswith("timeout:first_byte: ")
    assert (scene.finished, scene.link.ended) == (["f"], [])


def test_what_moves_fast_enough_is_let_be_until_its_total() -> None:
    opened = exchange()
    opened.head_passed = True
    scene = Scene(FakeLink(), opened)
    for now in range(99):
        opened.response_meter(bytes(200))
        scene.look(now)
    assert opened.cut is None
    scene.look(100)
    assert (opened.cut or "").startswith("timeout:total: ")


def test_a_request_that_is_never_finished_is_an_incident_and_answered_where_it_can_be() -> None:
    scene = Scene(FakeLink(waits=Phase.CLIENT_HEAD))
    scene.look(0, 14)
    assert scene.link.ended == []
    scene.look(15)
    assert (scene.link.ended, scene.limits, len(scene.incidents)) == (["client"], ["client_head"], 1)
    assert scene.link.parting.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(("spoken", "plain", "incidents"), [(False, False, 0), (True, False, 1)])
def test_a_client_that_said_nothing_is_no_incident_and_one_in_tls_gets_no_octets_in_the_clear(
    spoken: bool, plain: bool, incidents: int
) -> None:
    scene = Scene(FakeLink(waits=Phase.CLIENT_HEAD, spoken=spoken, plain=plain))
    scene.look(0, 15)
    assert (scene.link.ended, scene.link.parting, len(scene.incidents)) == (["client"], b"", incidents)


def test_an_idle_connection_is_closed_without_a_word() -> None:
    scene = Scene(FakeLink(waits=Phase.CLIENT_IDLE))
    scene.look(0, 119)
    assert scene.link.ended == []
    scene.look(120)
    assert (scene.link.ended, scene.limits, scene.incidents) == (["client"], [], [])


def test_one_request_after_another_is_no_request_that_never_ends() -> None:
    scene = Scene(FakeLink(waits=Phase.CLIENT_HEAD))
    for now in range(100):
        scene.link.key = f"request {now // 10}"
        scene.look(now)
    assert scene.link.ended == []


def test_a_client_that_waits_for_a_decision_is_let_be() -> None:
    scene = Scene(FakeLink(waits=None))
    scene.look(*range(0, 1000, 10))
    assert scene.link.ended == []


def test_a_client_with_an_open_exchange_is_judged_by_that_alone() -> None:
    opened = exchange()
    opened.upgraded = True
    scene = Scene(FakeLink(waits=Phase.CLIENT_HEAD), opened)
    scene.look(0, 50, 99)
    assert scene.link.ended == []


def test_the_phase_of_an_exchange() -> None:
    opened = exchange()
    assert phase_of(opened, None) is Phase.FIRST_BYTE
    opened.head_begun = True
    assert phase_of(opened, None) is Phase.HEAD
    opened.request_ended = lambda: False
    assert phase_of(opened, None) is Phase.REQUEST
    assert phase_of(opened, FakeLink(site=Phase.TLS)) is Phase.TLS  # type: ignore[arg-type]
    opened.head_passed = True
    assert phase_of(opened, FakeLink(site=Phase.TLS)) is Phase.BODY  # type: ignore[arg-type]
    opened.upgraded = True
    assert phase_of(opened, None) is Phase.UPGRADED


def test_the_slow_one_is_who_has_left_octets_waiting() -> None:
    client, site = FakeLink(backlog=(5, 0)), FakeLink(backlog=(0, 5))
    assert who_is_slow(Deadline.RATE, client) is Deadline.CLIENT_RATE  # type: ignore[arg-type]
    assert who_is_slow(Deadline.RATE, site) is Deadline.RATE  # type: ignore[arg-type]
    assert who_is_slow(Deadline.REQUEST, site) is Deadline.RATE  # type: ignore[arg-type]
    assert who_is_slow(Deadline.REQUEST, client) is Deadline.REQUEST  # type: ignore[arg-type]
    assert who_is_slow(Deadline.CONNECT, client) is Deadline.CONNECT  # type: ignore[arg-type]
    assert who_is_slow(Deadline.RATE, None) is Deadline.RATE


def test_mitmproxys_own_timeout_comes_after_all_of_ours() -> None:
    limits = Limits(idle_s=5, first_byte_s=200)
    assert watching.backstop_s(limits) > 200


def test_a_look_that_fails_is_not_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "INTERVAL_S", 0.01)
    scene = Scene(FakeLink())
    looks: list[float] = []

    def fail(now: float) -> None:
        looks.append(now)
        raise RuntimeError("boom")

    async def check() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        monkeypatch.setattr(scene.watcher, "look", fail)
        scene.watcher.start()
        while len(looks) < 3:
            await asyncio.sleep(0.01)
        scene.watcher.stop()
        seen = len(looks)
        await asyncio.sleep(0.05)
        assert len(looks) == seen

    asyncio.run(check())
