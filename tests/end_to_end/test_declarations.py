"""What the operator declares, against real sites: the pace is kept on the wire, and each departure is on record."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.end_to_end.harness import Sidecar
from tests.end_to_end.ledger import disagreements, ledger
from tests.end_to_end.origin import Farm

CRAWLER = '[[crawlers]]\nid = "tester"\nproduct_tokens = ["TestBot"]\npurpose = "training"\n'
PACED = b"User-agent: *\nCrawl-delay: 0.3\nDisallow: /private\n"
SIGNED = 'sig1=("@authority");created=1;expires=2;keyid="key-1";tag="web-bot-auth"'
DECISIONS = "SELECT * FROM decision ORDER BY seq"


def paced(hold_max_s: float) -> str:
    return f"{CRAWLER}[pacing]\nenforce = true\nhold_max_s = {hold_max_s}\n"


def test_an_enforced_pace_is_kept_on_the_wire(sidecar: Callable[..., Sidecar], sites: Farm) -> None:
    origin = sites.start(robots=PACED)
    started = sidecar(settings=paced(5), arguments=())

    def get(number: int) -> int:
        with started.client() as client:
            return client.get(f"{origin.url}/a?id={number}").status_code

    with ThreadPoolExecutor(5) as threads:
        assert list(threads.map(get, range(5))) == [200] * 5
    assert started.stop() == 0
    arrived = [seen.at_us for seen in origin.hits("/a")]
    gaps_ms = [(later - earlier) / 1000 for earlier, later in itertools.pairwise(arrived)]
    assert min(gaps_ms) >= 295, gaps_ms  # what the origin's own clock and event loop add or take
    rows = started.rows(DECISIONS)
    assert [row["crawl_delay_ms"] for row in rows] == [300] * 5
    assert all(row["since_previous_ms"] >= 300 for row in rows[1:])
    assert [row["held_ms"] >= 290 * place for place, row in enumerate(rows)] == [True] * 5
    assert disagreements(ledger(started, [origin])) == []


def test_one_that_comes_far_too_early_is_told_when_to_come_again(sidecar: Callable[..., Sidecar], sites: Farm) -> None:
    origin = sites.start(robots=PACED.replace(b"0.3", b"20"))
    started = sidecar(settings=paced(0.5), arguments=())
    with started.client() as client:
        assert client.get(origin.url + "/a").status_code == 200
        early = client.get(origin.url + "/b")
        assert client.get(origin.url + "/robots.txt").status_code == 200
    assert (early.status_code, early.headers["Retry-After"], early.json()["basis"]) == (429, "20", "crawl_delay")
    assert origin.hits("/b") == []
    assert started.stop() == 0
    assert [(row["action"], row["basis"], row["mode"]) for row in started.rows(DECISIONS)] == [
        ("forwarded", "no_rule", "audit"),
        ("denied", "crawl_delay", "audit"),
        ("forwarded", "robots_txt", "audit"),
    ]


def test_whoever_leaves_while_held_stops_nobody(sidecar: Callable[..., Sidecar], sites: Farm) -> None:
    origin = sites.start(robots=PACED.replace(b"0.3", b"1"))
    started = sidecar(settings=paced(8), arguments=())
    with started.client() as client:
        assert client.get(origin.url + "/a?id=1").status_code == 200
        with started.connect() as leaving:
            leaving.sendall(f"GET {origin.url}/a?id=2 HTTP/1.1\r\nHost: {origin.authority}\r\n\r\n".encode())
            time.sleep(0.2)
        assert client.get(origin.url + "/a?id=3", timeout=10).status_code == 200
    time.sleep(1.5)
    assert started.stop() == 0
    assert disagreements(ledger(started, [origin])) == []
    unfinished = "SELECT count(*) AS n FROM exchange WHERE action = 'forwarded' AND outcome IS NULL"
    assert started.rows(unfinished) == [{"n": 0}]


def test_a_stop_does_not_wait_for_what_is_held(sidecar: Callable[..., Sidecar], sites: Farm) -> None:
    origin = sites.start(robots=PACED.replace(b"0.3", b"30"))
    started = sidecar(settings=paced(60), arguments=())
    with started.client() as client, ThreadPoolExecutor(1) as threads:
        assert client.get(origin.url + "/a").status_code == 200
        held = threads.submit(httpx.get, origin.url + "/b", proxy=started.proxy, timeout=30)
        time.sleep(0.5)
        began = time.monotonic()
        assert started.stop() == 0
        assert time.monotonic() - began < 10
        with contextlib.suppress(httpx.TransportError):  # the connection may be closed before the answer is through
            assert held.result(10).status_code == 503
    assert origin.hits("/b") == []


def test_a_heeded_preference_denies_and_an_exemption_allows_it_again(
    sidecar: Callable[..., Sidecar], sites: Farm
) -> None:
    robots = b"User-agent: *\nContent-Signal: ai-train=no\nDisallow: /private\n"
    heeded, exempt = sites.start(robots=robots), sites.start(robots=robots, name="news.test")
    exemption = (
        '[[exemptions]]\nid = "deal-7"\nhosts = ["news.test"]\nreason = "licence"\nreference = "7"\napprover = "x"\n'
        "until = 2999-01-01\n"
    )
    policy = '[signals.policy]\ncontent-signal = "deny"\n'
    started = sidecar(settings=CRAWLER + exemption + policy, arguments=(), mode="enforce")
    fields = {"Signature-Input": SIGNED, "Signature": "sig1=:AAAA:", "Signature-Agent": 'sig1="https://a.example"'}
    with started.client() as client:
        denied = client.get(heeded.url + "/a")
        allowed = [client.get(exempt.url + path, headers=fields).status_code for path in ("/a", "/private")]
    assert (denied.status_code, denied.json()["basis"]) == (403, "signal")
    assert "Content-Signal: ai-train=no" in denied.json()["detail"]
    assert allowed == [200, 200]
    assert exempt.hits("/private")[0].field("signature") == "sig1=:AAAA:", "passed on, and not recorded"
    assert started.stop() == 0
    rows = started.rows(DECISIONS)
    assert [(row["verdict"], row["basis"], row["exemption"]) for row in rows] == [
        ("disallowed", "signal", None),
        ("allowed", "exemption", "deal-7"),
        ("allowed", "exemption", "deal-7"),
    ]
    assert rows[2]["rule"] == "Disallow: /private"
    signed = started.rows("SELECT DISTINCT raw, value FROM signal WHERE protocol = 'web-bot-auth'")
    value = "keyid=key-1, tag=web-bot-auth, created=1, expires=2, signature-agent=https://a.example"
    assert signed == [{"raw": f"Signature-Input: {SIGNED}", "value": value}]
