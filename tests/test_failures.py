"""docs/failures.md, row by row: each refusal has the status, reason, advice, record and metric that stand there."""

from __future__ import annotations

import ast
import asyncio
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.proxy.layers.http import HttpConnectHook, HttpRequestHeadersHook
from mitmproxy.test import tflow

from crawl_audit.errors import LogUnavailable
from crawl_audit.identity import Crawler
from crawl_audit.records import Basis, Completion, Decision, Incident, Record, Tunnel
from proxy_addon import denial, upstream_faults
from proxy_addon.connections import ConnectionAddon
from proxy_addon.deadlines import Deadline
from proxy_addon.limits import Admission, Capacity, CrawlerLimiter, CrawlerLimits, MessageLimits
from proxy_addon.live import LiveFile, RolledBackError
from proxy_addon.suspension import Refusals, Suspension, refused_incident
from tests.proxy_addon.fakes import Parts, client, flow, production
from tests.proxy_addon.wire import Wire, narrowed, options
from tests.writing import now, published, writer_in

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")
COLUMNS = ("status", "reason", "cause", "what_to_do", "retry_after", "record", "metric")


def rows_of(document: str) -> dict[str, dict[str, str]]:
    """The table's rows by their reason."""
    lines = [line for line in document.splitlines() if re.match(r"\| \d{3} \|", line)]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[1].strip("`"): dict(zip(COLUMNS, row, strict=True)) for row in cells}


ROWS = rows_of(DOCUMENT)
SECRET = Crawler(id="closed", product_tokens=("ExampleBot",), secret_sha256="0" * 64)


@dataclass
class Refused:
    """What one refusal showed of itself."""

    answer: http.Response
    records: Sequence[Record]
    counted: Callable[[str], float]


def refuse(made: http.HTTPFlow, parts: Parts, *, connect: bool = False) -> Refused:
    async def run() -> None:
        with narrowed(lambda *_: None, lambda *_: None):
            connections = ConnectionAddon(parts.recorder, lambda _: None)
            async with production(connections if connect else parts.addon) as trigger:
                await trigger(HttpConnectHook(made) if connect else HttpRequestHeadersHook(made))

    asyncio.run(run())
    assert made.response is not None
    reason = json.loads(made.response.content or b"")["reason"]
    return Refused(made.response, parts.log.records, lambda name: parts.metric(name, reason=reason))


def unavailable(reason: str) -> Refused:
    parts = Parts()
    parts.log.append_error = LogUnavailable("It cannot be recorded.", reason=reason)
    found = refuse(flow("/public"), parts)
    assert parts.log.refusals == [reason], "the log is told, and says so when it can be written"
    tally = Refusals()
    for refused in parts.log.refusals:
        tally.add(refused, now())
    if reason in ("audit_log_unavailable", "audit_disk_reserve"):
        suspended = Suspension(reason=reason, sentence="It cannot.", since=now())
        records: list[Any] = suspended.incidents(now(), over=True, refused=tally.take())
    else:
        records = [refused_incident(tally.take(), now())]
    assert f"{reason} 1" in records[-1].detail
    return Refused(found.answer, [] if reason == "audit_log_closed" else records, found.counted)


def disallowed() -> Refused:
    return refuse(flow("/private/x"), Parts())


def too_early() -> Refused:
    parts = Parts()
    refuse(flow("/private/x"), parts)
    (decision,) = parts.log.decisions
    values = {name: getattr(decision, name) for name in decision.__slots__} | {"basis": Basis.CRAWL_DELAY}
    early = Decision(**values)
    parts.log.records[:] = [early]
    answer = denial.disallowed(early, 7)
    parts.recorder.answered(answer.reason)
    response = http.Response.make(answer.status, answer.body, http.Headers(answer.fields))
    return Refused(response, parts.log.records, lambda name: parts.metric(name, reason=answer.reason))


def draining() -> Refused:
    parts = Parts()
    parts.recorder.draining = True
    found = refuse(flow("/public"), parts)
    assert parts.log.refusals == ["draining"]
    tally = Refusals()
    tally.add("draining", now())
    record = refused_incident(tally.take(), now())
    assert record is not None
    return Refused(found.answer, [record], found.counted)


def hook_error() -> Refused:
    parts = Parts()
    parts.cache.error = RuntimeError("a fault")
    return refuse(flow("/public"), parts)


def counted_only(parts: Parts, found: Refused, word: str) -> Refused:
    """A refusal of which the log has the number."""
    assert parts.log.refusals == [word]
    tally = Refusals()
    tally.add(word, now())
    record = refused_incident(tally.take(), now())
    assert record is not None and f"{word} 1" in record.detail
    return Refused(found.answer, [record], found.counted)


def crawler_limit() -> Refused:
    parts = Parts(admission=Admission(limiter=CrawlerLimiter({"news": CrawlerLimits(requests_per_s=0.001)})))
    for _ in range(10):
        refuse(flow("/private/x"), parts)
    found = refuse(flow("/public"), parts)
    assert len(parts.log.decisions) == 10
    assert parts.metric("crawl_audit_limit_exceeded_total", limit="crawler_rate") == 1
    return counted_only(parts, found, "crawler_limit of news")


def too_many_connections() -> Refused:
    capacity, asked = Capacity(16), flow("/public")
    for client_id in (*map(str, range(16)), asked.client_conn.id):
        assert capacity.admit(client_id)
    parts = Parts(admission=Admission(capacity=capacity))
    found = refuse(asked, parts)
    assert parts.metric("crawl_audit_limit_exceeded_total", limit="open_connections") == 1
    return counted_only(parts, found, "too_many_connections")


def bad_authority() -> Refused:
    made = tflow.tflow(client_conn=client(), req=http.Request.make("CONNECT", "http://x/"))
    made.request.host, made.request.port = "a b", 443
    return refuse(made, Parts(), connect=True)


def through_the_layers(octets: bytes) -> Refused:
    parts = Parts()
    with narrowed(lambda *_: None, lambda *_: None):
        ConnectionAddon(parts.recorder, lambda _: None)
        with options() as opts:
            wire = Wire(opts, lambda hook: None)
            wire.receive(octets)
    head, _, body = wire.to_client.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    fields = [tuple(part.encode() for part in line.split(": ", 1)) for line in lines]
    response = http.Response.make(int(status.split()[1]), body, http.Headers(fields))
    return Refused(response, parts.log.records, lambda name: parts.metric(name, reason="malformed_request"))


def by_the_site(status: int, cut: str | None) -> Refused:
    parts = Parts()
    with narrowed(lambda *_: None, lambda *_: None):
        connections = ConnectionAddon(parts.recorder, lambda _: None)
        connections._page(client(), status, "Errno 111")
    answer = upstream_faults.page(status, "Errno 111", exchange_id="id", cut=cut)
    if cut is not None:
        parts.recorder.answered(answer.reason)
    response = http.Response.make(answer.status, answer.body, http.Headers(answer.fields))
    return Refused(response, [], lambda name: parts.metric(name, reason=answer.reason))


REFUSE: dict[str, Callable[[], Refused]] = {
    "disallowed": disallowed,
    "too_early": too_early,
    "contradicting_request": lambda: refuse(flow("/a", host_fields=[b"other.example"]), Parts()),
    "bad_authority": bad_authority,
    "target_too_long": lambda: refuse(
        flow("/" + "a" * 8000), Parts(admission=Admission(messages=MessageLimits(target_bytes=8000)))
    ),
    "body_too_large": lambda: refuse(
        flow("/a", method="POST", fields={"content-length": "9"}),
        Parts(admission=Admission(messages=MessageLimits(body_bytes=8))),
    ),
    "crawler_limit": crawler_limit,
    "too_many_connections": too_many_connections,
    "malformed_request": lambda: through_the_layers(b"nonsense\r\n"),
    "unknown_crawler": lambda: refuse(flow("/public"), Parts(crawlers=(SECRET,))),
    **{
        reason: (lambda reason=reason: unavailable(reason))
        for reason in (
            "audit_log_unavailable",
            "audit_disk_reserve",
            "audit_commit_timeout",
            "audit_backpressure",
            "audit_log_closed",
        )
    },
    "draining": draining,
    "hook_error": hook_error,
    "bad_gateway": lambda: by_the_site(502, None),
    "timeout": lambda: by_the_site(504, upstream_faults.cut_text(Deadline.FIRST_BYTE, "No answer came.")),
}


def recorded(records: Sequence[Record]) -> Iterator[str]:
    """The records as the table names them."""
    for record in records:
        if isinstance(record, Incident):
            yield f"incident `{record.incident}`"
        elif isinstance(record, Tunnel | Completion):
            yield f"{record.KIND} `{record.outcome}`"
        else:
            yield record.KIND


@pytest.mark.parametrize("reason", ROWS)
def test_a_refusal_is_what_the_table_says(reason: str) -> None:
    row, found = ROWS[reason], REFUSE[reason]()
    problem = json.loads(found.answer.content or b"")
    assert (found.answer.status_code, problem["status"]) == (int(row["status"]), int(row["status"]))
    assert problem["reason"] == reason
    assert found.answer.headers["Content-Type"] == "application/problem+json"
    assert found.answer.headers["Proxy-Status"].startswith("crawl-audit; error=")
    assert problem["title"] and problem["detail"]
    assert re.fullmatch(r"[A-Z].*\.", problem["advice"]), "one sentence what to do"
    assert row["retry_after"] == ("yes" if "Retry-After" in found.answer.headers else "no")
    assert found.counted("crawl_audit_refused_total") == 1
    assert found.counted(row["metric"].strip("`")) == 1
    # The completion of an exchange with a site that fails is what tests/proxy_addon/test_addon.py is about.
    if not row["record"].startswith(("none", "completion")):
        assert row["record"] in list(recorded(found.records))


def test_every_reason_that_the_sidecar_can_give_is_in_the_table() -> None:
    assert set(denial._ADVICE) <= set(ROWS)
    assert set(REFUSE) == set(ROWS)


def incident_words() -> set[str]:
    """Every word that the sidecar's code gives an incident."""
    found: set[str] = set()
    for path in sorted((ROOT / "proxy_addon").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                given = [keyword.value for keyword in node.keywords if keyword.arg == "incident"]
                given += node.args if called in ("incident", "_incident", "_record_failure") else []
                words = [value.value for value in given if isinstance(value, ast.Constant)]
                found.update(
                    word for word in words if isinstance(word, str) and re.fullmatch(r"[a-z]+(_[a-z]+)+", word)
                )
    return found


def test_every_incident_is_in_the_list_and_no_other() -> None:
    section = DOCUMENT.partition("## Every incident")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE)
    assert set(listed) == incident_words()
    assert len(listed) == len(set(listed)) > 10


def test_a_head_that_is_too_large_says_so() -> None:
    found = through_the_layers(b"GET http://example.com/ HTTP/1.1\r\nA: " + b"a" * 300_000)
    assert found.answer.status_code == 431
    assert json.loads(found.answer.content or b"")["reason"] == "malformed_request"


def test_a_changed_table_is_noticed() -> None:
    changed = rows_of(DOCUMENT.replace("| 407 | `unknown_crawler`", "| 403 | `unknown_crawler`"))
    assert changed["unknown_crawler"]["status"] != str(REFUSE["unknown_crawler"]().answer.status_code)


def test_the_log_says_how_many_requests_were_refused_in_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy_addon.writer._TELL_REFUSED_S", 0.05)
    failing, real = [False], LiveFile.insert

    def insert(live: LiveFile, first_seq: int, bodies: Sequence[str]) -> None:
        if failing[0]:
            raise RolledBackError("No space left")
        real(live, first_seq, bodies)

    monkeypatch.setattr(LiveFile, "insert", insert)

    async def scenario() -> None:
        async with writer_in(tmp_path) as writer:
            writer.refused("audit_backpressure")
            writer.refused("audit_commit_timeout")
            while writer.next_seq < 1:
                await asyncio.sleep(0.01)
            failing[0] = True
            writer.submit(
                Incident(recorded_at=now(), incident="x", exchange_id=None, crawler=None, client=None, detail="x")
            )
            while writer.available:
                await asyncio.sleep(0.01)
            for _ in range(3):
                writer.refused("audit_log_unavailable")
            await asyncio.sleep(0.7)  # resuming is tried, and fails, with the refusals in hand
            failing[0] = False
            while not writer.available:
                await asyncio.sleep(0.01)
            writer.refused("draining")

    asyncio.run(scenario())
    told = [
        (e["incident"], e["detail"])
        for _, _, e in published(tmp_path)
        if e["k"] == "incident" and "refused" in e["detail"]
    ]
    assert [word for word, _ in told] == ["requests_refused", "log_resumed", "requests_refused"]
    assert re.match(
        r"2 requests refused from \S+Z to \S+Z \(audit_backpressure 1, audit_commit_timeout 1\)", told[0][1]
    )
    assert "3 requests refused from " in told[1][1]
    assert "(draining 1)" in told[2][1]
