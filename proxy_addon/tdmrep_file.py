"""An answer to GET /.well-known/tdmrep.json → its entries and the signals that keep it on record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from crawl_audit import tdmrep
from crawl_audit.records import Incident, Instant, Record, Signal
from crawl_audit.signals import SIGNALS_MAX
from crawl_audit.tdmrep import TdmrepEntry
from crawl_audit.text import storable
from proxy_addon.fetcher import Fetched

PATH = "/.well-known/tdmrep.json"
PROTOCOL = "tdmrep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one fetch says.  ``entries`` is None where the site could not be asked, so that nothing is known."""

    entries: tuple[TdmrepEntry, ...] | None = None
    answer: str | None = None  # the answer in a line: URL, status, fault; None where nothing was asked
    is_shared: bool = False  # fetched by another sidecar, as the line says


def read(fetched: Fetched) -> Found:
    """The entries of an answer.  4xx is "no such file"; a fault, 429 and 5xx leave open whether there is one."""
    return replace(_read(fetched), is_shared=fetched.origin_log is not None)


def _read(fetched: Fetched) -> Found:
    if fetched.error or fetched.status is None or fetched.status >= 500 or fetched.status == 429:
        return Found(answer=_line(fetched, fetched.error))
    if fetched.body is None:
        return Found(entries=(), answer=_line(fetched, None))
    entries = None if fetched.truncated else tdmrep.parse(fetched.body)
    if entries is None:
        return Found(entries=(), answer=_line(fetched, "not a TDMRep file, or one that is too long"))
    return Found(entries=entries, answer=_line(fetched, None if entries else "an empty array"))


def records_of(found: Found, at: Instant) -> list[Record]:
    """One Signal for each entry, still without ``snapshot_seq``.

    Where there is none, or another sidecar fetched the file, one says what came back.
    """
    if found.answer is None:
        return []
    if not found.entries:
        return [_signal(at, found.answer, None, None)]
    records: list[Record] = [_signal(at, e.raw, e.value, e.location) for e in found.entries[:SIGNALS_MAX]]
    if found.is_shared:
        records.append(_signal(at, found.answer, None, None))
    if len(found.entries) > SIGNALS_MAX:
        detail = f"{found.answer} has {len(found.entries)} entries or more; the first {SIGNALS_MAX} are recorded."
        records.append(
            Incident(
                recorded_at=at,
                incident="signals_cut",
                exchange_id=None,
                crawler=None,
                client=None,
                detail=storable(detail),
            )
        )
    return records


def weight(entries: tuple[TdmrepEntry, ...]) -> int:
    """About how many octets entries take in memory."""
    return sum(
        500 + len(e.raw) + len(e.policy or "") + 2 * len(e.location or "") + 60 * len(e.segments) for e in entries
    )


def _signal(at: Instant, raw: str, value: str | None, scope: str | None) -> Signal:
    return Signal(
        recorded_at=at,
        exchange_id=None,
        snapshot_seq=None,
        protocol=PROTOCOL,
        raw=raw,
        value=value,
        scope=scope,
    )


def _line(fetched: Fetched, remark: str | None) -> str:
    said = "no answer" if fetched.status is None else f"status {fetched.status}"
    shared = f"; shared, fetched by {fetched.origin_log} at {_utc(fetched.fetched_at)}" if fetched.origin_log else ""
    line = f"GET {fetched.final_url}: {said}" + (f"; {remark}" if remark else "") + shared
    return storable(line, tdmrep.RAW_CHARACTERS_MAX)


def _utc(at: Instant | None) -> str:
    return datetime.fromtimestamp((at or 0) / 1_000_000, UTC).isoformat(timespec="milliseconds")
