"""The sidecar's own log: JSON lines without secrets, few of one kind, never waited for."""

from __future__ import annotations

import json
import logging
import os
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_addon import operational_log
from proxy_addon.operational_log import about, without_secrets


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr(root, "level", root.level)
    ours = logging.getLogger("crawl_audit")
    monkeypatch.setattr(ours, "level", ours.level)


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    logging.getLogger().handlers[0].flush()
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.usefixtures("restored")
def test_the_operational_log_is_one_json_object_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", "keys.log")
    operational_log.configure()
    ours = logging.getLogger("crawl_audit.log")
    ours.info("one\ntwo")
    logging.getLogger("mitmproxy.proxy").info("not worth a line")
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    ours.warning("A request was denied.", extra=about("request_denied", exchange_id="0190-1", trace_id=trace))
    try:
        raise ValueError("boom")
    except ValueError:
        ours.exception("it broke")
    first, second, third = said(capsys)
    assert set(first) == {"ts", "level", "event", "message", "source"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["ts"])
    assert (first["level"], first["event"], first["message"]) == ("info", "log", "one\ntwo")
    assert (second["event"], second["exchange_id"], second["trace_id"]) == ("request_denied", "0190-1", trace)
    assert (third["event"], third["message"]) == ("log", "it broke")
    assert "ValueError: boom" in third["exception"]
    assert "SSLKEYLOGFILE" not in os.environ


@pytest.mark.usefixtures("restored")
def test_a_flood_of_one_message_is_a_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    operational_log.configure()
    for number in range(500):
        logging.getLogger("asyncio").error("no descriptors for %s", number)
    assert len(said(capsys)) == 10


CANARY = "canary7f3a9c51"


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(
    "message",
    [
        f"GET https://example.com/a?token={CANARY}&b=1 failed",
        f"GET http://user:{CANARY}@example.com/a failed",
        f"proxy http://{CANARY}@127.0.0.1:8080",
        f"Proxy-Authorization: Basic {CANARY}",
        f"headers [(b'authorization', b'Bearer {CANARY}')]",
        f"{{'Cookie': 'session={CANARY}; a=b'}}",
        f"set-cookie: a={CANARY}",
        f"unexpected token Bearer {CANARY}",
        f"cannot parse '/search?q={CANARY}'",
    ],
)
def test_secrets_that_a_library_quotes_are_not_written(capsys: pytest.CaptureFixture[str], message: str) -> None:
    operational_log.configure()
    logger = logging.getLogger("asyncio")
    logger.warning(message)
    logger.warning("%s", message)
    try:
        raise RuntimeError(message)
    except RuntimeError:
        logger.exception("it broke")
    lines = said(capsys)
    assert len(lines) == 3
    assert CANARY not in json.dumps(lines)


@pytest.mark.parametrize(
    "sentence",
    [
        "The log cannot be written: No space left on device",
        "Only 12 MiB are free in /var/log/audit, less than the reserve of 128 MiB: free some space.",
        "What now? Nothing.",
        "https://example.com/robots.txt answered 503",
    ],
)
def test_a_sentence_without_secrets_stays_as_it_is(sentence: str) -> None:
    assert without_secrets(sentence) == sentence


@pytest.mark.usefixtures("restored")
def test_a_long_message_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    operational_log.configure()
    logging.getLogger("asyncio").warning("x" * 100_000)
    assert len(said(capsys)[0]["message"]) == 2000


@given(st.text())
def test_any_text_can_be_cleaned_twice_with_the_same_result(text: str) -> None:
    once = without_secrets(text)
    assert without_secrets(once) == once


@pytest.mark.usefixtures("restored")
def test_the_lines_of_a_worker_bear_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    operational_log.configure(2)
    logging.getLogger("crawl_audit.log").info("one")
    (line,) = said(capsys)
    assert line["worker"] == 2
