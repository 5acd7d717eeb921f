"""Compiled rules by the digest of the robots.txt and the product tokens, made off the event loop where that takes time.

Keyed by digest, because many sites serve the same file.  Bounded apart from the bodies, because the compiled form
takes many times the room of the octets it is made from.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from crawl_audit import robots
from proxy_addon.single_flight import SingleFlight

# Up to here compiling takes less than a thread is worth, and 13 ms where the file is made to hurt; 14 KiB of 400
# user-agent lines over 500 rules take 240 ms.
INLINE_BYTES_MAX = 2 * 1024
_ENTRIES_MAX = 8192
_WEIGHT_MAX = 512 * 1024 * 1024
# Measured: an octet of a common file becomes 20 to 60 octets, and each pair of a user-agent line and a rule 70 more,
# up to the pairs at which the parser stops making them.
_WEIGHT_PER_OCTET = 40
_WEIGHT_PER_PAIR = 75
_PAIRS_MAX = 200_000

type _Key = tuple[str, tuple[str, ...]]


class CompiledRules:
    """An LRU of compiled rules; a file being compiled is compiled once, however many wait for it."""

    def __init__(self, *, entries_max: int = _ENTRIES_MAX, weight_max: int = _WEIGHT_MAX) -> None:
        self._entries_max = entries_max
        self._weight_max = weight_max
        self._weight = 0
        self._kept: OrderedDict[_Key, tuple[robots.Rules, int]] = OrderedDict()
        self._flights: SingleFlight[_Key, robots.Rules] = SingleFlight()
        # Threads of our own: the loop's are busy with name resolution, which a dead name server holds up.
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="robots-compile")

    def __len__(self) -> int:
        return len(self._kept)

    async def rules(self, digest: str, body: bytes, tokens: tuple[str, ...]) -> robots.Rules:
        """The rules of ``body``, whose SHA-256 is ``digest``, for ``tokens``."""
        key = (digest, tokens)
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept[0]
        if len(body) <= INLINE_BYTES_MAX:
            rules = robots.compile_rules(body, tokens)
            self._keep(key, rules, body)
            return rules
        return await self._flights.run(key, lambda: self._compile(key, body))

    async def off_loop[T](self, work: Callable[[], T], size: int) -> T:
        """Do ``work`` on something ``size`` octets long: here where it is small, else in a thread."""
        if size <= INLINE_BYTES_MAX:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def aclose(self) -> None:
        """Stop compiling; a thread in the middle of a file ends with that file."""
        await self._flights.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _compile(self, key: _Key, body: bytes) -> robots.Rules:
        rules = await self.off_loop(lambda: robots.compile_rules(body, key[1]), len(body))
        self._keep(key, rules, body)
        return rules

    def _keep(self, key: _Key, rules: robots.Rules, body: bytes) -> None:
        weight = estimated_bytes(body)
        self._kept[key] = (rules, weight)
        self._weight += weight
        while len(self._kept) > self._entries_max or (self._weight > self._weight_max and len(self._kept) > 1):
            _, (_, dropped) = self._kept.popitem(last=False)
            self._weight -= dropped


def estimated_bytes(body: bytes) -> int:
    """About how much memory the compiled form of ``body`` takes; rather too much, which only costs a compilation."""
    lower = body.lower()
    pairs = min(lower.count(b"agent") * lower.count(b"allow"), _PAIRS_MAX)
    return len(body) * _WEIGHT_PER_OCTET + pairs * _WEIGHT_PER_PAIR
