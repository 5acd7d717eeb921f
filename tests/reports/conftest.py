"""The log most tests of the readers look at, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import logs


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> logs.LogBuilder:
    """400 exchanges of two crawlers with seven hosts' sites, in three segments; nobody may change it."""
    return logs.mixed(tmp_path_factory.mktemp("mixed") / "audit-log")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A log directory that does not exist yet."""
    return tmp_path / "audit-log"
