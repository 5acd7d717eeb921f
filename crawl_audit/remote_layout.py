"""The names of what a fleet's logs are in an object store, and the ``shipped`` object that makes a segment be there.

A prefix has the form of a log directory that holds many logs.  A segment's files are put first and its ``shipped``
object last, so a segment without one is not there.  What is read here came over a network: parsing is strict.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from crawl_audit import schema
from crawl_audit.errors import LogFormatError

SCHEMA = f"segments/schema/v{schema.VERSION}"
SHIPPED_VERSION = 1
KINDS = (*schema.KINDS, "withheld")
"""What a file of a segment may be called, before ``.parquet``: the kinds of record, and rows wholly withheld."""
_LOG = r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}"
_LOG_NAME = re.compile(_LOG)
_RANGE = r"(?P<first>[0-9]{12})-(?P<last>[0-9]{12})"
_SHIPPED = re.compile(rf"shipped/(?P<log>{_LOG})/{_RANGE}\.json")
_SEGMENT = re.compile(rf"segments/(?P<log>{_LOG})/{_RANGE}/(?P<kind>[a-z_]+)\.parquet")
_CHECKPOINT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*){0,2}")
_FILE = re.compile(r"(?P<kind>[a-z_]+)(?:-[0-9]{1,6})?\.(?:parquet|json)")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SEQ_MAX = 10**12 - 1
_OBJECT_BYTES_MAX = 64 * 2**10
"""A ``shipped`` object has a line for each kind of record, so a few kilobytes; more is not one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedFile:
    """A file of a shipped segment: its name, how many octets it has, and their SHA-256 in hex."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedSegment:
    """A segment that is whole in the object store: of which log, the range of ``seq``, and its files by name."""

    log: str
    first: int
    last: int
    files: tuple[ShippedFile, ...]

    @property
    def octets(self) -> int:
        """How many octets its files have."""
        return sum(file.size for file in self.files)

    @property
    def key(self) -> str:
        """Where the ``shipped`` object lies."""
        return shipped_key(self.log, self.first, self.last)

    def file_key(self, file: ShippedFile) -> str:
        """Where one of its files lies."""
        return f"{segment_directory(self.log, self.first, self.last)}/{file.name}"

    def to_json(self) -> bytes:
        """The octets of the ``shipped`` object: canonical JSON, the files sorted by name, a newline at the end."""
        value = {
            "k": "shipped",
            "v": SHIPPED_VERSION,
            "log": self.log,
            "first": self.first,
            "last": self.last,
            "files": [
                {"name": file.name, "bytes": file.size, "sha256": file.sha256}
                for file in sorted(self.files, key=lambda file: file.name)
            ],
        }
        return (_canonical(value) + "\n").encode("ascii")


def segment_directory(log: str, first: int, last: int) -> str:
    """Where the files of a segment lie."""
    return f"segments/{_log(log)}/{_range(first, last)}"


def segment_key(log: str, first: int, last: int, kind: str) -> str:
    """Where the records of one kind of a segment lie."""
    return f"{segment_directory(log, first, last)}/{_kind(kind)}.parquet"


def schema_key(kind: str) -> str:
    """Where the empty file of a kind lies."""
    return f"{SCHEMA}/{_kind(kind)}.parquet"


def shipped_key(log: str, first: int, last: int) -> str:
    """Where the object lies that is written last, once all files of a segment are there."""
    return f"shipped/{_log(log)}/{_range(first, last)}.json"


def checkpoint_key(name: str) -> str:
    """Where a file lies that is called ``name`` below ``checkpoints/`` (a head, or a receipt in its directory)."""
    if not _CHECKPOINT.fullmatch(name):
        raise LogFormatError(f"{name!a} is not the name of a checkpoint or of a receipt.")
    return f"checkpoints/{name}"


def compacted_key(day: str, name: str) -> str:
    """Where a file of a compacted day lies; ``name`` as in its manifest, for example ``decision-2.parquet``."""
    if not _FILE.fullmatch(name):
        raise LogFormatError(f"{name!a} is not the name of a file of a compacted day.")
    return f"compacted/{_day(day)}/{name}"


def compacted_manifest_key(day: str) -> str:
    """Where the object lies that is written last, once a compacted day is there and verified."""
    return f"compacted/{_day(day)}.json"


def parse_shipped_key(key: str) -> tuple[str, int, int] | None:
    """(log, first, last) of a ``shipped`` object by its place below the prefix; None where it is none."""
    match = _SHIPPED.fullmatch(key)
    if match is None or int(match["first"]) > int(match["last"]):
        return None
    return match["log"], int(match["first"]), int(match["last"])


def parse_segment_key(key: str) -> tuple[str, int, int, str] | None:
    """(log, first, last, kind) of a file of a segment by its place below the prefix; None where it is none."""
    match = _SEGMENT.fullmatch(key)
    if match is None or match["kind"] not in KINDS or int(match["first"]) > int(match["last"]):
        return None
    return match["log"], int(match["first"]), int(match["last"]), match["kind"]


def parse_shipped(octets: bytes) -> ShippedSegment:
    """Read a ``shipped`` object; raises LogFormatError unless these are the very octets :meth:`to_json` writes."""
    if len(octets) > _OBJECT_BYTES_MAX:
        raise LogFormatError("A shipped object is larger than any can be.")
    try:
        value = json.loads(octets)
        read = _segment(value)
    except (ValueError, RecursionError) as error:
        raise LogFormatError("A shipped object is not JSON.") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise LogFormatError("A shipped object lacks a field or has one of another type.") from error
    if read.to_json() != octets:
        raise LogFormatError("A shipped object is not in canonical form.")
    return read


def _segment(value: Any) -> ShippedSegment:
    if (value["k"], value["v"]) != ("shipped", SHIPPED_VERSION) or type(value["v"]) is not int:
        raise LogFormatError(f"A shipped object is not of version {SHIPPED_VERSION}, the one this program reads.")
    first, last = _integer(value["first"]), _integer(value["last"])
    _range(first, last)
    return ShippedSegment(log=_log(value["log"]), first=first, last=last, files=_files(value["files"]))


def _files(listed: Any) -> tuple[ShippedFile, ...]:
    files = tuple(_file(file) for file in listed)
    names = [file.name for file in files]
    if not names or names != sorted(set(names)):
        raise LogFormatError("A shipped object names no files, or not each once and in order.")
    return files


def _file(value: Any) -> ShippedFile:
    name, digest = value["name"], value["sha256"]
    _kind(name.removesuffix(".parquet") if name.endswith(".parquet") else "")
    if not _SHA256.fullmatch(digest):
        raise LogFormatError("A shipped object has a digest that is none.")
    return ShippedFile(name=name, size=_integer(value["bytes"]), sha256=digest)


def _integer(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= 2**53 - 1:
        raise LogFormatError("A shipped object has a number that is none.")
    return value


def _log(log: str) -> str:
    if not _LOG_NAME.fullmatch(log) or log == "schema":
        raise LogFormatError(f"{log!a} is not the name of a log.")
    return log


def _kind(kind: str) -> str:
    if kind not in KINDS:
        raise LogFormatError(f"{kind!a} is not a kind of record.")
    return kind


def _day(day: str) -> str:
    if not _DAY.fullmatch(day):
        raise LogFormatError(f"{day!a} is not a day (YYYY-MM-DD).")
    return day


def _range(first: int, last: int) -> str:
    if not 0 <= first <= last <= _SEQ_MAX:
        raise LogFormatError(f"{first} to {last} is not a range of records.")
    return f"{first:012d}-{last:012d}"


def _canonical(value: dict[str, Any]) -> str:
    """RFC 8785 for what is made here: ASCII strings, integers, arrays and objects."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
