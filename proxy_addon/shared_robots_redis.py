"""A store of shared answers in Redis, or what speaks its protocol, for a fleet: a key for each answer and each lease.

The connection is the operator's own and not to a site, so it does not pass the guard on where requests may go.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError

from proxy_addon import egress
from proxy_addon.shared_answer import VALUE_BYTES_MAX
from proxy_addon.shared_robots_settings import without_secrets
from proxy_addon.shared_store import OPERATION_S, Lease, StoreError

_PREFIX = "crawl-audit:robots:1:"
_CONNECTIONS_MAX = 32
# Compare and delete: a lease that ran out may be somebody else's by now.
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end"
# What the client raises for a server that is away, broken or hostile: octets that are no answer end in all kinds.
_FAULTS = (RedisError, OSError, EOFError, ValueError, TypeError, LookupError, RuntimeError, asyncio.LimitOverrunError)


class RedisStore:
    """Answers in the Redis at ``url`` (``redis://`` or ``rediss://``); connects when first asked."""

    def __init__(self, url: str, *, operation_s: float = OPERATION_S) -> None:
        self._name = f"The store of shared robots.txt files at {without_secrets(url)}"
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS_MAX,
            timeout=operation_s,
            socket_timeout=operation_s,
            socket_connect_timeout=operation_s,
            retry=Retry(NoBackoff(), 0),
            # Nothing but what every server that speaks the protocol knows, and no word of the server's on where to go.
            protocol=2,
            driver_info=None,
        )
        self._redis = Redis(connection_pool=self._pool)

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self._name

    async def get(self, key: str) -> bytes | None:
        """As Store.get."""
        return _octets(await self._asked(lambda: self._redis.getrange(_PREFIX + key, 0, VALUE_BYTES_MAX)))

    async def lease(self, key: str, lifetime_s: float) -> Lease | None:
        """As Store.lease."""
        token = secrets.token_hex(16)
        pipe = self._redis.pipeline(transaction=False)
        pipe.set(_lease_key(key), token, nx=True, px=_ms(lifetime_s))
        pipe.getrange(_PREFIX + key, 0, VALUE_BYTES_MAX)
        got, value = _pair(await self._asked(pipe.execute))
        if got not in (True, None):
            raise StoreError("it answers with something that is neither yes nor no")
        found = _octets(value)
        return None if got is None else Lease(key=key, token=token, value=found)

    async def put(self, key: str, value: bytes, lifetime_s: float, lease: Lease | None) -> None:
        """As Store.put."""
        await self._asked(lambda: self._redis.set(_PREFIX + key, value, px=_ms(lifetime_s)))
        if lease is not None:
            await self.release(lease)

    async def release(self, lease: Lease) -> None:
        """As Store.release."""
        await self._asked(lambda: self._redis.eval(_RELEASE, 1, _lease_key(lease.key), lease.token))

    async def aclose(self) -> None:
        """Close every connection."""
        try:
            await self._redis.aclose()
            await self._pool.disconnect()
        except _FAULTS:
            return  # it was broken already

    async def _asked(self, command: Callable[[], Awaitable[Any]]) -> Any:
        try:
            with egress.for_the_operator():
                return await command()
        except AuthenticationError as error:
            raise StoreError("it refuses the user name or password of the URL") from error
        except _FAULTS as error:
            raise StoreError(_why(error)) from error


def _why(error: BaseException) -> str:
    text = " ".join(str(error).split())[:200]
    return text.rstrip(".") or type(error).__name__


def _lease_key(key: str) -> str:
    return f"{_PREFIX}{key}:lease"


def _ms(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _octets(value: Any) -> bytes | None:
    """A string of the protocol; GETRANGE gives an empty one where there is no such key."""
    if not isinstance(value, bytes):
        raise StoreError("it answers with something that is no string")
    return value or None


def _pair(answers: Any) -> tuple[Any, Any]:
    if not isinstance(answers, list) or len(answers) != 2:
        raise StoreError("it answers with something that is no pair")
    return answers[0], answers[1]
