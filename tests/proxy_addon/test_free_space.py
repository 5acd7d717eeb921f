"""Too little space is said in time, and what cannot be seen counts as none."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from proxy_addon import free_space
from proxy_addon.free_space import FreeSpace


def with_free(monkeypatch: pytest.MonkeyPatch, mib: int, flag: int = 0) -> None:
    status = SimpleNamespace(f_bavail=mib * 256, f_frsize=4096, f_flag=flag)
    monkeypatch.setattr(free_space.os, "statvfs", lambda _: status)


def test_the_real_disk_has_some(tmp_path: Path) -> None:
    space = FreeSpace(tmp_path, 0)
    assert space.seen is None
    assert space.lack() is None and space.resumes()
    assert space.seen is not None and space.seen > 0


@pytest.mark.parametrize(
    "mib,lacks,resumes", [(99, True, False), (100, False, False), (109, False, False), (111, False, True)]
)
def test_less_than_the_reserve_suspends_and_a_little_more_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mib: int, lacks: bool, resumes: bool
) -> None:
    with_free(monkeypatch, mib)
    space = FreeSpace(tmp_path, 100 * 2**20)
    assert (space.lack() is not None, space.resumes()) == (lacks, resumes)
    if lacks:
        assert str(space.lack()).startswith(f"Only {mib} MiB are free in {tmp_path}, less than the reserve of 100 MiB")


def test_a_reserve_that_cannot_be_read_counts_as_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise OSError

    monkeypatch.setattr(free_space.os, "statvfs", fail)
    space = FreeSpace(tmp_path, 1)
    assert space.look() == 0 and space.lack() is not None


def test_without_a_reserve_a_disk_that_is_all_but_full_is_found_before_a_commit_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_free(monkeypatch, 0)
    assert FreeSpace(tmp_path, 0).lack() is not None
    with_free(monkeypatch, 2)
    assert FreeSpace(tmp_path, 0).lack() is None


def test_a_file_system_mounted_read_only_is_found_without_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_free(monkeypatch, 1000, os.ST_RDONLY)
    space = FreeSpace(tmp_path, 0)
    assert "is mounted read-only" in str(space.lack()) and not space.resumes()
    with_free(monkeypatch, 1000)
    assert space.resumes()
