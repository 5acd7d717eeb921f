"""Compiled rules are shared, bounded and made off the loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from crawl_audit import robots
from proxy_addon import compiled_rules
from proxy_addon.compiled_rules import INLINE_BYTES_MAX, CompiledRules, estimated_bytes

TOKENS = ("ExampleBot",)


def rules_of(*bodies: bytes, **bounds: int) -> tuple[CompiledRules, list[robots.Rules]]:
    async def run() -> tuple[CompiledRules, list[robots.Rules]]:
        compiled = CompiledRules(**bounds)
        made = [await compiled.rules(str(hash(body)), body, TOKENS) for body in bodies]
        await compiled.aclose()
        return compiled, made

    return asyncio.run(run())


def test_the_same_digest_and_tokens_give_the_same_rules() -> None:
    _, (first, second) = rules_of(b"User-agent: *\nDisallow: /\n", b"User-agent: *\nDisallow: /\n")
    assert first is second


def test_the_number_kept_is_bounded() -> None:
    compiled, _ = rules_of(*(b"# %d" % n for n in range(10)), entries_max=3)
    assert len(compiled) == 3


def test_the_weight_kept_is_bounded_and_a_file_over_the_bound_still_has_rules() -> None:
    large = b"User-agent: *\nDisallow: /\n" + b"#" * 1000
    compiled, made = rules_of(large, large + b"#", weight_max=100)
    assert len(compiled) == 1
    assert all(rules.judge("/").verdict == "disallowed" for rules in made)


def test_a_file_of_many_agents_and_rules_weighs_more_than_its_octets() -> None:
    common = b"User-agent: *\nDisallow: /private\n" + b"# x\n" * 3000
    product = b"User-agent: a\n" * 400 + b"Disallow: /\n" * 500
    assert estimated_bytes(product) > 10 * estimated_bytes(common)


@pytest.mark.parametrize(("size", "off_loop"), [(INLINE_BYTES_MAX, False), (INLINE_BYTES_MAX + 1, True)])
def test_only_large_files_are_worth_a_thread(size: int, off_loop: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[bool] = []

    class Noting:
        Rules = robots.Rules

        @staticmethod
        def compile_rules(body: bytes, tokens: tuple[str, ...]) -> robots.Rules:
            threads.append(threading.current_thread() is not threading.main_thread())
            return robots.compile_rules(body, tokens)

    monkeypatch.setattr(compiled_rules, "robots", Noting)
    rules_of(b"#" * size)
    assert threads == [off_loop]
