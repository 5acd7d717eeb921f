"""mitmproxy, embedded: our own Master with the few addons it needs, and every option that matters pinned.

Never ``mitmdump -s``: a script is hot-reloaded, and one that breaks or vanishes leaves an open, unrecorded proxy.
No configuration file of mitmproxy is read.  Options are asserted after they are set, because a mistyped one is
silently ignored otherwise.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mitmproxy import addonmanager, ctx, exceptions, hooks, http
from mitmproxy.addons import (
    block,
    core,
    disable_h2c,
    next_layer,
    proxyserver,
    tlsconfig,
)
from mitmproxy.master import Master
from mitmproxy.options import CONF_BASENAME, Options

from crawl_audit.errors import ConfigurationError
from proxy_addon import handlers
from proxy_addon.boundary import contained
from proxy_addon.leaf_certificates import LeafCertificates
from proxy_addon.links import Link

logger = logging.getLogger(__name__)

MITMPROXY_VERSION = "12.2.3"

PINNED: dict[str, Any] = {
    # `eager` opens TCP and sends a ClientHello to the site before we have decided.
    "connection_strategy": "lazy",
    # Bytes in a CONNECT tunnel that are neither TLS nor HTTP would pass without any HTTP hook.
    "rawtcp": False,
    # An h2 client slower than the site makes mitmproxy buffer without bound; clients fall back to HTTP/1.1.
    "http2": False,
    "http3": False,
    "validate_inbound_headers": True,
    "normalize_outbound_headers": True,
    "ssl_insecure": False,
    # It would replace certifi's authorities by whatever lies in a directory.
    "ssl_verify_upstream_trusted_confdir": None,
    "tls_version_client_min": "TLS1_2",
    "tls_version_server_min": "TLS1_2",
    "add_upstream_certs_to_client_chain": False,
    # Any certificate of a client would be taken for good: crawlers are known by their tokens.
    "request_client_cert": False,
    "client_certs": None,
    "certs": [],
    "upstream_cert": False,
    # It streams denied bodies as well, which ends in "mitmproxy has crashed!".
    "stream_large_bodies": None,
    "body_size_limit": None,
    "store_streamed_bodies": False,
    "ignore_hosts": [],
    "allow_hosts": [],
    "tcp_hosts": [],
    "udp_hosts": [],
    "mode": ["regular"],
    # Crawlers come from private addresses; whoever comes from a public one is refused.
    "block_private": False,
    "block_global": True,
    # As opaque octets its frames could not be counted.
    "websocket": True,
}


# Options whose changes mitmproxy's TlsConfig is not told of: what its store is made of, because ours is another, and
# versions of TLS, because it then asks OpenSSL for SSL 3, which pyOpenSSL 26 answers with an exception.
_NOT_MITMPROXYS = frozenset(
    "certs confdir key_size cert_passphrase tls_version_client_min tls_version_client_max tls_version_server_min"
    " tls_version_server_max".split()
)


class _TlsConfig(tlsconfig.TlsConfig):
    def configure(self, updated: set[str] | str) -> None:
        """As mitmproxy's, with a store that holds the certificates of more hosts and writes nothing beside the key."""
        # Once, when it is running, mitmproxy gives a name where it otherwise gives a set.
        changed = {updated} if isinstance(updated, str) else updated
        super().configure(changed - _NOT_MITMPROXYS)
        if "confdir" in changed:
            self.certstore = LeafCertificates.signed_by(Path(ctx.options.confdir) / f"{CONF_BASENAME}-ca.pem")

    def request(self, flow: http.HTTPFlow) -> None:
        """mitmproxy would answer paths like /mitmproxy-….crl itself: a decision would say forwarded and nothing was."""


def _tell(error: Exception) -> None:
    """As mitmproxy's ``safecall``, which is a generator and takes longer than most hooks."""
    if isinstance(error, exceptions.AddonHalt | exceptions.OptionsError):
        raise error
    logger.error("Addon error: %s", error, exc_info=error)


class _AddonManager(addonmanager.AddonManager):
    """mitmproxy's own, with what each hook calls looked up once instead of for every flow, and no `update` hook.

    Addons never change after the start here, and none of ours or of mitmproxy's few listens to `update`.
    """

    def __init__(self, master: Master) -> None:
        super().__init__(master)
        self._called: dict[str, tuple[Callable[..., object], ...]] = {}

    def listens(self, name: str) -> bool:
        """Whether anybody may listen to a hook: known from when it was first called."""
        return self._called.get(name) != ()

    async def handle_lifecycle(self, event: hooks.Hook) -> None:
        """Call what listens to the event, in order; an exception is logged and the next one called, as in mitmproxy."""
        called = self._called.get(event.name)
        if called is None:
            found = (function for addon in self.chain for _, function in self._iter_hooks(addon, event))
            called = self._called[event.name] = tuple(found)
        for function in called:
            with contained(_tell):
                result = function(*event.args())
                if inspect.isawaitable(result):
                    await result


class AuditMaster(Master):
    """mitmproxy's event loop owner, without the log events that format each record for addons nobody has here."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._legacy_log_events.uninstall()
        handlers.install()
        self.addons = _AddonManager(self)
        self.proxyserver = proxyserver.Proxyserver()
        self.tlsconfig = _TlsConfig()
        self._started = asyncio.Event()

    def configure(self, ours: Sequence[object], **options: Any) -> None:
        """Add the addons and set the options; raises ConfigurationError where one did not take."""
        self.addons.add(
            core.Core(),
            block.Block(),
            disable_h2c.DisableH2C(),
            self.proxyserver,
            next_layer.NextLayer(),
            self.tlsconfig,
            *ours,
        )
        wanted = {**PINNED, **options}
        self.options.update(**wanted)
        for name, value in wanted.items():
            if getattr(self.options, name) != value:
                raise ConfigurationError(f"mitmproxy's option {name} did not take the value {value!r}.")
        if getattr(self.tlsconfig, "certstore", None) is None:
            raise ConfigurationError(
                f"mitmproxy could not load the certificate authority in {self.options.confdir};"
                " make another with `crawl-audit-proxy ca`."
            )

    async def running(self) -> None:
        """mitmproxy's start-up is over, whether its servers came up or not."""
        await super().running()
        self._started.set()

    async def listening(self) -> tuple[str, int]:
        """(host, port) listened on; ConfigurationError where the server did not come up (mitmproxy only logs that)."""
        await self._started.wait()
        addresses = self.proxyserver.listen_addrs()
        if not addresses:
            failures = [str(server.last_exception) for server in self.proxyserver.servers]
            raise ConfigurationError(f"The proxy cannot listen: {'; '.join(failures) or 'no server came up'}.")
        return addresses[0][0], addresses[0][1]

    def bound_unsent(self, seconds: float) -> None:
        """Let the kernel end a client connection on which nothing is taken for so long (RFC 5482; Linux).

        A connection that was closed with octets left to send would otherwise stay for as long as its client likes.
        """
        for instance in self.proxyserver.servers:
            for server in getattr(instance, "_servers", ()):
                for listening in server.sockets if hasattr(socket, "TCP_USER_TIMEOUT") else ():
                    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))

    async def stop_listening(self) -> None:
        """Accept no new connection; those that exist go on."""
        await self.proxyserver.servers.update([])

    def end_sites(self, client_id: str, why: str) -> None:
        """Break off whatever a client connection has open to sites."""
        if (handler := self.proxyserver.connections.get(client_id)) is not None:
            Link(handler).end_sites(why)

    def keep_sites(self, client_id: str, kept: int) -> None:
        """Close connections to sites that a client is not using, the oldest first, but for ``kept``."""
        if (handler := self.proxyserver.connections.get(client_id)) is not None:
            Link(handler).keep_sites(kept)

    def links(self) -> dict[str, Link]:
        """Every client connection by the client's id."""
        return {handler.client.id: Link(handler) for handler in self.proxyserver.connections.values()}

    async def close_connections(self, patience_s: float) -> None:
        """Break off every client connection that is left and wait until mitmproxy has told its hooks."""
        for handler in list(self.proxyserver.connections.values()):
            transport = handler.transports.get(handler.client)
            if transport is not None and transport.handler is not None:
                transport.handler.cancel("the sidecar stops")
        deadline = asyncio.get_running_loop().time() + patience_s
        while self.proxyserver.connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
