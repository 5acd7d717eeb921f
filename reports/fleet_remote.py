"""The fleet's job and an object store: what it needs of shipped logs comes here, the fleet log goes there.

Of every shipped segment only seals and run records are fetched, each file held to the digest that its ``shipped``
object names, into a directory in the form of a log.  The fleet log is shipped in the form of any log, so readers take
its address like any other.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from crawl_audit.errors import ConfigurationError, LogFormatError
from crawl_audit.object_address import parse
from crawl_audit.remote_layout import ShippedFile, ShippedSegment, checkpoint_key, parse_shipped, parse_shipped_key
from reports.empty_kinds import write_empty_kinds
from reports.evidence_form import NOTE_BYTES_MAX, RECEIPT_BYTES_MAX
from reports.object_store import ObjectStore, concurrently, endpoint
from reports.remote_listing import MARKER_BYTES_MAX, Place

WANTED = ("run.parquet", "seal.parquet")
_FILE_BYTES_MAX = 1 << 28


def heads_of(address: str, cache: Path) -> tuple[Path, list[str]]:
    """A log directory below ``cache`` with the heads, seals and run records that lie at ``address`` now.

    With it sentences about objects that are not what they should be: these are left out, so that nobody who ships can
    keep the job from the others.  Raises ConfigurationError where the store cannot be read: then nobody is called gone.
    """
    store = ObjectStore(parse(address))
    root = cache / hashlib.sha256(f"{store.address} {endpoint()}".encode()).hexdigest()
    write_empty_kinds(root)
    listed = {place: one.key for one in store.listed("shipped") if (place := parse_shipped_key(one.key)) is not None}
    notes = [
        one.key for one in store.listed("checkpoints") if one.key.endswith(".checkpoint") and one.key.count("/") == 1
    ]
    if not (listed or notes):
        raise ConfigurationError(f"There is no log at {store.address}: name the address that sidecars ship to.")
    faults: list[str] = []
    _drop(root, {_directory(root, place) for place in listed}, {root / note for note in notes})
    missing = [place for place in listed if not _directory(root, place).is_dir()]
    (root / "checkpoints").mkdir(exist_ok=True)
    segments = (partial(_segment, store, root, place, listed[place]) for place in missing)
    concurrently(partial(_one, faults, job) for job in (*segments, *(partial(_note, store, root, n) for n in notes)))
    return root, faults


def _one(faults: list[str], job: Callable[[], None]) -> None:
    try:
        job()
    except LogFormatError as error:
        faults.append(str(error))


def _directory(root: Path, place: Place) -> Path:
    log, first, last = place
    return root / "segments" / log / f"{first:012d}-{last:012d}"


def _drop(root: Path, segments: set[Path], notes: set[Path]) -> None:
    """Take away what is not in the store any more, and what an interrupted round left."""
    for path in [*(root / "segments").glob("*/*")]:
        if path.parent.name != "schema" and path not in segments:
            shutil.rmtree(path)
    for path in (root / "checkpoints").glob("*"):
        if path not in notes:
            path.unlink()
    for path in (root / "segments").iterdir():
        if not any(path.iterdir()):
            path.rmdir()


def _segment(store: ObjectStore, root: Path, place: Place, key: str) -> None:
    marker = parse_shipped(store.fetched(key, MARKER_BYTES_MAX))
    final = _directory(root, place)
    if (marker.log, marker.first, marker.last) != place:
        raise LogFormatError(f"The object {key} in {store.address} tells of another segment.")
    work = final.with_name(f"{final.name}.new")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for file in marker.files:
        if file.name in WANTED:
            octets = store.fetched(marker.file_key(file), _FILE_BYTES_MAX)
            if len(octets) != file.size or hashlib.sha256(octets).hexdigest() != file.sha256:
                raise LogFormatError(
                    f"The object {marker.file_key(file)} in {store.address} is not what its `shipped` object says:"
                    " restore it, or ship it again from the sidecar's log."
                )
            (work / file.name).write_bytes(octets)
    work.rename(final)


def _note(store: ObjectStore, root: Path, key: str) -> None:
    place = root / checkpoint_key(key.removeprefix("checkpoints/"))
    place.write_bytes(store.fetched(key, NOTE_BYTES_MAX))


def publish(root: Path, log: str, address: str) -> int:
    """Ship what is not there yet of ``log`` in the log directory ``root``: segments first, then heads and receipts.

    How many segments were shipped.  A segment is there once its ``shipped`` object is, which is put last.
    """
    store = ObjectStore(parse(address))
    there = {one.key for one in store.listed("shipped")}
    sent = 0
    for directory in sorted((root / "segments" / log).iterdir()):
        first, _, last = directory.name.partition("-")
        files = tuple(_described(path) for path in sorted(directory.iterdir()))
        marker = ShippedSegment(log=log, first=int(first), last=int(last), files=files)
        if marker.key in there:
            continue
        for file in files:
            store.put(marker.file_key(file), directory / file.name)
        store.put(marker.key, marker.to_json())
        sent += 1
    checkpoints = root / "checkpoints"
    receipts = {one.key: one.size for one in store.listed("checkpoints")}
    for path in [*sorted((checkpoints / f"{log}.anchors").glob("[0-9]*")), checkpoints / f"{log}.checkpoint"]:
        key = checkpoint_key(path.relative_to(checkpoints).as_posix())
        octets = path.read_bytes()[:RECEIPT_BYTES_MAX]
        if path.parent == checkpoints or receipts.get(key) != len(octets):
            store.put(key, octets)
    return sent


def _described(path: Path) -> ShippedFile:
    octets = path.read_bytes()
    return ShippedFile(name=path.name, size=len(octets), sha256=hashlib.sha256(octets).hexdigest())
