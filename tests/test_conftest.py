"""The rule against silent skips, run on small test files of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")


def run_pytest(directory: Path, source: str) -> subprocess.CompletedProcess[str]:
    (directory / "conftest.py").write_text(CONFTEST.read_text())
    (directory / "test_sample.py").write_text("import pytest\n" + source)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:hypothesispytest",
        str(directory),
    ]
    return subprocess.run(
        command, cwd=directory, env=os.environ | {"CI": ""}, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    "source",
    [
        "def test_a():\n    pytest.skip('later')\n",
        "@pytest.mark.skip(reason='later')\ndef test_a():\n    pass\n",
        "pytest.importorskip('no_such_module')\ndef test_a():\n    pass\n",
    ],
)
def test_a_test_that_skips_itself_fails_the_run(tmp_path: Path, source: str) -> None:
    done = run_pytest(tmp_path, source)
    assert done.returncode != 0, done.stdout
    assert "was skipped" in done.stdout


def test_a_skip_for_the_platform_and_an_expected_failure_are_let_through(tmp_path: Path) -> None:
    done = run_pytest(
        tmp_path,
        "def test_a():\n    pytest.skip('platform: no AF_VSOCK here')\n"
        "@pytest.mark.xfail(reason='known')\ndef test_b():\n    raise AssertionError\n",
    )
    assert done.returncode == 0, done.stdout
    assert "1 skipped, 1 xfailed" in done.stdout
