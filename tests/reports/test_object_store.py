"""The client of object stores: what it lists, fetches and puts, and what it says when it cannot."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawl_audit.errors import ConfigurationError, LogFormatError
from crawl_audit.object_address import parse
from reports import object_store
from reports.object_store import ObjectMissingError, ObjectStore, concurrently
from tests import object_stores


@pytest.fixture
def server() -> Iterator[object_stores.Store]:
    with object_stores.s3_server(faulty=True) as server:
        yield server


def _store(server: object_stores.Store) -> ObjectStore:
    return ObjectStore(parse(server.address()))


def test_what_was_put_is_listed_below_its_prefix_alone(server: object_stores.Store) -> None:
    store = _store(server)
    assert store.put("a/one.json", b"1")
    assert store.put("ab/two.json", b"22")
    server.put("elsewhere/a/three.json", b"333")
    (found,) = store.listed("a")
    assert (found.key, found.size) == ("a/one.json", 1)
    before = found.mark
    server.put("logs/a/one.json", b"2")
    (found,) = store.listed("a")
    assert found.mark != before


def test_more_than_a_page_is_listed(server: object_stores.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store = _store(server)
    concurrently((lambda n=n: store.put(f"many/{n:04d}", b"x")) for n in range(1_050))  # type: ignore[misc]
    assert [one.key for one in store.listed("many")] == [f"many/{n:04d}" for n in range(1_050)]


def test_put_unless_there_writes_once(server: object_stores.Store, tmp_path: Path) -> None:
    store = _store(server)
    (tmp_path / "file").write_bytes(b"from a file")
    assert store.put("one", tmp_path / "file", unless_there=True)
    assert not store.put("one", b"another", unless_there=True)
    assert store.fetched("one", 100) == b"from a file"
    store.delete(["one", "never-there"])
    assert not list(store.listed(""))


def test_a_large_object_comes_in_parts(server: object_stores.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "CHUNK_BYTES", 10)
    store = _store(server)
    store.put("one", bytes(range(25)))
    assert [len(chunk) for chunk in store.chunks("one", 25)] == [10, 10, 5]
    assert b"".join(store.chunks("one", 25)) == bytes(range(25))
    assert not list(store.chunks("one", 24))
    assert not list(store.chunks("one", 5))


def test_an_object_that_is_larger_than_its_kind_is_not_read(server: object_stores.Store) -> None:
    store = _store(server)
    store.put("one", b"123456")
    with pytest.raises(LogFormatError, match="larger than any"):
        store.fetched("one", 5)


def test_a_missing_object_is_named(server: object_stores.Store) -> None:
    with pytest.raises(ObjectMissingError, match="The object a/b is missing"):
        _store(server).fetched("a/b", 10)


def test_nobody_there_is_one_sentence(server: object_stores.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{object_stores.unused_port()}")
    with pytest.raises(ConfigurationError, match=r"^[^\n]*look at AWS_ENDPOINT_URL and the network\.$"):
        list(_store(server).listed("a"))


def test_an_endpoint_without_tls_must_be_named(server: object_stores.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "endpoint", lambda: "")
    with pytest.raises(ConfigurationError, match="cannot be"):
        list(_store(server).listed("a"))


@pytest.mark.parametrize(
    "kind,says",
    [
        ("denied", "list and read and write there"),
        ("bad_key", "does not accept the credentials; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("skewed", "this machine's clock is too far from the store's; set it"),
    ],
)
def test_what_may_not_be_written_says_so(server: object_stores.Store, kind: str, says: str) -> None:
    server.fault(kind, method="PUT", times=99)
    with pytest.raises(ConfigurationError, match=says):
        _store(server).put("one", b"1")


def test_jobs_run_at_once_and_the_first_error_ends_the_others() -> None:
    done: list[int] = []
    together = threading.Barrier(4)

    def job(number: int) -> None:
        if number < 4:
            together.wait(10)
        if number == 20:
            raise LogFormatError("the twentieth")
        done.append(number)

    with pytest.raises(LogFormatError, match="the twentieth"):
        concurrently(((lambda n=n: job(n)) for n in range(10_000)), 4)  # type: ignore[misc]
    assert 4 < len(done) < 9_000


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_job_that_breaks_is_not_swallowed() -> None:
    with pytest.raises(RuntimeError, match="broke"):
        concurrently([lambda: {}["x"]], 2)  # type: ignore[list-item]


def test_ctrl_c_does_not_wait_for_a_store_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def interrupted(self: threading.Thread, timeout: float | None = None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "join", interrupted)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        concurrently([lambda: released.wait(30)], 1)  # type: ignore[list-item]
    assert time.monotonic() - began < 10
    released.set()
