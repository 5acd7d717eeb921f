"""A second S3 server, by other hands: rclone's, which checks every signature as Amazon does, over a directory.

It ignores If-None-Match, so a proxy before it keeps to that where a test wants a store that does.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.object_stores import Store, faulty_proxy, unused_port

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
    direct = f"127.0.0.1:{unused_port()}"
    command = [str(Path(sys.executable).parent / "rclone"), "serve", "s3", str(root), "--addr", direct]
    environment = {**os.environ, "RCLONE_CONFIG": os.devnull}
    with subprocess.Popen(
        [*command, "--auth-key", f"{KEY},{SECRET}"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            _wait(server, f"http://{direct}")
            store = Store(
                url="",
                bucket=objects.name,
                environment={},
                direct=f"http://{direct}",
                kept=objects if keeps else None,
                checks_signatures=True,
            )
            with faulty_proxy(store) as proxy, pytest.MonkeyPatch.context() as patch:
                for name in [name for name in os.environ if name.startswith("AWS_")]:
                    patch.delenv(name)
                patch.setenv("AWS_ACCESS_KEY_ID", KEY)
                patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
                patch.setenv("AWS_REGION", "us-east-1")
                patch.setenv("AWS_ENDPOINT_URL", proxy)
                yield SigningStore(objects.name, objects, store)
        finally:
            server.kill()


def _wait(server: subprocess.Popen[str], url: str) -> None:
    deadline = time.monotonic() + _START_S
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError):
            try:
                urllib.request.urlopen(url, timeout=5).close()
            except urllib.error.HTTPError as error:  # it answers: who asks has not signed
                error.close()
                return
        time.sleep(0.05)
    assert server.stderr is not None
    server.kill()
    raise AssertionError(f"the S3 server does not start: {server.stderr.read()}")
