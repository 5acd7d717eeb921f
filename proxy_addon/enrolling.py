"""Enrolling logs: the fleet's key says, in a note beside each log's checkpoint, which key signs that log."""

from __future__ import annotations

import duckdb

from crawl_audit.enrolment import enrolment_text, parse_enrolment
from crawl_audit.errors import ConfigurationError, CrawlAuditError, LogFormatError
from crawl_audit.seal import Signer, Verifier
from crawl_audit.segment_sql import exact_glob
from crawl_audit.text import first_line
from proxy_addon.checkpoints import keep
from proxy_addon.log_directory import LogDirectory
from proxy_addon.shipped_log import kept_files


def enrol(directory: LogDirectory, fleet: Signer) -> dict[str, list[str]]:
    """Enrol every log whose first run record is published: which were, which already are, which have no record yet.

    Works beside a running sidecar.  Raises CrawlAuditError where a log is enrolled with another key.
    """
    try:
        logs = directory.logs()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigurationError(
            f"{directory.path} is not a log directory: name the one with segments/ inside."
        ) from error
    except OSError as error:
        raise ConfigurationError(f"The log directory {directory.path} cannot be read: {error.strerror}.") from error
    made: dict[str, list[str]] = {"enrolled": [], "already": [], "unpublished": []}
    for log in logs:
        key = recorded_key(directory, log)
        if key is None:
            made["unpublished"].append(log)
        else:
            made["enrolled" if _enrol(directory, log, key, fleet) else "already"].append(log)
    return made


def _enrol(directory: LogDirectory, log: str, key: Verifier, fleet: Signer) -> bool:
    target = directory.checkpoints / f"{log}.enrolment"
    try:
        if target.exists():
            known = parse_enrolment(target.read_text(encoding="utf-8"))
            if (known.log, known.key) == (log, key):
                return False
            raise CrawlAuditError(f"{target} enrols another key than the one the log names: find out why first.")
        note = fleet.sign_note(enrolment_text(log, key.vkey))
        directory.tmp.mkdir(mode=0o700, exist_ok=True)
        keep(directory, target, note.encode("utf-8"))
    except (OSError, UnicodeDecodeError, LogFormatError) as error:
        raise CrawlAuditError(f"The log {log} cannot be enrolled: {error}") from error
    return True


def recorded_key(directory: LogDirectory, log: str) -> Verifier | None:
    """The key that a log's first run record names; None where it is not published yet."""
    left = kept_files(directory, log, "run")
    files = left + sorted((directory.segments / log).glob("[0-9]*-[0-9]*/run.parquet"))
    if not files:
        return None
    try:
        with duckdb.connect(":memory:") as connection:
            rows = connection.execute(
                "SELECT checkpoint_key FROM read_parquet(?) WHERE log = ? ORDER BY seq LIMIT 1",
                [exact_glob(str(files[0])), log],
            ).fetchall()
    except duckdb.Error as error:
        raise CrawlAuditError(f"The run record of {log} cannot be read: {first_line(error)}") from error
    try:
        return Verifier.parse(rows[0][0]) if rows else None
    except LogFormatError as error:
        raise CrawlAuditError(f"The run record of {log} names no key that can be enrolled: {error}") from error
