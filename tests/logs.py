"""Log directories for tests, built from records the way the writer publishes them: one directory per segment."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crawl_audit import records, robots, schema
from crawl_audit.records import Action, Basis, Instant, Mode, Outcome, Record, RobotsOutcome, SnapshotSource, Verdict
from crawl_audit.seal import Signer, checkpoint_text, merkle_root, origin
from crawl_audit.segment_sql import OCTETS, empty_select, typed_select
from crawl_audit.site import site_of

START = Instant(1_795_000_000_000_000)  # 2026-11-18T11:06:40Z
SECOND = 1_000_000
SALT = bytes(range(16))


@dataclass
class LogBuilder:
    """One log of a log directory: records are added, then published as segments that end with a seal.

    With ``signing`` each publication also writes the checkpoint, as the sidecar does; ``signer`` is this log's key.
    """

    root: Path
    log: str = "node1-20261118T110640Z-00000001"
    records: list[Record] = field(default_factory=list)
    sealed: int = 0  # records before the first unsealed one
    published: int = 0
    seals: int = 0
    signing: bool = False
    key_seed: str = ""  # another seed makes another key for the same log

    def __post_init__(self) -> None:
        empty = self.root / "segments" / "schema" / "v1"
        if not empty.exists():
            empty.mkdir(parents=True)
            with duckdb.connect() as connection:
                for kind in (*schema.KINDS, "withheld"):
                    _copy(connection, empty_select(kind), empty / f"{kind}.parquet")

    def add(self, record: Record) -> int:
        """Append a record; its seq."""
        self.records.append(record)
        return len(self.records) - 1

    def seal(self, at: Instant | None = None, **changes: Any) -> int:
        """Seal everything since the last seal; the seq of the seal."""
        covered = self.records[self.sealed :]
        leaves = [schema.leaf(schema.parse_entry(entry(record))) for record in covered]
        decisions = [r for r in self.records if isinstance(r, records.Decision)]
        forwarded = [r for r in decisions if r.action is Action.FORWARDED]
        completions = sum(isinstance(r, records.Completion) for r in self.records)
        made = records.Seal(
            recorded_at=at if at is not None else max((r.recorded_at for r in self.records), default=START),
            seal_index=self.seals,
            first_seq=self.sealed,
            rows=len(covered),
            root=merkle_root(leaves).hex(),
            reason="demand",
            decisions=len(decisions),
            forwarded=len(forwarded),
            completions=completions,
            dropped=0,
            in_flight=len(forwarded) - completions,
            monotonic_ms=0,
            settings_sha256=self._settings_sha256(),
        )
        if self.signing:
            began = self.records[0].recorded_at if self.records else made.recorded_at
            made = replace(made, monotonic_ms=(made.recorded_at - began) // 1000)
        seq = self.add(replace(made, **changes))
        self.seals += 1
        self.sealed = len(self.records)
        return seq

    def publish(self, at: Instant | None = None) -> Path:
        """Seal what is not sealed, and publish everything since the last segment as one; its directory."""
        if self.sealed < len(self.records) or not self.records:
            self.seal(at)
        first, last = self.published, len(self.records) - 1
        directory = self.root / "segments" / self.log / f"{first:012d}-{last:012d}"
        directory.parent.mkdir(parents=True, exist_ok=True)
        made = self.root / f"{self.log}.being-made"  # as the sidecar does: there whole or not at all
        made.mkdir()
        write_segment(made, self.log, list(enumerate(self.records))[first:])
        made.rename(directory)
        self.published = len(self.records)
        if self.signing:
            self.checkpoint()
        return directory

    @property
    def signer(self) -> Signer:
        """The key that signs this log's checkpoints: always the same one for the same log and seed."""
        secret = hashlib.sha256(f"{self.log}{self.key_seed}".encode()).digest()
        return Signer(origin(self.log), Ed25519PrivateKey.from_private_bytes(secret))

    def seal_leaves(self) -> list[bytes]:
        """The leaves of the tree of seals."""
        return [schema.leaf(schema.parse_entry(entry(r))) for r in self.records if isinstance(r, records.Seal)]

    def note(self, size: int | None = None, signer: Signer | None = None) -> str:
        """The signed note of the tree of the first ``size`` seals (default: all)."""
        leaves = self.seal_leaves()[:size]
        text = checkpoint_text(origin(self.log), len(leaves), merkle_root(leaves))
        return (signer or self.signer).sign_note(text)

    def checkpoint(self, signer: Signer | None = None) -> Path:
        """Write the log's latest checkpoint; its path."""
        directory = self.root / "checkpoints"
        directory.mkdir(exist_ok=True)
        path = directory / f"{self.log}.checkpoint"
        path.write_text(self.note(signer=signer), encoding="utf-8")
        return path

    def start(self, at: Instant = START, **changes: Any) -> int:
        """The record of a start that names this log's key and settings; its seq."""
        return self.add(run("start", at, checkpoint_key=self.signer.verifier.vkey, **changes))

    def close(self, at: Instant | None = None) -> Path:
        """Stop in order: the record of it, the last seal (`shutdown`), the last segment; its directory."""
        when = at if at is not None else max(record.recorded_at for record in self.records)
        started = next((r for r in reversed(self.records) if isinstance(r, records.Run)), None)
        self.add(run("stop", when) if started is None else replace(started, **_stopped(when)))
        self.seal(when, reason="shutdown")
        return self.publish()

    def _settings_sha256(self) -> str:
        runs = [r.settings_sha256 for r in self.records if isinstance(r, records.Run)]
        return runs[-1] if runs and self.signing else "0" * 64


def _stopped(at: Instant) -> dict[str, Any]:
    return {"recorded_at": at, "event": "stop", "reason": "signal"}


def entry(record: Record) -> str:
    """The entry text of a record, with a fixed salt where it needs one."""
    return schema.to_entry(record, SALT if schema.has_salt(record.KIND) else None)


def write_segment(directory: Path, log: str, numbered: list[tuple[int, Record]]) -> None:
    """Write the Parquet files of one segment: only of the kinds there are."""
    with duckdb.connect() as connection:
        for kind in schema.KINDS:
            ours = [(seq, record) for seq, record in numbered if kind == record.KIND]
            if not ours:
                continue
            connection.execute(f"CREATE OR REPLACE TABLE entries (seq BIGINT, body VARCHAR, {OCTETS} BLOB)")
            rows = [(seq, entry(record), getattr(record, "body", None)) for seq, record in ours]
            seqs, bodies, octets = zip(*rows, strict=True)
            connection.execute(
                "INSERT INTO entries SELECT unnest($1::BIGINT[]), unnest($2::VARCHAR[]), unnest($3::BLOB[])",
                [list(seqs), list(bodies), list(octets)],
            )
            source = "entries" if kind == "robots_body" else f"(SELECT * EXCLUDE ({OCTETS}) FROM entries)"
            _copy(connection, typed_select(kind, log, source), directory / f"{kind}.parquet")


def _copy(connection: duckdb.DuckDBPyConnection, select: str, path: Path) -> None:
    quoted = str(path).replace("'", "''")
    connection.execute(f"COPY ({select}) TO '{quoted}' (FORMAT parquet, COMPRESSION zstd)")


def after(seconds: float) -> Instant:
    """An instant that many seconds after START."""
    return Instant(START + int(seconds * SECOND))


def run(event: str = "start", at: Instant = START, **changes: Any) -> records.Run:
    """A start or stop."""
    crawlers = [{"id": "alpha", "product_tokens": ["AlphaBot"], "user_agent": "AlphaBot/1.0", "purpose": "search"}]
    settings = json.dumps({"crawlers": crawlers})
    made = records.Run(
        recorded_at=at,
        event=event,
        node="node1",
        reason=None if event == "start" else "signal",
        mode=Mode.AUDIT,
        settings=settings,
        settings_sha256=hashlib.sha256(settings.encode()).hexdigest(),
        software="{}",
        checkpoint_key="node1+00000000+AAAA",
        trust_sha256=None,
        previous_log=None,
    )
    return replace(made, **changes)


def robots_body(body: bytes, at: Instant = START) -> records.RobotsBody:
    """The octets of a robots.txt."""
    digest = hashlib.sha256(body).hexdigest()
    return records.RobotsBody(recorded_at=at, robots_sha256=digest, body_bytes=len(body), body=body)


def snapshot(host: str, body: bytes | None, at: Instant = START, **changes: Any) -> records.Snapshot:
    """A robots.txt of ``http://host``, served as ``body``; None: 404."""
    made = records.Snapshot(
        recorded_at=at,
        scheme="http",
        host=host,
        port=80,
        source=SnapshotSource.FETCHED,
        fetched_at=None,
        origin_log=None,
        final_url=f"http://{host}/robots.txt",
        redirects=(),
        status=200 if body is not None else 404,
        outcome=RobotsOutcome.SUCCESSFUL if body is not None else RobotsOutcome.UNAVAILABLE,
        error=None,
        robots_sha256=None if body is None else hashlib.sha256(body).hexdigest(),
        body_bytes=None if body is None else len(body),
        truncated=False,
        content_type="text/plain",
        looks_like_html=False,
        etag=None,
        fetch_ms=3,
        valid_until=Instant(at + 86_400 * SECOND),
    )
    return replace(made, **changes)


def decision(
    host: str, target: str = "/", at: Instant = START, *, body: bytes | None = None, **changes: Any
) -> records.Decision:
    """A decision on ``http://host/target``, judged by ``body`` (None: robots.txt was unavailable)."""
    tokens = tuple(changes.get("product_token", "AlphaBot").split(", "))
    outcome = RobotsOutcome.UNAVAILABLE if body is None else RobotsOutcome.SUCCESSFUL
    rules = None if body is None else robots.compile_rules(body, tokens)
    judged = robots.evaluate(outcome, rules, target)
    made = records.Decision(
        recorded_at=at,
        exchange_id=str(hashlib.sha256(f"{host}{target}{at}".encode()).hexdigest()[:32]),
        trace_id=None,
        crawler="alpha",
        product_token="AlphaBot",
        client="10.0.0.7",
        user_agent="AlphaBot/1.0",
        token_in_user_agent=True,
        method="GET",
        scheme="http",
        host=host,
        port=80,
        target=target,
        target_b64=None,
        site=site_of(host),
        snapshot_seq=None,
        robots_sha256=None if body is None else hashlib.sha256(body).hexdigest(),
        robots_age_ms=0,
        verdict=judged.verdict,
        basis=judged.basis,
        group_tokens=judged.group_tokens,
        rule=judged.rule,
        rule_line=judged.rule_line,
        protego_verdict=judged.protego_verdict,
        divergent=judged.divergent,
        parser=robots.PARSER,
        mode=Mode.AUDIT,
        action=Action.FORWARDED,
        exemption=None,
        detail=None,
        crawl_delay_ms=None,
        request_interval_ms=None,
        since_previous_ms=None,
        held_ms=None,
    )
    return replace(made, **changes)


def completion(decision_seq: int, at: Instant = START, **changes: Any) -> records.Completion:
    """A 200 with 1,000 octets of HTML."""
    made = records.Completion(
        recorded_at=at,
        decision_seq=decision_seq,
        outcome=Outcome.COMPLETED,
        error=None,
        status=200,
        request_bytes=0,
        response_bytes=1000,
        content_type="text/html",
        modality="text",
        body_sha256="ab" * 32,
        duration_ms=12,
        server_ip="192.0.2.1",
        http_version="HTTP/1.1",
        barrier=None,
    )
    return replace(made, **changes)


ROBOTS = b"""User-agent: *
Disallow: /none

# for the crawler under test
User-agent: AlphaBot
User-agent: BetaBot
Allow: /private/open
Disallow: /private
"""
HOSTS = ("example.com", "www.example.com", "shop.example.co.uk", "xn--r8jz45g.jp", "127.0.0.1", "no-robots.example")
TARGETS = ("/", "/private/x", "/private/open", "/robots.txt", "/a?b=1", "/caf%C3%A9", "/private/%7Euser")


def mixed(root: Path, count: int = 400, seed: int = 7) -> LogBuilder:
    """A log of ``count`` exchanges of two crawlers in both modes, over three segments, stopped in order."""
    chance = random.Random(seed)
    made = LogBuilder(root)
    made.add(run())
    made.add(robots_body(ROBOTS))
    seqs = {host: made.add(snapshot(host, None if host == "no-robots.example" else ROBOTS)) for host in HOSTS}
    made.add(_signal(seqs["example.com"]))
    for number in range(count):
        host, target, at = chance.choice(HOSTS), chance.choice(TARGETS), after(1 + number)
        mode = chance.choice(list(Mode))
        crawler = chance.choice((("alpha", "AlphaBot"), ("pair", "AlphaBot, BetaBot")))
        body = None if host == "no-robots.example" else ROBOTS
        judged = decision(host, target, at, body=body, mode=mode, crawler=crawler[0], product_token=crawler[1])
        denied = mode is Mode.ENFORCE and judged.verdict is Verdict.DISALLOWED
        agent = chance.choice(("AlphaBot/1.0", "curl/8", None))
        action = Action.DENIED if denied else Action.FORWARDED
        judged = replace(judged, snapshot_seq=seqs[host], action=action, user_agent=agent)
        seq = made.add(judged)
        if not denied and chance.random() < 0.9:
            made.add(_ending(chance, seq, Instant(at + SECOND // 2), judged.basis))
        if number in (count // 3, 2 * count // 3):
            made.publish()
    made.add(run("stop", after(count + 2)))
    made.publish()
    return made


def _ending(chance: random.Random, seq: int, at: Instant, basis: Basis) -> records.Completion:
    if chance.random() < 0.2:
        failed = {"error": "connect", "status": None, "content_type": None, "modality": None, "response_bytes": 0}
        return completion(seq, at, outcome=Outcome.UPSTREAM_ERROR, body_sha256=None, **failed)
    status = chance.choice((200, 200, 206, 301, 404))
    modality = "text" if basis is Basis.ROBOTS_TXT else chance.choice(("text", "image"))
    return completion(seq, at, status=status, response_bytes=chance.choice((0, 17, 5000)), modality=modality)


def _signal(snapshot_seq: int) -> records.Signal:
    return records.Signal(
        recorded_at=START,
        exchange_id=None,
        snapshot_seq=snapshot_seq,
        protocol="content-signal",
        raw="Content-Signal: ai-train=no",
        value="ai-train=no",
        scope="*",
    )


def sound(
    root: Path, log: str = "node1-20261118T110640Z-00000001", *, count: int = 30, at: float = 0, **changes: Any
) -> LogBuilder:
    """A log without fault, signed and closed: ``count`` exchanges a second apart, in three segments of two seals.

    The first seals come after a third of the exchanges each; ``changes`` go into its record of the start.
    """
    made = LogBuilder(root, log, signing=True)
    made.start(after(at), **changes)
    made.add(robots_body(ROBOTS, after(at)))
    seqs = {host: made.add(snapshot(host, None if host == HOSTS[-1] else ROBOTS, after(at))) for host in HOSTS}
    for number in range(count):
        host, target = HOSTS[number % len(HOSTS)], TARGETS[number % len(TARGETS)]
        _exchange(made, host, target, seqs[host], after(at + 1 + number))
        if (number + 1) % max(1, count // 6) == 0 and number + 1 < count:
            (made.publish if (number + 1) % max(2, count // 3) == 0 else made.seal)()
    made.close(after(at + count + 2))
    return made


def _exchange(made: LogBuilder, host: str, target: str, snapshot_seq: int, at: Instant) -> None:
    body = None if host == HOSTS[-1] else ROBOTS
    age = (at - made.records[snapshot_seq].recorded_at) // 1000
    seq = made.add(decision(host, target, at, body=body, snapshot_seq=snapshot_seq, robots_age_ms=age))
    made.add(completion(seq, Instant(at + SECOND // 4)))
