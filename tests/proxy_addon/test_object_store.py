"""The edge to the object store: never overwrites, reads back what is there, and says in one sentence what failed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

import pytest

from proxy_addon.object_store import Digest, ObjectStore, StoreError
from proxy_addon.ship_options import ShipOptions
from tests import object_stores
from tests.object_stores import Store, s3_server

KEY = "segments/log/decision.parquet"


@pytest.fixture
def remote() -> Iterator[Store]:
    with s3_server(faulty=True) as store:
        yield store


def opened(remote: Store, **options: object) -> ObjectStore:
    return ObjectStore(ShipOptions(url=remote.address(), request_timeout_s=2, **options))  # type: ignore[arg-type]


def test_what_is_there_is_never_overwritten_by_put_new(remote: Store) -> None:
    store = opened(remote)
    assert [store.put_new(KEY, b"first"), store.put_new(KEY, b"second")] == [True, False]
    assert remote.get(f"logs/{KEY}") == b"first"
    store.put(KEY, b"third")
    assert remote.get(f"logs/{KEY}") == b"third"


def test_a_store_that_writes_over_what_is_there_all_the_same_gets_nothing_more(remote: Store) -> None:
    store = opened(remote)
    remote.fault("ignores_condition", method="PUT", times=99)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"writes over what is there .* \(If-None-Match\)") as caught:
            store.put_new(KEY, b"first")
        assert caught.value.reason == "refused"
    assert remote.get(f"logs/{KEY}") == b"first", "what was put again to find out is the same"
    assert remote.keys("logs/") == [f"logs/{KEY}"]


def test_a_store_is_asked_once_whether_it_keeps_what_is_there(remote: Store) -> None:
    store = opened(remote)
    for number in range(3):
        assert store.put_new(f"{KEY}.{number}", b"first")
    assert [method for method, _ in remote.requests].count("PUT") == 4
    again = opened(remote)
    assert not again.put_new(f"{KEY}.1", b"second") and again.put_new(f"{KEY}.3", b"first")
    assert [method for method, _ in remote.requests].count("PUT") == 6, "one that keeps what is there has told so"


def test_an_object_is_read_back_whole_and_what_is_not_there_is_none(remote: Store) -> None:
    store, octets = opened(remote), os.urandom(5_000_000)
    store.put_new(KEY, octets)
    assert store.digest(KEY, len(octets)) == Digest(size=5_000_000, sha256=hashlib.sha256(octets).hexdigest())
    assert (store.digest("nothing"), store.get("nothing", 10)) == (None, None)
    assert (store.get(KEY, 10), store.get(KEY, 10**7)) == (octets[:11], octets)
    assert Digest.of(b"") == Digest(size=0, sha256=hashlib.sha256().hexdigest())


def test_keys_are_listed_relative_to_the_prefix(remote: Store) -> None:
    store = opened(remote)
    for key in ("shipped/a/1", "shipped/a/2", "shipped/ab/3"):
        store.put(key, b"x")
    assert sorted(store.list("shipped/a")) == ["shipped/a/1", "shipped/a/2"]


def test_a_put_carries_the_sha256_of_its_octets(remote: Store) -> None:
    opened(remote).put_new(KEY, b"octets")
    assert "x-amz-checksum-sha256" in {name for fields in remote.headers for name in fields}


@pytest.mark.parametrize(
    "kind,reason,says",
    [
        ("refused", "unreachable", "does not answer"),
        ("torn_upload", "unreachable", "does not answer"),
        ("lost_answer", "unreachable", "does not answer"),
        ("unavailable", "unavailable", "answers 503 (SlowDown)"),
        ("internal", "unavailable", "answers 500 (InternalError)"),
        ("skewed", "clock", "clock is too far"),
        ("denied", "denied", "s3:PutObject, s3:GetObject and s3:ListBucket"),
        ("bad_key", "credentials", "does not accept the credentials (InvalidAccessKeyId)"),
        ("no_bucket", "no_bucket", "there is no bucket test-"),
        ("no_condition", "refused", "cannot be told to keep what is there already (If-None-Match)"),
    ],
)
def test_what_failed_is_one_sentence_and_one_word(remote: Store, kind: str, reason: str, says: str) -> None:
    store = opened(remote)
    remote.fault(kind, method="PUT")
    with pytest.raises(StoreError) as caught:
        store.put_new(KEY, b"octets")
    said = str(caught.value)
    assert caught.value.reason == reason and says in said
    assert said.startswith(f"s3://{remote.bucket}/logs cannot be written to: ") and said.endswith(".")
    assert "\n" not in said and "secret" not in said
    assert store.put_new(KEY, b"octets") is (kind != "lost_answer")
    assert remote.get(f"logs/{KEY}") == b"octets"


@pytest.mark.parametrize("kind", ["refused", "torn_answer", "internal", "denied", "no_bucket"])
def test_a_reading_that_fails_is_not_taken_for_an_object_that_is_not_there(remote: Store, kind: str) -> None:
    store = opened(remote)
    store.put_new(KEY, b"octets" * 100)
    remote.fault(kind, method="GET")
    with pytest.raises(StoreError):
        store.digest(KEY)
    remote.fault(kind, method="GET")
    with pytest.raises(StoreError):
        list(store.list("segments"))


def test_a_store_that_is_too_slow_is_given_up(remote: Store) -> None:
    store = ObjectStore(ShipOptions(url=remote.address(), request_timeout_s=0.2))
    remote.fault("slow", seconds=1.0)
    with pytest.raises(StoreError, match="does not answer") as caught:
        store.put(KEY, b"octets")
    assert caught.value.reason == "unreachable"


def test_nobody_listening_is_told_as_such(remote: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{object_stores.unused_port()}")
    with pytest.raises(StoreError, match="does not answer"):
        opened(remote).put(KEY, b"octets")


def test_without_credentials_the_sentence_says_so(remote: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    # The metadata service of a machine in the cloud, which here is nobody.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{object_stores.unused_port()}")
    with pytest.raises(StoreError, match="there are no credentials") as caught:
        opened(remote).put(KEY, b"octets")
    assert caught.value.reason == "credentials"


def test_no_proxy_is_taken_from_the_environment(remote: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{object_stores.unused_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert opened(remote).put_new(KEY, b"octets")


def retention(mode: str, days: int) -> bytes:
    return (
        '<ObjectLockConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><ObjectLockEnabled>Enabled'
        f"</ObjectLockEnabled><Rule><DefaultRetention><Mode>{mode}</Mode><Days>{days}</Days></DefaultRetention></Rule>"
        "</ObjectLockConfiguration>"
    ).encode()


@pytest.mark.parametrize(
    "lock,says",
    [
        (None, "does not lock what is put there as set (compliance for 3 days)"),
        (("GOVERNANCE", 3), "does not lock what is put there as set"),
        (("COMPLIANCE", 2), "only: compliance for 3 days is set"),
        (("COMPLIANCE", 3), None),
        (("COMPLIANCE", 30), None),
    ],
)
def test_a_lock_other_than_the_one_that_is_set_is_told(lock: tuple[str, int] | None, says: str | None) -> None:
    with s3_server(faulty=True, object_lock=True) as remote:
        if lock is not None:
            remote.configure("object-lock", retention(*lock))
        store = opened(remote, object_lock_mode="compliance", object_lock_days=3)
        store.put(KEY, b"octets")
        found = store.not_as_wanted(KEY)
        assert found is None if says is None else says in str(found)


def test_encryption_is_asked_for_and_looked_at(remote: Store) -> None:
    store = opened(remote, server_side_encryption="aws:kms", kms_key_id="alias/logs")
    store.put(KEY, b"octets")
    assert remote.head(f"logs/{KEY}")["x-amz-server-side-encryption"] == "aws:kms"
    assert store.not_as_wanted(KEY) is None
    other = opened(remote, server_side_encryption="AES256")
    assert "encrypts with aws:kms: AES256 is set" in (other.not_as_wanted(KEY) or "")
    assert opened(remote).not_as_wanted("nothing") is None
    with pytest.raises(StoreError, match="cannot be asked how nothing is kept: HTTP 404"):
        store.not_as_wanted("nothing")
