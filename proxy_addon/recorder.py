"""Records that no request waits for: incidents, tunnels and signals, with who was connected.

Shared by the hooks on connections and the hooks on exchanges; knows which crawler a tunnel belongs to.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from mitmproxy.connection import Client

from crawl_audit.exchange import exchange_id
from crawl_audit.identity import Crawler, identify, why_unknown
from crawl_audit.records import Incident, Record, Signal, Tunnel
from crawl_audit.signals import FoundSignal
from crawl_audit.text import storable
from proxy_addon.clock import now_us
from proxy_addon.limits import Bucket, Limit, TooMany
from proxy_addon.metrics import Metrics

# Incidents that whoever can connect brings about at will: so many of each are recorded one by one, the rest by number.
_FROM_ANYBODY = ("unknown_crawler", "malformed_request", "client_refused", "client_timeout")
_EACH_PER_S, _EACH_AT_ONCE = 10, 100


class Log(Protocol):
    """What the hooks need of the writer."""

    async def append(self, record: Record) -> int:
        """Sequence number of the record, durable; raises LogUnavailable."""

    def submit(self, record: Record) -> object:
        """Hand over a record that nothing waits for."""

    def refused(self, reason: str) -> None:
        """A request was refused, and that is not recorded by itself; the log says how many were, when it can."""


def new_exchange_id() -> str:
    """A fresh id for an exchange."""
    return exchange_id(time.time_ns() // 1_000_000, os.urandom(10))


def address_of(client: Client) -> str | None:
    """The crawler's end of a connection, host:port, with brackets around an IPv6 address."""
    peername: Any = client.peername  # mitmproxy's type denies it, but a socket that is gone at once has none
    if peername is None:
        return None
    host, port = peername[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Recorder:
    """Writes what happens beside the decisions, and remembers who opened each tunnel."""

    def __init__(self, log: Log, metrics: Metrics, crawlers: Sequence[Crawler]) -> None:
        self.log = log
        self.metrics = metrics
        self._crawlers = tuple(crawlers)
        self._by_tunnel: dict[str, Crawler] = {}
        self._each = {word: Bucket(_EACH_PER_S, _EACH_AT_ONCE) for word in _FROM_ANYBODY}
        self._tunnels = Bucket(_EACH_PER_S, _EACH_AT_ONCE)
        self.armed = False
        self.draining = False

    @property
    def accepting(self) -> bool:
        """Whether requests may be decided on: started completely, and not stopping."""
        return self.armed and not self.draining

    def identify(self, client: Client, proxy_authorization: str | None) -> Crawler | None:
        """Who asks: whoever opened the tunnel the request comes through, else by its own credentials."""
        return self._by_tunnel.get(client.id) or identify(proxy_authorization, self._crawlers)

    def why_unknown(self, proxy_authorization: str | None) -> str:
        """Why :meth:`identify` knew nobody, as one sentence."""
        return why_unknown(proxy_authorization, self._crawlers)

    def tunnel_opened(self, client: Client, crawler: Crawler) -> None:
        """From now on requests on this connection are this crawler's."""
        self._by_tunnel[client.id] = crawler

    def disconnected(self, client: Client) -> None:
        """Forget a connection."""
        self._by_tunnel.pop(client.id, None)

    def answered(self, reason: str) -> None:
        """Count an answer of our own in place of the site's, by its reason."""
        self.metrics.refused.labels(reason=reason).inc()

    def refused(self, reason: str) -> None:
        """Count a request that did not leave because it could not be recorded."""
        self.answered(reason)
        self.metrics.fail_closed.labels(reason=reason).inc()

    def limited(self, crawler: Crawler, exceeded: TooMany) -> None:
        """A crawler was refused for being above a limit of its own: the log says how often, not each time."""
        self.metrics.limit_exceeded(exceeded.limit)
        self.log.refused(f"crawler_limit of {crawler.id}")

    def too_many(self) -> None:
        """A request, or a whole connection, was refused because too many connections are open."""
        self.metrics.limit_exceeded(Limit.OPEN_CONNECTIONS)
        self.log.refused("too_many_connections")

    def incident(self, word: str, detail: str, client: Client, exchange: str | None = None) -> None:
        """Record something that makes the log less than complete, or a request that never became one."""
        self.metrics.incidents.labels(incident=word).inc()
        if word in self._each and self._each[word].take():
            self.log.refused(word)
            return
        self.log.submit(
            Incident(
                recorded_at=now_us(),
                incident=word,
                exchange_id=exchange,
                crawler=self._crawler_id(client),
                client=address_of(client),
                detail=storable(detail, 1000),
            )
        )

    def signals(self, found: Iterable[FoundSignal], exchange: str) -> None:
        """Record what the header fields of one exchange say."""
        for signal in found:
            self.log.submit(
                Signal(
                    recorded_at=now_us(),
                    exchange_id=exchange,
                    snapshot_seq=None,
                    protocol=signal.protocol,
                    raw=signal.raw,
                    value=signal.value,
                    scope=signal.scope,
                )
            )

    def tunnel(
        self,
        protocol: str,
        outcome: str,
        client: Client,
        *,
        host: str | None = None,
        port: int | None = None,
        detail: str | None = None,
        exchange: str | None = None,
    ) -> None:
        """Record a connection that is not a request."""
        self.metrics.tunnels.labels(protocol=protocol, outcome=outcome).inc()
        # What an unknown client opens is refused, so whoever can connect can have that recorded at will.
        if outcome != "opened" and self._crawler_id(client) is None and self._tunnels.take():
            self.log.refused(f"tunnel_{outcome}")
            return
        self.log.submit(
            Tunnel(
                recorded_at=now_us(),
                exchange_id=exchange,
                crawler=self._crawler_id(client),
                client=address_of(client),
                protocol=protocol,
                host=None if host is None else storable(host, 255),
                port=port,
                outcome=outcome,
                detail=None if detail is None else storable(detail, 500),
            )
        )

    def _crawler_id(self, client: Client) -> str | None:
        crawler = self._by_tunnel.get(client.id)
        return crawler.id if crawler else None
