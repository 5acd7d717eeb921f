"""Environments of their own for the clients that the tests' own environment has no room for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.clients.recipes import ENVIRONMENTS

PYTHON = {
    "crawl4ai": ("crawl4ai>=0.9,<1",),
    # imghdr, which it imports, left the standard library with Python 3.13.
    "img2dataset": ("img2dataset>=1.47,<2", "setuptools<81", "standard-imghdr; python_version >= '3.13'"),
}
NPM = ("@crawlee/cheerio@3", "undici@6")


def set_up(name: str) -> str | None:
    """Install what the environment ``name`` is for, once; why it cannot be, in the last line of the installer."""
    place = ENVIRONMENTS / name
    stamp = place / ".installed"
    wanted = " ".join(NPM if name == "node" else PYTHON[name])
    if stamp.exists() and stamp.read_text() == wanted:
        return None
    place.mkdir(parents=True, exist_ok=True)
    commands = _npm(place) if name == "node" else _pip(place, PYTHON[name])
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
        if done.returncode:
            return (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
    stamp.write_text(wanted)
    return None


def _pip(place: Path, requirements: tuple[str, ...]) -> list[list[str]]:
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return [[sys.executable, "-m", "venv", str(place)], [*pip, *requirements]]


def _npm(place: Path) -> list[list[str]]:
    (place / "package.json").write_text('{"private": true}\n')
    return [["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(place), *NPM]]
