"""A process of this program finds the packages its parent has, and nothing of the working directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy_addon import own_processes

ROOT = str(Path(__file__).resolve().parent.parent.parent)


@pytest.mark.parametrize("given,expected", [({}, ROOT), ({"PYTHONPATH": "/x"}, ROOT + os.pathsep + "/x")])
def test_our_packages_come_first_whatever_else_there_is(given: dict[str, str], expected: str) -> None:
    assert own_processes.with_packages({**given, "A": "b"}) == {"A": "b", "PYTHONPATH": expected}


def test_a_module_runs_from_anywhere_in_a_session_of_its_own_and_hears_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "proxy_addon.py").write_text("raise SystemExit('taken for the package')")
    with own_processes.start("proxy_addon.merging", str(tmp_path), "none") as process:
        assert os.getsid(process.pid) == process.pid
        assert process.stdout is not None
        said = process.stdout.read()
    assert "taken for the package" not in said and '"log": "none"' in said
