"""What the tests of shipping share: a log directory with segments, and a look at what came to lie remote."""

from __future__ import annotations

import atexit
import functools
import hashlib
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from crawl_audit.remote_layout import ShippedSegment, parse_segment_key, parse_shipped, parse_shipped_key
from proxy_addon.log_directory import LogDirectory
from proxy_addon.object_store import ObjectStore
from proxy_addon.ship_options import ShipOptions
from proxy_addon.ship_round import Round
from tests import logs
from tests.object_stores import Store


@functools.cache
def _made(count: int, log: str) -> Path:
    """A log directory that is made once in this process and copied; it goes with the process."""
    root = Path(tempfile.mkdtemp(prefix="shipped-"))
    atexit.register(shutil.rmtree, root)
    logs.sound(root, log, count=count)
    return root


def directory_of(root: Path, *, count: int = 30, log: str = "node1-20261118T110640Z-00000001") -> LogDirectory:
    """A log directory with one closed log of three segments."""
    shutil.copytree(_made(count, log), root, dirs_exist_ok=True)
    directory = LogDirectory(root)
    for place in (directory.live, directory.tmp, directory.checkpoints):
        place.mkdir(exist_ok=True)
    return directory


def options_of(remote: Store, **changes: object) -> ShipOptions:
    values = {"retry_first_s": 0.05, "retry_longest_s": 0.2, "request_timeout_s": 5, "checkpoint_interval_s": 0.01}
    return ShipOptions(url=remote.address(), **(values | changes))  # type: ignore[arg-type]


@dataclass
class Shipping:
    """A :class:`Round` of a log directory, made anew as a new process would."""

    remote: Store
    directory: LogDirectory
    changes: dict[str, object] = field(default_factory=dict)

    def round(self, **named: object) -> Round:
        options = options_of(self.remote, **self.changes)
        return Round(self.directory, ObjectStore(options), options, **named)  # type: ignore[arg-type]


def local_files(directory: LogDirectory) -> dict[str, bytes]:
    """Every file under segments/ and checkpoints/, by its path."""
    return {
        str(path.relative_to(directory.path)): path.read_bytes()
        for place in (directory.segments, directory.checkpoints)
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


def remote_segments(remote: Store, prefix: str = "logs") -> list[ShippedSegment]:
    """Every segment that lies remote, its files compared with what its ``shipped`` object says of them."""
    found = []
    for key in remote.keys(f"{prefix}/shipped/"):
        relative = key.removeprefix(f"{prefix}/")
        assert parse_shipped_key(relative) is not None
        shipped = parse_shipped(remote.get(key))
        assert shipped.key == relative
        for file in shipped.files:
            octets = remote.get(f"{prefix}/{shipped.file_key(file)}")
            assert (len(octets), hashlib.sha256(octets).hexdigest()) == (file.size, file.sha256)
        found.append(shipped)
    return found


def check_remote(remote: Store, directory: LogDirectory) -> None:
    """Everything that lies here lies remote, octet for octet, nothing besides, and every record once."""
    here = {f"logs/{name}": octets for name, octets in local_files(directory).items()}
    there = {key: remote.get(key) for key in remote.keys("logs/") if not key.startswith("logs/shipped/")}
    assert there == here
    segments = remote_segments(remote)
    local = [(log.name, *one[:2]) for log in directory.segments.iterdir() for one in directory.segments_of(log.name)]
    assert sorted((one.log, one.first, one.last) for one in segments) == sorted(local)
    named = {f"logs/{one.file_key(file)}" for one in segments for file in one.files}
    assert named == {key for key in there if parse_segment_key(key.removeprefix("logs/"))}
