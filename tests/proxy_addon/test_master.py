"""mitmproxy embedded: the options that keep a request from leaving undecided, and the addons that must not be there."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.options import Options
from mitmproxy.proxy.layers.http import HttpRequestHeadersHook, HttpRequestHook
from mitmproxy.test import tflow, tutils

from crawl_audit.errors import ConfigurationError
from proxy_addon import ca
from proxy_addon.master import PINNED, AuditMaster

# Each of these changes, adds or answers requests after a decision, loads code while running, or keeps flows in memory.
FORBIDDEN = (
    "scriptloader",
    "onboarding",
    "clientplayback",
    "serverplayback",
    "mapremote",
    "maplocal",
    "modifybody",
    "modifyheaders",
    "stickycookie",
    "stickyauth",
    "save",
    "commandhistory",
)


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    ca.ensure(tmp_path / "ca", datetime.datetime.now(datetime.UTC))
    return tmp_path / "ca"


def with_master[T](check: Callable[[AuditMaster], T], **options: Any) -> T:
    async def run() -> T:
        master = AuditMaster(Options())
        master.configure((), **options)
        return check(master)

    return asyncio.run(run())


def test_every_pinned_option_is_in_force(authority: Path) -> None:
    def options(master: AuditMaster) -> dict[str, Any]:
        return {name: getattr(master.options, name) for name in PINNED}

    assert with_master(options, confdir=str(authority)) == PINNED


def test_a_site_is_contacted_only_after_the_decision() -> None:
    assert PINNED["connection_strategy"] == "lazy"
    assert PINNED["rawtcp"] is False
    assert PINNED["stream_large_bodies"] is None


def test_no_addon_is_loaded_that_could_change_or_answer_a_request(authority: Path) -> None:
    names = with_master(lambda master: list(master.addons.lookup), confdir=str(authority))
    assert not set(FORBIDDEN) & set(names), names


def test_an_option_that_mitmproxy_does_not_know_is_an_error(authority: Path) -> None:
    with pytest.raises(KeyError, match="audit_mod"):
        with_master(lambda master: None, confdir=str(authority), audit_mod="enforce")


def test_an_unusable_certificate_authority_is_refused(authority: Path) -> None:
    (authority / ca.KEY_FILE).write_text("not a key")
    with pytest.raises((ConfigurationError, ValueError)):
        with_master(lambda master: None, confdir=str(authority))


def test_mitmproxy_never_answers_a_path_of_its_own(authority: Path) -> None:
    def crl_answer(master: AuditMaster) -> object:
        flow = tflow.tflow(
            req=tutils.treq(path=f"/mitmproxy-{master.tlsconfig.certstore.default_ca.serial}.crl".encode())
        )
        master.tlsconfig.request(flow)
        return flow.response

    assert with_master(crl_answer, confdir=str(authority)) is None


def test_a_port_that_cannot_be_listened_on_is_an_error_and_not_a_log_line(authority: Path) -> None:
    async def run() -> None:
        holder = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        port = holder.sockets[0].getsockname()[1]
        master = AuditMaster(Options())
        master.configure((), confdir=str(authority), listen_host="127.0.0.1", listen_port=port)
        running = asyncio.create_task(master.run())
        try:
            with pytest.raises(ConfigurationError, match="cannot listen"):
                await asyncio.wait_for(master.listening(), 10)
        finally:
            master.shutdown()
            await running
            holder.close()
            await holder.wait_closed()

    asyncio.run(run())


class Listener:
    """An addon that notes what it is told, and fails where it is told to."""

    def __init__(self, name: str, said: list[str], error: Exception | None = None) -> None:
        self.name, self._said, self._error = name, said, error

    def requestheaders(self, flow: object) -> None:
        self._said.append(self.name)
        if self._error is not None:
            raise self._error

    async def request(self, flow: object) -> None:
        await asyncio.sleep(0)
        self._said.append(self.name)

    def update(self, flows: object) -> None:
        raise AssertionError("nobody here listens to updates, so nobody is told of them")


def test_every_listener_is_called_in_order_and_one_that_fails_keeps_none_from_being_called(authority: Path) -> None:
    said: list[str] = []

    async def run() -> None:
        master = AuditMaster(Options())
        first, second = Listener("first", said, RuntimeError("boom")), Listener("second", said)
        master.configure((first, second), confdir=str(authority))
        for hook in (HttpRequestHeadersHook(tflow.tflow()), HttpRequestHook(tflow.tflow())):
            await master.addons.handle_lifecycle(hook)

    asyncio.run(run())
    assert said == ["first", "second"] * 2


def test_none_of_the_addons_listens_to_the_hook_that_is_left_out(authority: Path) -> None:
    def listeners(master: AuditMaster) -> list[object]:
        return [addon for addon in master.addons.chain if hasattr(addon, "update")]

    assert with_master(listeners, confdir=str(authority)) == []
