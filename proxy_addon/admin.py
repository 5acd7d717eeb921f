"""The admin port: is the sidecar alive, is it ready, what does it count, and publish what there is.

Never recorded in the log (the short list of unrecorded paths: /livez, /startupz, /readyz, /metrics, /seal, /anchor),
and apart from the proxy's own port, so that no crawler reaches it through the proxy by a magic name.  Which of the
three probes answers what, and whose business it is, stands in docs/operating.md.
"""

from __future__ import annotations

import inspect
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from tornado import httpserver, web
from tornado.netutil import bind_sockets

from crawl_audit.errors import CrawlAuditError


class Exposes(Protocol):
    """What is asked for metrics: at once those of this process, a moment later those of several."""

    def exposition(self, accept: str = "") -> tuple[bytes, str] | Awaitable[tuple[bytes, str]]: ...


type Server = httpserver.HTTPServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """What the admin port asks the sidecar."""

    dead_because: Callable[[], str | None]
    not_ready_because: Callable[[], str | None]
    warnings: Callable[[], list[str]]
    seal: Callable[[], Awaitable[dict[str, object]]]
    anchor: Callable[[], Awaitable[dict[str, object]]]
    metrics: Exposes


class _Handler(web.RequestHandler):
    def initialize(self, probes: Probes) -> None:
        self.probes = probes

    def write_error(self, status_code: int, **kwargs: object) -> None:
        self.finish_json(status_code, {"error": self._reason})

    def finish_json(self, status: int, value: dict[str, object]) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value) + "\n")


class _Live(_Handler):
    def get(self) -> None:
        reason = self.probes.dead_because()
        self.finish_json(503 if reason else 200, {"live": reason is None, "reason": reason})


class _Started(_Handler):
    """This port is opened last of all: that it answers is the answer."""

    def get(self) -> None:
        self.finish_json(200, {"started": True})


class _Ready(_Handler):
    def get(self) -> None:
        reason = self.probes.not_ready_because()
        answer: dict[str, object] = {"ready": reason is None, "reason": reason, "warnings": self.probes.warnings()}
        self.finish_json(503 if reason else 200, answer)


class _Metrics(_Handler):
    async def get(self) -> None:
        exposed = self.probes.metrics.exposition(self.request.headers.get("Accept", ""))
        octets, content_type = await exposed if inspect.isawaitable(exposed) else exposed
        self.set_header("Content-Type", content_type)
        self.finish(octets)


class _Seal(_Handler):
    async def post(self) -> None:
        try:
            self.finish_json(200, await self.probes.seal())
        except CrawlAuditError as error:
            self.finish_json(503, {"error": str(error)})


class _Anchor(_Handler):
    async def post(self) -> None:
        try:
            self.finish_json(200, await self.probes.anchor())
        except CrawlAuditError as error:
            self.finish_json(503, {"error": str(error)})


class _Unknown(_Handler):
    def prepare(self) -> None:
        self.finish_json(404, {"error": "there is /livez, /startupz, /readyz, /metrics, POST /seal and POST /anchor"})


def listen(host: str, port: int, probes: Probes) -> tuple[Server, str]:
    """Start the admin port on the running loop; the server and its address as HOST:PORT."""
    sockets = bind_sockets(port, address=host)
    bound_host, bound_port = sockets[0].getsockname()[:2]
    address = f"[{bound_host}]:{bound_port}" if ":" in bound_host else f"{bound_host}:{bound_port}"
    return serve(sockets, probes), address


def serve(sockets: list[socket.socket], probes: Probes) -> Server:
    """Answer on sockets that listen already."""
    arguments = {"probes": probes}
    application = web.Application(
        [
            (r"/livez", _Live, arguments),
            (r"/startupz", _Started, arguments),
            (r"/readyz", _Ready, arguments),
            (r"/metrics", _Metrics, arguments),
            (r"/seal", _Seal, arguments),
            (r"/anchor", _Anchor, arguments),
        ],
        default_handler_class=_Unknown,
        default_handler_args=arguments,
        log_function=lambda handler: None,
    )
    server = httpserver.HTTPServer(
        application, max_header_size=16 * 1024, max_body_size=1024, idle_connection_timeout=30
    )
    server.add_sockets(sockets)
    return server
