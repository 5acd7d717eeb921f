"""The event loop connects to checked addresses only, and asks the name service once."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import pytest

from proxy_addon.egress import EgressDenied, GuardedLoop, for_the_operator

LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


class NamedLoop(GuardedLoop):
    """A guarded loop whose name service gives one prepared answer after the other."""

    def __init__(self, *answers: list[str], **options: Any) -> None:
        super().__init__(**options)
        self.answers = list(answers)
        self.asked: list[str] = []

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:  # type: ignore[override]
        self.asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in self.answers.pop(0)]


def run[T](loop: GuardedLoop, action: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        return await action()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main())


def counting(seen: list[object]) -> asyncio.Protocol:
    protocol = asyncio.Protocol()
    seen.append(protocol)
    return protocol


@pytest.fixture
def listening() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        yield server


def arrived(server: socket.socket) -> bool:
    server.settimeout(0.2)
    try:
        server.accept()[0].close()
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0"])
def test_a_spelling_of_this_machine_reaches_nothing(listening: socket.socket, host: str) -> None:
    denied: list[int] = []
    loop = GuardedLoop(on_denied=lambda: denied.append(1))
    with pytest.raises(EgressDenied, match=r"^egress_denied: The address .* \[egress\] in the settings can allow it\."):
        run(loop, lambda: loop.create_connection(asyncio.Protocol, host, listening.getsockname()[1]))
    assert denied == [1]
    assert not arrived(listening)


def test_without_the_guard_it_would_be_reached(listening: socket.socket) -> None:
    async def main() -> None:
        transport, _ = await asyncio.get_running_loop().create_connection(
            asyncio.Protocol, "127.1", listening.getsockname()[1]
        )
        transport.close()

    asyncio.run(main())
    assert arrived(listening)


def test_an_allowed_network_is_reached(listening: socket.socket) -> None:
    loop = GuardedLoop([LOOPBACK])

    async def connect() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", listening.getsockname()[1])
        writer.close()
        await writer.wait_closed()

    run(loop, connect)
    assert arrived(listening)


def test_a_name_that_changes_its_address_is_asked_once_and_not_followed(listening: socket.socket) -> None:
    """DNS rebinding: the first answer is public, the second one this machine."""
    loop = NamedLoop(["192.0.2.1"], ["127.0.0.1"], allowed=[ipaddress.ip_network("192.0.2.0/24")])

    async def connect() -> None:
        async with asyncio.timeout(0.5):
            await loop.create_connection(asyncio.Protocol, "rebind.example", listening.getsockname()[1])

    with pytest.raises((OSError, TimeoutError)):
        run(loop, connect)
    assert loop.asked == ["rebind.example"]
    assert not arrived(listening)


def test_of_mixed_addresses_only_the_permitted_are_tried(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    loop = NamedLoop(["10.0.0.1", "127.0.0.1"], allowed=[LOOPBACK])

    async def connect() -> str:
        transport, _ = await loop.create_connection(asyncio.Protocol, "mixed.example", port)
        address: str = transport.get_extra_info("peername")[0]
        transport.close()
        return address

    assert run(loop, connect) == "127.0.0.1"


def test_the_next_address_is_tried_where_one_refuses(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    loop = NamedLoop(["127.0.0.2", "127.0.0.1"], allowed=[LOOPBACK])

    async def connect() -> str:
        transport, _ = await loop.create_connection(asyncio.Protocol, "two.example", port)
        address: str = transport.get_extra_info("peername")[0]
        transport.close()
        return address

    assert run(loop, connect) == "127.0.0.1"


def test_what_refuses_is_told_where_no_address_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    loop = GuardedLoop([LOOPBACK])
    with pytest.raises(ConnectionRefusedError):
        run(loop, lambda: loop.create_connection(asyncio.Protocol, "127.0.0.1", port))


def test_a_ready_socket_and_datagrams_are_refused() -> None:
    loop = GuardedLoop([LOOPBACK])

    async def both() -> None:
        with socket.socket() as made, pytest.raises(EgressDenied):
            await loop.create_connection(asyncio.Protocol, sock=made)
        with pytest.raises(EgressDenied):
            await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("127.0.0.1", 9))

    run(loop, both)


def test_what_the_operator_names_is_connected_to_and_nothing_else_that_goes_on_meanwhile(listening: Any) -> None:
    port = listening.getsockname()[1]

    async def for_a_crawler() -> str:
        with pytest.raises(EgressDenied) as denied:
            await asyncio.open_connection("127.0.0.1", port)
        return str(denied.value)

    async def action() -> None:
        meanwhile = asyncio.Event()

        async def crawling() -> str:
            await meanwhile.wait()
            return await for_a_crawler()

        crawler = asyncio.create_task(crawling())
        with for_the_operator():
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            meanwhile.set()
            assert "egress_denied" in await crawler
        writer.close()
        await writer.wait_closed()
        assert "egress_denied" in await for_a_crawler()

    run(GuardedLoop(), action)
    assert arrived(listening)
    assert not arrived(listening)


class SlowLoop(NamedLoop):
    """A loop on which addresses take their time: seconds until each answers; an address without one is refused."""

    takes: ClassVar[dict[str, float]] = {}

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        if address[0] not in self.takes:
            raise ConnectionRefusedError(111, f"{address[0]} refuses")
        await asyncio.sleep(self.takes[address[0]])
        await super().sock_connect(sock, address)


@pytest.mark.parametrize(
    "takes,used",
    [
        ({"127.0.0.2": 0, "127.0.0.3": 0}, "127.0.0.2"),
        ({"127.0.0.2": 60, "127.0.0.3": 0}, "127.0.0.3"),
        ({"127.0.0.3": 0}, "127.0.0.3"),
        ({"127.0.0.2": 0.15, "127.0.0.3": 60}, "127.0.0.2"),
    ],
    ids=["both answer", "the first is silent", "the first refuses", "the second is silent"],
)
def test_of_several_addresses_the_soonest_to_answer_is_used_where_that_is_asked_for(
    takes: dict[str, float], used: str
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        loop = SlowLoop(["127.0.0.2", "127.0.0.3"], allowed=[LOOPBACK])
        loop.takes = takes  # type: ignore[misc]

        async def action() -> str:
            async with asyncio.timeout(10):
                transport, _ = await loop.create_connection(
                    asyncio.Protocol, "a.example", server.getsockname()[1], happy_eyeballs_delay=0.1
                )
            peer = transport.get_extra_info("peername")[0]
            transport.close()
            await asyncio.sleep(0.2)
            return str(peer)

        assert run(loop, action) == used
        server.settimeout(5)
        server.accept()[0].close()
        assert not arrived(server), "there is no second connection"


def test_where_no_address_answers_the_fault_of_the_first_is_told() -> None:
    loop = SlowLoop(["127.0.0.2", "127.0.0.3"], allowed=[LOOPBACK])

    async def action() -> None:
        with pytest.raises(ConnectionRefusedError, match=r"127\.0\.0\.2 refuses"):
            await loop.create_connection(asyncio.Protocol, "a.example", 1, happy_eyeballs_delay=0.1)

    run(loop, action)
