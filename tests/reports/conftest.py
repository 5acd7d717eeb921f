"""The log most tests of the readers look at, made once."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests import logs
from tests.reports import crawling


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> logs.LogBuilder:
    """400 exchanges of two crawlers with seven hosts' sites, in three segments; nobody may change it."""
    return logs.mixed(tmp_path_factory.mktemp("mixed") / "audit-log")


@pytest.fixture(scope="session")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> logs.LogBuilder:
    """A log with everything that the records of crawling count; nobody may change it."""
    return crawling.made(tmp_path_factory.mktemp("crawled") / "audit-log")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A log directory that does not exist yet."""
    return tmp_path / "audit-log"


@pytest.fixture(scope="session")
def sound_master(tmp_path_factory: pytest.TempPathFactory) -> logs.LogBuilder:
    """A log without fault, made once."""
    return logs.sound(tmp_path_factory.mktemp("sound") / "audit-log")


@pytest.fixture
def sound(sound_master: logs.LogBuilder, root: Path) -> logs.LogBuilder:
    """A copy of a log without fault (75 records, 6 seals, 3 segments), to be tampered with; at ``root``."""
    shutil.copytree(sound_master.root, root)
    return replace(sound_master, root=root)
