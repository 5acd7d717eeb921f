"""Answers in a real Redis, and every way in which it can be away, slow, shut, broken or hostile."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import trustme

from proxy_addon.egress import EgressDenied, GuardedLoop
from proxy_addon.shared_answer import VALUE_BYTES_MAX
from proxy_addon.shared_robots_redis import RedisStore
from proxy_addon.shared_store import Lease, Patient, StoreAway, StoreError
from tests.redis_server import RedisServer, redis_server

KEY = hashlib.sha256(b"a").hexdigest()
NAME = f"crawl-audit:robots:1:{KEY}"


@pytest.fixture(scope="module")
def shared_server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    """An empty one."""
    shared_server.client().flushall()
    return shared_server


def with_store(url: str, scenario: Callable[[RedisStore], Awaitable[None]]) -> None:
    """Run a scenario on a loop that lets nothing of a crawler's connect to this machine."""

    async def whole() -> None:
        store = RedisStore(url, operation_s=10)
        try:
            await scenario(store)
        finally:
            await store.aclose()

    with asyncio.Runner(loop_factory=GuardedLoop) as runner:
        runner.run(whole())


def test_what_is_put_is_got_until_it_runs_out(server: RedisServer) -> None:
    async def scenario(store: RedisStore) -> None:
        assert await store.get(KEY) is None
        value = bytes(range(256)) * 4096
        await store.put(KEY, value, 60.5, None)
        assert await store.get(KEY) == value
        assert 59_000 < server.client().pttl(NAME) <= 60_500
        await store.put(KEY, b"short", 0.05, None)
        await asyncio.sleep(0.1)
        assert await store.get(KEY) is None

    with_store(server.url, scenario)


def test_a_lease_is_one_sidecars_until_it_is_released_or_runs_out(server: RedisServer) -> None:
    async def scenario(store: RedisStore) -> None:
        other = RedisStore(server.url, operation_s=10)
        lease = await store.lease(KEY, 30)
        assert lease is not None and lease.value is None
        assert await other.lease(KEY, 30) is None
        await store.put(KEY, b"x", 60, lease)
        following = await other.lease(KEY, 0.1)
        assert following is not None and following.value == b"x"
        await asyncio.sleep(0.15)
        third = await store.lease(KEY, 30)
        assert third is not None
        await other.release(following)
        assert await other.lease(KEY, 30) is None, "what ran out is not taken from who has it now"
        await store.release(third)
        assert await other.lease(KEY, 30) is not None
        await other.aclose()

    with_store(server.url, scenario)


def test_of_many_that_want_a_lease_one_gets_it(server: RedisServer) -> None:
    async def scenario(store: RedisStore) -> None:
        got = await asyncio.gather(*(store.lease(KEY, 30) for _ in range(100)))
        assert sum(lease is not None for lease in got) == 1

    with_store(server.url, scenario)


def test_the_guard_on_sites_still_holds_on_the_same_loop(server: RedisServer) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.put(KEY, b"x", 60, None)
        with pytest.raises(EgressDenied):
            await asyncio.open_connection("127.0.0.1", server.port)

    with_store(server.url, scenario)


def test_of_a_huge_value_no_more_is_read_than_any_may_have(server: RedisServer) -> None:
    server.client().setrange(NAME, 50 * 1024 * 1024, b"x")

    async def scenario(store: RedisStore) -> None:
        got = await store.get(KEY)
        assert got is not None and len(got) == VALUE_BYTES_MAX + 1

    with_store(server.url, scenario)


def test_a_value_of_another_type_is_no_answer(server: RedisServer) -> None:
    server.client().lpush(NAME, "a", "b")

    async def scenario(store: RedisStore) -> None:
        with pytest.raises(StoreError, match="WRONGTYPE"):
            await store.get(KEY)
        with pytest.raises(StoreError):
            await store.lease(KEY, 1)

    with_store(server.url, scenario)


def test_a_password_in_the_url_is_used_and_not_told() -> None:
    async def works(store: RedisStore) -> None:
        await store.put(KEY, b"x", 60, None)
        assert await store.get(KEY) == b"x"
        assert "secret" not in store.name

    async def refused(store: RedisStore) -> None:
        with pytest.raises(StoreError, match="user name or password") as told:
            await store.get(KEY)
        assert "secret" not in str(told.value)

    with redis_server(password="secret") as server:
        with_store(server.url, works)
        with_store(server.url.replace("secret", "secret2"), refused)
        with_store(server.url.replace(":secret@", ""), refused)


def test_tls_is_spoken_and_the_servers_certificate_verified(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))

    async def works(store: RedisStore) -> None:
        await store.put(KEY, b"x", 60, None)
        assert await store.get(KEY) == b"x"

    async def refused(store: RedisStore) -> None:
        with pytest.raises(StoreError, match="CERTIFICATE_VERIFY_FAILED"):
            await store.get(KEY)

    options = ("--tls-cert-file", str(tmp_path / "cert.pem"), "--tls-key-file", str(tmp_path / "key.pem"))
    with redis_server(*options, "--tls-auth-clients", "no", tls=True) as server:
        with_store(f"{server.url}?ssl_ca_certs={tmp_path / 'ca.pem'}", works)
        with_store(server.url, refused)


def test_a_store_that_is_killed_midway_is_away_and_its_successor_is_used() -> None:
    async def scenario(store: RedisStore) -> None:
        await store.put(KEY, b"x", 60, None)
        server.kill()
        with pytest.raises(StoreError):
            await store.get(KEY)
        with pytest.raises(StoreError):
            await store.put(KEY, b"x", 60, None)

    with redis_server() as server:
        with_store(server.url, scenario)


def test_a_store_that_stands_still_costs_a_quarter_of_a_second_once_and_comes_back(server: RedisServer) -> None:
    async def scenario(store: RedisStore) -> None:
        now = [0.0]
        await store.put(KEY, b"x", 60, None)
        patient = Patient(store, clock=lambda: now[0])
        server.halt()
        try:
            began = time.monotonic()
            for _ in range(50):
                with pytest.raises(StoreAway):
                    await patient.get(KEY)
            assert time.monotonic() - began < 2, "fifty times a quarter of a second would be twelve"
        finally:
            server.go_on()
        for _ in range(20):  # a busy machine may need more than one try
            now[0] += 100
            with contextlib.suppress(StoreAway):
                assert await patient.get(KEY) == b"x"
                break
        assert not patient.is_away

    with_store(server.url, scenario)


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x16\x03\x01\x00\x00",
        b":7\r\n" * 9,
        b"*2\r\n:1\r\n:2\r\n" * 9,
        b"$5\r\nab",
        b"$-1\r\n" * 9,
        b"$99999999999999999999\r\n",
        b"*-3\r\n" * 9,
        b"-MOVED 1 192.0.2.1:1\r\n" * 9,
        b"+OK\r\n" * 9,
        b"*1\r\n" * 5000,
        bytes(100_000),
    ],
    ids=lambda octets: hashlib.sha256(octets).hexdigest()[:6],
)
def test_what_does_not_speak_the_protocol_is_away_or_gives_octets_to_doubt(octets: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(octets)
        writer.close()

    async def whole() -> None:
        listener = await asyncio.start_server(serve, "127.0.0.1", 0)
        store = RedisStore(f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}/0")
        for operation in (store.get, lambda key: store.lease(key, 1)):
            try:
                got = await operation(KEY)
            except StoreError:
                continue
            assert got is None or isinstance(got, bytes | Lease)
        await store.aclose()
        listener.close()

    asyncio.run(whole())


def test_a_port_that_nobody_listens_on_and_a_name_that_nobody_knows_are_away() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

        async def scenario(store: RedisStore) -> None:
            with pytest.raises(StoreError):
                await store.get(KEY)

        with_store(f"redis://127.0.0.1:{port}/0", scenario)
        with_store("redis://nobody.invalid:6379/0", scenario)


def test_a_listener_that_never_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        async def scenario(store: RedisStore) -> None:
            patient, began = Patient(store), time.monotonic()
            with pytest.raises(StoreAway):
                await patient.get(KEY)
            assert time.monotonic() - began < 2

        with_store(f"redis://127.0.0.1:{listener.getsockname()[1]}/0", scenario)
