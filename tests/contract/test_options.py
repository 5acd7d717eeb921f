"""mitmproxy's options are the ones we have decided on; one more, or another default, is a decision to take."""

from __future__ import annotations

import asyncio
import datetime
import re
from pathlib import Path
from typing import Any

import mitmproxy.version
import pytest
from mitmproxy.options import Options

from proxy_addon import ca
from proxy_addon.master import MITMPROXY_VERSION, PINNED, AuditMaster
from tests.contract.options import OPTIONS

SETTINGS = ("confdir", "listen_host", "listen_port", "ssl_verify_upstream_trusted_ca", "tcp_timeout")


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, Any]]:
    """Type and default of every option, by name."""
    confdir = tmp_path_factory.mktemp("options") / "ca"
    ca.ensure(confdir, datetime.datetime.now(datetime.UTC))

    async def ask() -> dict[str, tuple[str, Any]]:
        master = AuditMaster(Options())
        master.configure((), confdir=str(confdir))
        return {name: (written(option.typespec), option.default) for name, option in master.options._options.items()}

    return asyncio.run(ask())


def written(typespec: Any) -> str:
    """A type as it is written today."""
    text = getattr(typespec, "__name__", str(typespec)) if isinstance(typespec, type) else str(typespec)
    text = text.replace("collections.abc.", "")
    optional = re.fullmatch(r"typing\.Optional\[(\w+)\]", text)
    return f"{optional[1]} | None" if optional else text


def test_the_release_is_the_one_all_of_this_was_found_out_on() -> None:
    assert mitmproxy.version.VERSION == MITMPROXY_VERSION == "12.2.3"


def test_no_option_has_come_that_nobody_has_decided_on_and_none_has_gone(
    declared: dict[str, tuple[str, Any]],
) -> None:
    assert set(declared) == set(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_has_the_type_and_the_default_that_its_decision_was_taken_on(
    name: str, declared: dict[str, tuple[str, Any]]
) -> None:
    assert declared[name] == (OPTIONS[name].type, OPTIONS[name].default)


def test_the_decisions_are_what_is_done() -> None:
    assert {name for name, option in OPTIONS.items() if option.decision == "pinned"} == set(PINNED)
    assert {name for name, option in OPTIONS.items() if option.decision == "set"} == set(SETTINGS)
    left = [option.decision for option in OPTIONS.values() if option.decision not in ("pinned", "set")]
    assert all(re.fullmatch(r"left: \S.+", decision) for decision in left)


def test_no_option_signs_with_keys_that_everybody_has(declared: dict[str, tuple[str, Any]]) -> None:
    # Later releases have options that sign with an intermediate authority whose private key is public.
    assert [name for name in declared if "emudhra" in name.lower()] == []


def test_the_pinned_release_is_the_one_in_the_project_file() -> None:
    project = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'"mitmproxy=={MITMPROXY_VERSION}"' in project
