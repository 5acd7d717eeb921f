"""What is checked before anything listens."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from crawl_audit.errors import ConfigurationError
from proxy_addon import preflight


def test_a_port_in_use_is_refused_with_the_option_that_changes_it() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match=rf"Cannot listen on {address} .*--listen") as refusal:
            preflight.check_free("listen", address)
    assert "\n" not in str(refusal.value)


def test_a_free_port_and_port_0_are_accepted() -> None:
    preflight.check_free("admin", "127.0.0.1:0")


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"Cannot listen on 192\.0\.2\.1:8080"):
        preflight.check_free("listen", "192.0.2.1:8080")


def test_the_installed_mitmproxy_is_the_one_the_contract_tests_have_shown() -> None:
    preflight.check_versions()


def test_another_mitmproxy_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy_addon.master.MITMPROXY_VERSION", "1.0")
    with pytest.raises(ConfigurationError, match=r"runs with 1\.0 only"):
        preflight.check_versions()


def test_the_software_names_what_decides_proxies_and_stores() -> None:
    versions = json.loads(preflight.software())
    assert {"crawl-audit", "mitmproxy", "protego", "duckdb", "parser", "public-suffix-list", "schema"} <= set(versions)
    assert all(versions.values())


def test_the_digest_of_the_code_changes_with_any_file_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def digest_with(files: dict[str, str]) -> str:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.setattr(preflight, "__file__", str(root / "proxy_addon" / "preflight.py"))
        return preflight.code_sha256()

    code = {"proxy_addon/preflight.py": "a", "crawl_audit/seal.py": "b"}
    assert digest_with(code) == digest_with({**code, "reports/verify.py": "does not write the log", "README.md": "x"})
    changed = [
        {**code, "crawl_audit/seal.py": "c"},
        {**code, "crawl_audit/more.py": ""},
        {"proxy_addon/preflight.py": "a", "crawl_audit/s.py": "b"},
        {"proxy_addon/preflight.py": "ab", "crawl_audit/seal.py": ""},
    ]
    assert len({digest_with(files) for files in (code, *changed)}) == 1 + len(changed)
