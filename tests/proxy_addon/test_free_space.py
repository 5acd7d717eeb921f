"""Too little space is said in time, and what cannot be seen counts as none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from proxy_addon import free_space
from proxy_addon.free_space import FreeSpace


def with_free(monkeypatch: pytest.MonkeyPatch, mib: int) -> None:
    monkeypatch.setattr(free_space.os, "statvfs", lambda _: SimpleNamespace(f_bavail=mib * 256, f_frsize=4096))


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
