"""Where robots.txt files are shared: a URL of a store, a key that is one, and neither password nor path on record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crawl_audit.errors import ConfigurationError
from proxy_addon import settings
from proxy_addon.shared_robots_settings import SharedRobotsSettings, recorded, without_secrets


def loaded(tmp_path: Path, section: str) -> settings.Settings:
    config = tmp_path / "sidecar.toml"
    config.write_text(f"[robots]\n{section}\n")
    return settings.load(config)


@pytest.mark.parametrize(
    "url", ["redis://store:6379/0", "rediss://:secret@store.example/2?ssl_ca_certs=/ca.pem", "redis://[::1]:6379"]
)
def test_a_store_is_named_by_a_url(tmp_path: Path, url: str) -> None:
    assert loaded(tmp_path, f'shared = "{url}"').robots.shared == url


@pytest.mark.parametrize(
    "url",
    [
        "store:6379",
        "http://store/",
        "redis://",
        "unix:///run/redis",
        "redis://store:99999",
        "redis://[::1",
        "redis://a/0#b",
    ],
)
def test_anything_else_is_refused_in_one_sentence(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"robots.*redis://HOST:PORT/0") as refused:
        loaded(tmp_path, f'shared = "{url}"')
    assert "\n" not in str(refused.value)


def test_a_key_without_a_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="goes with shared"):
        loaded(tmp_path, 'shared_key_file = "/key"')


def test_neither_password_nor_options_nor_the_place_of_the_key_is_recorded(tmp_path: Path) -> None:
    url = "rediss://who:s3cr3t@store.example:6380/2?password=s3cr3t"
    made = loaded(tmp_path, f'shared = "{url}"\nshared_key_file = "/run/s3cr3t"')
    said = made.recorded()
    assert "s3cr3t" not in said
    robots = json.loads(said)["robots"]
    assert (robots["shared"], robots["shared_key_file"]) == ("rediss://store.example:6380/2", True)
    plain = json.loads(loaded(tmp_path, "ttl_s = 60").recorded())["robots"]
    assert (plain["shared"], plain["shared_key_file"]) == (None, False)


def test_what_is_recorded_leaves_the_rest_as_it_is() -> None:
    assert recorded({"shared": None, "shared_key_file": None, "ttl_s": 5}) == {
        "shared": None,
        "shared_key_file": False,
        "ttl_s": 5,
    }
    assert without_secrets("redis://a:b@c@[::1]:1/0") == "redis://[::1]:1/0"


def test_the_key_is_what_the_file_holds_without_the_end_of_its_line(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"0123456789abcdef\n")
    assert SharedRobotsSettings(shared="redis://s", shared_key_file=path).shared_key() == b"0123456789abcdef"
    assert SharedRobotsSettings(shared="redis://s").shared_key() is None


@pytest.mark.parametrize("content", [None, b"", b"too short\n", b"x" * 5000])
def test_a_file_that_holds_no_key_is_refused_in_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"shared_key_file: .*\.$"):
        SharedRobotsSettings(shared="redis://s", shared_key_file=path).shared_key()
