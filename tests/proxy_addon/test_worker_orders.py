"""What a worker is told arrives as it was, whatever file and environment it finds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from crawl_audit.errors import ConfigurationError
from proxy_addon import settings
from proxy_addon.worker_orders import Orders

FILE = """
mode = "enforce"
workers = 3
listen = "[::1]:8080"
[[crawlers]]
id = "news"
product_tokens = ["NewsBot"]
requests_per_s = 2.5
token_sha256 = "{digest}"
[[exemptions]]
id = "one"
hosts = ["www.example.com"]
reason = "licence"
reference = "C-1"
approver = "somebody"
until = 2031-05-06
[signals]
policy = {{ tdmrep = "deny", content-usage = {{ training = "deny" }} }}
[egress]
allow_networks = ["10.0.0.0/8", "fd00::/8"]
[[anchors.pushes]]
name = "keeper"
url = "https://keeper.example/heads"
"""


@pytest.fixture
def chosen(tmp_path: Path) -> settings.Settings:
    file = tmp_path / "sidecar.toml"
    file.write_text(FILE.format(digest="ab" * 32))
    return settings.load(file)


def orders(chosen: settings.Settings) -> Orders:
    return Orders(
        settings=chosen.model_dump_json(exclude_unset=True),
        settings_recorded=chosen.recorded(),
        worker=2,
        listen="127.0.0.1:5",
        admin_descriptor=7,
        memory_descriptor=8,
        shared_robots="live/robots",
        predecessor=None,
    )


def test_the_settings_arrive_as_they_were_checked(chosen: settings.Settings) -> None:
    line = orders(chosen).line()
    assert line.count(b"\n") == 1
    arrived = Orders.parse(line)
    assert arrived == orders(chosen)
    assert arrived.chosen() == chosen
    assert arrived.chosen().crawlers[0].token_sha256 == "ab" * 32


def test_settings_that_come_out_otherwise_are_refused(chosen: settings.Settings) -> None:
    with pytest.raises(ConfigurationError, match="did not reach the worker"):
        replace(orders(chosen), settings_recorded="{}").chosen()
