"""``crawl-audit-proxy ship`` ships once and ends with 0 only when everything lies remote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crawl_audit.errors import ConfigurationError
from proxy_addon.cli import app
from tests.object_stores import Store, s3_server
from tests.proxy_addon.shipped import check_remote, directory_of


@pytest.fixture
def remote() -> Iterator[Store]:
    with s3_server(faulty=True) as store:
        yield store


def config(tmp_path: Path, remote: Store) -> str:
    file = tmp_path / "crawl-audit.toml"
    file.write_text(f'log = "{tmp_path / "log"}"\n[ship]\nurl = "{remote.address()}"\n')
    return str(file)


def test_what_is_there_is_shipped_once(remote: Store, tmp_path: Path) -> None:
    directory, given = directory_of(tmp_path / "log"), config(tmp_path, remote)
    for private in (directory.live, directory.tmp):  # as in a copy that was restored
        private.rmdir()
    remote.fault("no_bucket", method="PUT")
    failed = CliRunner().invoke(app, ["ship", "--config", given])
    assert failed.exit_code == 1 and "there is no bucket test-" in failed.stderr
    assert json.loads(failed.stdout)["unshipped_segments"] == 3
    done = CliRunner().invoke(app, ["ship", "--config", given])
    said = json.loads(done.stdout)
    assert (done.exit_code, done.stderr) == (0, "")
    assert (said["to"], said["shipped_segments"], said["unshipped_segments"]) == (remote.address(), 3, 0)
    check_remote(remote, directory)


def test_a_directory_that_cannot_be_written_is_refused(remote: Store, tmp_path: Path) -> None:
    directory = directory_of(tmp_path / "log")
    directory.tmp.rmdir()
    directory.tmp.write_text("no directory")
    done = CliRunner().invoke(app, ["ship", "--config", config(tmp_path, remote)])
    assert isinstance(done.exception, ConfigurationError) and "cannot be written: " in str(done.exception)


def test_what_cannot_be_shipped_anywhere_is_refused(remote: Store, tmp_path: Path) -> None:
    directory_of(tmp_path / "log")
    for arguments, says in (
        (["--log", str(tmp_path / "log")], "No object store is configured"),
        (["--config", config(tmp_path, remote), "--log", str(tmp_path)], "is not a log directory"),
    ):
        done = CliRunner().invoke(app, ["ship", *arguments])
        assert isinstance(done.exception, ConfigurationError) and says in str(done.exception)
