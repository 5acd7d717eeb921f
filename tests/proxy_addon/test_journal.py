"""Every batch ends known, whatever DuckDB or the disk does in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import duckdb
import pytest

from crawl_audit.errors import RecordError
from crawl_audit.records import Instant
from proxy_addon.chain import Chain
from proxy_addon.journal import Encoded, Item, Journal, encode
from proxy_addon.live import InDoubtError, LiveFile, RefusedError, RolledBackError
from proxy_addon.log_directory import LogDirectory
from tests.writing import SETTINGS_SHA256, incident

LOG = "node1-20261118T110640Z-00000001"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    directory = LogDirectory(tmp_path / "log")
    for part in (directory.live, directory.tmp, directory.checkpoints):
        part.mkdir(parents=True)
    live = LiveFile.create(directory.live_file(LOG, 0), directory.spill(LOG))
    made = Journal(directory, Chain(LOG), live, directory.spill(LOG))
    yield made
    if made.live is not None:
        made.live.close()


def item(*details: str, keep: bool = False) -> Item:
    return Item(make=lambda _: [encode(incident(detail)) for detail in details], keep=keep)


def poison() -> Item:
    """What the kernel would have refused, had it not been made by hand."""
    return Item(make=lambda _: [("\ud800", encode(incident("poison"))[1])])


def texts(journal: Journal) -> list[str]:
    assert journal.live is not None
    return list(journal.live.entries())


def failing(monkeypatch: pytest.MonkeyPatch, *errors: Exception | Callable[[], None], after: bool = False) -> None:
    """The next inserts fail with these; ``after``: although the rows were written."""
    pending, real = list(errors), LiveFile.insert

    def insert(live: LiveFile, first_seq: int, bodies: Sequence[str]) -> None:
        if after or not pending:
            real(live, first_seq, bodies)
        if pending:
            error = pending.pop(0)
            assert isinstance(error, Exception)
            raise error

    monkeypatch.setattr(LiveFile, "insert", insert)


def seal(journal: Journal, reason: str = "interval") -> int:
    result = journal.seal(reason, now=Instant(1), monotonic_ms=0, settings_sha256=SETTINGS_SHA256, dropped=0)
    return len(result.durable)


def test_items_get_consecutive_numbers_in_their_order(journal: Journal) -> None:
    result = journal.commit([item("a"), item("b", "c"), item(), item("d")])
    assert [(first, count) for _, first, count in result.durable] == [(0, 1), (1, 2), (3, 0), (3, 1)]
    assert journal.next_seq == len(texts(journal)) == 4
    journal.settle()
    assert journal.records_in_live == 4


def test_an_item_may_be_made_from_the_number_it_gets(journal: Journal) -> None:
    def make(base: int) -> list[Encoded]:
        return [encode(incident(str(base + place))) for place in range(2)]

    journal.commit([item("a"), Item(make=make)])
    assert '"detail":"1"' in texts(journal)[1] and '"detail":"2"' in texts(journal)[2]


def test_a_value_the_kernel_refuses_reaches_only_its_item(journal: Journal) -> None:
    def refuse(base: int) -> list[Encoded]:
        raise RecordError("no")

    bad = Item(make=refuse)
    result = journal.commit([item("a"), bad, item("b")])
    assert [found for found, _ in result.refused] == [bad]
    assert [first for _, first, _ in result.durable] == [0, 1]


@pytest.mark.parametrize("place", range(5))
def test_one_poison_value_never_takes_others_with_it(journal: Journal, place: int) -> None:
    items = [item(str(number)) for number in range(4)]
    bad = poison()
    items.insert(place, bad)
    result = journal.commit(items)
    assert [found for found, _ in result.refused] == [bad]
    assert [first for _, first, _ in result.durable] == [0, 1, 2, 3]
    assert len(texts(journal)) == 4
    assert journal.fault is None


def test_what_was_rolled_back_is_tried_once_more(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, RolledBackError("disk full"))
    assert len(journal.commit([item("a")]).durable) == 1
    assert journal.fault is None


def test_what_is_rolled_back_twice_is_open_and_a_fault(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, RolledBackError("disk full"), RolledBackError("disk full"))
    result = journal.commit([item("a"), item("b")])
    assert (len(result.open), journal.fault, journal.next_seq) == (2, "disk full", 0)
    assert len(journal.commit(result.open).durable) == 2
    assert journal.fault is None


def test_after_doubt_what_is_there_is_not_written_again(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.commit([item("before")])
    failing(monkeypatch, InDoubtError("fsync"), after=True)
    result = journal.commit([item("a"), item("b")])
    assert [first for _, first, _ in result.durable] == [1, 2]
    assert len(texts(journal)) == 3


def test_after_doubt_what_is_missing_is_written(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.commit([item("before")])
    failing(monkeypatch, InDoubtError("fsync"))
    assert [first for _, first, _ in journal.commit([item("a"), item("b")]).durable] == [1, 2]
    assert len(texts(journal)) == 3


def test_doubt_that_lasts_ends_known_at_the_reopening(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.commit([item("before")])
    failing(monkeypatch, InDoubtError("fsync"), after=True)
    real = LiveFile.open

    def no_open(path: Path, spill: Path) -> LiveFile:
        raise duckdb.IOException("disk gone")

    monkeypatch.setattr(LiveFile, "open", no_open)
    a, b = item("a"), item("b")
    result = journal.commit([a, b])
    assert (result.durable, result.open, journal.live, journal.doubtful) == ([], [], None, [a, b])
    assert "disk gone" in str(journal.fault)
    assert journal.commit([item("c")]).open != []
    monkeypatch.setattr(LiveFile, "open", real)
    assert [(found, first) for found, first, _ in journal.reopen().durable] == [(a, 1), (b, 2)]
    assert journal.fault is None
    assert [first for _, first, _ in journal.commit([item("c")]).durable] == [3]


def test_a_poison_value_beside_a_failing_disk_ends_known_too(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, RefusedError("no"), InDoubtError("fsync"), InDoubtError("fsync"))
    a, b = item("a"), item("b")
    result = journal.commit([a, b])
    assert result.open == [a]
    assert [found for found, _, _ in result.durable] == [b]
    assert len(texts(journal)) == 1


def test_durable_records_that_are_gone_end_the_log(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.commit([item("a"), item("b")])
    assert journal.live is not None
    journal.live.move()
    journal.live._connection.execute("DELETE FROM live.entry WHERE seq = 1")
    failing(monkeypatch, InDoubtError("fsync"))
    assert journal.commit([item("c")]).durable == []
    assert journal.lost
    assert "although 1 was durable" in str(journal.fault)


def test_a_seal_is_written_and_counted(journal: Journal) -> None:
    journal.commit([item("a")])
    assert (seal(journal), journal.sealed, journal.chain.unsealed) == (1, True, 0)
    assert journal.chain.head().size == 1


def test_a_seal_that_could_not_be_written_is_made_anew(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.commit([item("a")])
    failing(monkeypatch, RolledBackError("full"), RolledBackError("full"))
    assert (seal(journal), journal.sealed, journal.chain.unsealed) == (0, False, 1)
    journal.commit([item("b")])
    assert (seal(journal), journal.chain.seal_index, journal.next_seq) == (1, 1, 3)


def test_a_seal_found_durable_after_doubt_counts(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.commit([item("a")])
    failing(monkeypatch, InDoubtError("fsync"), after=True)
    assert (seal(journal), journal.chain.seal_index, journal.sealed) == (1, 1, True)


def test_going_over_to_the_next_live_file_goes_on_counting(journal: Journal) -> None:
    journal.commit([item("a")])
    seal(journal)
    directory = journal._directory
    old, last = journal.swap(LiveFile.create(directory.live_file(LOG, 1), directory.spill(LOG)))
    assert (last, journal.empty, journal.records_in_live) == (1, True, 0)
    assert old.extent().last == 1
    old.close()
    assert [first for _, first, _ in journal.commit([item("b")]).durable] == [2]
    assert not journal.empty
