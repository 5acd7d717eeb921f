"""``crawl-audit``: the commands of the readers, and how their errors end."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer
from typer.exceptions import TyperException

import crawl_audit
from crawl_audit.errors import CrawlAuditError, LogFormatError
from reports import (
    custody_cli,
    explain,
    inquiry_cli,
    judged_again,
    lineage_cli,
    output,
    query,
    render,
    report_cli,
    status,
    verify_cli,
    witness_cli,
)
from reports.custody_cli import FromOption, LogArgument, ToOption
from reports.log import NotALogError, look, open_log
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

inquiry_cli.register(app)
lineage_cli.register(app)
custody_cli.register(app)
app.add_typer(report_cli.app, name="report")

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
    with open_log(log) as opened, output.watching("Searching the log", opened):
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
    with open_log(log, seconds=seconds) as opened, output.watching("Running the query", opened):
        result = query.run(opened, sql, limit)
    sys.stdout.write(query.rendered(result, form.value))
    if result.cut:
        _complain(f"There are more than {limit} rows and the rest is left out: narrow the query, or raise --limit.")


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
        with open_log(log) as opened, output.watching("Judging again", opened):
            again = judged_again.judged_again(opened, subject, parse_period(start, end), body, token or [])
        output.emit(again, judged_again.document(again), judged_again.table(again), Format(form.value), None)
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
