"""Every published log is enrolled with the key its own record names, once, and a second key is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawl_audit.enrolment import trusted_enrolment
from crawl_audit.errors import ConfigurationError, CrawlAuditError
from crawl_audit.seal import Signer, origin
from proxy_addon.enrolling import enrol, recorded_key
from proxy_addon.log_directory import LogDirectory
from tests.logs import LogBuilder, run
from tests.proxy_addon import anchored
from tests.proxy_addon.anchored import LOG, LOG_KEY

FLEET = Signer.generate("fleet.example")
SECOND = "node1-20261119T110640Z-00000002"


def test_logs_are_enrolled_once(tmp_path: Path) -> None:
    anchored.make(tmp_path)
    other = Signer.generate(origin(SECOND))
    anchored.make(tmp_path, 1, SECOND, other)
    directory = LogDirectory(tmp_path)
    assert enrol(directory, FLEET) == {"enrolled": [LOG, SECOND], "already": [], "unpublished": []}
    assert enrol(directory, FLEET) == {"enrolled": [], "already": [LOG, SECOND], "unpublished": []}
    for log, signer in ((LOG, LOG_KEY), (SECOND, other)):
        note = (directory.checkpoints / f"{log}.enrolment").read_text()
        enrolment, by = trusted_enrolment(note, [FLEET.verifier])
        assert (enrolment.log, enrolment.key, by) == (log, signer.verifier, FLEET.verifier)


def test_a_log_without_published_record_waits(tmp_path: Path) -> None:
    anchored.make(tmp_path)
    LogDirectory(tmp_path).checkpoint(SECOND).write_text("x")
    assert enrol(LogDirectory(tmp_path), FLEET)["unpublished"] == [SECOND]


def test_a_log_enrolled_with_another_key_is_refused(tmp_path: Path) -> None:
    anchored.make(tmp_path)
    directory = LogDirectory(tmp_path)
    enrol(directory, FLEET)
    other = tmp_path / "other"
    anchored.make(other, signer=Signer.generate(origin(LOG)))
    (LogDirectory(other).checkpoints / f"{LOG}.enrolment").write_bytes(
        (directory.checkpoints / f"{LOG}.enrolment").read_bytes()
    )
    with pytest.raises(CrawlAuditError, match="another key"):
        enrol(LogDirectory(other), FLEET)


def test_a_key_that_is_none_is_not_enrolled(tmp_path: Path) -> None:
    with LogDirectory(tmp_path).acquire():
        made = LogBuilder(tmp_path, LOG)
        made.add(run())
        made.publish()
    with pytest.raises(CrawlAuditError, match="no key that can be enrolled"):
        enrol(LogDirectory(tmp_path), FLEET)


def test_damage_is_told_of(tmp_path: Path) -> None:
    anchored.make(tmp_path)
    directory = LogDirectory(tmp_path)
    (directory.checkpoints / f"{LOG}.enrolment").write_text("no note")
    with pytest.raises(CrawlAuditError, match="cannot be enrolled"):
        enrol(directory, FLEET)
    path = next((tmp_path / "segments" / LOG).glob("*/run.parquet"))
    path.chmod(0o600)
    path.write_bytes(b"damage")
    with pytest.raises(CrawlAuditError, match="cannot be read"):
        recorded_key(directory, LOG)


def test_what_is_no_log_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a log directory"):
        enrol(LogDirectory(tmp_path), FLEET)
