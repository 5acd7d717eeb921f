"""Where connections may go: the one place through which every connection to a site is made, and the check there.

A name is resolved once, every address it stands for is checked, and the connection goes to an address that was
checked: an answer of the name service that changes between check and connection (DNS rebinding) changes nothing.
mitmproxy and the fetcher of robots.txt both connect through the event loop, so the check is in the loop.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from crawl_audit.addresses import Network, why_refused

REFUSED = "egress_denied"
"""What the sentence of a refused connection begins with."""


_operators_own: ContextVar[bool] = ContextVar("operators_own", default=False)


@contextmanager
def for_the_operator() -> Iterator[None]:
    """Connect to what the operator's settings name, a store of the fleet for example, and never to what a site names.

    Holds for the task that enters it, so nothing that goes on meanwhile for a crawler gets past the guard.
    """
    token = _operators_own.set(True)
    try:
        yield
    finally:
        _operators_own.reset(token)


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
        if _operators_own.get():
            return await super().create_connection(protocol_factory, host, port, **options)
        if options.get("ssl") and not options.get("server_hostname"):
            options["server_hostname"] = host
        delay_s = options.pop("happy_eyeballs_delay", None)
        addresses = await self._permitted(host, port, options)
        connect = super().create_connection
        if len(addresses) == 1:
            return await connect(protocol_factory, addresses[0], port, **options)
        return await _soonest([partial(connect, protocol_factory, one, port, **options) for one in addresses], delay_s)

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


type _Made = tuple[Any, Any]
"""A transport and its protocol."""


async def _soonest(tries: Sequence[Callable[[], Coroutine[Any, Any, _Made]]], delay_s: float | None) -> _Made:
    """What the first of ``tries`` to succeed makes; each begins once the one before it failed or took ``delay_s``.

    Raises the OSError of the first where all fail.  RFC 8305 ("happy eyeballs"); without a delay one after the other.
    """
    running: list[asyncio.Task[_Made]] = []
    try:
        for number in range(len(tries) + 1):
            if number < len(tries):
                running.append(asyncio.create_task(tries[number]()))
            open_ones = [task for task in running if not task.done()]
            while open_ones:
                patience = delay_s if number + 1 < len(tries) else None
                done, _ = await asyncio.wait(open_ones, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                if made := next((task for task in done if task.exception() is None), None):
                    running.remove(made)
                    return made.result()
                if number + 1 < len(tries):
                    break
                open_ones = [task for task in running if not task.done()]
        error = running[0].exception()
        assert error is not None
        raise error
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_drop)


def _drop(task: asyncio.Task[_Made]) -> None:
    """Close a connection that came too late; read the fault of one that failed."""
    if not task.cancelled() and task.exception() is None:
        task.result()[0].abort()
