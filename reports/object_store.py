"""An object store as readers and jobs of a fleet use it: listed, fetched many at a time, each error one sentence.

Credentials, region and endpoint come from the environment, as the client's own chain finds them; an endpoint without
TLS is allowed only where the environment names one.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import obstore
from obstore import exceptions
from obstore.store import LocalStore, S3Store

from crawl_audit import s3_errors
from crawl_audit.errors import ConfigurationError, CrawlAuditError, LogFormatError
from crawl_audit.object_address import ObjectAddress, parse

AT_ONCE = 32
"""Requests under way at once: enough to hide the way to the store, few enough for any store."""
_PAGE = 1_000
_LOOK_S = 0.2
CHUNK_BYTES = 8 * 2**20
_CONNECT, _ANSWER, _TRY = timedelta(seconds=5), timedelta(seconds=30), timedelta(seconds=60)
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
# Where the client asks for credentials when the environment has none (instance metadata, task roles).
_METADATA = ("169.254.169.254", "169.254.170.2", "Missing AccessKeyId", "Missing SecretAccessKey", "WebIdentity")


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryAddress:
    """A directory in the form of what lies below an address, a copy of a bucket for example."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def key(self, relative: str) -> str:
        """What lies at ``relative``, as the client names it."""
        return relative

    def relative(self, key: str) -> str:
        """The reverse."""
        return key


def address_of(text: str) -> ObjectAddress | DirectoryAddress:
    """An ``s3://`` address, or a directory that has what sidecars shipped; ConfigurationError for anything else."""
    if "://" in text:
        return parse(text)
    if not (Path(text) / "shipped").is_dir():
        raise ConfigurationError(
            f"{text} has no directory `shipped/`: name the address that sidecars ship to, or a whole copy of it."
        )
    return DirectoryAddress(path=Path(text).resolve())


class ObjectMissingError(LogFormatError):
    """An object that should be there is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An object by its place below the prefix, and what a change to it would show in."""

    key: str
    size: int
    etag: str
    """Its entity tag without quotes; empty where the store has none."""
    put_at: str
    """When it was put, as the store tells."""

    @property
    def mark(self) -> str:
        """A short name of this object as it is now: another one once it was written again."""
        return hashlib.sha256(f"{self.key} {self.size} {self.etag} {self.put_at}".encode()).hexdigest()[:16]


def endpoint() -> str:
    """The endpoint the environment names; empty: the provider's own."""
    return next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")


class ObjectStore:
    """What lies below an address."""

    def __init__(self, address: ObjectAddress | DirectoryAddress) -> None:
        self.address = address
        with self._said("opened"):
            if isinstance(address, DirectoryAddress):
                self._store: LocalStore | S3Store = LocalStore(address.path)
                return
            self._store = S3Store(
                address.bucket,
                client_options={
                    "connect_timeout": _CONNECT,
                    "timeout": _ANSWER,
                    "allow_http": endpoint().startswith("http://"),
                },
                retry_config={"max_retries": 5, "retry_timeout": _TRY},
            )

    def listed(self, prefix: str) -> Iterator[Listed]:
        """Every object below ``prefix`` (a whole name between slashes), in the order of keys."""
        with self._said("listed"):
            for page in obstore.list(self._store, self.address.key(prefix), chunk_size=_PAGE):
                for meta in page:
                    yield Listed(
                        key=self.address.relative(meta["path"]),
                        size=meta["size"],
                        etag=(meta["e_tag"] or "").strip('"'),
                        put_at=meta["last_modified"].isoformat(),
                    )

    def fetched(self, key: str, size_max: int) -> bytes:
        """The octets of a small object; raises LogFormatError where it has more than ``size_max``."""
        with self._said("read", key):
            answer = obstore.get(self._store, self.address.key(key))
            if answer.meta["size"] > size_max:
                raise LogFormatError(f"The object {key} in {self.address} is larger than any of its kind can be.")
            return bytes(answer.bytes())

    def chunks(self, key: str, size: int) -> Iterator[bytes]:
        """The octets of an object, some megabytes at a time; nothing where it has not that size."""
        path = self.address.key(key)
        if size <= CHUNK_BYTES:
            with self._said("read", key):
                answer = obstore.get(self._store, path)
                if answer.meta["size"] == size:
                    yield bytes(answer.bytes())
            return
        with self._said("read", key):
            there = obstore.head(self._store, path)["size"]
        for start in range(0, size if there == size else 0, CHUNK_BYTES):
            with self._said("read", key):
                chunk = bytes(obstore.get_range(self._store, path, start=start, end=min(size, start + CHUNK_BYTES)))
            yield chunk

    def put(self, key: str, content: bytes | Path, *, unless_there: bool = False) -> bool:
        """Put an object; False where ``unless_there`` and one is there already."""
        with self._said("written", key):
            mode: Any = "create" if unless_there else "overwrite"
            try:
                obstore.put(self._store, self.address.key(key), content, mode=mode)
            except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
                return False
        return True

    def delete(self, keys: Iterable[str]) -> None:
        """Take objects away; one that is not there is no error."""
        with self._said("deleted"):
            obstore.delete(self._store, [self.address.key(key) for key in keys])

    @contextmanager
    def _said(self, what: str, key: str = "") -> Iterator[None]:
        """Errors of the client as sentences: which object or address could not be ``what``, and what to do."""
        try:
            yield
        except FileNotFoundError as error:
            self._refuse(f"{error}", key, error)
        except (exceptions.BaseError, ValueError, OSError) as error:
            self._refuse(f"{error}", key, error, what)

    def _refuse(self, text: str, key: str, error: Exception, what: str = "read") -> NoReturn:
        place = f"{self.address} cannot be {what}"
        if isinstance(self.address, DirectoryAddress) and not isinstance(error, FileNotFoundError):
            raise ConfigurationError(f"{place}: {text.partition(chr(10))[0].rstrip(' .')}.") from error
        if isinstance(self.address, ObjectAddress) and "NoSuchBucket" in text:
            raise ConfigurationError(f"There is no bucket {self.address.bucket} at this endpoint.") from error
        if isinstance(error, FileNotFoundError):
            raise ObjectMissingError(f"The object {key} is missing in {self.address}.") from error
        if any(sign in text for sign in _METADATA):
            raise ConfigurationError(
                f"{place} without credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role"
                " gives them."
            ) from error
        if any(code in text for code in s3_errors.CREDENTIALS):
            raise ConfigurationError(
                f"{place}: the store does not accept the credentials; check AWS_ACCESS_KEY_ID and"
                " AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN where you have one."
            ) from error
        if any(code in text for code in s3_errors.CLOCK):
            raise ConfigurationError(f"{place}: this machine's clock is too far from the store's; set it.") from error
        if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError) or "403" in text:
            raise ConfigurationError(
                f"{place}: the store denies it to these credentials; they need the right to list and read"
                f"{' and write' if what in ('written', 'deleted') else ''} there."
            ) from error
        first = text.partition("\n")[0].rstrip(" .")
        raise ConfigurationError(f"{place}: {first}; look at AWS_ENDPOINT_URL and the network.") from error


def concurrently(jobs: Iterable[Callable[[], None]], at_once: int = AT_ONCE) -> None:
    """Do all jobs, some at once; the first error ends the others, and so does Ctrl-C.

    Threads, because the client's coroutines may abort the interpreter when it ends; daemons, so that a store that
    does not answer keeps nobody waiting who has pressed Ctrl-C.
    """
    work = _Work(iter(jobs))
    threads = [threading.Thread(target=work.go_on, daemon=True) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(_LOOK_S)  # a join without end would not hear Ctrl-C everywhere
    finally:
        work.ended.set()
    if work.error is not None:
        raise work.error


class _Work:
    """Jobs that several threads take, until there are no more or one has failed."""

    def __init__(self, jobs: Iterator[Callable[[], None]]) -> None:
        self.ended = threading.Event()
        self.error: BaseException | None = None
        self._jobs = jobs
        self._lock = threading.Lock()

    def go_on(self) -> None:
        """Take one job after the other."""
        whole = False
        try:
            while (job := self._next()) is not None:
                job()
            whole = True
        except (CrawlAuditError, OSError) as error:
            whole = True
            self._fail(error)
        finally:
            if not whole:  # the traceback is the thread's to show
                self._fail(RuntimeError("A job of several at once broke."))

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            return None if self.ended.is_set() else next(self._jobs, None)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self.error = self.error or error
            self.ended.set()
