"""The leaves of the tree of seals are those the checkpoint is of, and a hole in them is told of."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from crawl_audit.errors import LogFormatError
from crawl_audit.seal import merkle_root
from proxy_addon.log_directory import LogDirectory
from proxy_addon.seal_leaves import SealLeaves
from tests.proxy_addon import anchored
from tests.proxy_addon.anchored import LOG


def test_the_leaves_give_the_roots_of_every_size(tmp_path: Path) -> None:
    made = anchored.make(tmp_path, seals=5)
    leaves = SealLeaves(LogDirectory(tmp_path))
    for size in (5, 2, 1, 4):
        assert merkle_root(leaves.first(LOG, size)) == anchored.head(made, size).root


def test_what_was_published_meanwhile_is_read_on(tmp_path: Path) -> None:
    made = anchored.make(tmp_path, seals=2)
    leaves = SealLeaves(LogDirectory(tmp_path))
    leaves.first(LOG, 2)
    anchored.grow(made, 3)
    assert merkle_root(leaves.first(LOG, 5)) == anchored.head(made, 5).root


def test_seals_that_are_not_published_are_told_of(tmp_path: Path) -> None:
    anchored.make(tmp_path, seals=2)
    with pytest.raises(LogFormatError, match="only 2 of 3 seals"):
        SealLeaves(LogDirectory(tmp_path)).first(LOG, 3)


def test_a_hole_and_damage_are_told_of(tmp_path: Path) -> None:
    anchored.make(tmp_path, seals=4)
    first, second = sorted((tmp_path / "segments" / LOG).iterdir())
    (second / "seal.parquet").chmod(0o600)
    (second / "seal.parquet").write_bytes(b"damage")
    with pytest.raises(LogFormatError):
        SealLeaves(LogDirectory(tmp_path)).first(LOG, 4)
    shutil.rmtree(first)
    anchored.make(tmp_path / "other", seals=4)
    shutil.copytree(tmp_path / "other" / "segments" / LOG / second.name, second, dirs_exist_ok=True)
    with pytest.raises(LogFormatError, match=r"seal 0 of .* is missing"):
        SealLeaves(LogDirectory(tmp_path)).first(LOG, 4)
