"""How a log ends whose process has died: what is known of it, and the records it is given so that it is closed."""

from __future__ import annotations

from typing import Any

from crawl_audit import schema
from crawl_audit.records import Completion, Instant, Outcome, Record
from proxy_addon.chain import Chain
from proxy_addon.exchanges import unanswered
from proxy_addon.journal import encode
from proxy_addon.live import InDoubtError, LiveFile, RefusedError, RolledBackError
from proxy_addon.log_directory import LogDirectory
from proxy_addon.published_log import open_in_segments, published_seals
from proxy_addon.quarantine import incident

# Reasons of a last seal: after one of these nothing more belongs to the log.
_CLOSED = ("shutdown", "recovered")


class Known:
    """What is known of a dead log: its seals and exchanges, from its segments and then from its live files."""

    def __init__(self, directory: LogDirectory, log: str) -> None:
        self.log = log
        self.published = max((last for _, last, _ in directory.segments_of(log)), default=-1)
        self.seals = dict(published_seals(directory, log))
        self.forwarded: dict[int, int] = {}
        self.ended: set[int] = set()

    def take(self, live: LiveFile) -> None:
        """Take note of what another live file holds."""
        for body in live.entries(kind="seal"):
            entry = schema.parse_entry(body)
            self.seals[entry["first_seq"] + entry["rows"]] = entry
        forwarded, ended = live.exchanges()
        self.forwarded |= forwarded
        self.ended |= ended


class End:
    """Where a dead log ends: the chain since its last seal, and what the end is to say."""

    def __init__(self, known: Known, sealed: int, first: int) -> None:
        last_seal = known.seals.get(sealed)
        self.chain = Chain(known.log, next_seq=max(first, sealed + 1), last_seal=last_seal)
        self.last: dict[str, Any] | None = last_seal
        self.last_at = last_seal["recorded_at"] if last_seal else 0
        self.settings_sha256 = last_seal["settings_sha256"] if last_seal else ""
        self.monotonic_ms = last_seal["monotonic_ms"] if last_seal else 0

    @property
    def closed(self) -> bool:
        """Whether the last record is a seal after which nothing more belongs to the log."""
        return self.last is not None and self.last["k"] == "seal" and self.last["reason"] in _CLOSED

    def add(self, entry: dict[str, Any]) -> None:
        """Take note of the next entry."""
        if entry["k"] in ("seal", "run"):
            self.settings_sha256 = entry["settings_sha256"]
            self.monotonic_ms = entry.get("monotonic_ms", self.monotonic_ms)
        self.last, self.last_at = entry, entry["recorded_at"]
        self.chain.add(entry)


def append_end(directory: LogDirectory, live: LiveFile, end: End, known: Known, now: Instant) -> int:
    """Completions, an incident and a seal in one transaction: a crash in here leaves the log as it was found.

    Returns how many exchanges have no known outcome.
    """
    chain = end.chain
    first = chain.next_seq
    unfinished = {seq: at for seq, at in known.forwarded.items() if seq not in known.ended}
    if chain.in_flight > len(unfinished):  # some were decided in segments published before
        unfinished |= {seq: at for seq, at in open_in_segments(directory, chain.log) if seq not in known.ended}
    ending: list[Record] = [
        _unknown(seq, now, max(0, end.last_at - decided) // 1000) for seq, decided in sorted(unfinished.items())
    ]
    detail = f"The sidecar stopped without closing this log; {len(ending)} forwarded exchanges have no known outcome."
    ending.append(incident("unclean_stop", detail))
    encoded = [encode(record) for record in ending]
    for _, entry in encoded:
        chain.add(entry)
    seal = chain.seal("recovered", now=now, monotonic_ms=end.monotonic_ms, settings_sha256=end.settings_sha256)
    encoded.append(encode(seal))
    known.seals[chain.next_seq] = encoded[-1][1]
    try:
        live.insert(first, [body for body, _ in encoded])
    except (RefusedError, RolledBackError, InDoubtError) as error:
        raise OSError(f"the end of the log {chain.log} could not be written: {error}") from error
    return len(unfinished)


def _unknown(decision_seq: int, now: Instant, duration_ms: int) -> Completion:
    """The outcome of an exchange nobody saw the end of."""
    why = "the sidecar stopped before it could record how this exchange ended"
    return unanswered(decision_seq, now, Outcome.UNKNOWN_AFTER_CRASH, why, duration_ms=duration_ms)
