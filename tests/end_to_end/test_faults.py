"""The quick part of the fault matrix: a few of the faults that need nothing but strace, on every test run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from tests.faults import __main__ as matrix
from tests.faults.processes import MissingError
from tests.faults.results import Row


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["kills", "syscalls", "disk"])
def test_a_few_of_each_fault_lose_and_repeat_nothing(name: str) -> None:
    rows = list(matrix.family(name, quick=True))
    assert rows and sum(row.runs for row in rows) > 0
    assert [(row.fault, row.failures, row.lost, row.duplicated, row.unrecorded) for row in rows if not row.passed] == []
    assert all(row.records > 0 for row in rows)


def test_a_missing_tool_is_a_failure_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*, quick: bool, say: Callable[[str], None]) -> Iterator[Row]:
        raise MissingError("strace is not installed (Debian package strace)")
        yield

    monkeypatch.setattr(matrix.importlib, "import_module", lambda name: SimpleNamespace(run=run))
    (row,) = matrix.family("kills", quick=True)
    assert not row.passed
    assert "strace is not installed" in row.failures[0]
