"""A log in which sites opt out in every way there is, change their minds, and are asked nevertheless."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from crawl_audit import records
from crawl_audit.records import Action, Basis, Mode, RobotsOutcome, SnapshotSource, Verdict
from crawl_audit.site import site_of
from tests import logs

OPEN = b"User-agent: *\nDisallow: /none\n"
CLOSED = b"User-agent: *\nDisallow: /\n"
CHANGED = b"User-agent: *\nDisallow: /none\nDisallow: /private\nContent-Signal: search=yes, ai-train=no\n"
FILES = {
    "open.example.com": OPEN,
    "www.example.com": CHANGED,
    "closed.example": CLOSED,
    "gone.example.org": None,
    "xn--r8jz45g.jp": CHANGED,
}
SIGNALS = (
    ("content-signal", "search=yes, ai-train=no", "*"),
    ("content-signal", "search=no", "OtherBot"),
    ("content-signal", "ai-input=no, search=no", "alphabot/1.0, OtherBot"),
    ("content-usage", "train-ai=n; vocab-07", "* /pictures"),
    ("content-usage", "train-ai=y, search=n; vocab-07", "OtherBot /private"),
    ("tdmrep", "reserved", "/news*"),
    ("tdmrep", "not reserved", "/"),
    ("x-robots-tag", "noai, noimageai", None),
    ("x-robots-tag", "noindex", "OtherBot"),
    ("meta-robots", "none", "AlphaBot"),
    ("rsl", "https://example.com/licence.xml", None),
    ("pay-per-crawl", "price USD 0.01", None),
    ("crawl-delay", "5 s", "*"),
    ("retry-after", "120 s", None),
    ("x-robots-tag", None, None),
)
TARGETS = ("/", "/private/x", "/none", "/a?b=1", "/robots.txt")


def settings(**changes: Any) -> dict[str, Any]:
    """Settings as a run records them, with one crawler and one exemption."""
    crawlers = [{"id": "alpha", "product_tokens": ["AlphaBot"], "purpose": "training"}]
    exemption = {"id": "press", "sites": ["closed.example"], "reason": "licence", "reference": "7", "approver": "x"}
    return {"crawlers": crawlers, "exemptions": [{**exemption, "until": "2027-06-30T00:00:00Z"}], **changes}


def opted_out(root: Path, count: int = 300, seed: int = 11, last_good_copy_s: int = 172_800) -> list[logs.LogBuilder]:
    """Two logs of two sidecars, one in audit mode and one that denies, over the same sites at the same time."""
    denying = settings(
        signals={"policy": {"content-signal": "deny", "content-usage": {"training": "deny"}}},
        robots={"last_good_copy_s": last_good_copy_s, "treat_429_as_unreachable": False},
    )
    made = []
    for number, (mode, said) in enumerate(((Mode.AUDIT, settings()), (Mode.ENFORCE, denying))):
        log = logs.LogBuilder(root, f"node{number}-20261118T110640Z-0000000{number}")
        log.add(logs.run(mode=mode, settings=json.dumps(said)))
        _fill(log, mode, random.Random(seed + number), count)
        log.publish()
        made.append(log)
    return made


def _fill(log: logs.LogBuilder, mode: Mode, chance: random.Random, count: int) -> None:
    for body in (OPEN, CLOSED, CHANGED):
        log.add(logs.robots_body(body))
    held: dict[str, tuple[int, records.Snapshot]] = {}
    for number in range(count):
        at = logs.after(number * 400 + chance.randrange(300))
        host = chance.choice((*FILES, "never.example"))
        if host != "never.example" and (host not in held or chance.random() < 0.2):
            shot = _shot(chance, host, at)
            held[host] = (log.add(shot), shot)
            _signal(log, chance, at, snapshot_seq=held[host][0])
        if chance.random() < 0.9:
            _exchange(log, chance, mode, host, at, held.get(host))
        if number == count // 2:
            log.publish()


def _shot(chance: random.Random, host: str, at: records.Instant) -> records.Snapshot:
    body = FILES[host] and chance.choice((FILES[host], FILES[host], OPEN, CLOSED))
    made = logs.snapshot(host, body, at, valid_until=logs.Instant(at + 3600 * logs.SECOND))
    fate = chance.random()
    if fate < 0.1:
        failed = {"robots_sha256": None, "body_bytes": None, "outcome": RobotsOutcome.UNREACHABLE}
        status = chance.choice((503, None))
        made = replace(made, status=status, error=None if status else "timeout: no answer", **failed)
    elif fate < 0.2 and body is not None:
        made = replace(made, source=SnapshotSource.OBSERVED)
    elif fate < 0.3 and body is not None:
        made = replace(made, status=304, redirects=("http://a.example/", "http://b.example/"))
    return made


def _signal(log: logs.LogBuilder, chance: random.Random, at: records.Instant, **where: Any) -> None:
    if chance.random() < 0.5:
        protocol, value, scope = chance.choice(SIGNALS)
        found = {"exchange_id": None, "snapshot_seq": None, **where}
        raw = f"{protocol}: {value}"
        log.add(records.Signal(recorded_at=at, protocol=protocol, raw=raw, value=value, scope=scope, **found))


def _exchange(
    log: logs.LogBuilder,
    chance: random.Random,
    mode: Mode,
    host: str,
    at: records.Instant,
    held: tuple[int, records.Snapshot] | None,
) -> None:
    target = chance.choice(TARGETS)
    body = None if held is None else _body(held[1])
    judged = logs.decision(host, target, at, body=body, mode=mode, site=site_of(host))
    judged = replace(judged, exchange_id=f"{log.log[:5]}-{len(log.records):08d}")
    if held is None:
        judged = replace(judged, verdict=Verdict.DISALLOWED, basis=Basis.ERROR, detail="No verdict.")
    else:
        shot = held[1]
        age = (at - shot.recorded_at) // 1000
        judged = replace(judged, snapshot_seq=held[0], robots_sha256=shot.robots_sha256, robots_age_ms=age)
        if shot.outcome is RobotsOutcome.UNREACHABLE and judged.basis is not Basis.ROBOTS_TXT:
            judged = replace(judged, verdict=Verdict.DISALLOWED, basis=Basis.UNREACHABLE)
        judged = _departed(judged, chance)
    denied = judged.verdict is Verdict.DISALLOWED and (mode is Mode.ENFORCE or judged.basis is Basis.ERROR)
    judged = replace(judged, action=Action.DENIED if denied else Action.FORWARDED)
    seq = log.add(judged)
    if not denied and chance.random() < 0.9:
        barred = chance.random() < 0.2
        log.add(
            logs.completion(
                seq,
                logs.Instant(at + logs.SECOND),
                status=403 if barred else chance.choice((200, 206, 404)),
                barrier=chance.choice(("http_403", "challenge")) if barred else None,
            )
        )
        _signal(log, chance, logs.Instant(at + logs.SECOND), exchange_id=judged.exchange_id)


def _body(shot: records.Snapshot) -> bytes | None:
    return next(
        (one for one in (OPEN, CLOSED, CHANGED) if logs.robots_body(one).robots_sha256 == shot.robots_sha256), None
    )


def _departed(judged: records.Decision, chance: random.Random) -> records.Decision:
    """The decision as the operator's settings, or a second parser, may change it."""
    if judged.site == "closed.example" and judged.basis is Basis.RULE:
        exempt = {"verdict": Verdict.ALLOWED, "basis": Basis.EXEMPTION, "detail": "Disallowed by rule, exempted."}
        judged = replace(judged, exemption="press", **exempt) if chance.random() < 0.5 else judged
    elif judged.verdict is Verdict.ALLOWED and judged.basis is not Basis.ROBOTS_TXT and chance.random() < 0.2:
        why = "content-signal refuses the use for training: line 4: Content-Signal: ai-train=no."
        judged = replace(judged, verdict=Verdict.DISALLOWED, basis=Basis.SIGNAL, detail=why)
    if chance.random() < 0.1:
        said = chance.choice((Verdict.ALLOWED, Verdict.DISALLOWED, None))
        judged = replace(judged, divergent=True, protego_verdict=said)
    if chance.random() < 0.1:
        judged = replace(judged, robots_age_ms=chance.choice((86_400_000, 86_400_001, 200_000_000)))
    return judged
