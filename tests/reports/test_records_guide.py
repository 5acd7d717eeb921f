"""docs/records.md: what it tells readers to run gives what it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reports import render
from reports.levels import Level
from reports.projection import keyed
from reports.url_key import make_url_key, read_url_key
from tests import logs
from tests.reports.every_kind import shown

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "records.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^python3 - [^\n]*<<'END'\n(.*?)^END$", GUIDE, re.DOTALL | re.MULTILINE)


def run(program: str, *arguments: object) -> str:
    command = [sys.executable, "-", *map(str, arguments)]
    done = subprocess.run(command, input=program, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


@pytest.fixture
def files(mixed: logs.LogBuilder, tmp_path: Path) -> tuple[Path, Path]:
    """A public record and a regulator's, as the guide has them made."""
    made = tmp_path / "public.json", tmp_path / "regulator.json"
    for path, level in zip(made, (Level.PUBLIC, Level.REGULATOR), strict=True):
        path.write_text(render.json_text(shown("activity", mixed.root, level, None)), encoding="utf-8")
    return made


def test_the_program_that_ties_two_files_tells_a_changed_one(files: tuple[Path, Path]) -> None:
    public, regulator = files
    assert run(PROGRAMS[0], public, regulator) == "True"
    record = json.loads(regulator.read_text())
    record["crawlers"][0]["requests"] += 1
    regulator.write_text(json.dumps(record))
    assert run(PROGRAMS[0], public, regulator) == "False"


def test_the_program_that_hashes_a_url_agrees_with_the_reports(tmp_path: Path) -> None:
    key = tmp_path / "url.key"
    make_url_key(str(key))
    url = "https://example.com/private/page"
    assert run(PROGRAMS[1], key, url) == keyed(url, read_url_key(str(key)))
    assert len(PROGRAMS) == 2


def test_the_example_shows_numbers_of_that_log(files: tuple[Path, Path]) -> None:
    public, regulator = (json.loads(path.read_text()) for path in files)
    assert regulator["withheld"] != public["withheld"]
    assert "coverage.logs" in {one["field"] for one in public["withheld"]}
