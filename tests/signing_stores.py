"""A second S3 server, by other hands: rclone's, which checks every signature as Amazon does, over a directory.

It ignores If-None-Match, so a proxy before it keeps to that where a test wants a store that does.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.object_stores import ENVIRONMENT, Store, aws_environment, faulty_proxy

KEY, SECRET = "checked-key", "checked-secret"
_START_S = 30


@dataclass(frozen=True, slots=True)
class SigningStore:
    """A bucket and the directory its objects are files in."""

    bucket: str
    objects: Path
    troubled: Store

    @property
    def address(self) -> str:
        """The address of a prefix in the bucket."""
        return f"s3://{self.bucket}/logs"

    @property
    def found(self) -> list[str]:
        """The keys of what lies in the bucket."""
        return sorted(path.relative_to(self.objects).as_posix() for path in self.objects.rglob("*") if path.is_file())


@contextlib.contextmanager
def signing_store(root: Path, *, keeps: bool = True) -> Iterator[SigningStore]:
    """A bucket on a server of its own, with AWS_* in the environment; ``keeps``: it keeps to If-None-Match."""
    objects = root / "audit"
    objects.mkdir(parents=True)
    command = [str(Path(sys.executable).parent / "rclone"), "serve", "s3", str(root), "--addr", "127.0.0.1:0"]
    environment = {**os.environ, "RCLONE_CONFIG": os.devnull}
    with subprocess.Popen(
        [*command, "--auth-key", f"{KEY},{SECRET}"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            direct = _address(server)
            store = Store(
                url="",
                bucket=objects.name,
                environment={},
                direct=direct,
                kept=objects if keeps else None,
                checks_signatures=True,
            )
            with faulty_proxy(store) as proxy:
                keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
                with aws_environment(ENVIRONMENT | keys | {"AWS_ENDPOINT_URL": proxy}):
                    yield SigningStore(objects.name, objects, store)
        finally:
            server.kill()


def _address(server: subprocess.Popen[str]) -> str:
    """Where it listens, which it says when it does; a server that ends or is silent for long is a failure."""
    assert server.stderr is not None
    watchdog = threading.Timer(_START_S, server.kill)
    watchdog.start()
    said = ""
    try:
        for line in server.stderr:
            said += line
            if found := re.search(r"\[(http://[^]]+?)/?\]", line):
                return found[1]
    finally:
        watchdog.cancel()
    raise AssertionError(f"the S3 server does not start: {said}")
