"""Other processes of this program: the same packages from the same place, and they end when their parent does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_PACKAGES = str(Path(__file__).resolve().parent.parent)


def with_packages(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which Python finds these packages first, installed or not."""
    path = os.pathsep.join(part for part in (_PACKAGES, environment.get("PYTHONPATH")) if part)
    return {**environment, "PYTHONPATH": path}


def start(module: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a module as a process whose standard input and output are pipes.  Raises OSError.

    It is to end when standard input closes (``--with-parent``), as it does where the parent dies.
    """
    # -P: the working directory is not a place to import from.  A session of its own: Ctrl-C is for the parent, which
    # waits for what is to be finished.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments, "--with-parent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=with_packages(os.environ),
        start_new_session=True,
    )
