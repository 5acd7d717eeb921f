"""``crawl-audit fleet compact``: the command, and what it says."""

# Annotations are values here, not text: typer reads them.

import sys
from dataclasses import asdict
from datetime import date
from enum import StrEnum
from typing import Annotated

import typer

from reports import render
from reports.period import UsageError


class Form(StrEnum):
    """Forms of the answer."""

    TEXT = "text"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the command to ``crawl-audit fleet``."""
    app.command("compact")(compact_command)


def compact_command(
    logs: Annotated[str, typer.Argument(metavar="LOG", help="address that sidecars ship to, or a copy of it")],
    day: Annotated[
        str | None, typer.Option("--day", metavar="D", help="this day (UTC) only, anew where it was compacted")
    ] = None,
    form: Annotated[Form, typer.Option("--format")] = Form.TEXT,
) -> None:
    """Make a sorted copy of every day that is over, beside the originals, so that questions are answered quickly.

    The copy is read back and compared before it is published; the originals stay the evidence, and `verify` reads
    nothing else. Run it once a day; what is done already is not done again.

    \b
    Example:
      crawl-audit fleet compact s3://audit/fleet
      crawl-audit fleet compact s3://audit/fleet --day 2026-11-18
    """
    from reports import compaction_job  # brings the client of object stores

    outcome = compaction_job.run(logs, _day(day))
    if form is Form.JSON:
        sys.stdout.write(render.json_text(asdict(outcome)))
        return
    for made in outcome.made:
        sys.stdout.write(
            f"{made.day}: {made.records:,} records of {made.segments:,} segments, {made.octets:,} bytes.\n"
        )
    for late, count in outcome.late.items():
        sys.stdout.write(
            f"{late}: {count:,} segments came after it was compacted and are read as originals;"
            f" `--day {late}` compacts it anew.\n"
        )
    for stale in outcome.stale:
        sys.stdout.write(f"{stale}: the copy does not stand for the originals any more and is not read.\n")
    if not outcome.made:
        sys.stdout.write(f"Nothing to compact: {len(outcome.already):,} days are, and today is not over.\n")


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--day {text!r} is not a day: write one like 2026-11-21.") from error
