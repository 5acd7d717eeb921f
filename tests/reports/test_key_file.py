"""A key file is its owner's alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawl_audit.errors import ConfigurationError
from reports.key_file import make_key, read_key


def test_a_made_key_is_read_again_and_only_by_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "witness.key"
    made = make_key(path, "witness.example/w1")
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_key(path).verifier == made.verifier


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    make_key(tmp_path / "k", "w")
    with pytest.raises(ConfigurationError, match="cannot be made"):
        make_key(tmp_path / "k", "w")


def test_a_name_that_no_note_can_hold_is_refused_before_there_is_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--name"):
        make_key(tmp_path / "k", "a b")
    assert not (tmp_path / "k").exists()


def test_a_key_others_may_read_is_refused(tmp_path: Path) -> None:
    make_key(tmp_path / "k", "w")
    (tmp_path / "k").chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_key(tmp_path / "k")


@pytest.mark.parametrize("octets", [b"", b"\xff", b"PRIVATE+KEY+w+00000000+AAAA"])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, octets: bytes) -> None:
    (tmp_path / "k").write_bytes(octets)
    (tmp_path / "k").chmod(0o600)
    with pytest.raises(ConfigurationError, match="key file"):
        read_key(tmp_path / "k")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_key(tmp_path / "none")
