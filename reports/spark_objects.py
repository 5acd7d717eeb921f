"""A fleet's log as a cluster reads it where it lies: which objects hold what, without a copy of any segment.

Only what is small is fetched: one listing, descriptions of compacted days, and the checkpoints that a record names.
What a cluster reads so is not held to the digests of the ``shipped`` objects first; `crawl-audit verify` does that.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from crawl_audit.errors import LogFormatError
from crawl_audit.object_address import parse
from crawl_audit.remote_layout import checkpoint_key
from reports.iceberg_files import files_of
from reports.log import Files
from reports.object_store import ObjectStore, endpoint
from reports.remote_cache import Cache
from reports.remote_session import Mirror

_CHECKPOINT_BYTES_MAX = 2**20
_BESIDE = "checkpoints-only"


def where_they_are(address: str) -> tuple[Files, dict[str, list[str]]]:
    """The log at an address as far as it is here, and kind → the ``s3a://`` names of its files.

    Raises LogFormatError and ConfigurationError in one sentence.
    """
    of_kind = files_of(address, compacted=True)
    where = parse(address)
    store, cache = ObjectStore(where), Cache(where, endpoint())
    with cache.locked():
        tree = cache.root / _BESIDE
        (tree / "segments").mkdir(mode=0o700, parents=True, exist_ok=True)
        checkpoints = _checkpoints(store, tree)
    uris = {kind: [uri.replace("s3://", "s3a://", 1) for uri in found] for kind, found in of_kind.items()}
    files = Files(
        root=tree,
        segments=tuple({Path(uri).parent for found in uris.values() for uri in found}),
        segment_bytes=0,
        live=(),
        quarantine=(),
        checkpoints=checkpoints,
        mirror=Mirror(root=tree, address=address),
    )
    return files, uris


def _checkpoints(store: ObjectStore, tree: Path) -> tuple[Path, ...]:
    made = []
    for listed in store.listed("checkpoints"):
        place = tree / checkpoint_key(listed.key.removeprefix("checkpoints/"))
        if place.suffix != ".checkpoint":
            continue
        with suppress(LogFormatError):  # one that is not there any more, or is none: `verify` says so
            octets = store.fetched(listed.key, _CHECKPOINT_BYTES_MAX)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(octets)
            made.append(place)
    return tuple(sorted(made))
