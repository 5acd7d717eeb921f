"""One port for several processes: each listens on a socket of its own, and the kernel gives each connection to one.

SO_REUSEPORT of Linux chooses by a digest of both addresses and ports.  What still waits to be accepted when a listener
is closed, or its process dies, is reset; so a worker listens only once it serves.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from crawl_audit.errors import ConfigurationError
from proxy_addon.egress import GuardedLoop
from proxy_addon.settings import split_address


class SharingLoop(GuardedLoop):
    """An event loop whose servers share their port with those of other processes of the same user."""

    async def create_server(self, protocol_factory: Callable[[], Any], *arguments: Any, **options: Any) -> Any:
        """As asyncio's, with SO_REUSEPORT."""
        return await super().create_server(protocol_factory, *arguments, **{**options, "reuse_port": True})


@contextmanager
def reserved(address: str) -> Iterator[str]:
    """Keep an address for this process and its workers without listening on it; the address with its real port.

    A socket that is bound and does not listen is given no connection.  Raises ConfigurationError.
    """
    host, port = split_address(address)
    if sys.platform != "linux":  # others have SO_REUSEPORT and give every connection to one socket
        raise ConfigurationError("Workers can share a port on Linux only: set workers to 1.")
    with ExitStack() as stack:
        try:
            for family, where in _places(host, port):
                holder = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                if family == socket.AF_INET6:
                    holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # as asyncio does
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                holder.bind((where[0], port, *where[2:]))
                port = holder.getsockname()[1]
        except OSError as error:
            raise ConfigurationError(
                f"Cannot listen on {address} (listen): {error.strerror or error}; stop what uses it or give another"
                " address with --listen."
            ) from error
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _places(host: str, port: int) -> list[tuple[int, Any]]:
    """Every address of a host, as a server on it binds them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, where) for family, _, _, _, where in found))
