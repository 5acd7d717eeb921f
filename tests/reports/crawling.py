"""A small log in which everything occurs that the records of crawling count, and the operator file beside it."""

from __future__ import annotations

import functools
import hashlib
import json
import random
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from crawl_audit.records import Action, Basis, Instant, Mode, Outcome, Signal, Verdict
from reports.declarations import Declarations
from reports.log import open_log
from reports.period import Period, parse_period
from reports.report import Kind, Question
from tests import logs
from tests.reports.command import Ran, crawl_audit

WHOLE = Period()
PART = parse_period("2026-11-20T06:00", "2026-12-01")
"""A period inside the log."""
OPERATOR = """[operator]
legal_name = "Example Models K.K."
country = "JP"
contact = "https://models.example/contact"
eu_representative = "Example EU Rep SARL"
sme = false

[egress_control]
forced = true
statement = { en = "A firewall forces it.", ja = "ファイアウォールで強制しています。" }

[[crawler]]
id = "news"
client_name = "NewsBot"
expected_user_agent = "NewsBot/1.0"
operated_by = "Example Models K.K."
purpose_code = "training"
purpose = { en = "To collect news for training.", ja = "学習用にニュースを収集します。" }
trigger = "crawler"
targeted_content = "News"
rate_control = "Crawl-delay"
docs_uri = "https://models.example/newsbot"
contacts = ["bot@models.example"]
captcha_policy = { en = "It stops at CAPTCHAs.", ja = "CAPTCHAで停止します。" }
password_policy = "It has no passwords."
paywall_policy = "It passes no paywall."
other_protocols = "Content-Signal and TDMRep are recorded."
exclusion_lists = [{ name = "Notorious Markets", version = "2026" }]
content_and_sources = { en = "News articles.", ja = "ニュース記事。" }
site_types = "News sites"
languages = ["en", "ja"]
regions = ["EU", "JP"]
earlier_period = { from = "03/2025", to = "06/2025" }

[[crawler]]
id = "index"
purpose_code = "search_index"

[[crawler]]
id = "planned"
purpose_code = "training"

[[training_use]]
sites = ["s03.example"]
status = "excluded"
attested_by = "Data office"
attested_at = 2026-11-01
reference = "DO-7"

[[training_use]]
sites = ["s04.example", "s05.example"]
status = "included"
attested_by = "Data office"
attested_at = 2026-11-02

[eu]
template_version = "C(2025) 8311"
summary_version = "1"
last_update = 2026-11-20
update_due = 2027-05-20
models = ["Example-1"]
cop_signatory = true
reservation_measures = { en = "robots.txt is read before every request.", ja = "毎回robots.txtを確認します。" }
"""
CRAWLERS = ("news", "books", "index", "walker")
_TOKENS = {"news": "NewsBot", "books": "BooksBot", "index": "IndexBot", "walker": "WalkBot"}
_AGENTS = ("NewsBot/1.0", "Mozilla/5.0", None)
_STATUS = (200, 200, 200, 200, 206, 204, 301, 401, 402, 403, 404, 407, 429, 503, None)
_BARRIERS = {401: "http_401", 402: "http_402", 403: "http_403", 407: "http_407", 429: "http_429"}
_DAY = 86_400


DECLARED = Declarations.model_validate(tomllib.loads(OPERATOR))


def operator(root: Path) -> Path:
    """The operator file beside the log."""
    return root.parent / "operator.toml"


@functools.cache
def record(kind: Kind, root: Path, period: Period = WHOLE, *, declared: bool = False) -> dict[str, Any]:
    """What a kind makes of a log that nobody changes, at the internal level."""
    with open_log(str(root)) as log:
        return kind.make(Question(log=log, period=period, declared=DECLARED if declared else Declarations()))


@functools.cache
def report(
    kind: str, root: Path, form: str = "json", level: str = "internal", *more: str, declared: bool = True
) -> Ran:
    """What the command gives of a log that nobody changes."""
    said = ("--operator", operator(root)) if declared else ()
    return crawl_audit("report", kind, root, "--format", form, "--level", level, *said, *more)


def made(root: Path, *, count: int = 900, seed: int = 3) -> logs.LogBuilder:
    """Requests of four crawlers over 20 days at 31 sites, an address among them; one site was only ever refused."""
    chance = random.Random(seed)
    log = logs.LogBuilder(root)
    operator(root).write_text(OPERATOR, encoding="utf-8")
    purposes = {"news": "search", "books": "training", "index": "training", "walker": None}
    crawlers = [{"id": name, "product_tokens": [_TOKENS[name]], "purpose": purposes[name]} for name in CRAWLERS]
    settings = {
        "crawlers": crawlers,
        "exemptions": [],
        "pacing": {"enforce": False},
        "robots": {"ttl_s": 3600, "treat_429_as_unreachable": True, "last_good_copy_s": 0},
        "signals": {"policy": {"content-signal": {"training": "deny"}}, "tdmrep": True, "html_meta": False},
    }
    log.add(logs.run(settings=json.dumps(settings), mode=Mode.ENFORCE))
    log.add(logs.robots_body(logs.ROBOTS))
    named = [f"www.s{number:02d}.example" for number in range(28)]
    hosts = [named[0], "192.0.2.8", "www.s21.co.jp", "refused.example", *named[1:]]
    seqs = {host: log.add(logs.snapshot(host, logs.ROBOTS)) for host in hosts}
    for host in hosts[::3]:
        for protocol in ("content-signal", "crawl-delay"):
            log.add(_signal(protocol, logs.after(0), snapshot_seq=seqs[host]))
    for number in range(count):
        _exchange(log, chance, hosts, seqs, logs.after(number * 20 * _DAY / count + chance.random()))
        if number == count // 2:
            log.publish()
    log.publish()
    return log


def _exchange(log: logs.LogBuilder, chance: random.Random, hosts: list[str], seqs: dict[str, int], at: Instant) -> None:
    # Two go hand in hand, so that a host is asked twice within a second now and then.
    crawler, place = chance.choice(CRAWLERS), min(int(chance.expovariate(0.1)), len(hosts) - 1)
    host = hosts[chance.choice((place, chance.randrange(len(hosts))))]
    target = chance.choice(("/", "/a", "/private/x", "/robots.txt"))
    for step in range(chance.choice((1, 1, 1, 3))):
        when = Instant(at + step * 400_000)
        one = logs.decision(host, target, when, body=logs.ROBOTS, product_token=_TOKENS[crawler], crawler=crawler)
        basis = one.basis if target == "/robots.txt" else chance.choice((one.basis,) * 9 + (Basis.ERROR,))
        refused = (
            host == "refused.example" or chance.random() < 0.05 or (target == "/private/x" and chance.random() < 0.5)
        )
        verdict = Verdict.DISALLOWED if basis is Basis.ERROR else one.verdict
        action = Action.DENIED if refused or (crawler == "walker" and chance.random() < 0.5) else Action.FORWARDED
        seq = log.add(
            replace(
                one,
                snapshot_seq=seqs[host],
                basis=basis,
                verdict=verdict,
                action=action,
                mode=chance.choice((Mode.AUDIT, Mode.ENFORCE, Mode.ENFORCE)),
                user_agent=chance.choice(_AGENTS),
                token_in_user_agent=chance.random() < 0.6,
                robots_age_ms=chance.choice((0, 1000, 86_400_000, 86_400_001)),
                divergent=chance.random() < 0.05,
                crawl_delay_ms=chance.choice((None, None, 1000)),
                since_previous_ms=chance.choice((None, 400, 999, 1000, 60_000)),
                exchange_id=hashlib.sha256(f"{len(log.records)}".encode()).hexdigest()[:32],
            )
        )
        if action is Action.FORWARDED and chance.random() < 0.95:
            _end(log, chance, seq, Instant(when + 200_000))


def _end(log: logs.LogBuilder, chance: random.Random, seq: int, at: Instant) -> None:
    status = chance.choice(_STATUS)
    octets = 0 if status in (None, 204) else chance.choice((0, 40, 5000, 70_000))
    barrier = "challenge" if status == 403 and chance.random() < 0.5 else _BARRIERS.get(status or 0)
    kinds = ("text", "text", "image", "video", "audio", "other", None)
    log.add(
        replace(
            logs.completion(seq, at),
            outcome=Outcome.COMPLETED if status else chance.choice((Outcome.TIMEOUT, Outcome.UPSTREAM_ERROR)),
            status=status,
            response_bytes=octets,
            modality=None if status is None else chance.choice(kinds),
            body_sha256=None if not octets else hashlib.sha256(f"{chance.randrange(60)}".encode()).hexdigest(),
            barrier=barrier,
        )
    )
    if chance.random() < 0.1:
        decision = log.records[seq]
        log.add(_signal(chance.choice(("tdmrep", "retry-after", "web-bot-auth")), at, decision.exchange_id))


def _signal(protocol: str, at: Instant, exchange_id: str | None = None, snapshot_seq: int | None = None) -> Signal:
    return Signal(
        recorded_at=at,
        exchange_id=exchange_id,
        snapshot_seq=snapshot_seq,
        protocol=protocol,
        raw=f"{protocol}: 1",
        value=None,
        scope=None,
    )
