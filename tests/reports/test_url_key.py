"""The key of the hashes that stand for URLs: made once, for its owner alone."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from crawl_audit.errors import ConfigurationError
from reports.url_key import OCTETS, make_url_key, read_url_key
from tests import logs
from tests.reports.command import crawl_audit, refused


def test_a_key_is_made_for_its_owner_alone_and_read_back(tmp_path: Path) -> None:
    file = tmp_path / "url.key"
    ran = crawl_audit("report", "url-key", file)
    assert (ran.code, ran.err) == (0, "")
    assert file.stat().st_mode & 0o777 == 0o600
    key = read_url_key(str(file))
    assert len(key) == OCTETS
    assert base64.b64encode(key).decode() not in ran.out


def test_two_keys_differ(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_url_key(str(tmp_path / name))
    assert read_url_key(str(tmp_path / "a")) != read_url_key(str(tmp_path / "b"))


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "url.key"
    make_url_key(str(file))
    before = file.read_bytes()
    assert "would make every earlier hash useless" in refused("report", "url-key", file, code=78)
    assert file.read_bytes() == before
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert "exists" in refused("report", "url-key", tmp_path / "link", code=78)
    assert "cannot be written" in refused("report", "url-key", tmp_path / "no" / "key", code=78)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not base64 of 32 octets"),
        (base64.b64encode(bytes(31)), "is not base64 of 32 octets"),
        (base64.b64encode(bytes(33)), "is not base64 of 32 octets"),
        (b"?" * 44, "cannot be read"),
        ("ü".encode(), "cannot be read"),
    ],
)
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "url.key"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match=said):
        read_url_key(str(file))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(mixed: logs.LogBuilder, tmp_path: Path, mode: int) -> None:
    file = tmp_path / "url.key"
    make_url_key(str(file))
    file.chmod(mode)
    assert f"chmod 600 {file}" in refused("report", "card", mixed.root, "--url-key", file, code=78)


def test_a_key_that_is_not_there_is_refused(mixed: logs.LogBuilder, tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        assert "cannot be read" in refused("report", "card", mixed.root, "--url-key", path, code=78)
