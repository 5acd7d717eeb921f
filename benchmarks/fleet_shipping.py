"""A log directory put into an object store as sidecars ship it: the ``shipped`` object of each segment last."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import obstore
from obstore.store import ObjectStore, S3Store

from crawl_audit.object_address import ObjectAddress, parse
from crawl_audit.remote_layout import SCHEMA, ShippedFile, ShippedSegment
from reports.object_store import concurrently, endpoint


def ship(root: Path, address: str) -> int:
    """Ship every segment and checkpoint of ``root``; how many segments there were."""
    where = parse(address)
    store = S3Store(where.bucket, client_options={"allow_http": endpoint().startswith("http://")})
    segments = [place for place in sorted((root / "segments").glob("*/*")) if place.parent.name != "schema"]
    concurrently(_jobs(store, where, root, segments))
    return len(segments)


def _jobs(store: ObjectStore, where: ObjectAddress, root: Path, segments: list[Path]) -> Iterator[Callable[[], None]]:
    for place in segments:
        yield partial(_segment, store, where, place)
    for path in [*sorted((root / SCHEMA).iterdir()), *sorted((root / "checkpoints").rglob("*"))]:
        if path.is_file():
            yield partial(_put, store, where.key(path.relative_to(root).as_posix()), path.read_bytes())


def _segment(store: ObjectStore, where: ObjectAddress, place: Path) -> None:
    first, _, last = place.name.partition("-")
    contents = {path.name: path.read_bytes() for path in sorted(place.iterdir())}
    files = (
        ShippedFile(name=name, size=len(octets), sha256=hashlib.sha256(octets).hexdigest())
        for name, octets in contents.items()
    )
    made = ShippedSegment(log=place.parent.name, first=int(first), last=int(last), files=tuple(files))
    for file in made.files:
        _put(store, where.key(made.file_key(file)), contents[file.name])
    _put(store, where.key(made.key), made.to_json())


def _put(store: ObjectStore, key: str, octets: bytes) -> None:
    obstore.put(store, key, octets)
