"""A fetched answer as it lies in a store that several sidecars share: to octets, and back without believing them.

Form: the line ``robots-answer 1 TAG``, the answer as canonical JSON in one line, then its body compressed by zlib.
TAG is HMAC-SHA256 in hex over all that follows the first line, or ``-`` where no key is set; scope and path are in the
JSON, so a value cannot be moved to another site.  Whoever can write into the store can make up an answer unless there
is a key: what is checked here is that a value is whole, bounded, of the right site, and fit for a record.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from crawl_audit.records import Instant
from crawl_audit.schema import canonical
from crawl_audit.target import Scope
from crawl_audit.text import is_storable
from proxy_addon.fetcher import Fetched

_MAGIC = b"robots-answer 1 "
_TAG = re.compile(rb"-|[0-9a-f]{64}")
_NO_TAG = b"-"
_LOG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
BODY_BYTES_MAX = 1024 * 1024
"""As much of a robots.txt as is kept (FetchLimits.body_bytes_max)."""
VALUE_BYTES_MAX = BODY_BYTES_MAX + 256 * 1024
"""Longest value: a body that cannot be compressed, and the longest head, which is less than 200 KiB in UTF-8."""
_HEAD_BYTES_MAX = 240 * 1024
_REDIRECTS_MAX = 20
_URL_MAX = 8192  # characters, as fetcher.py keeps them
_FIELD_MAX = 1024
_FASTEST = 1  # of zlib's levels: most files are a few KiB, and compressing is done while requests are served


class NotBelieved(Exception):
    """A value is not one that a sidecar (with our key) has put there for this site; the text is a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked for: a file of a scope."""

    scope: Scope
    path: str

    @property
    def digest(self) -> str:
        """The name of the answer in a store: SHA-256 of scope and path, hex; fit for a file name, and bounded."""
        named = canonical({"path": self.path, **_scope_object(self.scope)})
        return hashlib.sha256(named.encode("utf-8")).hexdigest()


def pack(question: Question, fetched: Fetched, origin_log: str, key: bytes | None) -> bytes:
    """The value for ``fetched``, which has a ``fetched_at``."""
    body = fetched.body
    head = {
        **_scope_object(question.scope),
        "path": question.path,
        "origin_log": origin_log,
        "fetched_at": fetched.fetched_at,
        "redirects": list(fetched.redirects),
        "body_bytes": None if body is None else len(body),
        "body_sha256": None if body is None else hashlib.sha256(body).hexdigest(),
        **{name: getattr(fetched, name) for name in _PLAIN},
    }
    octets = b"" if body is None else zlib.compress(body, _FASTEST)
    rest = canonical(head).encode("utf-8") + b"\n" + octets
    return _MAGIC + (_NO_TAG if key is None else _tag(key, rest)) + b"\n" + rest


def unpack(value: bytes, question: Question, key: bytes | None) -> Fetched:
    """The answer in ``value``; raises NotBelieved with a sentence where it is not one to ``question``."""
    if len(value) > VALUE_BYTES_MAX:
        raise NotBelieved("The value is longer than any that a sidecar writes.")
    first, _, rest = value.partition(b"\n")
    if not first.startswith(_MAGIC) or not _TAG.fullmatch(tag := first.removeprefix(_MAGIC)):
        raise NotBelieved("The value is not in the form this version reads.")
    # Before anything in it is looked at: what is not by somebody with the key is not decompressed either.
    if key is not None and not hmac.compare_digest(tag, _tag(key, rest)):
        raise NotBelieved("The value is not authenticated by our key.")
    line, _, compressed = rest.partition(b"\n")
    head = _head(line)
    if {name: head[name] for name in ("scheme", "host", "port")} != _scope_object(question.scope):
        raise NotBelieved("The value is about another site.")
    if head["path"] != question.path:
        raise NotBelieved("The value is about another file of the site.")
    body = _body(head, compressed)
    if body is not None and not _has_body(head):
        raise NotBelieved("The value holds a body where an answer like it has none.")
    return Fetched(
        **{name: head[name] for name in _PLAIN},
        redirects=tuple(head["redirects"]),
        body=body,
        duration_ms=0,
        server_ip=None,
        fetched_at=Instant(head["fetched_at"]),
        origin_log=head["origin_log"],
    )


def _scope_object(scope: Scope) -> dict[str, Any]:
    return {"scheme": scope.scheme, "host": scope.host, "port": scope.port}


def _tag(key: bytes, rest: bytes) -> bytes:
    return hmac.new(key, rest, hashlib.sha256).hexdigest().encode("ascii")


def _head(line: bytes) -> dict[str, Any]:
    if len(line) > _HEAD_BYTES_MAX:
        raise NotBelieved("The value's head is longer than any that a sidecar writes.")
    try:
        text = line.decode("utf-8")
        head = json.loads(text)
        in_form = isinstance(head, dict) and set(head) == set(_FIELDS) and canonical(head) == text
    except (ValueError, RecursionError) as error:
        raise NotBelieved("The value's head is not canonical JSON.") from error
    if not in_form:
        raise NotBelieved("The value's head is not canonical JSON of the fields it should have.")
    for name, is_fit in _FIELDS.items():
        if not is_fit(head[name]):
            raise NotBelieved(f"The value's {name} is not one that a sidecar writes.")
    made: dict[str, Any] = head
    return made


def _body(head: dict[str, Any], compressed: bytes) -> bytes | None:
    if head["body_sha256"] is None or head["body_bytes"] is None:
        if compressed or head["body_sha256"] is not None or head["body_bytes"] is not None:
            raise NotBelieved("The value's body is not the one its head names.")
        return None
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(compressed, BODY_BYTES_MAX + 1)
    except zlib.error as error:
        raise NotBelieved("The value's body cannot be decompressed.") from error
    if not inflater.eof or inflater.unused_data or len(body) != head["body_bytes"]:
        raise NotBelieved("The value's body is not as long as its head says.")
    if hashlib.sha256(body).hexdigest() != head["body_sha256"]:
        raise NotBelieved("The value's body is not the one its head names.")
    return body


def _has_body(head: dict[str, Any]) -> bool:
    """Whether such an answer has a body: a whole 2xx, or a 304 told with the octets it is about."""
    status = head["status"]
    return head["error"] is None and status is not None and (200 <= status < 300 or head["not_modified"])


def _text(limit: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is str and len(value) <= limit and is_storable(value)


def _maybe(is_fit: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_fit(value)


def _number(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _is_flag(value: Any) -> bool:
    return type(value) is bool


def _matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: type(value) is str and pattern.fullmatch(value) is not None


def _are_redirects(value: Any) -> bool:
    return type(value) is list and len(value) <= _REDIRECTS_MAX and all(map(_text(_URL_MAX), value))


_PLAIN: dict[str, Callable[[Any], bool]] = {
    "status": _maybe(_number(100, 999)),
    "final_url": _text(_URL_MAX),
    "error": _maybe(_text(500)),
    "truncated": _is_flag,
    "content_type": _maybe(_text(_FIELD_MAX)),
    "etag": _maybe(_text(_FIELD_MAX)),
    "cache_control": _maybe(_text(_FIELD_MAX)),
    "age": _maybe(_text(_FIELD_MAX)),
    "retry_after": _maybe(_text(_FIELD_MAX)),
    "too_many_redirects": _is_flag,
    "not_modified": _is_flag,
}
"""Fields of ``Fetched`` that stand in the head as they are, and what may stand there."""
_FIELDS: dict[str, Callable[[Any], bool]] = {
    **_PLAIN,
    "scheme": _text(16),
    "host": _text(300),
    "port": _number(1, 65_535),
    "path": _text(_FIELD_MAX),
    "origin_log": _matches(_LOG),
    "fetched_at": _number(0, 2**53 - 1),
    "redirects": _are_redirects,
    "body_bytes": _maybe(_number(0, BODY_BYTES_MAX)),
    "body_sha256": _maybe(_matches(_DIGEST)),
}
