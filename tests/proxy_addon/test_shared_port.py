"""Several sockets on one port: only those that listen are given connections, and nobody else gets the port."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from crawl_audit.errors import ConfigurationError
from proxy_addon import preflight
from proxy_addon.settings import split_address
from proxy_addon.shared_port import SharingLoop, reserved


def test_a_port_that_is_kept_is_given_no_connection_until_somebody_listens() -> None:
    async def serve(address: str) -> set[int]:
        host, port = split_address(address)
        seen: set[int] = set()
        servers = []
        for number in (1, 2):

            def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int = number) -> None:
                seen.add(number)
                writer.close()

            servers.append(await asyncio.start_server(connected, host, port))
        for _ in range(60):
            with await asyncio.to_thread(socket.create_connection, (host, port), 5):
                pass
        await asyncio.sleep(0.05)
        for server in servers:
            server.close()
            await server.wait_closed()
        return seen

    with reserved("127.0.0.1:0") as address:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(split_address(address), timeout=5)
        with pytest.raises(ConfigurationError, match="Cannot listen"):
            preflight.check_free("listen", address)
        with asyncio.Runner(loop_factory=lambda: SharingLoop(["127.0.0.0/8"])) as runner:  # type: ignore[list-item]
            assert runner.run(serve(address)) == {1, 2}


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match=rf"Cannot listen on {address}.*--listen"), reserved(address):
            pass


def test_a_host_of_several_addresses_has_one_port_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, 1, 6, "", ("127.0.0.1", 0)), (socket.AF_INET, 1, 6, "", ("127.0.0.2", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with reserved("two.example:0") as address:
        port = split_address(address)[1]
        for host in ("127.0.0.1", "127.0.0.2"):
            with socket.socket() as probe, pytest.raises(OSError, match="in use"):
                probe.bind((host, port))


def test_an_address_of_ipv6_keeps_its_brackets() -> None:
    with reserved("[::1]:0") as address:
        assert address.startswith("[::1]:")


def test_a_system_without_shared_ports_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConfigurationError, match="set workers to 1"), reserved("127.0.0.1:0"):
        pass
