"""Whole reports of a small log, word for word: `python -m tests.golden.reports.update` writes them anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.reports.update import CASES, HERE, Case, made, small_log


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_log(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_a_report_is_word_for_word_what_it_was(log: Path, case: Case) -> None:
    assert made(case, log) == (HERE / case.file).read_text(encoding="utf-8")


def test_every_golden_report_is_of_a_case() -> None:
    found = {path.name for path in (*HERE.glob("*.md"), *HERE.glob("*.json"))}
    assert found == {case.file for case in CASES}
