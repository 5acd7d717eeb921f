"""What a seal states is what was made durable since the last one."""

from __future__ import annotations

from crawl_audit import schema
from crawl_audit.records import Action, Instant
from crawl_audit.seal import EMPTY_ROOT, merkle_root, origin
from proxy_addon.chain import Chain, is_forwarded
from proxy_addon.journal import encode
from tests.logs import completion
from tests.writing import SETTINGS_SHA256, decision


def _seal(chain: Chain, reason: str = "interval") -> dict[str, object]:
    record = chain.seal(reason, now=Instant(1), monotonic_ms=2, settings_sha256=SETTINGS_SHA256)
    return encode(record)[1]


def test_a_seal_covers_everything_since_the_last_one_and_counts_since_the_start() -> None:
    chain = Chain("log")
    entries = [encode(decision(0))[1], encode(decision(1, Action.DENIED))[1], encode(completion(0))[1]]
    for entry in entries:
        chain.add(entry)
    assert (chain.unsealed, chain.in_flight) == (3, 0)
    first = _seal(chain)
    assert first["root"] == merkle_root([schema.leaf(entry) for entry in entries]).hex()
    assert [first[name] for name in ("first_seq", "rows", "decisions", "forwarded", "completions")] == [0, 3, 2, 1, 1]
    chain.add(first)
    second = _seal(chain, "idle")
    assert [second[name] for name in ("seal_index", "first_seq", "rows", "decisions")] == [1, 4, 0, 2]
    assert second["root"] == EMPTY_ROOT.hex()


def test_the_head_is_the_tree_of_seals() -> None:
    chain = Chain("log")
    leaves = []
    for _ in range(3):
        assert chain.head().root == merkle_root(leaves)
        seal = _seal(chain)
        leaves.append(schema.leaf(seal))
        chain.add(seal)
    assert (chain.head().origin, chain.head().size, chain.head().root) == (origin("log"), 3, merkle_root(leaves))


def test_a_chain_goes_on_from_the_last_seal_there_is() -> None:
    chain = Chain("log")
    for entry in (encode(decision(0))[1], encode(completion(0))[1]):
        chain.add(entry)
    chain.dropped = 4
    chain.add(_seal(chain))
    later = Chain("log", next_seq=3, last_seal=_seal(chain))
    assert (later.decisions, later.forwarded, later.completions, later.dropped, later.seal_index) == (1, 1, 1, 4, 2)


def test_only_a_decision_to_forward_must_be_completed() -> None:
    assert is_forwarded(encode(decision(0))[1])
    assert not is_forwarded(encode(decision(0, Action.DENIED))[1])
    assert not is_forwarded(encode(completion(0))[1])
