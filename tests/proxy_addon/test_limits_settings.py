"""The settings of how much is taken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crawl_audit.errors import ConfigurationError
from proxy_addon.limits import CrawlerLimits, MessageLimits
from proxy_addon.limits_settings import LimitSettings
from proxy_addon.settings import load


def loaded(tmp_path: Path, text: str) -> LimitSettings:
    (tmp_path / "a.toml").write_text(text)
    return load(tmp_path / "a.toml").limits


def test_without_settings_the_limits_are_those_of_the_code() -> None:
    assert LimitSettings().messages() == MessageLimits()


def test_what_is_set_is_in_force(tmp_path: Path) -> None:
    text = "[limits]\nrequest_head_kib = 8\nresponse_head_kib = 16\nhead_fields = 60\nrequest_target_bytes = 9000\n"
    limits = loaded(tmp_path, text + "request_body_mib = 0\nopen_connections = 40\n")
    expected = MessageLimits(
        request_head_bytes=8192, response_head_bytes=16_384, head_fields=60, target_bytes=9000, body_bytes=0
    )
    assert (limits.messages(), limits.connections()) == (expected, 40)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("", "412"),
        ("open_connections=300", "300"),
        (
            "open_connections=500",
            "limits.open_connections is 500, which needs 1200 open files, and this process may have",
        ),
    ],
)
def test_connections_are_as_many_as_there_are_open_files_for(setting: str, said: str) -> None:
    program = (
        "import resource\nfrom crawl_audit.errors import ConfigurationError\n"
        "from proxy_addon.limits_settings import LimitSettings\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (512, 1024))\n"
        f"try:\n    print(LimitSettings({setting}).connections())\n"
        "except ConfigurationError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(said)


@pytest.mark.parametrize(
    "text",
    [
        "request_head_kib = 4",
        "request_target_bytes = 65537",
        "request_target_bytes = 100",
        "head_fields = 1",
        "request_body_mib = -1",
        "open_connections = 0",
        "no_such_limit = 1",
    ],
)
def test_what_makes_no_sense_is_refused_by_name(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"limits\." + text.partition(" ")[0]):
        loaded(tmp_path, "[limits]\n" + text)


def test_a_crawler_may_have_limits_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        '[[crawlers]]\nid = "a"\nproduct_tokens = ["A"]\nmax_open_exchanges = 3\nrequests_per_s = 0.5\n'
    )
    assert load(tmp_path / "a.toml").crawler_limits() == {"a": CrawlerLimits(open_exchanges=3, requests_per_s=0.5)}


def test_every_limit_says_what_it_limits_and_what_happens_beyond_it() -> None:
    for name, field in LimitSettings.model_fields.items():
        assert field.description and ("gets" in field.description or "most" in field.description), name
