"""Which files of a log are to be registered, by their addresses: of a directory, or of what a fleet has shipped."""

from __future__ import annotations

from pathlib import Path

from crawl_audit.object_address import is_object_address, parse
from crawl_audit.remote_layout import KINDS, parse_segment_key
from reports.log import NothingSealedError, look

Files = dict[str, list[str]]
"""Kind → the URIs of its files."""


def files_of(log: str, *, compacted: bool) -> Files:
    """The files of the log in a directory or at an ``s3://`` address, each kind's in order.

    ``compacted``: of an address, the compacted days in place of the segments they stand for.  A segment without its
    ``shipped`` object is not there.  Raises LogFormatError and ConfigurationError in one sentence.
    """
    made = _shipped(log, compacted=compacted) if is_object_address(log) else _local(log)
    if not any(made.values()):
        raise NothingSealedError(f"The log {log} holds no sealed segment yet, so there is nothing to register.")
    return {kind: sorted(uris) for kind, uris in made.items()}


def _local(log: str) -> Files:
    made: Files = {kind: [] for kind in KINDS}
    for segment in look(log).segments:
        for kind in KINDS:
            file = segment / f"{kind}.parquet"
            if file.exists():
                made[kind].append(_uri(file))
    return made


def _uri(file: Path) -> str:
    """A path as engines read it: as it is, because not every one decodes escapes."""
    return f"file://{file}"


def _shipped(log: str, *, compacted: bool) -> Files:
    from reports import remote_listing  # with the client of object stores
    from reports.object_store import ObjectStore, endpoint
    from reports.remote_cache import Cache

    where = parse(log)
    store, cache = ObjectStore(where), Cache(where, endpoint())
    with cache.locked():
        fleet = remote_listing.look(
            store, remote_listing.Markers(cache.markers, store), originals=not compacted, torn=False
        )
    made: Files = {kind: [] for kind in KINDS}
    for one in store.listed("segments"):
        found = parse_segment_key(one.key)
        if found is not None and found[:3] in fleet.segments:
            made[found[3]].append(f"s3://{where.bucket}/{where.key(one.key)}")
    for day in fleet.days:
        for file in day.files:
            if file.kind in made:
                made[file.kind].append(f"s3://{where.bucket}/{where.key(day.file_key(file))}")
    return made
