"""The fuzzing targets without coverage: hypothesis puts pieces of their seeds, and any octets, together."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawl_audit import schema
from tests.fuzz.targets import SEEDS, TARGETS

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "tests/golden/entries_v1.jsonl").read_text(encoding="utf-8").splitlines()
GOLDEN = [json.loads(line)["entry"].encode() for line in LINES]
PIECES = {
    name: sorted({piece for seed in seeds or GOLDEN for piece in re.split(rb"(\W)", seed) if piece})
    for name, seeds in SEEDS.items()
}


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_hold(name: str) -> None:
    for seed in SEEDS[name] or GOLDEN:
        TARGETS[name](seed)


@pytest.mark.parametrize(("name", "target"), TARGETS.items(), ids=TARGETS)
def test_what_must_hold_for_any_octets_holds(name: str, target: Callable[[bytes], None]) -> None:
    pieces = st.lists(st.sampled_from(PIECES[name]) | st.binary(max_size=4), max_size=60).map(b"".join)

    @settings(max_examples=200)
    @given(pieces | st.binary(max_size=300))
    def holds(data: bytes) -> None:
        target(data)

    holds()


@settings(max_examples=200)
@given(st.sampled_from(GOLDEN), st.data())
def test_a_golden_entry_with_one_value_changed_is_read_whole_or_not_at_all(seed: bytes, data: st.DataObject) -> None:
    entry = json.loads(seed)
    name = data.draw(st.sampled_from(sorted(entry)))
    entry[name] = data.draw(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3))
    )
    TARGETS["entries"](schema.canonical(entry).encode("utf-8", "surrogatepass"))
