"""Heads follow the log, receipts stay as they were, and an older head never replaces a newer one."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy_addon import ship_checkpoints
from proxy_addon.log_directory import LogDirectory
from proxy_addon.object_store import ObjectStore, StoreError
from proxy_addon.ship_checkpoints import Checkpoints
from tests.logs import LogBuilder, sound
from tests.object_stores import Store, s3_server
from tests.proxy_addon.shipped import directory_of, options_of

LOG = "node1-20261118T110640Z-00000001"
HEAD = f"checkpoints/{LOG}.checkpoint"


@pytest.fixture
def remote() -> Iterator[Store]:
    with s3_server(faulty=True) as store:
        yield store


@pytest.fixture
def made(tmp_path: Path) -> LogBuilder:
    directory_of(tmp_path / "log")
    return LogBuilder(tmp_path / "log", signing=True, records=list(_sound().records))


@functools.cache
def _sound() -> LogBuilder:
    with tempfile.TemporaryDirectory() as place:
        return sound(Path(place))


def checkpoints(remote: Store, made: LogBuilder) -> Checkpoints:
    return Checkpoints(LogDirectory(made.root), ObjectStore(options_of(remote)))


def shipped(remote: Store, made: LogBuilder) -> list[str]:
    """Ship once as a new process; what conflicts."""
    found: list[str] = []
    checkpoints(remote, made).ship(found.append)
    return found


def put(remote: Store) -> int:
    return sum(method == "PUT" for method, _ in remote.requests)


def test_a_newer_head_replaces_the_one_before_and_an_unchanged_one_costs_nothing(
    remote: Store, made: LogBuilder
) -> None:
    head = made.root / HEAD
    for size in (1, 3):
        head.write_text(made.note(size))
        assert shipped(remote, made) == []
        assert remote.get(f"logs/{HEAD}") == head.read_bytes()
    before = len(remote.requests)
    assert shipped(remote, made) == []
    running = checkpoints(remote, made)
    running.ship(pytest.fail)
    running.ship(pytest.fail)
    assert len(remote.requests) == before


def test_an_older_head_is_told_and_does_not_replace_a_newer_one(remote: Store, made: LogBuilder) -> None:
    shipped(remote, made)
    newer = remote.get(f"logs/{HEAD}")
    (made.root / HEAD).write_text(made.note(1))
    assert ["head of a longer log" in said for said in shipped(remote, made)] == [True]
    assert remote.get(f"logs/{HEAD}") == newer


@pytest.mark.parametrize("there", [b"", b"\xff\xfe", b"no note", b"x" * 100_000], ids=range(4))
def test_what_is_no_head_is_replaced_by_one(remote: Store, made: LogBuilder, there: bytes) -> None:
    remote.put(f"logs/{HEAD}", there)
    assert shipped(remote, made) == []
    assert remote.get(f"logs/{HEAD}") == (made.root / HEAD).read_bytes()


def test_a_receipt_is_put_once_and_never_changed(remote: Store, made: LogBuilder) -> None:
    receipt = made.root / "checkpoints" / f"{LOG}.anchors" / "000000000001.tsa.tsr"
    receipt.parent.mkdir()
    receipt.write_bytes(b"receipt")
    assert shipped(remote, made) == []
    receipt.write_bytes(b"another")
    assert ["holds other octets than the receipt here" in said for said in shipped(remote, made)] == [True]
    assert remote.get(f"logs/checkpoints/{LOG}.anchors/000000000001.tsa.tsr") == b"receipt"


def test_a_file_of_a_strange_name_is_told_and_stays_here(remote: Store, made: LogBuilder) -> None:
    (made.root / "checkpoints" / "with space").write_bytes(b"x")
    assert shipped(remote, made) == ["'with space' is not the name of a checkpoint or of a receipt. It is not shipped."]
    assert remote.keys("logs/checkpoints/") == [f"logs/{HEAD}"]


@pytest.mark.parametrize("kind,method", [("wrong_stored", "PUT"), ("wrong_answered", "GET"), ("no_object", "GET")])
def test_a_head_that_does_not_read_back_is_put_again(remote: Store, made: LogBuilder, kind: str, method: str) -> None:
    running = checkpoints(remote, made)
    if method == "GET":  # the first reading asks what is there
        remote.fault("no_object", method="GET")
    remote.fault(kind, method=method)
    with pytest.raises(StoreError, match="does not read back"):
        running.ship(pytest.fail)
    running.ship(pytest.fail)
    assert remote.get(f"logs/{HEAD}") == (made.root / HEAD).read_bytes()


def test_the_list_of_what_is_known_does_not_grow_for_ever(
    remote: Store, made: LogBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship_checkpoints, "_LINES_MAX", 3)
    running = checkpoints(remote, made)
    for size in (1, 2, 3, 4, 5, 6):
        (made.root / HEAD).write_text(made.note(size))
        running.ship(pytest.fail)
    known = (made.root / "shipped" / "checkpoints.txt").read_text().splitlines()
    assert len(known) < 5
    before = put(remote)
    assert shipped(remote, made) == [] and put(remote) == before
