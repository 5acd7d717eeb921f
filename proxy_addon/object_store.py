"""The sidecar's edge to an object store: put what is not there yet, read back what is, in one sentence what failed.

Credentials, region and endpoint come from the environment as obstore knows it (AWS_*, web identity, container and
instance metadata).  Every PUT carries the SHA-256 of its octets, which the store must compare; what counts is what
is read back.
"""

from __future__ import annotations

import datetime
import email.utils
import hashlib
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from crawl_audit import s3_errors
from crawl_audit.errors import CrawlAuditError
from proxy_addon.ship_options import ShipOptions

_CHUNK_BYTES = 4 * 2**20
# A request gets its time-out once for each part of this size.
_PART_BYTES = 16 * 2**20
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,60})</Code>")
_SIGNED_FOR = datetime.timedelta(minutes=5)
# Where obstore looks for credentials last: the metadata of instances and containers, and the token service.
_CREDENTIAL_PLACES = ("/latest/api/token", "/latest/meta-data/", "169.254.170.2", "169.254.170.23", "://sts.")
_TORN_CODES = {"BadDigest", "XAmzContentSHA256Mismatch", "InvalidDigest", "IncompleteBody"}
_VARIABLES = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_RIGHTS = "s3:PutObject, s3:GetObject and s3:ListBucket"


class StoreError(CrawlAuditError):
    """The object store did not do what was asked; ``reason`` is one of a few fixed words, for metrics."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """How many octets something has, and their SHA-256 in hex."""

    size: int
    sha256: str

    @classmethod
    def of(cls, octets: bytes) -> Digest:
        """Of octets in memory."""
        return cls(size=len(octets), sha256=hashlib.sha256(octets).hexdigest())


class ObjectStore:
    """One prefix of a bucket; every method blocks, may be called by several threads, and raises StoreError."""

    def __init__(self, options: ShipOptions) -> None:
        self.address = options.address
        self._options = options
        self._clients: dict[int, S3Store] = {}
        self._keeps = False  # whether the store was seen to keep what is there
        # reqwest takes proxies from the environment; crawlers' variables would lead through the sidecar itself.
        for name in [name for name in os.environ if name.lower() in _PROXIES]:
            del os.environ[name]

    def put_new(self, key: str, octets: bytes) -> bool:
        """Put an object unless there is one of that name, whatever it holds; whether it was put."""
        put = self._create(key, octets)
        if put and not self._keeps and self._create(key, octets):  # the same octets, so nothing is lost by asking
            raise StoreError(
                f"{self.address} cannot be written to: the store writes over what is there although it is told not to"
                " (If-None-Match), so it can lose evidence; ship to one that keeps to it, as Amazon S3 does.",
                "refused",
            )
        self._keeps = True
        return put

    def _create(self, key: str, octets: bytes) -> bool:
        try:
            obstore.put(self._client(len(octets)), key, octets, mode="create", use_multipart=False)
        except AlreadyExistsError:
            return False
        except (BaseError, OSError, ValueError) as error:
            raise self._failed("written to", error) from error
        return True

    def put(self, key: str, octets: bytes) -> None:
        """Put an object in the place of one that may be there."""
        try:
            obstore.put(self._client(len(octets)), key, octets, use_multipart=False)
        except (BaseError, OSError, ValueError) as error:
            raise self._failed("written to", error) from error

    def digest(self, key: str, expected_bytes: int = 0) -> Digest | None:
        """What an object reads back as; None where there is none."""
        size, found = 0, hashlib.sha256()
        for chunk in self._read(key, expected_bytes):
            if chunk is None:
                return None
            size += len(chunk)
            found.update(chunk)
        return Digest(size=size, sha256=found.hexdigest())

    def get(self, key: str, bytes_max: int) -> bytes | None:
        """A small object, cut after ``bytes_max`` and one octet; None where there is none."""
        found = b""
        for chunk in self._read(key, 0):
            if chunk is None:
                return None
            found += chunk
            if len(found) > bytes_max:
                break
        return found[: bytes_max + 1]

    def list(self, prefix: str) -> Iterator[str]:
        """The keys, relative to the address, of what lies below a directory."""
        try:
            for page in obstore.list(self._client(0), prefix):
                yield from (one["path"] for one in page)
        except (BaseError, OSError, ValueError) as error:
            raise self._failed("listed", error) from error

    def not_as_wanted(self, key: str) -> str | None:
        """How an object is locked or encrypted otherwise than the settings say, in one sentence; None where not.

        obstore cannot set Object Lock with an object, and shows no header fields: the lock is the bucket's default
        retention, and is looked at here with a signed HEAD request.
        """
        options = self._options
        if options.object_lock_mode is None and options.server_side_encryption is None:
            return None
        fields = self._head(key)
        encryption = fields.get("x-amz-server-side-encryption")
        if options.server_side_encryption not in (None, encryption):
            found = encryption or "nothing it tells of"
            return f"{self.address} encrypts with {found}: {options.server_side_encryption} is set."
        if options.object_lock_mode is None:
            return None
        wanted = f"{options.object_lock_mode} for {options.object_lock_days} days"
        mode = fields.get("x-amz-object-lock-mode", "").lower()
        until = _moment(fields.get("x-amz-object-lock-retain-until-date", ""))
        put_at = email.utils.parsedate_to_datetime(fields["last-modified"]) if "last-modified" in fields else None
        if mode != options.object_lock_mode or until is None or put_at is None:
            return (
                f"{self.address} does not lock what is put there as set ({wanted}): give the bucket a default"
                " retention, and this identity the right s3:GetObjectRetention."
            )
        if until - put_at < datetime.timedelta(days=options.object_lock_days, minutes=-1):
            return f"{self.address} locks what is put there until {until:%Y-%m-%d} only: {wanted} is set."
        return None

    def _read(self, key: str, expected_bytes: int) -> Iterator[bytes | None]:
        try:
            for chunk in obstore.get(self._client(expected_bytes), key).stream(_CHUNK_BYTES):
                yield bytes(chunk)
        except (BaseError, OSError, ValueError) as error:
            if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in str(error):
                yield None
                return
            raise self._failed("read from", error) from error

    def _head(self, key: str) -> Mapping[str, str]:
        try:
            url = obstore.sign(self._client(0), "HEAD", key, _SIGNED_FOR)
            request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - made by obstore from the settings
            with urllib.request.urlopen(request, timeout=self._options.request_timeout_s) as answer:  # noqa: S310
                return {name.lower(): value for name, value in answer.headers.items()}
        except urllib.error.HTTPError as error:
            error.close()
            reason = "denied" if error.code == 403 else "unavailable"
            raise StoreError(f"{self.address} cannot be asked how {key} is kept: HTTP {error.code}.", reason) from error
        except (BaseError, OSError, ValueError) as error:
            raise self._failed("read from", error) from error

    def _client(self, size: int) -> S3Store:
        """A client whose time-out suits what is to be moved."""
        parts = 1 + size // _PART_BYTES
        if parts not in self._clients:
            self._clients[parts] = self._new_client(self._options.request_timeout_s * parts)
        return self._clients[parts]

    def _new_client(self, timeout_s: float) -> S3Store:
        options = self._options
        config: dict[str, Any] = {"checksum_algorithm": "SHA256"}
        if options.server_side_encryption is not None:
            config["server_side_encryption"] = options.server_side_encryption
        if options.kms_key_id is not None:
            config["sse_kms_key_id"] = options.kms_key_id
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        try:
            return S3Store(
                self.address.bucket,
                prefix=self.address.prefix or None,
                config=config,  # type: ignore[arg-type]
                client_options={
                    "timeout": datetime.timedelta(seconds=timeout_s),
                    "connect_timeout": datetime.timedelta(seconds=min(timeout_s, 10)),
                    "allow_http": endpoint.startswith("http://"),
                },
                # Attempts are counted, told and spaced out by whoever asks.
                retry_config={"max_retries": 0},
            )
        except (BaseError, ValueError) as error:
            raise self._failed("opened", error) from error

    def _failed(self, doing: str, error: Exception) -> StoreError:
        """One sentence and one word for what obstore says in many lines."""
        reason, why = _explained(str(error), self.address.bucket)
        return StoreError(f"{self.address} cannot be {doing}: {why}.", reason)


def _explained(said: str, bucket: str) -> tuple[str, str]:
    """The word, and the rest of the sentence."""
    status = int(found[1]) if (found := _STATUS.search(said)) else 0
    code = found[1] if (found := _CODE.search(said)) else ""
    what = code or str(status)
    if code == "NoSuchBucket":
        return "no_bucket", f"there is no bucket {bucket}"
    if code in s3_errors.CLOCK:
        return "clock", "this machine's clock is too far from the store's: set it"
    if code in s3_errors.CREDENTIALS or status == 401:
        return "credentials", f"the store does not accept the credentials ({what}): check {_VARIABLES}"
    if not code and any(place in said.partition("\n")[0] for place in _CREDENTIAL_PLACES):
        return "credentials", f"there are no credentials: set {_VARIABLES}, or give this machine a role"
    if status == 403:
        return "denied", f"these credentials lack a right there ({what}): {_RIGHTS} are needed"
    if code in _TORN_CODES:
        return "torn", f"the store received other octets than were sent ({code})"
    if code == "NotImplemented" or status == 501:
        return "refused", "the store cannot be told to keep what is there already (If-None-Match)"
    if status:
        answers = f"the store answers {status}{f' ({code})' if code else ''}"
        return ("unavailable" if status == 429 or status >= 500 else "refused"), answers
    return "unreachable", "the store does not answer, or breaks off"


def _moment(text: str) -> datetime.datetime | None:
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None
