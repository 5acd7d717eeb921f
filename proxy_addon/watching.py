"""The clock of all exchanges: one timer that looks at each open exchange and each client, and ends what is too late.

An exchange whose deadline has passed is marked first, so that whatever mitmproxy says of its end, its one completion
says ``timeout``.  Then its connection to the site is broken off, which makes mitmproxy give the crawler a page; where
the crawler already has a part of an answer, its own connection is broken off.  Where mitmproxy says nothing in a
second, the exchange is completed here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from mitmproxy.connection import Client

from proxy_addon import deadlines, layers, upstream_faults
from proxy_addon.deadlines import Deadline, Limits, Phase, Progress
from proxy_addon.exchanges import Exchange, ExchangeTable
from proxy_addon.links import Link

INTERVAL_S = 0.5
# How long mitmproxy may take to say how an exchange ended that was broken off.
_HOOKS_S = 1.0

Links = Callable[[], Mapping[str, Link]]
OnLimit = Callable[[str], None]
OnClientTimeout = Callable[[Client, str], None]
Finish = Callable[[str], None]


class Watcher:
    """Looks at every open exchange and every client connection twice a second."""

    def __init__(
        self,
        *,
        exchanges: ExchangeTable,
        links: Links,
        limits: Limits,
        on_limit: OnLimit,
        on_client_timeout: OnClientTimeout,
        finish: Finish,
    ) -> None:
        """``finish`` completes the exchange of a flow that mitmproxy says nothing of any more."""
        self._exchanges = exchanges
        self._links = links
        self._limits = limits
        self._on_limit = on_limit
        self._on_client_timeout = on_client_timeout
        self._finish = finish
        self._seen: dict[str, Progress] = {}
        self._cut_at: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look from now on; a look that fails is logged by the event loop and the next one made all the same."""
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_S, self._again)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _again(self) -> None:
        self.start()
        self.look(time.monotonic())

    def look(self, now: float) -> None:
        """One look at everything, at a time of the monotonic clock."""
        links = self._links()
        seen: dict[str, Progress] = {}
        busy: set[str] = set()
        for flow_id, exchange in self._exchanges.items():
            busy.add(exchange.client_id)
            link = links.get(exchange.client_id)
            if exchange.cut is not None:
                # What a limit has cut was broken off as it happened; where that led to nothing, it ends here.
                self._end_at_last(flow_id, link, now)
                continue
            progress = self._progress(flow_id, exchange, link, now)
            deadline = deadlines.passed(progress, now - exchange.started, now, self._limits)
            if deadline is None:
                seen[flow_id] = progress
            else:
                self._cut(flow_id, exchange, link, deadline, now)
        for client_id, link in links.items():
            if client_id not in busy:
                self._look_at_client(link, now, seen)
        self._seen = seen
        self._cut_at = {flow_id: at for flow_id, at in self._cut_at.items() if self._exchanges.get(flow_id)}

    def _progress(self, flow_id: str, exchange: Exchange, link: Link | None, now: float) -> Progress:
        phase = phase_of(exchange, link)
        octets = exchange.request_meter.size + exchange.response_meter.size
        return deadlines.advanced(self._seen.get(flow_id), phase, octets, now, self._limits)

    def _cut(self, flow_id: str, exchange: Exchange, link: Link | None, deadline: Deadline, now: float) -> None:
        deadline = who_is_slow(deadline, link)
        why = deadlines.sentence(deadline, self._limits)
        exchange.cut = upstream_faults.cut_text(deadline, why)
        self._cut_at[flow_id] = now
        self._on_limit(deadline.value)
        if link is not None:
            if exchange.head_passed:
                link.end_client(why)
            link.end_sites(why)

    def _end_at_last(self, flow_id: str, link: Link | None, now: float) -> None:
        if now - self._cut_at.setdefault(flow_id, now) >= _HOOKS_S:
            self._finish(flow_id)
            if link is not None:
                link.end_sites("a deadline has passed")
                link.end_client("a deadline has passed")

    def _look_at_client(self, link: Link, now: float, seen: dict[str, Progress]) -> None:
        phase, key = link.client_phase(), link.request_key()
        if phase is None:
            return
        progress = deadlines.advanced(self._seen.get(key), phase, 0, now, self._limits)
        deadline = deadlines.passed(progress, 0, now, self._limits)
        if deadline is None:
            seen[key] = progress
            return
        why = deadlines.sentence(deadline, self._limits)
        parting = b""
        if deadline is Deadline.CLIENT_HEAD:
            self._on_limit(deadline.value)
            if link.has_spoken():
                self._on_client_timeout(link.client, why)
            if link.reads_plain_head():
                parting = layers.on_wire(upstream_faults.request_timeout(why))
        link.end_client(why, parting)


def backstop_s(limits: Limits) -> int:
    """mitmproxy's own timeout for silence: later than any of ours, because it calls every end the client's doing."""
    return int(max(limits.idle_s, limits.first_byte_s, limits.connect_s, limits.tls_s, limits.client_head_s)) + 10


def phase_of(exchange: Exchange, link: Link | None) -> Phase:
    """What an open exchange is waiting for."""
    if exchange.upgraded:
        return Phase.UPGRADED
    if exchange.head_passed:
        return Phase.BODY
    site = None if link is None else link.site_phase()
    if site is not None:
        return site
    if not exchange.request_ended():
        return Phase.REQUEST
    return Phase.HEAD if exchange.head_begun else Phase.FIRST_BYTE


def who_is_slow(deadline: Deadline, link: Link | None) -> Deadline:
    """A body moves only as fast as it is taken: the slow one is who has left octets waiting."""
    if link is None:
        return deadline
    if deadline is Deadline.REQUEST and link.site_backlog():
        return Deadline.RATE
    if deadline is Deadline.RATE and link.client_backlog():
        return Deadline.CLIENT_RATE
    return deadline
