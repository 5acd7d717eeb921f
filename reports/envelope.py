"""What every record carries besides its own fields: who answers, when, by which tool, from what, over what coverage."""

from __future__ import annotations

import secrets
import time
import uuid
from contextlib import suppress
from typing import Any

import crawl_audit
from crawl_audit.errors import CrawlAuditError
from crawl_audit.seal import parse_checkpoint, parse_note
from crawl_audit.site import list_version
from reports import blinding, disclaimers
from reports import coverage as coverage_of
from reports.declarations import Declarations
from reports.log import Log
from reports.period import Period, now


def envelope(
    log: Log, period: Period, declared: Declarations, record: tuple[str, str], row_count: int, *disclaimer_ids: str
) -> dict[str, Any]:
    """The envelope of a ``record`` (type, version) that has ``row_count`` rows, at the internal level."""
    covered = coverage_of.coverage(log, period)
    runs = log.rows("runs", **period.parameters)
    return {
        **_about(period, declared, record, row_count, *disclaimer_ids),
        "log_range": [{key: one[key] for key in ("log", "first_seq", "last_seq")} for one in covered["logs"]],
        "checkpoints": _heads(log, {one["log"] for one in covered["logs"]}),
        "software": sorted({row["software"] for row in runs}),
        "settings_sha256": sorted({row["settings_sha256"] for row in runs}),
        "coverage": covered,
        "blind": blinding.secret(log),
    }


def empty(
    period: Period, declared: Declarations, record: tuple[str, str], live_files: int, *disclaimer_ids: str
) -> dict[str, Any]:
    """The envelope of an answer from a log in which nothing is sealed yet."""
    return {
        **_about(period, declared, record, 0, *disclaimer_ids),
        **{name: [] for name in ("log_range", "checkpoints", "software", "settings_sha256")},
        "coverage": coverage_of.nothing(live_files),
        "blind": None,
    }


def _about(
    period: Period, declared: Declarations, record: tuple[str, str], row_count: int, *disclaimer_ids: str
) -> dict[str, Any]:
    operator = declared.operator
    return {
        "record_type": record[0],
        "schema_version": record[1],
        "record_id": _uuid7(),
        "generated_at": now(),
        "tool": {"name": "crawl-audit", "version": crawl_audit.__version__, "psl_version": list_version()},
        "period": {"from": period.start, "to": period.end},
        "operator": {
            name: getattr(operator, name) for name in ("legal_name", "country", "contact", "eu_representative")
        },
        "egress_control": {"forced": declared.egress_control.forced, "statement": declared.egress_control.statement},
        "row_count": row_count,
        "disclaimers": disclaimers.chosen(*disclaimer_ids),
    }


def _uuid7() -> str:
    """A UUIDv7 (RFC 9562 5.7), as Python 3.14 will have it."""
    value = (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62
    return str(uuid.UUID(int=value | secrets.randbits(62)))


def _heads(log: Log, names: set[str]) -> list[dict[str, Any]]:
    """The latest checkpoints that lie beside the log, as they say; whether they hold is for `verify` to tell."""
    found = []
    for path in log.files.checkpoints:
        if path.stem not in names:
            continue
        with suppress(OSError, UnicodeDecodeError, CrawlAuditError):  # `verify` says what is wrong with it
            head = parse_checkpoint(parse_note(path.read_text(encoding="utf-8")).text)
            found.append({"log": path.stem, "size": head.size, "root": head.root.hex()})
    return found
