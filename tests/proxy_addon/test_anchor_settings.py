"""Settings about signing and anchors are refused whole where they contradict themselves, and hold no secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crawl_audit.errors import ConfigurationError
from crawl_audit.seal import Signer
from crawl_audit.witness import Cosigner
from proxy_addon import settings

LOG_VKEY = Signer.generate("crawl.example/logs").verifier.vkey
WITNESS_VKEY = Cosigner.of(Signer.generate("w").verifier).vkey
TSA = {"name": "tsa", "url": "https://tsa.example/", "ca_file": "tsa.pem"}


def loaded(**values: Any) -> settings.Settings:
    return settings.load(None, values)


def test_without_settings_nobody_is_shown_anything_and_the_key_is_in_memory() -> None:
    chosen = loaded()
    assert not chosen.anchors.configured
    assert (chosen.signing.key_file, chosen.signing.command) == (None, ())


def test_a_configuration_file_names_everybody(tmp_path: Path) -> None:
    path = tmp_path / "crawl-audit.toml"
    path.write_text(f"""
[signing]
command = ["/usr/bin/sign"]
vkey = "{LOG_VKEY}"
[anchors]
interval_s = 600
[[anchors.timestamps]]
name = "tsa"
url = "http://tsa.example/"
ca_file = "tsa.pem"
[[anchors.witnesses]]
name = "w1"
url = "https://witness.example"
vkey = "{WITNESS_VKEY}"
[[anchors.pushes]]
name = "auditor"
url = "https://auditor.example/checkpoints"
token_file = "token"
[[anchors.pushes]]
name = "bucket"
directory = "/mnt/locked"
""")
    chosen = settings.load(path)
    assert chosen.anchors.configured
    assert [one.name for one in chosen.anchors.pushes] == ["auditor", "bucket"]
    assert chosen.signing.vkey == LOG_VKEY


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"signing": {"key_file": "k", "command": ["c"], "vkey": LOG_VKEY}}, "not both"),
        ({"signing": {"command": ["c"]}}, "belong together"),
        ({"signing": {"vkey": LOG_VKEY}}, "belong together"),
        ({"signing": {"command": ["c"], "vkey": WITNESS_VKEY}}, "type 1"),
        ({"anchors": {"witnesses": [{"name": "w", "url": "https://w", "vkey": LOG_VKEY}]}}, "type 4"),
        ({"anchors": {"timestamps": [TSA, TSA]}}, "a name of its own"),
        ({"anchors": {"timestamps": [{**TSA, "url": "ftp://tsa.example"}]}}, "begins with https"),
        ({"anchors": {"timestamps": [{**TSA, "url": "https://u:p@tsa.example"}]}}, "token_file"),
        ({"anchors": {"pushes": [{"name": "p"}]}}, "directory or url"),
        ({"anchors": {"pushes": [{"name": "p", "directory": "d", "url": "https://p"}]}}, "directory or url"),
        ({"anchors": {"pushes": [{"name": "p", "directory": "d", "token_file": "t"}]}}, "goes with url"),
        ({"anchors": {"intervall_s": 3}}, "not a setting"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        loaded(**values)


def test_where_secrets_lie_is_not_recorded() -> None:
    pushes = [{"name": "p", "url": "https://p.example", "token_file": "secret-token"}]
    chosen = loaded(signing={"key_file": "secret-key"}, anchors={"pushes": pushes, "timestamps": [TSA]})
    recorded = json.loads(chosen.recorded())
    assert "secret" not in chosen.recorded()
    assert recorded["signing"]["key_file"] is True
    assert recorded["anchors"]["pushes"][0]["token_file"] is True
    assert recorded["anchors"]["timestamps"][0]["url"] == TSA["url"]
