"""``crawl-audit``: the commands of the readers, and how their errors end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer
from typer.exceptions import TyperException

import crawl_audit
from crawl_audit.errors import CrawlAuditError, LogFormatError
from reports import (
    activity,
    custody_cli,
    declarations,
    explain,
    inquiry,
    matching,
    output,
    query,
    reevaluation,
    render,
    sites,
    status,
    verify_cli,
    witness_cli,
)
from reports.custody_cli import FromOption, LogArgument, ToOption
from reports.levels import Level
from reports.log import NotALogError, NothingSealedError, look, open_log
from reports.output import Format
from reports.period import UsageError, parse_period

FAILED, USAGE, INCOMPLETE, CONFIGURATION = 1, 2, 3, 78

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Read a crawl-audit log: what was crawled, under which robots.txt, and what is not covered.",
    epilog="Exit codes: 0 good, 1 the answer is no or failed, 2 usage, 3 incomplete, 78 configuration.",
)

app.command("verify")(verify_cli.verify_command)
app.command("witness")(witness_cli.witness_command)

custody_cli.register(app)

OutOption = Annotated[str | None, typer.Option("-o", "--output", metavar="FILE", help="file instead of the screen")]


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"crawl-audit {crawl_audit.__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options before any command."""


class Plain(StrEnum):
    """Forms of an answer that is not a table."""

    TEXT = "text"
    JSON = "json"
    MD = "md"


class TableForm(StrEnum):
    """Forms of rows that an auditor's own SQL gives."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    MD = "md"


@app.command("status")
def status_command(log: LogArgument, form: Annotated[Plain, typer.Option("--format")] = Plain.TEXT) -> None:
    """Say what is in a log directory and what cannot be read yet.

    \b
    Example:
      crawl-audit status ./audit-log
    """
    files = look(log)
    if files.segments:
        with output.waiting("Reading the log"), open_log(log) as opened:
            answer = status.status(opened.files, opened)
    else:
        answer = status.status(files, None)
    output.emit(answer, status.document(answer), render.Table((), ()), Format(form.value), None)


@app.command("inquiry")
def inquiry_command(
    log: LogArgument,
    domain_or_url: Annotated[str, typer.Argument(metavar="DOMAIN-OR-URL")],
    start: FromOption = None,
    end: ToOption = None,
    form: Annotated[Format, typer.Option("--format")] = Format.TEXT,
    out: OutOption = None,
) -> None:
    """Answer "did you crawl my site?" for a domain, host, host:port or URL.

    A registrable domain stands for all its hosts, another host for itself and its subdomains, a URL for itself alone.
    Exit code 0: requests were found, 1: none in the time covered, 3: it cannot be told.

    \b
    Example:
      crawl-audit inquiry ./audit-log example.com --from 2026-11-01 --to 2026-11-30
      crawl-audit inquiry ./audit-log https://example.com/private/page --format json
    """
    subject, period = matching.parse_subject(domain_or_url), parse_period(start, end)
    try:
        with output.waiting("Searching the log"), open_log(log) as opened:
            answer = inquiry.inquiry(opened, subject, period)
    except NothingSealedError as error:
        answer = inquiry.unanswerable(subject, period, error)
    output.emit(answer, inquiry.document(answer), inquiry.table(answer), form, out)
    found = {"requests_found": 0, "denied_only": 0, "no_record_in_covered_log": FAILED, "cannot_determine": INCOMPLETE}
    raise typer.Exit(found[answer["result"]])


@app.command("explain")
def explain_command(
    log: LogArgument,
    wanted: Annotated[str, typer.Argument(metavar="EXCHANGE-ID-OR-URL")],
    form: Annotated[Plain, typer.Option("--format")] = Plain.TEXT,
    proof: Annotated[str | None, typer.Option(metavar="FILE", help="also write a proof that can be handed on")] = None,
    withhold: Annotated[str, typer.Option(metavar="FIELDS", help="what the proof leaves out, with commas")] = "client",
) -> None:
    """Show one decision: request, robots.txt with the deciding line marked, the decision made again, the outcome.

    With --proof a file is written that `crawl-audit verify` checks without the log.
    Exit code 1: nothing found, or the decision made again differs.

    \b
    Example:
      crawl-audit explain ./audit-log https://example.com/private/page
      crawl-audit explain ./audit-log 019a0000-0000-7000-8000-000000000001 --proof proof.json
    """
    with output.waiting("Searching the log"), open_log(log) as opened:
        answer = explain.explain(opened, wanted)
    if answer is not None and proof is not None:
        with output.waiting("Making the proof"):
            made = explain.proof_text(log, answer, withhold)
        output.write(made, proof)
    if answer is None:
        _complain(f"The log has no decision on {wanted}: `crawl-audit inquiry` says what it has and what it covers.")
    elif form is Plain.JSON:
        output.write(render.json_text(answer), None)
    else:
        shown = explain.document(answer)
        output.write(render.text(shown) if form is Plain.TEXT else render.markdown(shown), None)
    raise typer.Exit(explain.exit_code(answer))


@app.command("query")
def query_command(
    log: LogArgument,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="one SELECT over the views; `SHOW TABLES` lists them")],
    form: Annotated[TableForm, typer.Option("--format")] = TableForm.TABLE,
    limit: Annotated[int, typer.Option("--limit", min=1, help="rows at most")] = query.ROWS_MAX,
    seconds: Annotated[int, typer.Option("--seconds", min=1, help="time at most")] = query.SECONDS_MAX,
) -> None:
    """Run your own SQL over the views, read-only and locked down.

    \b
    Example:
      crawl-audit query ./audit-log "SELECT site, violations FROM site WHERE violations > 0"
    """
    with output.waiting("Running the query"), open_log(log, seconds=seconds) as opened:
        result = query.run(opened, sql, limit)
    sys.stdout.write(query.rendered(result, form.value))
    if result.cut:
        _complain(f"There are more than {limit} rows and the rest is left out: narrow the query, or raise --limit.")


_REPORTS = {"activity": activity, "sites": sites}


@app.command("report")
def report_command(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="activity or sites")],
    log: LogArgument,
    operator: Annotated[str | None, typer.Option(metavar="FILE", help="TOML: what only you can say")] = None,
    start: FromOption = None,
    end: ToOption = None,
    level: Annotated[Level, typer.Option("--level", help="for whose eyes")] = Level.INTERNAL,
    form: Annotated[Format, typer.Option("--format")] = Format.TEXT,
    out: OutOption = None,
) -> None:
    """Make a report: `activity` (per crawler) or `sites` (per registrable domain).

    \b
    Example:
      crawl-audit report activity ./audit-log --format md -o activity.md
      crawl-audit report sites ./audit-log --from 2026-11-01 --level regulator --format csv -o sites.csv
    """
    if kind not in _REPORTS:
        raise UsageError(f"There is no report {kind!r}: the kinds are {' and '.join(_REPORTS)}.")
    period, declared = parse_period(start, end), declarations.read(operator)
    make: Callable[..., dict[str, object]] = activity.activity if kind == "activity" else sites.sites
    with output.waiting("Reading the log"), open_log(log) as opened:
        answer = make(opened, period, level, declared)
    module = _REPORTS[kind]
    output.emit(answer, module.document(answer), module.table(answer), form, out)


@app.command("judge")
def judge_command(
    urls: Annotated[list[str] | None, typer.Argument(metavar="URL...")] = None,
    robots: Annotated[str | None, typer.Option(metavar="FILE", help="a robots.txt; - for standard input")] = None,
    token: Annotated[list[str] | None, typer.Option(metavar="TOKEN", help="product token; may be repeated")] = None,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="questions from standard input, one JSON a line")] = False,
    log: Annotated[
        str | None,
        typer.Option(metavar="LOG", help="judge again what this log says was fetched from URL, or a domain"),
    ] = None,
    start: FromOption = None,
    end: ToOption = None,
    form: Annotated[Plain, typer.Option("--format")] = Plain.TEXT,
) -> None:
    """Say what would be decided about URLs under a robots.txt, or what one says of the URLs a log has.

    With --log the URLs fetched from a domain are judged again, by --robots FILE or by the last robots.txt on record.
    Exit code 0: all are allowed, 1: at least one is disallowed; with --jsonl 0, or 3 where a line cannot be judged.

    \b
    Example:
      crawl-audit judge --robots robots.txt --token ExampleBot https://example.com/private/page
      crawl-audit judge --jsonl < questions.jsonl
      crawl-audit judge --log ./audit-log --robots todays-robots.txt example.com
    """
    from reports import judging

    if jsonl:
        if urls or robots or token or log:
            raise UsageError("With --jsonl everything comes from standard input: leave out other options and URLs.")
        unanswered = judging.stream(sys.stdin.buffer, sys.stdout)
        if unanswered:
            _complain(f"{unanswered} of the lines could not be judged; each has an `error` in its answer.")
        raise typer.Exit(INCOMPLETE if unanswered else 0)
    if log is not None:
        subject = judging.subject_of(urls or [])
        body = None if robots is None else judging.read_robots(robots)
        with output.waiting("Judging again"), open_log(log) as opened:
            again = reevaluation.reevaluation(opened, subject, parse_period(start, end), body, token or [])
        output.emit(again, reevaluation.document(again), reevaluation.table(again), Format(form.value), None)
        raise typer.Exit(FAILED if again["disallowed_now"] else 0)
    raise typer.Exit(FAILED if judging.judge(robots, token or [], urls or [], form.value == "json") else 0)


def _complain(message: str) -> None:
    sys.stderr.write(f"crawl-audit: {render.visible(message)}\n")


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit: errors are one sentence on standard error, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that has no → shows \u2192
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    try:
        code = app(arguments, prog_name="crawl-audit", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except TyperException as error:
        if error.format_message().startswith("Usage:"):  # no command at all
            sys.stderr.write(error.format_message() + "\n")
        else:
            _complain(f"{error.format_message().rstrip('.')}; `crawl-audit --help` shows how.")
        return USAGE
    except (UsageError, NotALogError) as error:
        _complain(str(error))
        return USAGE
    except LogFormatError as error:
        _complain(str(error))
        return INCOMPLETE
    except CrawlAuditError as error:
        _complain(str(error))
        return CONFIGURATION
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has enough; so says `head`
        return 0
    except (KeyboardInterrupt, typer.Abort):
        _complain("Interrupted.")
        return 130
