"""Where connections may go: the one place through which every connection to a site is made, and the check there.

A name is resolved once, every address it stands for is checked, and the connection goes to an address that was
checked: an answer of the name service that changes between check and connection (DNS rebinding) changes nothing.
mitmproxy and the fetcher of robots.txt both connect through the event loop, so the check is in the loop.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any

from crawl_audit.addresses import Network, why_refused

REFUSED = "egress_denied"
"""What the sentence of a refused connection begins with."""


class EgressDenied(PermissionError):
    """No address of the host may be connected to; the text is one sentence after :data:`REFUSED`."""

    def __init__(self, sentence: str) -> None:
        super().__init__(f"{REFUSED}: {sentence}")


class GuardedLoop(asyncio.SelectorEventLoop):
    """An event loop that connects to nothing but permitted addresses."""

    def __init__(
        self,
        allowed: Sequence[Network] = (),
        denied: Sequence[Network] = (),
        on_denied: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._allowed = tuple(allowed)
        self._denied = tuple(denied)
        self._on_denied = on_denied

    async def create_connection(
        self, protocol_factory: Callable[[], Any], host: str | None = None, port: int | None = None, **options: Any
    ) -> tuple[Any, Any]:
        """As asyncio's, to the first permitted address of ``host`` that answers; raises EgressDenied where none is."""
        if host is None or port is None or options.get("sock") is not None:
            raise EgressDenied("A connection without a host and a port cannot be checked.")
        if options.get("ssl") and not options.get("server_hostname"):
            options["server_hostname"] = host
        failures: list[OSError] = []
        for address in await self._permitted(host, port, options):
            try:
                return await super().create_connection(protocol_factory, address, port, **options)
            except OSError as error:
                failures.append(error)
        raise failures[0]

    async def _permitted(self, host: str, port: int, options: dict[str, Any]) -> list[str]:
        family = options.pop("family", 0)
        flags = options.pop("flags", 0)
        found = await self.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=flags)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not addresses:
            raise OSError(f"getaddrinfo() gave no address for {host!r}")
        reasons = {address: why_refused(address, self._allowed, self._denied) for address in addresses}
        permitted = [address for address in addresses if reasons[address] is None]
        if not permitted:
            address = addresses[0]
            if self._on_denied is not None:
                self._on_denied()
            raise EgressDenied(f"The address {address} {reasons[address]}; [egress] in the settings can allow it.")
        return permitted

    async def create_datagram_endpoint(self, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Nothing here speaks UDP: a datagram would leave without a decision."""
        raise EgressDenied("The sidecar sends no datagrams.")
