"""What evidence costs the writer: microseconds of CPU per record, and the time of a seal over 50,000 of them.

Run from the repository: ``python -m benchmarks.sealing``.  Takes some 20 s.  Per record: the entry with its checks,
canonical JSON, salted commitments, leaf and the tree's part; beside them ``json.dumps`` of the same object.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from crawl_audit import schema
from crawl_audit.records import Instant, Record
from crawl_audit.seal import Signer, checkpoint_text, origin
from proxy_addon.chain import Chain
from proxy_addon.journal import encode
from tests import logs

_ROUNDS = 15
_ROWS = 50_000


def records(count: int) -> list[Record]:
    """Decisions, each followed by its completion."""
    made: list[Record] = []
    for number in range(count // 2):
        decided = logs.decision("a.example.com", f"/articles/{number}?page=2", logs.after(number))
        made += [decided, logs.completion(number, logs.after(number))]
    return made


def median_us(action: Callable[[], object], count: int) -> float:
    """Median over rounds of the processor time of one record, in microseconds."""
    rounds = []
    for _ in range(_ROUNDS):
        started = time.process_time()
        action()
        rounds.append((time.process_time() - started) / count * 1e6)
    return statistics.median(rounds)


def _entries(given: Sequence[Record]) -> list[dict[str, Any]]:
    return [encode(record)[1] for record in given]


def _hashed(entries: Sequence[dict[str, Any]]) -> Chain:
    chain = Chain("bench-20261118T110640Z-00000001")
    for entry in entries:
        chain.add(entry)
    return chain


def main() -> None:
    """Print one line per step."""
    given = records(2_000)
    entries = _entries(given)
    written = median_us(lambda: _entries(given), len(given))
    hashed = median_us(lambda: _hashed(entries), len(entries))
    plain = median_us(lambda: [json.dumps(entry, sort_keys=True) for entry in entries], len(entries))
    print(f"entry, checks, canonical JSON:      {written:6.1f} us of CPU per record (event loop)")
    print(f"commitments, leaf, tree:            {hashed:6.1f} us of CPU per record (writer's thread)")
    print(f"both:                               {written + hashed:6.1f}")
    print(f"json.dumps of the same objects:     {plain:6.1f}")
    chain = _hashed(_entries(records(_ROWS)))
    signer = Signer.generate(origin(chain.log))
    started = time.perf_counter()
    seal = chain.seal("rotation", now=Instant(0), monotonic_ms=0, settings_sha256="0" * 64)
    chain.add(schema.to_object(seal, os.urandom(16) if schema.has_salt("seal") else None))
    head = chain.head()
    signer.sign_note(checkpoint_text(head.origin, head.size, head.root))
    print(f"seal over {seal.rows:,} records and its signed head: {(time.perf_counter() - started) * 1000:.2f} ms")


if __name__ == "__main__":
    main()
