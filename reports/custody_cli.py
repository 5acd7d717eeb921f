"""``crawl-audit export``, ``redact``, ``prune`` and ``hold``: what a custodian does with a log that is written."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from crawl_audit.records import Instant
from reports import holds, output, prune, redact, render
from reports.custody import Published, history, instant_of, moment_of
from reports.export import Selection, export
from reports.levels import Level
from reports.matching import parse_subject
from reports.options import FromOption, LogArgument, ToOption
from reports.period import UsageError, iso, now, parse_period
from reports.rewriting import open_bench, open_to_look
from reports.torn_uploads import located

ReasonOption = Annotated[str, typer.Option(metavar="TEXT", help="why; goes on record, so name no person in it")]
ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help="who; goes on record, a role is enough")]
YesOption = Annotated[bool, typer.Option("--yes", help="do not ask")]
_RECORD = re.compile(r"(?P<log>[A-Za-z0-9._-]+):(?P<seq>[0-9]{1,15})")


class Form(StrEnum):
    """Forms of an answer."""

    TEXT = "text"
    JSON = "json"


FormOption = Annotated[Form, typer.Option("--format")]
hold_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Legal holds: what must not be erased.")


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``crawl-audit``."""
    app.command("export")(export_command)
    app.command("redact")(redact_command)
    app.command("prune")(prune_command)
    app.add_typer(hold_app, name="hold")


def export_command(
    log: LogArgument,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="NAME.duckdb: one DuckDB file; any other name: a directory")
    ],
    level: Annotated[Level, typer.Option(help="for whose eyes")] = Level.INTERNAL,
    start: FromOption = None,
    end: ToOption = None,
    site: Annotated[str | None, typer.Option(metavar="DOMAIN", help="records on this domain, host or URL only")] = None,
    form: FormOption = Form.TEXT,
) -> None:
    """Write a copy of a log for somebody's eyes; what it withholds can still be proved.

    Records outside --from, --to and --site, and what the level leaves out, are in the copy as digests only.

    \b
    Example:
      crawl-audit export ./audit-log november.duckdb --level regulator --from 2026-11-01 --to 2026-11-30
      crawl-audit export ./audit-log ./for-example.com --level regulator --site example.com
    """
    selection = Selection(subject=None if site is None else parse_subject(site), period=parse_period(start, end))
    located(log)  # the originals, which may have to be fetched
    with output.waiting("Exporting the log"):
        manifest = export(log, Path(out), level, selection)
    if form is Form.JSON:
        output.write(render.json_text(manifest), None)
        return
    facts = (
        ("Written to", str(out)),
        ("Level", manifest["level"]),
        (
            "Records",
            f"{manifest['records_given']} given, {manifest['records'] - manifest['records_given']} as leaves only",
        ),
        ("Digest of all levels", manifest["levels_digest"]),
    )
    withheld = tuple((w["kind"], w["field"] or "whole records", w["rows"], w["note"]) for w in manifest["withheld"])
    table = render.Table(("kind", "withheld", "rows", "why"), withheld)
    sections = [render.Section(title="", blocks=(render.Facts(facts),))]
    sections += [render.Section(title="Withheld", blocks=(table,))] if withheld else []
    output.write(render.text(render.Document(title="Export", sections=tuple(sections))), None)


def redact_command(
    log: LogArgument,
    field: Annotated[
        str, typer.Option(metavar="NAMES", help="target, user_agent, client, trace_id; separated by commas")
    ],
    reason: ReasonOption,
    by: ByOption,
    exchange: Annotated[str | None, typer.Option(metavar="ID", help="of the exchange with this id")] = None,
    url: Annotated[str | None, typer.Option(metavar="URL", help="of requests for this URL")] = None,
    domain: Annotated[str | None, typer.Option(metavar="D", help="of requests to this domain or host")] = None,
    seq: Annotated[str | None, typer.Option(metavar="LOG:N", help="of record N of a log")] = None,
    yes: YesOption = False,
    form: FormOption = Form.TEXT,
) -> None:
    """Erase values from published segments for good; what was erased stays provable as a commitment.

    Refused where a legal hold covers the records. Records not yet sealed are not reached: seal first.

    \b
    Example:
      crawl-audit redact ./audit-log --url https://example.com/users/jane --field target --reason "request 17" --by dpo
    """
    selector, fields = _selector(exchange, url, domain, seq), redact.parse_fields(field)
    with open_bench(log) as bench:
        planned = redact.plan(bench, selector, fields)
        values = ", ".join(f"{name} of {number} records" for name, number in planned.values.items())
        if not planned.values:
            _say(form, {"erased": {}, "records": 0, "custodian_log": None}, "There is nothing to erase: no such value.")
            return
        _confirm(yes, f"Erase for good: {values}, in {len(planned.files)} files?")
        published = redact.apply(bench, planned, selector, reason, by)
    answer = {"erased": planned.values, "records": planned.records, **_named(published)}
    rest = " The matched rule, the host, digests of answers and copies elsewhere are not touched."
    _say(form, answer, f"Erased: {values}.{rest}", published)


def _selector(exchange: str | None, url: str | None, domain: str | None, seq: str | None) -> redact.Selector:
    if sum(given is not None for given in (exchange, url, domain, seq)) != 1:
        raise UsageError("Say whose values to erase with exactly one of --exchange, --url, --domain and --seq.")
    if exchange is not None:
        return redact.Selector(exchange=exchange)
    if seq is not None:
        match = _RECORD.fullmatch(seq)
        if match is None:
            raise UsageError(f"--seq takes LOG:N, the name of a log and the number of a record, not {seq!r}.")
        return redact.Selector(record=(match["log"], int(match["seq"])))
    subject = parse_subject(url if url is not None else domain or "")
    if (subject.target is None) is (url is not None):
        raise UsageError("--url takes an address with its path, --domain a domain, host or host:port.")
    return redact.Selector(subject=subject)


def prune_command(
    log: LogArgument,
    reason: ReasonOption,
    by: ByOption,
    older_than: Annotated[
        int | None, typer.Option(metavar="DAYS", min=1, help="segments that ended so long ago")
    ] = None,
    before: Annotated[str | None, typer.Option(metavar="DATE", help="segments that ended before this day, UTC")] = None,
    yes: YesOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only list what would go")] = False,
    form: FormOption = Form.TEXT,
) -> None:
    """Remove the records of old segments for good; seals and what later decisions rest on stay. Legal holds win.

    \b
    Example:
      crawl-audit prune ./audit-log --older-than 1095 --reason "retention policy 4" --by dpo --dry-run
    """
    limit = _limit(older_than, before)
    with (open_to_look if dry_run else open_bench)(log) as bench:
        finished = [] if dry_run else prune.finish(bench)
        planned = prune.plan(bench, limit)
        published = None
        if planned.removals and not dry_run:
            _confirm(yes, f"Remove {planned.rows} records of {len(planned.segments)} segments for good?")
            published = prune.apply(bench, planned, reason, by)
    places = [f"{s.log}/{s.path.name}" for s in planned.segments]
    held = [{"segment": f"{s.log}/{s.path.name}", "hold": hold} for s, hold in planned.held]
    answer = {
        "dry_run": dry_run,
        "records": planned.rows,
        "segments": places,
        "held": held,
        "finished": [f"{s.log}/{s.path.name}" for s in finished],
        **_named(published),
    }
    done = "Would be removed" if dry_run else "Removed"
    lines = [f"{done}: {planned.rows} records of {len(places)} segments.", *(f"  {place}" for place in places)]
    lines += [f"Kept whole by {one['hold']}: {one['segment']}" for one in held]
    lines += [f"An earlier prune was finished: {place}" for place in answer["finished"]]
    _say(form, answer, "\n".join(lines), published)


def _limit(older_than: int | None, before: str | None) -> Instant:
    if (older_than is None) is (before is None):
        raise UsageError("Say what is old with one of --older-than DAYS and --before DATE.")
    moment = now() - timedelta(days=older_than) if older_than is not None else parse_period(before, None).start
    assert moment is not None, "one of the two is given"
    return instant_of(moment)


@hold_app.command("place")
def hold_place_command(
    log: LogArgument,
    scope: Annotated[str, typer.Argument(metavar="SCOPE", help="domain, host, URL, or `all`")],
    reason: ReasonOption,
    by: ByOption,
    start: FromOption = None,
    end: ToOption = None,
    form: FormOption = Form.TEXT,
) -> None:
    """Forbid to erase or prune the records on a domain or URL, or all of them, until the hold is released.

    \b
    Example:
      crawl-audit hold place ./audit-log example.com --reason "case 2026-114" --by legal
    """
    period = parse_period(start, end)
    holds.scope_text(scope, period)
    with open_bench(log) as bench:
        name, published = holds.place(bench, scope, period, reason, by)
    _say(form, {"hold": name, **_named(published)}, f"The hold {name} is in force.", published)


@hold_app.command("release")
def hold_release_command(
    log: LogArgument,
    name: Annotated[str, typer.Argument(metavar="ID", help="id of the hold, as `hold list` shows it")],
    reason: ReasonOption,
    by: ByOption,
    form: FormOption = Form.TEXT,
) -> None:
    """End a hold.

    \b
    Example:
      crawl-audit hold release ./audit-log hold-1a2b3c4d --reason "case closed" --by legal
    """
    with open_bench(log) as bench:
        published = holds.release(bench, name, reason, by)
    _say(form, {"hold": name, **_named(published)}, f"The hold {name} is released.", published)


@hold_app.command("list")
def hold_list_command(log: LogArgument, form: FormOption = Form.TEXT) -> None:
    """Show the holds in force.

    \b
    Example:
      crawl-audit hold list ./audit-log
    """
    with open_to_look(log) as bench:
        found = holds.in_force(history(bench))
    shown = [_shown(hold) for hold in found]
    if form is Form.JSON:
        output.write(render.json_text({"holds": shown}), None)
    elif not shown:
        output.write("No hold is in force.\n", None)
    else:
        table = render.table_of(shown, ("id", "scope", "reason", "by", "placed_at"))
        output.write(render.text_table(table) + "\n", None)


def _shown(hold: holds.Hold) -> dict[str, Any]:
    named = {name: value for name, value in asdict(hold).items() if name in ("id", "scope", "reason")}
    return {**named, "by": hold.custodian, "placed_at": iso(moment_of(hold.placed_at))}


def _confirm(yes: bool, question: str) -> None:
    """Ask a person; without one, ``--yes`` is the only answer.  Raises UsageError, or Abort where the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Nobody can be asked here: say --yes, or run the command on a terminal.")
    typer.confirm(question, abort=True, err=True)


def _named(published: Published | None) -> dict[str, Any]:
    if published is None:
        return {"custodian_log": None}
    return {"custodian_log": published.log, "checkpoint_key": published.vkey, "checkpoint": published.checkpoint}


def _say(form: Form, answer: dict[str, Any], text: str, published: Published | None = None) -> None:
    if form is Form.JSON:
        output.write(render.json_text(answer), None)
        return
    # The head goes to the screen, and so into the log of whoever ran this: a second custodian of it.
    record = f"\nOn record in {published.log}:\n\n{published.checkpoint}" if published is not None else ""
    shown = "\n".join(render.visible(line) for line in text.split("\n"))
    output.write(f"{shown}\n{record}", None)
