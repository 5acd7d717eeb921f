"""What a compacted day of a fleet is made of and what it covers: the object that is written last and read strictly.

A compacted day is a copy for quick reading.  It names every segment it was made of with the digest of that segment's
``shipped`` object, so whoever reads it can tell whether it still stands for the originals.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from typing import Any

from crawl_audit.errors import LogFormatError
from crawl_audit.remote_layout import KINDS, compacted_key, compacted_manifest_key, shipped_key

COMPACTED_VERSION = 1
EXTENT = "extent"
"""A file beside those of the kinds: how many records of each kind and log there are, from which to which."""
OBJECT_BYTES_MAX = 256 * 2**20
"""A day of ten thousand sidecars has a million segments of some 120 octets each."""
_ETAG = re.compile(r"[!-~]{0,200}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Covered:
    """A segment that is in the copy, and its ``shipped`` object: SHA-256 in hex, and entity tag where there is one."""

    log: str
    first: int
    last: int
    sha256: str
    etag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactedFile:
    """A file of the copy: what it holds, how many records, how many octets, and their SHA-256 in hex."""

    name: str
    kind: str
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactedDay:
    """The copy of a day (UTC): the segments whose earliest record is of that day, and the files they became."""

    day: str
    segments: tuple[Covered, ...]
    files: tuple[CompactedFile, ...]

    @property
    def key(self) -> str:
        """Where this object lies."""
        return compacted_manifest_key(self.day)

    def file_key(self, file: CompactedFile) -> str:
        """Where one of its files lies."""
        return compacted_key(self.day, file.name)

    def to_json(self) -> bytes:
        """Its octets: canonical JSON, segments by log and place, files by name, a newline at the end."""
        logs = [
            {"log": log, "segments": [[one.first, one.last, one.sha256, one.etag] for one in of_log]}
            for log, of_log in itertools.groupby(sorted(self.segments), key=lambda one: one.log)
        ]
        value = {
            "k": "compacted",
            "v": COMPACTED_VERSION,
            "day": self.day,
            "logs": logs,
            "files": [
                {"name": file.name, "kind": file.kind, "rows": file.rows, "bytes": file.size, "sha256": file.sha256}
                for file in sorted(self.files, key=lambda file: file.name)
            ],
        }
        return (json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True) + "\n").encode("ascii")


def parse_compacted(octets: bytes, day: str) -> CompactedDay:
    """Read the object of ``day``; raises LogFormatError unless these are the very octets :meth:`to_json` writes."""
    if len(octets) > OBJECT_BYTES_MAX:
        raise LogFormatError(f"What describes the compacted day {day} is larger than it can be.")
    try:
        read = _day(json.loads(octets))
    except (ValueError, RecursionError) as error:
        raise LogFormatError(f"What describes the compacted day {day} is not JSON.") from error
    except (KeyError, TypeError) as error:
        raise LogFormatError(
            f"What describes the compacted day {day} lacks a field or has one of another type."
        ) from error
    if read.to_json() != octets or read.day != day:
        raise LogFormatError(f"What describes the compacted day {day} is not in canonical form, or of another day.")
    return read


def _day(value: Any) -> CompactedDay:
    if (value["k"], value["v"]) != ("compacted", COMPACTED_VERSION) or type(value["v"]) is not int:
        raise LogFormatError(f"A compacted day is not of version {COMPACTED_VERSION}, the one this program reads.")
    segments = tuple(
        Covered(log=of_log["log"], first=_integer(first), last=_integer(last), sha256=_digest(sha256), etag=_etag(etag))
        for of_log in value["logs"]
        for first, last, sha256, etag in of_log["segments"]
    )
    for one in segments:
        shipped_key(one.log, one.first, one.last)  # raises where there can be no such segment
    made = CompactedDay(day=value["day"], segments=segments, files=tuple(map(_file, value["files"])))
    _check_files(made)
    return made


def _file(value: Any) -> CompactedFile:
    if value["kind"] not in (*KINDS, EXTENT):
        raise LogFormatError(f"A compacted day has a file of {value['kind']!a}, which is no kind of record.")
    return CompactedFile(
        name=value["name"],
        kind=value["kind"],
        rows=_integer(value["rows"]),
        size=_integer(value["bytes"]),
        sha256=_digest(value["sha256"]),
    )


def _check_files(made: CompactedDay) -> None:
    names = [file.name for file in made.files]
    if len(set(names)) != len(names) or not made.segments:
        raise LogFormatError("A compacted day names a file twice, or no segment.")
    for file in made.files:
        made.file_key(file)  # raises where the name is none
        if file.name.partition(".")[0].partition("-")[0] != file.kind:
            raise LogFormatError(f"A compacted day has a file {file.name!a} of another kind than its name says.")
    if sum(file.kind == EXTENT for file in made.files) != 1:
        raise LogFormatError("A compacted day has not one file of extents.")


def _integer(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= 2**53 - 1:
        raise LogFormatError("A compacted day has a number that is none.")
    return value


def _digest(value: Any) -> str:
    if type(value) is not str or not _SHA256.fullmatch(value):
        raise LogFormatError("A compacted day has a digest that is none.")
    return value


def _etag(value: Any) -> str:
    if type(value) is not str or not _ETAG.fullmatch(value):
        raise LogFormatError("A compacted day has an entity tag that is none.")
    return value
