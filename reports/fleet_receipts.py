"""Showing the fleet's head to timestamp authorities: one RFC 3161 request for each, however many sidecars there are.

Whatever comes back is verified before it is kept, beside the head and under the name that verification looks for; the
next round puts it on record, so that it is dated between two times from outside.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from crawl_audit import __version__, timestamp_token
from crawl_audit.errors import ConfigurationError, CrawlAuditError, LogFormatError
from crawl_audit.records import Anchor, Instant
from crawl_audit.seal import parse_checkpoint, parse_note
from reports.rewriting import fsync
from reports.timestamps import TrustedAuthorities

TIMEOUT_S = 20.0
_CHUNK_BYTES = 16 * 1024
_NAME = re.compile(r"(?P<size>[0-9]{12})\.(?P<authority>[A-Za-z0-9._-]{1,100})\.tsr")


class NoReceiptError(CrawlAuditError):
    """An authority gave no token that holds; the next round asks again, for a head that covers this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What came of asking: the authorities whose tokens are kept, and sentences about the others."""

    kept: tuple[str, ...]
    faults: tuple[str, ...]


def authority_of(url: str) -> str:
    """The name of an authority in file names and records: its host, and its port where it says one."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ConfigurationError(f"{url!r} is not the URL of a timestamp authority: give one like https://tsa.example.")
    name = parts.hostname if parts.port is None else f"{parts.hostname}-{parts.port}"
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)[:100]


def show(root: Path, log: str, note: str, urls: Sequence[str], authorities: TrustedAuthorities) -> Asked:
    """Have each authority certify when the head ``note`` existed, and keep what it gives."""
    folder = root / "checkpoints" / f"{log}.anchors"
    folder.mkdir(exist_ok=True)
    size = parse_checkpoint(parse_note(note).text).size
    document = note.encode("utf-8")
    _keep(folder / f"{size:012d}.checkpoint", document)
    kept, faults = [], []
    for url in urls:
        name = authority_of(url)
        try:
            _keep(folder / f"{size:012d}.{name}.tsr", _token(url, document, authorities))
            kept.append(name)
        except NoReceiptError as error:
            faults.append(str(error))
    return Asked(kept=tuple(kept), faults=tuple(faults))


def unrecorded(
    root: Path, log: str, known: Collection[str], authorities: TrustedAuthorities, at: Instant
) -> list[Anchor]:
    """A record for every token that is kept and not on record yet; one that does not hold any more is left out."""
    folder = root / "checkpoints" / f"{log}.anchors"
    made = []
    for path in sorted(folder.glob("*.tsr")) if folder.is_dir() else []:
        match, token = _NAME.fullmatch(path.name), path.read_bytes()
        digest = hashlib.sha256(token).hexdigest()
        if match is None or digest in known:
            continue
        document = (folder / f"{match['size']}.checkpoint").read_bytes()
        try:
            stamp = authorities.verify(token, document)
        except LogFormatError:
            continue
        head = parse_checkpoint(parse_note(document.decode("utf-8")).text)
        made.append(
            Anchor(
                recorded_at=at,
                method="rfc3161",
                authority=match["authority"],
                checkpoint_size=head.size,
                checkpoint_root=head.root.hex(),
                receipt_sha256=digest,
                stated_at=stamp.at,
            )
        )
    return made


def _token(url: str, document: bytes, authorities: TrustedAuthorities) -> bytes:
    name = authority_of(url)
    query, nonce = timestamp_token.request(document)
    answer = _post(url, name, query)
    try:
        timestamp_token.verify_token(answer, document, authorities.roots, nonce=nonce)
    except LogFormatError as error:
        raise NoReceiptError(f"The token of {name} is of no use: {error}") from error
    return answer


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """A token is asked of the authority that was named, and of nobody it points at."""


def _post(url: str, name: str, query: bytes) -> bytes:
    """The body of a 200 within the time and size allowed; raises NoReceiptError."""
    until = time.monotonic() + TIMEOUT_S
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=ssl.create_default_context()), _NoRedirect()
    )
    request = urllib.request.Request(url, data=query, method="POST")  # noqa: S310 - the scheme is checked above
    request.add_header("Content-Type", "application/timestamp-query")
    request.add_header("User-Agent", f"crawl-audit/{__version__}")
    try:
        with opener.open(request, timeout=TIMEOUT_S) as response:
            if response.status != 200:
                raise NoReceiptError(f"{name} answered with HTTP status {response.status}.")
            octets = b""
            while chunk := response.read1(_CHUNK_BYTES):
                octets += chunk
                if len(octets) > timestamp_token.TOKEN_BYTES_MAX or time.monotonic() > until:
                    raise NoReceiptError(f"{name} gave too much, or too slowly.")
            return octets
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise NoReceiptError(f"{name} gave no timestamp: {reason}.") from error


def _keep(path: Path, octets: bytes) -> None:
    made = path.with_name(f".{path.name}.new")
    made.write_bytes(octets)
    fsync(made)
    made.replace(path)
    fsync(path.parent)
